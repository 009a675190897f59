//! What clients make up to be served what is not theirs, to be served at others' cost, or to be
//! left without an answer.

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::client::{request, send};
use super::harness::{TestEdge, routed};
use super::origin::{Origin, Reply};

/// Sends bytes and returns everything that comes until the edge ends the connection.
async fn say(edge: &TestEdge, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(edge.http).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_field_that_is_hidden_from_the_origin_selects_no_stored_response() {
    let origin = Origin::start(|asked| {
        let fields = [("cache-control", "max-age=60"), ("vary", "X-Color")];
        Reply::new(200, &fields, asked.header("x-color"))
    })
    .await;
    let edge = TestEdge::before(&origin).await;
    let hidden = [("x-color", "blue"), ("connection", "x-color")];
    edge.send("GET", "/", &hidden).await.check("", "fwd=uri-miss; stored");
    edge.send("GET", "/", &[("x-color", "blue")]).await.check("blue", "fwd=vary-miss; stored");
}

#[tokio::test]
async fn an_error_does_not_keep_the_next_answer_from_being_stored() {
    let origin = Origin::start(|_| Reply::new(503, &[("cache-control", "no-store")], "busy")).await;
    let edge = TestEdge::before(&origin).await;
    edge.get("/").await.check("busy", "fwd=uri-miss; detail=no-store");
    origin.now(|_| Reply::ok("max-age=60", "one"));
    edge.get("/").await.check("one", "fwd=uri-miss; stored");
}

#[tokio::test]
async fn a_stale_response_covers_errors_for_those_who_do_not_wait_for_others() {
    let aged = |control| Reply::new(200, &[("cache-control", control), ("age", "100")], "one");
    let origin = Origin::start(move |_| aged("public, max-age=60, stale-if-error=600")).await;
    let edge = Arc::new(TestEdge::before(&origin).await);
    edge.get("/").await.check("one", "fwd=uri-miss; stored");
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    origin.now(move |asked| match asked.header("authorization") {
        "" => Reply::ok("max-age=60", "two").behind(&held),
        _ => Reply::new(503, &[], "down"),
    });
    let leader = tokio::spawn(send(edge.http, request("GET", "/", &[])));
    origin.wait_for("/", 2).await;
    let covered = edge.send("GET", "/", &[("authorization", "Basic eDp5")]).await;
    covered.check("one", "fwd=stale");
    gate.add_permits(1);
    leader.await.unwrap().check("two", "fwd=stale");
}

#[tokio::test]
async fn requests_that_can_not_be_read_are_told_so() {
    let origin = Origin::start(|_| Reply::ok("no-store", "one")).await;
    let edge = TestEdge::before(&origin).await;
    let many = (0..150).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    for (fields, status) in [
        ("x: 1\r\n 2\r\n", "400"),
        ("x : 1\r\n", "400"),
        ("x: \0\r\n", "400"),
        ("content-length: 1\r\ntransfer-encoding: chunked, identity\r\n", "400"),
        (&*many, "431"),
        ("transfer-encoding: gzip, chunked\r\nconnection: close\r\n", "501"),
    ] {
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n0\r\n\r\n");
        let answer = say(&edge, head.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{fields}: {answer}");
    }
    assert_eq!(origin.asked().len(), 0);
}

#[tokio::test]
async fn an_answer_is_not_held_back_for_the_rest_of_the_next_request() {
    let origin = Origin::start(|_| Reply::ok("no-store", "one")).await;
    let edge = TestEdge::before(&origin).await;
    let mut stream = TcpStream::connect(edge.http).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HT").await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn who_uploads_what_is_refused_gets_the_refusal() {
    let origin = Origin::start(|_| Reply::ok("no-store", "one")).await;
    let text = routed(origin.address, "").replace("path = \"/*\"", "path = \"/only\"");
    let edge = TestEdge::configured(&text, None).await;
    let head = format!("POST /other HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", 8 << 20);
    let answer = say(&edge, &[head.as_bytes(), &vec![0; 8 << 20]].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_gives_its_connection_back() {
    let body = "x".repeat(16 << 20);
    let origin = Origin::start(move |asked| match asked.uri.path() {
        "/large" => Reply::ok("no-store", &body),
        _ => Reply::ok("no-store", "one"),
    })
    .await;
    let limits = "[limits]\nconnections = 1\nbody_idle_ms = 100";
    let edge = TestEdge::before_with(&origin, limits).await;
    let mut idle = TcpStream::connect(edge.http).await.unwrap();
    idle.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    origin.wait_for("/large", 1).await;
    edge.get("/").await.check("one", "fwd=uri-miss");
    drop(idle);
}

#[tokio::test]
async fn problems_have_the_shape_of_the_api_s() {
    let origin = Origin::start(|_| Reply::ok("no-store", "one")).await;
    let edge = TestEdge::before(&origin).await;
    let refused = edge.send("TRACE", "/a?b", &[]).await;
    assert_eq!(refused.header("cache-control"), "no-store");
    assert!(refused.header("allow").starts_with("GET, HEAD"));
    let mut problem: serde_json::Value = serde_json::from_slice(&refused.body).unwrap();
    problem["request_id"] = "".into();
    let expected = serde_json::json!({
        "type": "urn:tidegate:problem:method_not_allowed",
        "title": "Method Not Allowed",
        "status": 405,
        "detail": "This method is not supported here.",
        "instance": "/a",
        "code": "method_not_allowed",
        "request_id": "",
        "retryable": false,
    });
    assert_eq!(problem, expected);
}
