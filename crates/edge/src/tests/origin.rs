//! An origin whose answers a test scripts, and which remembers what it was asked.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

/// What the origin was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What the origin answers.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    gate: Option<Arc<Semaphore>>,
}

/// A running origin.
pub(super) struct Origin {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    _server: JoinSet<()>,
}

type Script = Box<dyn Fn(&Asked) -> Reply + Send + Sync>;

struct Shared {
    script: Mutex<Script>,
    asked: Mutex<Vec<Asked>>,
    news: Notify,
}

// === impl Asked ===

impl Asked {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

// === impl Reply ===

impl Reply {
    pub(super) fn new(status: u16, fields: &[(&str, &str)], body: &str) -> Self {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        Self { status, headers, body: Bytes::copy_from_slice(body.as_bytes()), gate: None }
    }

    pub(super) fn ok(control: &str, body: &str) -> Self {
        Self::new(200, &[("cache-control", control)], body)
    }

    /// Holds the answer until the gate gives a permit.
    pub(super) fn behind(self, gate: &Arc<Semaphore>) -> Self {
        Self { gate: Some(Arc::clone(gate)), ..self }
    }
}

// === impl Origin ===

impl Origin {
    pub(super) async fn start(script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::start_on(listener, script)
    }

    pub(super) fn start_on(
        listener: TcpListener,
        script: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(Box::new(script)),
            asked: Mutex::default(),
            news: Notify::new(),
        });
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared, _server: server }
    }

    /// Replaces the script.
    pub(super) fn now(&self, script: impl Fn(&Asked) -> Reply + Send + Sync + 'static) {
        *self.shared.script.lock() = Box::new(script);
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().clone()
    }

    /// Returns how often a path was asked for.
    pub(super) fn count(&self, path: &str) -> usize {
        self.asked().iter().filter(|asked| asked.uri.path() == path).count()
    }

    /// Waits until a path was asked for so many times.
    pub(super) async fn wait_for(&self, path: &str, times: usize) {
        loop {
            let news = self.shared.news.notified();
            if self.count(path) >= times {
                return;
            }
            news.await;
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| answer(Arc::clone(&shared), request));
        let server = hyper::server::conn::http1::Builder::new();
        connections.spawn(async move {
            server.serve_connection(TokioIo::new(stream), service).await.ok();
        });
    }
}

#[expect(clippy::disallowed_methods, reason = "limited")]
async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = Limited::new(body, 1 << 30).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let asked = Asked { method: parts.method, uri: parts.uri, headers: parts.headers, body };
    let reply = (shared.script.lock())(&asked);
    shared.asked.lock().push(asked);
    shared.news.notify_waiters();
    if let Some(gate) = &reply.gate {
        gate.acquire().await.unwrap().forget();
    }
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    Ok(response)
}
