//! The same stack on RabbitMQ and PostgreSQL.

use bytes::Bytes;
use e2e::{Servers, Stack, Tier, eventually};
use http::Method;
use serde_json::json;

use crate::air::{row, series};
use crate::data_path::{ingest, rows_become_cached_answers_in};

#[tokio::test]
async fn rows_become_cached_answers_on_servers_in_project_gq_ztfutjv() {
    let servers = Servers::new().await;
    rows_become_cached_answers_in(Stack::start_on(&servers, &["--project", "gq-ztfutjv"]).await)
        .await;
}

#[tokio::test]
async fn rows_become_cached_answers_on_servers_in_project_4pnihc40q_yj() {
    let servers = Servers::new().await;
    rows_become_cached_answers_in(Stack::start_on(&servers, &["--project", "4pnihc40q-yj"]).await)
        .await;
}

#[tokio::test]
async fn the_demo_s_totals_match_on_servers() {
    let servers = Servers::new().await;
    let stack = Stack::start_on(&servers, &["--workers", "2"]).await;
    let demo = stack.command(&["demo", "air", "--rows", "60000", "--seed", "3", "--json"]).await;
    assert_eq!(demo.code, 0, "{} {}", demo.stdout, demo.stderr);
    let rows = servers.sql("select count(*) from d_air_readings").await;
    assert!(rows.parse::<u64>().unwrap() > 50_000, "{rows}");
}

#[tokio::test]
async fn probes_count_once_on_servers() {
    let servers = Servers::new().await;
    let stack = Stack::start_on(&servers, &["--workers", "2"]).await;
    let probe = stack.command(&["probe", "--jobs", "2000", "--json"]).await;
    assert_eq!(probe.code, 0, "{} {}", probe.stdout, probe.stderr);
    let told = probe.json();
    assert_eq!((&told["lost"], &told["duplicated"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn a_stack_whose_broker_is_away_reads_and_accepts_and_says_what_it_lacks() {
    let servers = Servers::new().await;
    // Bound, so that nobody else gets it, and not listened on.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let queue = format!("amqp://guest:guest@{}/", socket.local_addr().unwrap());
    let stack = Stack::start_with(&["--store", &servers.store, "--queue", &queue]).await;
    let private = stack.listener(Tier::Api, "private");
    let reply = private.try_send(Method::GET, "/readyz", &[], Bytes::new()).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.text().contains("degraded"), "{}", reply.text());
    assert!(reply.text().contains("Connection refused"), "{}", reply.text());

    let client = stack.client();
    client.get(&series("oslo")).await.expect(200);
    let reply = client.post_rows(crate::air::ROWS, &row("a", "oslo", 2, "1"), &[]).await;
    reply.expect(202);
    assert_eq!(servers.sql("select count(*) from dp_outbox").await, "1");
}

#[tokio::test]
async fn a_poison_job_ends_as_a_dead_letter_and_comes_back_as_a_new_generation() {
    let servers = Servers::new().await;
    let stack = Stack::start_on(&servers, &[]).await;
    dead_letters_are_decided_on(&stack, &["--store", &servers.store]).await;
}

#[tokio::test]
async fn dead_letters_work_alike_on_files() {
    let stack = Stack::start().await;
    let data = stack.data();
    dead_letters_are_decided_on(&stack, &["--data", data.to_str().unwrap()]).await;
}

/// Fails jobs for good, lists, shows, requeues and discards them.
async fn dead_letters_are_decided_on(stack: &Stack, target: &[&str]) {
    let put = stack.command(&["probe", "--jobs", "2", "--outcome", "fail"]).await;
    assert_eq!(put.code, 0, "{}", put.stderr);
    let dlq = async |words: &[&str]| e2e::run(&[&["dlq"], words, target].concat()).await;
    let listed = eventually("both letters are filed", || async {
        let listed = dlq(&["list", "--json"]).await;
        (listed.stdout.lines().count() == 2).then_some(listed)
    })
    .await;
    let letters: Vec<serde_json::Value> =
        listed.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        letters.iter().all(|letter| letter["kind"] == "probe" && letter["code"] == "permanent")
    );
    let numbers: Vec<String> = letters.iter().map(|letter| letter["no"].to_string()).collect();

    let shown = dlq(&["show", &numbers[0]]).await;
    assert!(shown.stdout.contains("permanent"), "{}", shown.stdout);
    let refused = dlq(&["requeue"]).await;
    assert_eq!(refused.code, 64, "{}", refused.stderr);
    let dry = dlq(&["requeue", "--all", "--dry-run"]).await;
    assert!(dry.stdout.contains("2 would be requeued"), "{}", dry.stdout);

    // It fails again: as a later generation, it is another letter.
    let requeued = dlq(&["requeue", &numbers[0]]).await;
    assert!(requeued.stdout.contains("requeued: 1"), "{} {}", requeued.stdout, requeued.stderr);
    eventually("the requeued job died again", || async {
        let listed = dlq(&["list", "--json"]).await;
        let mut letters = listed
            .stdout
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        letters.any(|letter| letter["generation"] == 1).then_some(())
    })
    .await;
    let discarded = dlq(&["discard", "--all"]).await;
    assert!(discarded.stdout.contains("discarded: 2"), "{}", discarded.stdout);
    let none = dlq(&["list"]).await;
    assert!(none.stdout.contains("no dead letters"), "{}", none.stdout);
}

#[tokio::test]
async fn rows_are_refused_with_a_time_to_come_back_while_the_database_is_away() {
    let servers = Servers::new().await;
    let stack = Stack::start_on(&servers, &[]).await;
    let client = stack.client();
    ingest(&client, &row("a", "oslo", 2, "1")).await;
    client.get(&series("oslo")).await.expect(200);

    let stop = format!("alter database {} allow_connections false", servers.database);
    let end = format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{}'",
        servers.database
    );
    servers.admin(&stop).await;
    servers.admin(&end).await;
    let refused = eventually("rows are refused", || async {
        let reply = client.post_rows(crate::air::ROWS, &row("b", "oslo", 2, "2"), &[]).await;
        (reply.status == 503).then_some(reply)
    })
    .await;
    assert!(!refused.header("retry-after").is_empty(), "{:?}", refused.headers);
    // What is cached is still answered.
    client.get(&series("oslo")).await.expect(200);

    servers.admin(&format!("alter database {} allow_connections true", servers.database)).await;
    eventually("rows are taken again", || async {
        let reply = client.post_rows(crate::air::ROWS, &row("c", "oslo", 2, "3"), &[]).await;
        (reply.status == 202).then_some(())
    })
    .await;
    eventually("accepted rows are applied", || async {
        let rows = servers.sql("select count(*) from d_air_readings").await;
        (rows.parse::<u64>().unwrap() >= 2).then_some(())
    })
    .await;
}
