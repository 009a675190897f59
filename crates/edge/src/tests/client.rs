//! A client that keeps what it gets.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A complete answer.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

// === impl Answer ===

impl Answer {
    #[expect(clippy::disallowed_methods, reason = "limited")]
    pub(super) async fn read(response: Response<Incoming>) -> Self {
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, 1 << 26).collect().await.unwrap().to_bytes();
        Self { status: parts.status, headers: parts.headers, body }
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn cache_status(&self) -> &str {
        self.header("cache-status").strip_prefix("tidegate; ").unwrap_or_default()
    }

    /// Asserts on the body and on how `Cache-Status` begins.
    #[track_caller]
    pub(super) fn check(&self, body: &str, cache_status: &str) {
        let got = String::from_utf8_lossy(&self.body);
        assert!(
            got == body && self.cache_status().starts_with(cache_status),
            "{} {:?} {got}",
            self.status,
            self.headers.get("cache-status"),
        );
    }
}

/// Sends one request over a connection of its own.
pub(super) async fn send(address: SocketAddr, request: Request<Bytes>) -> Answer {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let request = request.map(Full::new);
    let exchange = async {
        let response = sender.send_request(request).await.unwrap();
        Answer::read(response).await
    };
    tokio::select! {
        answer = exchange => answer,
        // The connection ends only after the answer was read.
        _ = async { connection.await.ok(); std::future::pending::<()>().await } => unreachable!(),
    }
}

/// Builds a request with fields.
pub(super) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<Bytes> {
    let mut builder = Request::builder().method(method).uri(path);
    if !fields.iter().any(|(name, _)| *name == "host") {
        builder = builder.header("host", "a.example");
    }
    for (name, value) in fields {
        builder = builder.header(*name, *value);
    }
    builder.body(Bytes::new()).unwrap()
}
