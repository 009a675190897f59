//! Bad input gets one clear error: what, where, what to do. Whatever was accepted before stays.

use std::io::Write as _;

use bytes::Bytes;
use e2e::{Client, Stack, run};
use http::Method;

use crate::air::{ROWS, row, series};
use crate::data_path::ingest;

/// Compresses as a client would.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("writing to memory does not fail");
    encoder.finish().expect("writing to memory does not fail")
}

/// Asserts that the problem document names what is wrong.
#[track_caller]
fn check(problem: &serde_json::Value, words: &[&str]) {
    let text = problem.to_string();
    for word in words {
        assert!(text.contains(word), "'{word}' is missing in {text}");
    }
    for member in ["type", "title", "status", "request_id"] {
        assert!(!problem[member].is_null(), "'{member}' is missing in {text}");
    }
}

/// Sends one bad row beside a good one, and returns what the answer says about it.
async fn rejected_row(client: &Client, bad: &str) -> serde_json::Value {
    let rows = format!("{}{bad}\n", row("good", "oslo", 1, "1"));
    let reply = client.post_rows(ROWS, &rows, &[]).await.expect(202);
    assert_eq!(reply.json()["rejected"], 1, "{}", reply.text());
    reply.json()["errors"][0].clone()
}

#[tokio::test]
async fn a_bad_row_is_named_with_line_field_and_remedy() {
    let stack = Stack::start().await;
    let client = stack.client();
    let good = row("x", "oslo", 1, "1");
    for (from, to, pointer, code) in [
        ("\"value\":1", "\"value\":1,\"speed\":2", "/speed", "unknown_field"),
        ("\"value\":1", "\"value\":true", "/value", "wrong_type"),
        ("\"value\":1", "\"value\":2001", "/value", "out_of_range"),
        ("\"value\":1", "\"value\":1.234", "/value", "scale"),
        ("\"no2\"", "\"lead\"", "/pollutant", "not_in_enum"),
        ("\"station\":\"st-1\",", "", "/station", "missing"),
    ] {
        let error = rejected_row(&client, good.replace(from, to).trim_end()).await;
        assert_eq!((error["line"].as_u64(), error["pointer"].as_str()), (Some(2), Some(pointer)));
        assert_eq!(error["code"], code, "{error}");
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
    let error = rejected_row(&client, "{\"reading_id\":").await;
    assert_eq!(error["code"], "syntax");
}

#[tokio::test]
async fn a_request_that_can_not_be_taken_says_why_and_nothing_else_suffers() {
    let stack = Stack::start().await;
    let client = stack.client();
    ingest(&client, &row("kept", "oslo", 1, "7")).await;
    let good = row("x", "oslo", 1, "1");

    let all_bad = client.post_rows(ROWS, "{\"reading_id\":\"x\"}\n", &[]).await.expect(422);
    check(&all_bad.json(), &["\"line\":1", "missing"]);

    let send = async |fields: &[(&str, &str)], body: Vec<u8>| {
        let body = Bytes::from(body);
        client.try_send(Method::POST, ROWS, fields, body).await.expect("it must be answered")
    };
    let ndjson = ("content-type", "application/x-ndjson");
    let mut truncated = gzip(good.as_bytes());
    truncated.truncate(truncated.len() / 2);
    let reply = send(&[ndjson, ("content-encoding", "gzip")], truncated).await.expect(400);
    check(&reply.json(), &["gzip"]);

    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 1 << 20);
    let reply = send(&[ndjson, ("content-encoding", "gzip")], bomb).await.expect(413);
    check(&reply.json(), &["16"]);

    let reply = send(&[ndjson], vec![b' '; 17 << 20]).await.expect(413);
    check(&reply.json(), &["16"]);

    let reply = send(&[ndjson, ("content-encoding", "br")], good.clone().into()).await.expect(415);
    check(&reply.json(), &["gzip"]);
    let reply = send(&[("content-type", "text/csv")], good.clone().into()).await.expect(415);
    check(&reply.json(), &["application/x-ndjson"]);

    let elsewhere = ROWS.replace("readings", "reading");
    let reply = client.post_rows(&elsewhere, &good, &[]).await.expect(404);
    check(&reply.json(), &["readings"]);

    let answer = client.get(&series("oslo")).await.expect(200);
    assert_eq!(answer.json()["data"][0]["max"], 7.0);
}

#[tokio::test]
async fn a_wrong_token_and_a_wrong_scope_are_told_apart() {
    let stack = Stack::start().await;
    let client = stack.client();
    let reply = client.with_token("nonsense").get(&series("oslo")).await.expect(401);
    assert!(reply.header("www-authenticate").starts_with("Bearer"));
    client.anonymous().get(&series("oslo")).await.expect(401);
    client.anonymous().post_rows(ROWS, &row("x", "oslo", 1, "1"), &[]).await.expect(401);

    let words = ["token", "create", "reader", "--scope", "read:air", "--json"];
    let created: serde_json::Value =
        serde_json::from_str(&stack.command(&words).await.stdout).unwrap();
    let reader = client.with_token(created["token"].as_str().unwrap());
    reader.get(&series("oslo")).await.expect(200);
    let refused = reader.post_rows(ROWS, &row("x", "oslo", 1, "1"), &[]).await.expect(403);
    check(&refused.json(), &["write:air"]);
}

#[tokio::test]
async fn a_parameter_that_is_wrong_is_named() {
    let stack = Stack::start().await;
    let client = stack.client();
    for (query, words) in [
        ("pollutant=lead", &["pollutant", "pm25"][..]),
        ("polutant=no2", &["polutant", "pollutant"]),
        ("from=yesterday", &["from", "RFC 3339"]),
        ("from=now-200d", &["to", "92d"]),
    ] {
        let reply = client.get(&format!("/v1/air/cities/oslo/series?{query}")).await;
        assert!([400, 422].contains(&reply.status.as_u16()), "{}", reply.text());
        check(&reply.json(), words);
    }
    client.get("/v1/air/nowhere").await.expect(404);
}

#[tokio::test]
async fn a_broken_product_file_is_reported_whole() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("product.toml");
    let source = std::fs::read_to_string(e2e::root().join("deploy/products/air.toml")).unwrap();
    let broken = source
        .replace("\"enum\"", "\"enumm\"")
        .replace("from = \"readings\"", "from = \"raedings\"");
    assert_ne!(source, broken);
    std::fs::write(&file, broken).unwrap();

    let checked = run(&["product", "check", file.to_str().unwrap()]).await;
    assert_eq!(checked.code, 64, "{checked:?}");
    for word in ["product.toml:", "enumm", "raedings", "readings"] {
        assert!(checked.stderr.contains(word), "'{word}' is missing in {}", checked.stderr);
    }
    let intact = e2e::root().join("deploy/products/air.toml");
    assert_eq!(run(&["product", "check", intact.to_str().unwrap()]).await.code, 0);
}
