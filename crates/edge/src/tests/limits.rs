//! Hostile or broken peers get one clear answer; a start that can't succeed says why.

use std::error::Error as _;

use bytes::Bytes;
use tidegate_core::config::parse;
use tidegate_core::shutdown::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::client::{request, send};
use super::harness::{TestEdge, routed};
use super::origin::{Origin, Reply};
use crate::config::Config;

/// An origin that reads a request's head and answers with these bytes and an end.
async fn raw_origin(answer: &'static [u8]) -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            stream.write_all(answer).await.ok();
        }
    });
    (address, server)
}

#[tokio::test]
async fn broken_origins_get_one_clear_answer_each() {
    let cases: [(&'static [u8], u16); 7] = [
        (b"", 502),
        (b"garbage\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\ncache-control: max-age=9\r\n\r\nshort", 502),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx", 502),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\ncache-control: max-age=9\r\ntransfer-encoding: x\r\n\r\nx", 502),
        (
            b"HTTP/1.1 200 OK\r\ncache-control: max-age=9\r\nconnection: close\r\n\r\nto the end",
            200,
        ),
    ];
    for (answer, status) in cases {
        let (address, server) = raw_origin(answer).await;
        let edge = TestEdge::configured(&routed(address, ""), None).await;
        let got = edge.get("/").await;
        assert_eq!(got.status, status, "{}", String::from_utf8_lossy(answer));
        server.abort();
    }
}

#[tokio::test]
async fn connections_that_an_origin_closes_unannounced_are_no_errors() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncache-control: no-store\r\n\r\nok";
    let (address, server) = raw_origin(answer).await;
    let edge = TestEdge::configured(&routed(address, ""), None).await;
    for _ in 0..20 {
        edge.get("/").await.check("ok", "fwd=uri-miss");
    }
    server.abort();
}

#[tokio::test]
async fn only_requests_that_may_be_repeated_are_sent_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, mut methods) = tokio::sync::mpsc::unbounded_channel();
    let server = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut start = [0; 4];
            stream.read_exact(&mut start).await.unwrap();
            sender.send(String::from_utf8_lossy(&start).into_owned()).unwrap();
        }
    });
    let edge = TestEdge::configured(&routed(address, ""), None).await;
    for (method, times) in [("GET ", 2), ("POST", 1)] {
        assert_eq!(edge.send(method.trim(), "/", &[]).await.status, 502);
        for _ in 0..times {
            assert_eq!(methods.recv().await.unwrap(), method);
        }
        assert!(methods.try_recv().is_err(), "{method}");
    }
    server.abort();
}

#[tokio::test]
async fn an_origin_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let edge =
        TestEdge::configured(&routed(address, "[limits]\nresponse_header_ms = 50"), None).await;
    assert_eq!(edge.get("/").await.status, 504);
}

#[tokio::test]
async fn requests_that_name_no_host_or_no_route_are_refused_with_a_problem() {
    let origin = Origin::start(|_| Reply::ok("max-age=60", "one")).await;
    let text = routed(origin.address, "").replace("path = \"/*\"", "path = \"/only\"");
    let edge = TestEdge::configured(&text, None).await;
    let missing = edge.get("/other").await;
    assert_eq!(missing.status, 404);
    assert_eq!(missing.header("content-type"), "application/problem+json");
    let problem: serde_json::Value = serde_json::from_slice(&missing.body).unwrap();
    assert_eq!(problem["status"], 404);
    assert_eq!(problem["request_id"].as_str().map(str::len), Some(16));
    assert_eq!(edge.send("GET", "/only", &[("host", "a b")]).await.status, 400);
    assert_eq!(edge.send("TRACE", "/only", &[]).await.status, 405);
    edge.get("/only").await.check("one", "fwd=uri-miss");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_announced_or_not() {
    let origin = Origin::start(|_| Reply::ok("no-store", "one")).await;
    let edge = TestEdge::before_with(&origin, "[limits]\nrequest_body_bytes = 10").await;
    let announced = request("POST", "/", &[]).map(|_| Bytes::from_static(&[b'x'; 11]));
    assert_eq!(send(edge.http, announced).await.status, 413);
    let mut stream = TcpStream::connect(edge.http).await.unwrap();
    let chunked = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n\
                   b\r\nxxxxxxxxxxx\r\n0\r\n\r\n";
    stream.write_all(chunked.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[tokio::test]
async fn a_connection_that_sends_nothing_is_closed() {
    let origin = Origin::start(|_| Reply::ok("no-store", "one")).await;
    let edge = TestEdge::before_with(&origin, "[limits]\nclient_header_ms = 50").await;
    for start in ["", "P", "PRI * HT", "GET / HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(edge.http).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.ok();
        assert!(!rest.starts_with(b"HTTP/1.1 200"), "{start}");
    }
}

#[tokio::test]
async fn ambiguous_framing_never_reaches_the_origin() {
    let origin = Origin::start(|_| Reply::ok("no-store", "one")).await;
    let edge = TestEdge::before(&origin).await;
    for head in [
        "content-length: 5\r\ncontent-length: 6",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: xchunked",
        "content-length: +5",
    ] {
        let mut stream = TcpStream::connect(edge.http).await.unwrap();
        let request = format!("POST / HTTP/1.1\r\nhost: a\r\n{head}\r\n\r\n0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        // Refused or cut: what follows on such a connection can't be trusted.
        let refused = answer.is_empty() || answer.starts_with(b"HTTP/1.1 400");
        assert!(refused, "{head}: {}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(origin.asked().len(), 0);
}

async fn start_error(text: &str) -> String {
    let config: Config = parse("edge.toml", text, []).unwrap();
    let error = crate::run(config, Shutdown::new()).await.unwrap_err();
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

#[tokio::test]
async fn a_start_that_can_not_succeed_says_why() {
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = holder.local_addr().unwrap();
    let text = routed(taken, "").replace("http = \"127.0.0.1:0\"", &format!("http = \"{taken}\""));
    let error = start_error(&text).await;
    assert!(error.contains(&format!("listen.http can't listen on {taken}")), "{error}");
    let tls = "https = \"127.0.0.1:0\"\n[tls]\ncertificate = \"/nowhere/c.pem\"\nkey = \"k.pem\"";
    let error = start_error(&routed(taken, tls)).await;
    assert!(error.contains("/nowhere/c.pem"), "{error}");
}
