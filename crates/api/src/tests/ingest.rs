//! Rows in, good and bad.

use std::io::Write as _;

use axum::body::Body;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Method;
use insta::assert_snapshot;
use serde_json::Value;
use tidegate_store::Store;

use super::fixture::{Fixture, ROWS, air, request, row};
use crate::config::Limits;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Blanks the job, which differs from run to run.
fn stable(mut document: Value) -> String {
    if document["job"].is_string() {
        document["job"] = Value::from("…");
    }
    serde_json::to_string(&document).unwrap()
}

#[tokio::test]
async fn bad_rows_are_listed_and_the_good_ones_accepted() {
    let api = Fixture::new().await;
    let good = row("a", "oslo", "1");
    let rows = [
        good.clone(),
        good.replace("\"value\":1", "\"value\":1,\"speed\":2"),
        good.replace("\"value\":1", "\"value\":true"),
        good.replace("\"value\":1", "\"value\":2001"),
        good.replace("\"no2\"", "\"lead\""),
        "{\"reading_id\":\n".to_owned(),
    ];
    let reply = api.post("acme-writer", rows.concat(), &[]).await.expect(202);
    let job = reply.json()["job"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("location"), format!("/v1/jobs/{job}"));
    assert_snapshot!(stable(reply.json()), @r#"{"errors":[{"code":"unknown_field","line":2,"message":"there is no such column","pointer":"/speed"},{"code":"wrong_type","line":3,"message":"must be a number, or a string with one, not a boolean","pointer":"/value"},{"code":"out_of_range","line":4,"message":"must be from 0.00 to 2000.00","pointer":"/value"},{"code":"not_in_enum","line":5,"message":"must be one of pm25, pm10, no2, o3","pointer":"/pollutant"},{"code":"syntax","line":6,"message":"is not a JSON object: EOF while parsing a value (column 14)","pointer":""}],"job":"…","rejected":5,"rows":6,"state":"accepted"}"#);
}

#[tokio::test]
async fn a_json_array_is_taken_like_ndjson() {
    let api = Fixture::new().await;
    let array = format!("[{},{}]", row("a", "oslo", "1").trim(), row("b", "oslo", "2").trim());
    let fields = [("authorization", "Bearer acme-writer"), ("content-type", "application/json")];
    let reply = api.send(request(Method::POST, ROWS, &fields, array)).await.expect(202);
    assert_snapshot!(stable(reply.json()), @r#"{"errors":[],"job":"…","rejected":0,"rows":2,"state":"accepted"}"#);
    let reply = api.send(request(Method::POST, ROWS, &fields, "[{\"value\":")).await.expect(400);
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:malformed_body","title":"The body can't be read","status":400,"detail":"line 1, column 10: EOF while parsing a value","instance":"/v1/air/datasets/readings/rows","code":"malformed_body","request_id":"r1","retryable":false}"#);
}

#[tokio::test]
async fn gzip_is_decompressed() {
    let api = Fixture::new().await;
    let rows: String = (0..2_000).map(|n| row(&format!("r-{n}"), "oslo", "1.5")).collect();
    let fields = [("content-encoding", "gzip")];
    let reply = api.post("acme-writer", gzip(rows.as_bytes()), &fields).await.expect(202);
    assert_eq!(reply.json()["rows"], 2_000);
}

#[tokio::test]
async fn broken_bodies_say_what_is_broken() {
    let api = Fixture::new().await;
    let good = row("a", "oslo", "1");
    let gzipped = [("content-encoding", "gzip")];

    let truncated = gzip(good.as_bytes())[..40].to_vec();
    let reply = api.post("acme-writer", truncated, &gzipped).await.expect(400);
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:malformed_body","title":"The body can't be read","status":400,"detail":"the gzip body is truncated: it ends within the stream, after 0 bytes","instance":"/v1/air/datasets/readings/rows","code":"malformed_body","request_id":"r1","retryable":false}"#);
    let reply = api.post("acme-writer", good.clone(), &gzipped).await.expect(400);
    assert_snapshot!(reply.json()["detail"].as_str().unwrap(), @"the body is no valid gzip: it is corrupt after 0 bytes");
    let reply = api.post("acme-writer", "", &[]).await.expect(400);
    assert_snapshot!(reply.json()["detail"].as_str().unwrap(), @"the body holds no rows");
    let cut = Body::from_stream(futures_util::stream::iter([
        Ok(good.into_bytes()),
        Err(std::io::Error::other("reset")),
    ]));
    let reply = api.post("acme-writer", cut, &[]).await.expect(400);
    assert_eq!(reply.json()["code"], "body_aborted");
}

#[tokio::test]
async fn bodies_beyond_the_limit_are_refused_however_they_are_packed() {
    let api = Fixture::new().await;
    let bomb = gzip(&vec![b' '; 64 << 20]);
    let reply = api.post("acme-writer", bomb, &[("content-encoding", "gzip")]).await.expect(413);
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:body_too_large","title":"The body is too large","status":413,"detail":"the gzip body expands by a factor of more than 200; send it in smaller parts or without compression (at most 16 MiB)","instance":"/v1/air/datasets/readings/rows","code":"body_too_large","request_id":"r1","retryable":false}"#);
    let reply = api.post("acme-writer", vec![b' '; 17 << 20], &[]).await.expect(413);
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:body_too_large","title":"The body is too large","status":413,"detail":"the body is larger than 16 MiB, the limit after decompression; send it in smaller parts","instance":"/v1/air/datasets/readings/rows","code":"body_too_large","request_id":"r1","retryable":false}"#);
    let announced = [("content-length", "17825792")];
    api.post("acme-writer", "", &announced).await.expect(413);
}

#[tokio::test]
async fn a_batch_with_too_many_rows_is_refused() {
    let small = air().replace("max_batch_rows = 50000", "max_batch_rows = 2");
    let api = Fixture::with(&small, Limits::default()).await;
    let rows: String = (0..3).map(|n| row(&format!("r-{n}"), "oslo", "1")).collect();
    let reply = api.post("acme-writer", rows, &[]).await.expect(413);
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:too_many_rows","title":"The batch has too many rows","status":413,"detail":"more than 2 rows; send them in several requests","instance":"/v1/air/datasets/readings/rows","code":"too_many_rows","request_id":"r1","retryable":false}"#);
}

#[tokio::test]
async fn a_batch_without_any_good_row_is_refused_with_its_reasons() {
    let api = Fixture::new().await;
    let reply = api.post("acme-writer", "{\"reading_id\":\"x\"}\n", &[]).await.expect(422);
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:rows_rejected","title":"Rows were rejected","status":422,"detail":"no row is valid; nothing was accepted","instance":"/v1/air/datasets/readings/rows","code":"rows_rejected","request_id":"r1","retryable":false,"errors":[{"line":1,"pointer":"/station","code":"missing","message":"is required"},{"line":1,"pointer":"/pollutant","code":"missing","message":"is required"},{"line":1,"pointer":"/ts","code":"missing","message":"is required"},{"line":1,"pointer":"/value","code":"missing","message":"is required"}]}"#);
    assert_eq!(api.store.backlog().await.unwrap().batches, 0);
}

#[tokio::test]
async fn a_dataset_that_takes_whole_batches_refuses_one_bad_row() {
    let strict = air().replace("on_error = \"quarantine\"", "on_error = \"reject\"");
    let api = Fixture::with(&strict, Limits::default()).await;
    let rows = row("a", "oslo", "1") + &row("b", "oslo", "2001");
    let reply = api.post("acme-writer", rows, &[]).await.expect(422);
    assert_snapshot!(reply.json()["detail"].as_str().unwrap(), @"1 of 2 rows are not valid and dataset 'readings' takes whole batches only; nothing was accepted");
    assert_eq!(reply.json()["errors"][0]["line"], 2);
    assert_eq!(api.store.backlog().await.unwrap().batches, 0);
}

#[tokio::test]
async fn no_more_than_a_hundred_reasons_are_told() {
    let api = Fixture::new().await;
    let rows: String = (0..300).map(|_| "{}\n").collect();
    let reply = api.post("acme-writer", rows, &[]).await.expect(422);
    assert_eq!(reply.json()["errors"].as_array().unwrap().len(), 100);
}

#[tokio::test]
async fn unknown_media_types_and_codings_name_the_known_ones() {
    let api = Fixture::new().await;
    let good = row("a", "oslo", "1");
    let fields = [("authorization", "Bearer acme-writer"), ("content-type", "text/csv")];
    let reply = api.send(request(Method::POST, ROWS, &fields, good.clone())).await.expect(415);
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:unsupported_media_type","title":"The media type is not known","status":415,"detail":"the field 'Content-Type' must be application/json or application/x-ndjson","instance":"/v1/air/datasets/readings/rows","code":"unsupported_media_type","request_id":"r1","retryable":false}"#);
    let reply = api.post("acme-writer", good, &[("content-encoding", "br")]).await.expect(415);
    assert_eq!(reply.header("accept-encoding"), "gzip");
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:unsupported_encoding","title":"The content coding is not known","status":415,"detail":"the field 'Content-Encoding' must be gzip or absent","instance":"/v1/air/datasets/readings/rows","code":"unsupported_encoding","request_id":"r1","retryable":false}"#);
}

#[tokio::test]
async fn an_unknown_dataset_or_product_is_answered_with_the_known_ones() {
    let api = Fixture::new().await;
    for (path, token) in [
        ("/v1/air/datasets/reading/rows", "acme-writer"),
        ("/v1/shop/datasets/orders/rows", "acme-admin"),
    ] {
        let bearer = format!("Bearer {token}");
        let fields = [("authorization", &*bearer), ("content-type", "application/x-ndjson")];
        let reply = api.send(request(Method::POST, path, &fields, "")).await.expect(404);
        insta::allow_duplicates! { assert_eq!(reply.json()["code"], "not_found"); }
        let expected = match path.contains("shop") {
            true => "there is no product 'shop'; known are air",
            false => "product 'air' has no dataset 'reading'; its datasets are readings",
        };
        assert_eq!(reply.json()["detail"], expected);
    }
}

#[tokio::test]
async fn a_repeated_idempotency_key_gives_the_first_answer() {
    let api = Fixture::new().await;
    let rows = row("a", "oslo", "1") + &row("b", "oslo", "2001");
    let fields = [("idempotency-key", "batch-1")];
    let first = api.post("acme-writer", rows.clone(), &fields).await.expect(202);
    assert_eq!(first.header("idempotency-replayed"), "");
    let again = api.post("acme-writer", rows.clone(), &fields).await.expect(202);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(again.json(), first.json());
    assert_eq!(api.store.backlog().await.unwrap().batches, 1);

    let other = api.post("acme-writer", row("c", "oslo", "1"), &fields).await.expect(422);
    assert_snapshot!(other.text(), @r#"{"type":"urn:tidegate:problem:key_reused","title":"The idempotency key was used before","status":422,"detail":"the idempotency key was used before with another body","instance":"/v1/air/datasets/readings/rows","code":"key_reused","request_id":"r1","retryable":false}"#);
    // Keys of another tenant are other keys.
    api.post("globex-admin", row("c", "oslo", "1"), &fields).await.expect(202);
    let long = "k".repeat(256);
    api.post("acme-writer", rows, &[("idempotency-key", &*long)]).await.expect(400);
}

#[tokio::test]
async fn ingest_is_refused_while_the_backlog_is_too_long_and_reads_go_on() {
    let limits = Limits { backlog_batches: 1, ..Limits::default() };
    let api = Fixture::with(&air(), limits).await;
    let sample = async || {
        api.app.backlog.sample(api.store.as_ref(), tidegate_core::clock::Timestamp::now()).await;
    };
    for id in ["a", "b"] {
        sample().await;
        api.post("acme-writer", row(id, "oslo", "1"), &[]).await.expect(202);
    }
    sample().await;
    let reply = api.post("acme-writer", row("c", "oslo", "1"), &[]).await.expect(503);
    assert_eq!(reply.header("retry-after"), "1");
    assert_snapshot!(reply.text(), @r#"{"type":"urn:tidegate:problem:backlog","title":"Ingest is behind","status":503,"detail":"try again after the time that 'Retry-After' states","instance":"/v1/air/datasets/readings/rows","code":"backlog","request_id":"r1","retryable":true}"#);
    api.get("acme-reader", "/v1/air/cities/oslo/series").await.expect(200);
}
