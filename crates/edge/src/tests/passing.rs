//! What passes the cache by: streams, parts, and the fields of this hop.

use bytes::Bytes;
use futures_util::StreamExt;
use http::Request;
use http_body::Frame;
use http_body_util::{BodyStream, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::harness::{TestEdge, routed};
use super::origin::{Origin, Reply};

#[tokio::test]
async fn parts_of_a_response_are_the_origin_s_business() {
    let origin = Origin::start(|asked| match asked.header("range") {
        "" => Reply::ok("max-age=60", "one two"),
        _ => Reply::new(206, &[("content-range", "bytes 0-2/7")], "one"),
    })
    .await;
    let edge = TestEdge::before(&origin).await;
    edge.get("/").await.check("one two", "fwd=uri-miss; stored");
    let part = edge.send("GET", "/", &[("range", "bytes=0-2")]).await;
    part.check("one", "fwd=bypass");
    assert_eq!(part.status, 206);
}

#[tokio::test]
async fn a_response_that_is_too_large_to_store_is_delivered_whole() {
    let body = "x".repeat(100_000);
    let copy = body.clone();
    let origin = Origin::start(move |_| Reply::ok("max-age=60", &copy)).await;
    let edge = TestEdge::before_with(&origin, "[cache]\nmax_object_bytes = 99999").await;
    edge.get("/").await.check(&body, "fwd=uri-miss; detail=too-large");
    edge.get("/").await.check(&body, "fwd=uri-miss");
    let edge = TestEdge::before_with(&origin, "[cache]\nmax_object_bytes = 100000").await;
    edge.get("/").await.check(&body, "fwd=uri-miss; stored");
}

#[tokio::test]
async fn the_origin_learns_who_asked_but_not_what_a_client_makes_up() {
    let origin =
        Origin::start(|_| Reply::new(200, &[("connection", "x-hop"), ("x-hop", "1")], "")).await;
    let edge = TestEdge::before(&origin).await;
    let fields = [("x-tidegate-release", "forged"), ("te", "trailers"), ("host", "A.example")];
    let answer = edge.send("GET", "/", &fields).await;
    assert_eq!((answer.header("x-hop"), answer.header("connection")), ("", ""));
    let asked = &origin.asked()[0];
    assert_eq!(asked.header("x-tidegate-release"), "");
    assert_eq!(asked.header("te"), "");
    assert_eq!(asked.header("host"), "a.example");
    assert_eq!(asked.header("via"), "1.1 tidegate");
    assert_eq!(asked.header("forwarded"), "for=127.0.0.1;host=\"a.example\";proto=http");
    assert_eq!(asked.header("x-forwarded-for"), "127.0.0.1");
    assert_eq!(asked.header("x-forwarded-proto"), "http");
}

#[tokio::test]
async fn queries_are_sorted_where_a_route_says_so() {
    let origin = Origin::start(|asked| Reply::ok("max-age=60", &asked.uri.to_string())).await;
    let text = routed(origin.address, "")
        .replace("upstream = \"app\"", "upstream = \"app\"\nquery = \"sort\"");
    let edge = TestEdge::configured(&text, None).await;
    edge.get("/?b=2&a=1").await.check("/?a=1&b=2", "fwd=uri-miss");
    edge.get("/?a=1&b=2").await.check("/?a=1&b=2", "hit");
}

/// Answers with the request's body while it comes in.
async fn echo(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = service_fn(|request: Request<Incoming>| async {
            Ok::<_, hyper::Error>(http::Response::new(request.into_body()))
        });
        let server = hyper::server::conn::http1::Builder::new();
        tokio::spawn(async move { server.serve_connection(TokioIo::new(stream), service).await });
    }
}

#[tokio::test]
async fn fifty_megabytes_stream_through_piece_by_piece_in_both_directions() {
    const PIECE: usize = 1 << 20;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(echo(listener));
    let edge = TestEdge::configured(&routed(address, ""), None).await;
    let stream = TcpStream::connect(edge.http).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);

    let (pieces, mut receiver) = mpsc::channel::<Bytes>(1);
    let stream = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    let body = StreamBody::new(stream.map(|piece| Ok::<_, std::io::Error>(Frame::data(piece))));
    let request = Request::post("/").header("host", "a.example").body(body).unwrap();
    pieces.send(Bytes::from(vec![b'x'; PIECE])).await.unwrap();
    let response = sender.send_request(request).await.unwrap();
    let mut echoed = BodyStream::new(response.into_body());
    // Each piece is sent only after the one before it came back: whoever collects bodies hangs.
    for piece in 0..50 {
        let mut received = 0;
        while received < PIECE {
            let frame = echoed.next().await.unwrap().unwrap();
            received += frame.into_data().unwrap().len();
        }
        if piece < 49 {
            pieces.send(Bytes::from(vec![b'x'; PIECE])).await.unwrap();
        }
    }
    drop(pieces);
    assert!(echoed.next().await.is_none());
    connection.abort();
    server.abort();
}
