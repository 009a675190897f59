//! Why the protocol is as it is: each step that a simpler one leaves out, and what is lost then.

use std::sync::Arc;

use tidegate_product::fold::{Delta, Value};
use tokio_postgres::error::SqlState;

use super::Server;
use crate::conformance::{Fixture, NOW, TENANT, hours_before_now, row, write_the_same};
use crate::postgres::fault::Fault;
use crate::postgres::pool::{Pool, Session};
use crate::postgres::reconcile::repair::{lock, overwrite};
use crate::postgres::{WRITE, merge};
use crate::transform::names::view_table;
use crate::transform::recompute::Difference;

/// A store, and connections of its database for what is done step by step.
struct Steps {
    fixture: Fixture,
    pool: Arc<Pool>,
    view: String,
}

// === impl Steps ===

impl Steps {
    async fn new() -> Self {
        let fixture = Fixture::new(&Server).await;
        let found = fixture.place.rows("select current_database()::text").await;
        let Value::Text(name) = &found[0][0] else { panic!("{found:?}") };
        let view = view_table("air", &fixture.contract.contract.views[1]);
        Self { pool: Arc::new(super::pool(name)), fixture, view }
    }

    /// Returns what one row adds to the group of today, or of a day before.
    fn delta(days_ago: i64, value: i64) -> Delta {
        let group =
            vec![Value::Text("no2".to_owned()), Value::Int(hours_before_now(12 + 24 * days_ago).0)];
        Delta { group, rows: 1, stored: vec![Value::Int(value)] }
    }

    async fn merge(&self, session: &Session<'_>, delta: Delta) -> Result<(), Fault> {
        let contract = &self.fixture.contract.contract;
        merge::merge(session, contract, &contract.views[1], TENANT, &[delta]).await
    }

