//! Rows in over TLS, rolled up by a worker, read from the edge cache.

use e2e::{Client, Stack, eventually};
use serde_json::{Value, json};

use crate::air::{ROWS, row, series};

/// Sends rows and waits for the worker; returns the job document.
pub(crate) async fn ingest(client: &Client, rows: &str) -> Value {
    let reply = client.post_rows(ROWS, rows, &[("prefer", "wait=30")]).await.expect(200);
    assert_eq!(reply.header("preference-applied"), "wait=30");
    reply.json()
}

/// Returns the buckets of a series answer with their number of rows and extremes.
fn summary(answer: &Value) -> Vec<(u64, f64, f64)> {
    let rows = answer["data"].as_array().expect("an answer holds a list").iter();
    rows.map(|row| {
        let number = |name: &str| row[name].as_f64().expect("a measure is a number");
        (row["n"].as_u64().expect("a count is a number"), number("min"), number("max"))
    })
    .collect()
}

async fn rows_become_cached_answers(project: &str) {
    rows_become_cached_answers_in(Stack::start_project(project).await).await;
}

/// The main path from end to end, on whatever the stack runs.
pub(crate) async fn rows_become_cached_answers_in(stack: Stack) {
    let client = stack.client();

    let rows =
        [row("a", " Oslo ", 3, "10.25"), row("b", "oslo", 3, "20"), row("c", "oslo", 2, "7.5")];
    let job = ingest(&client, &rows.concat()).await;
    assert_eq!(job["counts"], json!({"new": 3, "duplicate": 0, "late": 0, "rejected": 0}));

    let first = client.get(&series("oslo")).await.expect(200);
    assert_eq!(summary(&first.json()), [(2, 10.25, 20.0), (1, 7.5, 7.5)]);
    assert_eq!(first.json()["data"][0]["avg"], json!(15.125));
    assert!(first.header("cache-status").contains("fwd="), "{:?}", first.headers);
    for field in ["etag", "x-data-seq", "surrogate-key", "cache-control"] {
        assert!(!first.header(field).is_empty(), "{field} is missing");
    }

    let second = client.get(&series("oslo")).await.expect(200);
    assert!(second.header("cache-status").contains("hit"), "{:?}", second.headers);
    assert_eq!(second.body, first.body);

    let tag = first.header("etag");
    let unchanged = client.get_with(&series("oslo"), &[("if-none-match", tag)]).await.expect(304);
    assert!(unchanged.body.is_empty());

    // The next commit reaches the reader: nothing but a purge could evict a fresh response.
    ingest(&client, &row("d", "oslo", 2, "99")).await;
    eventually("the edge shows the new row", || async {
        let answer = client.get(&series("oslo")).await.expect(200);
        (summary(&answer.json()).last() == Some(&(2, 7.5, 99.0))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn rows_become_cached_answers_in_project_gq_ztfutjv() {
    rows_become_cached_answers("gq-ztfutjv").await;
}

#[tokio::test]
async fn rows_become_cached_answers_in_project_4pnihc40q_yj() {
    rows_become_cached_answers("4pnihc40q-yj").await;
}

#[tokio::test]
async fn rows_sent_again_change_nothing() {
    let stack = Stack::start().await;
    let client = stack.client();
    let rows = [row("a", "oslo", 1, "1"), row("b", "oslo", 1, "2")].concat();
    ingest(&client, &rows).await;

    let again = ingest(&client, &rows).await;
    assert_eq!(again["counts"], json!({"new": 0, "duplicate": 2, "late": 0, "rejected": 0}));
    let other_content = ingest(&client, &row("a", "oslo", 1, "5")).await;
    assert_eq!(other_content["counts"]["rejected"], 1);
    let answer = client.get(&series("oslo")).await.expect(200);
    assert_eq!(summary(&answer.json()), [(2, 1.0, 2.0)]);
}

#[tokio::test]
async fn a_request_with_the_same_idempotency_key_is_taken_once() {
    let stack = Stack::start().await;
    let client = stack.client();
    let key = [("idempotency-key", "batch-1")];
    let first = client.post_rows(ROWS, &row("a", "oslo", 1, "1"), &key).await.expect(202);
    let replayed = client.post_rows(ROWS, &row("a", "oslo", 1, "1"), &key).await;
    assert_eq!(replayed.header("idempotency-replayed"), "true");
    assert_eq!(replayed.json()["job"], first.json()["job"]);
    client.post_rows(ROWS, &row("b", "oslo", 1, "1"), &key).await.expect(422);
}

#[tokio::test]
async fn a_json_array_and_a_compressed_body_are_taken_like_ndjson() {
    let stack = Stack::start().await;
    let client = stack.client();
    let array = format!("[{}]", row("a", "oslo", 1, "1").trim_end());
    let fields = [("content-type", "application/json"), ("prefer", "wait=30")];
    let reply = client.try_send(http::Method::POST, ROWS, &fields, array.into()).await.unwrap();
    assert_eq!(reply.expect(200).json()["counts"]["new"], 1);

    let zipped = crate::bad_input::gzip(row("b", "oslo", 1, "3").as_bytes());
    let fields = [
        ("content-type", "application/x-ndjson"),
        ("content-encoding", "gzip"),
        ("prefer", "wait=30"),
    ];
    let reply = client.try_send(http::Method::POST, ROWS, &fields, zipped.into()).await.unwrap();
    assert_eq!(reply.expect(200).json()["counts"]["new"], 1);
}

#[tokio::test]
async fn data_survives_a_restart() {
    let stack = Stack::start().await;
    let token = stack.ready("admin_token").to_owned();
    ingest(&stack.client(), &row("a", "oslo", 1, "4")).await;

    let stack = stack.restart().await;
    let client = stack.client().with_token(&token);
    let answer = client.get(&series("oslo")).await.expect(200);
    assert_eq!(summary(&answer.json()), [(1, 4.0, 4.0)]);
}
