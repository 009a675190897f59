//! What a server does to those who use it.

use std::sync::Arc;

use tidegate_core::backend::{ServerUrl, StoreBackend};
use tidegate_core::outbox::OutboxSource as _;

use super::{Database, Server, url};
use crate::conformance::{Fixture, NOW, TENANT, row};
use crate::postgres::fault::{Fault, chain};
use crate::{Applied, PostgresStore, Store as _, StoreError};

fn parse(text: &str) -> ServerUrl {
    match text.parse() {
        Ok(StoreBackend::Postgres(url)) => url,
        other => panic!("{other:?}"),
    }
}

/// Changes the URL of the server under test.
fn changed(change: impl FnOnce(&mut url::Url)) -> ServerUrl {
    let mut url = url("postgres").with_password().unwrap();
    change(&mut url);
    parse(url.as_str())
}

async fn refusal(url: &ServerUrl) -> StoreError {
    PostgresStore::open(url).await.map(|_| ()).unwrap_err()
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named() {
    // Nobody listens on port 1.
    let error = refusal(&parse("postgres://u:hidden@127.0.0.1:1/d")).await;
    assert!(matches!(error, StoreError::Unavailable(_)) && error.is_transient(), "{error:?}");
    let text = chain(&error);
    assert!(text.contains("127.0.0.1:1/d can't be reached"), "{text}");
    assert!(!format!("{error:?} {text}").contains("hidden"), "{error:?}");
}

#[tokio::test]
async fn wrong_credentials_are_refused_in_words() {
    let url = changed(|url| url.set_password(Some("hidden")).unwrap());
    let error = refusal(&url).await;
    assert!(matches!(error, StoreError::Misconfigured(_)), "{error:?}");
    let text = chain(&error);
    assert!(text.contains("password authentication failed for user"), "{text}");
    assert!(!format!("{error:?} {text}").contains("hidden"), "{error:?}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let error = refusal(&changed(|url| url.set_path("nowhere"))).await;
    let StoreError::Misconfigured(text) = &error else { panic!("{error:?}") };
    assert!(text.contains("\"nowhere\" does not exist"), "{text}");
}

#[tokio::test]
async fn a_schema_of_a_newer_build_is_refused() {
    let fixture = Fixture::new(&Server).await;
    fixture.write("update dp_meta set schema = 99").await;
    let name = fixture.place.rows("select current_database()::text").await;
    let tidegate_product::fold::Value::Text(name) = &name[0][0] else { panic!("{name:?}") };
    let error = refusal(&url(name)).await;
    assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error:?}");
}

#[tokio::test]
async fn a_user_that_may_not_create_the_schema_is_told() {
    let database = Database::new().await;
    let role = format!("r_{}", &database.name);
    super::on_server(&[&format!("create role {role} login password 'p'")]).await;
    let url = changed(|url| {
        url.set_path(&database.name);
        url.set_username(&role).unwrap();
        url.set_password(Some("p")).unwrap();
    });
    let error = refusal(&url).await;
    super::on_server(&[&format!("drop role {role}")]).await;
    let StoreError::Misconfigured(text) = &error else { panic!("{error:?}") };
    assert!(text.contains("permission denied"), "{text}");
}

const OTHERS: &str = "select count(*) from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and state like '%transaction%'";

const KILL: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_killed_between_two_calls_are_not_noticed() {
    let fixture = Fixture::new(&Server).await;
    for id in 0..5 {
        let batch = fixture.accept(&[row(id, "oslo", 1, 1)]).await;
        assert!(fixture.number(KILL).await > 0);
        let claim = fixture.claim(batch).await;
        fixture.number(KILL).await;
        let applied = fixture.store.apply(vec![claim], NOW).await.unwrap().applied;
        assert!(matches!(applied.as_slice(), [Applied::Done(_, counts)] if counts.new == 1));
        fixture.number(KILL).await;
        assert_eq!(fixture.seq().await, u64::try_from(id).unwrap() + 1);
    }
    assert_eq!(fixture.drift().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_killed_in_the_midst_of_a_batch_loses_and_doubles_nothing() {
    let fixture = Fixture::new(&Server).await;
    let mut ids = Vec::new();
    for number in 0..40 {
        let rows: Vec<_> = (0..50).map(|n| row(number * 40 + n, "oslo", n % 7, 1)).collect();
        ids.push(fixture.accept(&rows).await);
    }
    let store = Arc::clone(&fixture.store);
    let work = tokio::spawn(async move {
        for id in ids {
            // What gives up comes again, as a queue brings it.
            loop {
                let Ok(claims) = store.claim(&[id], NOW).await else { continue };
                if claims.is_empty() || store.apply(claims, NOW).await.is_ok() {
                    break;
                }
            }
        }
    });
    for _ in 0..40 {
        fixture.number(KILL).await;
        // Until there is something to kill again.
        while !work.is_finished() && fixture.number(OTHERS).await == 0 {}
    }
    work.await.unwrap();
    assert_eq!(fixture.number("select count(*) from dp_batch where state <> 'applied'").await, 0);
    assert_eq!(fixture.number("select count(*) from d_air_readings").await, 39 * 40 + 50);
    assert_eq!(fixture.drift().await, 0);
    let purges: Vec<u64> = fixture.take_purges().await.into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(purges, (1..=40).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_nobody_waits_for_is_given_up_on_the_server_too() {
    let database = Database::new().await;
    let store = database.store().await;
    let read = async {
        let session = store.reads.session(tokio::time::Instant::now() + super::WRITE).await?;
        session.query("select pg_sleep(3600)", &[]).await
    };
    let asleep = async { while sleeping_now(&database).await == 0 {} };
    tokio::select! {
        _ = read => panic!("slept through"),
        () = asleep => {}
    }
    // Ends only because the server was told.
    while sleeping_now(&database).await > 0 {}
    assert_eq!(store.find_token(TENANT).await.unwrap(), None);
}

async fn sleeping_now(database: &Database) -> i64 {
    let asked = "select count(*) from pg_stat_activity
         where datname = current_database() and query like 'select pg_sleep%' and state = 'active'";
    let session = database.pool.session(tokio::time::Instant::now() + super::WRITE).await;
    session.unwrap().query_one(asked, &[]).await.unwrap().get(0)
}

/// What a caller is to do about a fault, in a word.
fn word(fault: &Fault) -> &'static str {
    match fault {
        Fault::Again(_) => "again",
        Fault::Late => "late",
        Fault::Data(_) => "data",
        Fault::Store(StoreError::Unavailable(_)) => "unavailable",
        Fault::Store(StoreError::Full) => "full",
        Fault::Store(StoreError::Misconfigured(_)) => "misconfigured",
        Fault::Store(_) => "other",
    }
}

#[tokio::test]
async fn each_state_of_the_server_has_its_consequence() {
    let database = Database::new().await;
    for (state, expected) in [
        ("40001", "again"),
        ("40P01", "again"),
        ("57P01", "again"),
        ("57P03", "again"),
        ("08006", "again"),
        ("55P03", "again"),
        ("57014", "late"),
        ("22003", "data"),
        ("22021", "data"),
        ("23514", "data"),
        ("54000", "data"),
        ("53100", "full"),
        ("53300", "unavailable"),
        ("53200", "unavailable"),
        ("58030", "unavailable"),
        ("25006", "unavailable"),
        ("28P01", "misconfigured"),
        ("28000", "misconfigured"),
        ("3D000", "misconfigured"),
        ("42501", "misconfigured"),
        ("42P01", "other"),
    ] {
        let session = database.pool.session(tokio::time::Instant::now() + super::WRITE).await;
        let raise = format!("do $$ begin raise 'no' using errcode = '{state}'; end $$");
        let fault = session.unwrap().batch(&raise).await.unwrap_err();
        assert_eq!(word(&fault), expected, "{state}: {fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_for_a_while_is_unavailable_and_is_used_again() {
    let database = Database::new().await;
    let store = database.store().await;
    let name = &database.name;
    super::on_server(&[
        &format!("alter database {name} allow_connections false"),
        &format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"),
    ])
    .await;
    let away = store.find_token("digest").await;
    assert!(matches!(away, Err(StoreError::Unavailable(_))), "{away:?}");
    let away = store.pending(1).await;
    assert!(away.is_err(), "{away:?}");
    super::on_server(&[&format!("alter database {name} allow_connections true")]).await;
    assert_eq!(store.find_token("digest").await.unwrap(), None);
    assert!(store.pending(1).await.unwrap().is_empty());
}