    async fn begin(&self) -> Session<'_> {
        self.pool.begin(WRITE).await.unwrap()
    }

    /// Waits until a statement of the database waits for a lock.
    async fn until_one_waits(&self) {
        let waiting = "select count(*) from pg_stat_activity
             where datname = current_database() and wait_event_type = 'Lock'";
        while self.fixture.number(waiting).await == 0 {}
    }

    /// Begins to apply a row; returns once it waits for a group.
    async fn row_that_waits(&self, id: i64) -> tokio::task::JoinHandle<()> {
        let batch = self.fixture.accept(&[row(id, "oslo", 1, 7)]).await;
        let store = Arc::clone(&self.fixture.store);
        let applying = tokio::spawn(async move {
            let claims = store.claim(&[batch], NOW).await.unwrap();
            store.apply(claims, NOW).await.unwrap();
        });
        self.until_one_waits().await;
        applying
    }

    /// Counts the day's group anew, in one statement with writing it.
    fn count_and_overwrite(&self) -> String {
        format!(
            "insert into {}(_tenant, kind, _bucket, _rows, _sum_value)
             select _tenant, kind, {}, count(*), coalesce(sum(value), 0)::bigint
             from d_air_readings group by _tenant, kind
             on conflict(_tenant, _bucket, kind)
             do update set _rows = excluded._rows, _sum_value = excluded._sum_value",
            self.view,
            hours_before_now(12).0
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_in_one_order_never_wait_in_a_circle() {
    let fixture = Fixture::new(&Server).await;
    write_the_same(&fixture).await;
    let Fixture { place, store, .. } = fixture;
    drop(store);
    let number = async |statement| match place.rows(statement).await[0][0] {
        Value::Int(number) => number,
        _ => 0,
    };
    // A connection tells what it met at the latest when it ends.
    let others = "select count(*) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid()";
    while number(others).await > 0 {}
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    assert_eq!(number(deadlocks).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_in_opposite_orders_wait_in_a_circle() {
    let steps = Steps::new().await;
    let (one, other) = (steps.begin().await, steps.begin().await);
    steps.merge(&one, Steps::delta(0, 1)).await.unwrap();
    steps.merge(&other, Steps::delta(1, 1)).await.unwrap();
    let (first, second) = tokio::join!(
        steps.merge(&one, Steps::delta(1, 1)),
        steps.merge(&other, Steps::delta(0, 1))
    );
    let deadlock = |result: &Result<(), Fault>| match result {
        Err(Fault::Again(error)) => error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED),
        _ => false,
    };
    assert!(deadlock(&first) != deadlock(&second), "{first:?} {second:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_is_read_and_written_back_loses_what_another_adds() {
    let steps = Steps::new().await;
    steps.fixture.ingest(&[row(0, "oslo", 1, 5)]).await;
    let read = format!("select _rows, _sum_value from {}", steps.view);
    let write = format!("update {} set _rows = $1, _sum_value = $2", steps.view);
    let (one, other) = (steps.begin().await, steps.begin().await);
    for (session, id) in [(&one, "1"), (&other, "2")] {
        let insert = "insert into d_air_readings
             select _tenant, $1, city, kind, ts, value, level, _hash, _batch from d_air_readings
             where id = '0'";
        session.execute(insert, &[&id]).await.unwrap();
    }
    let mut found = Vec::new();
    for session in [&one, &other] {
        let row = session.query_one(&read, &[]).await.unwrap();
        found.push((row.get::<_, i64>(0) + 1, row.get::<_, i64>(1) + 5));
    }
    for (session, (rows, sum)) in [one, other].into_iter().zip(found) {
        session.execute(&write, &[&rows, &sum]).await.unwrap();
        session.commit().await.unwrap();
    }
    let stored = steps.fixture.number(&format!("select _rows from {}", steps.view)).await;
    assert_eq!(stored, 2, "of three rows one is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_and_overwriting_in_one_statement_loses_what_commits_meanwhile() {
    let steps = Steps::new().await;
    steps.fixture.ingest(&[row(0, "oslo", 1, 5)]).await;
    let writer = steps.begin().await;
    let insert = "insert into d_air_readings
         select _tenant, '1', city, kind, ts, 7, level, _hash, _batch from d_air_readings";
    writer.execute(insert, &[]).await.unwrap();
    steps.merge(&writer, Steps::delta(0, 7)).await.unwrap();
    let recount = steps.begin().await;
    let statement = steps.count_and_overwrite();
    let recounted = async {
        recount.execute(&statement, &[]).await.unwrap();
        recount.commit().await.unwrap();
    };
    let committed = async {
        steps.until_one_waits().await;
        writer.commit().await.unwrap();
    };
    tokio::join!(recounted, committed);
    let stored = steps.fixture.number(&format!("select _rows from {}", steps.view)).await;
    assert_eq!(stored, 1, "counted before the commit, written after it");
}

#[tokio::test(flavor = "multi_thread")]
async fn locking_a_group_that_is_missing_locks_nothing() {
    let steps = Steps::new().await;
    let recount = steps.begin().await;
    let lock = format!("select from {} for update", steps.view);
    assert!(recount.query(&lock, &[]).await.unwrap().is_empty());
    // Counted: there is no row, so the group is nothing.
    steps.fixture.ingest(&[row(0, "oslo", 1, 7)]).await;
    let nothing = format!("update {} set _rows = 0, _sum_value = 0", steps.view);
    recount.execute(&nothing, &[]).await.unwrap();
    recount.commit().await.unwrap();
    let stored = steps.fixture.number(&format!("select _rows from {}", steps.view)).await;
    assert_eq!(stored, 0, "the row that came in between is lost");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_placeholder_who_adds_to_a_missing_group_waits_and_adds() {
    let steps = Steps::new().await;
    let contract = Arc::clone(&steps.fixture.contract);
    let (contract, view) = (&contract.contract, &contract.contract.views[1]);
    let group = Steps::delta(0, 0).group;
    // First there is no row, so that the placeholder is removed, and then there is one.
    let without = Difference { stored: Some(Steps::delta(0, 0)), computed: None };
    let with = Difference { stored: None, computed: Some(Steps::delta(0, 7)) };
    for (id, counted) in [(1, without), (2, with)] {
        let recount = steps.begin().await;
        lock(&recount, contract, view, TENANT, std::slice::from_ref(&group)).await.unwrap();
        let applying = steps.row_that_waits(id).await;
        overwrite(&recount, contract, view, TENANT, &[counted]).await.unwrap();
        recount.commit().await.unwrap();
        applying.await.unwrap();
        assert_eq!(steps.fixture.drift().await, 0);
    }
    let stored = format!("select _rows from {}", steps.view);
    assert_eq!(steps.fixture.number(&stored).await, 2);
}
