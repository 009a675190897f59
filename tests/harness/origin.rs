//! An HTTP/1.1 origin that answers as a test tells it to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Makes a response for a request and the number of requests before it.
pub type Scripted = dyn Fn(&Request<Incoming>, usize) -> Response<Full<Bytes>> + Send + Sync;

/// A running origin; stops when dropped.
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

// === impl Origin ===

impl Origin {
    /// Starts an origin on a free port.
    ///
    /// # Panics
    /// No port can be had.
    pub async fn start(script: Arc<Scripted>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port can be had");
        let address = listener.local_addr().expect("a listener has an address");
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (script, counted) = (Arc::clone(&script), Arc::clone(&counted));
                connections.spawn(async move {
                    let answer = service_fn(|request| {
                        let before = counted.fetch_add(1, Ordering::SeqCst);
                        let response = script(&request, before);
                        async move { Ok::<_, std::convert::Infallible>(response) }
                    });
                    let server = hyper::server::conn::http1::Builder::new();
                    // The edge may cut the connection; that is its business.
                    server.serve_connection(TokioIo::new(stream), answer).await.ok();
                });
            }
        });
        Self { address, requests, task }
    }

    /// Returns how many requests have come.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}
