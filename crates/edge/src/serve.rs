//! Accepts client connections and serves HTTP/1.1 and HTTP/2 on them until shutdown.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tidegate_core::shutdown::Shutdown;
use tidegate_ops::Stream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::edge::Edge;
use crate::handle::{Peer, handle};
use crate::metrics::metrics;

/// Pause after a failed accept: it fails for lack of file descriptors, which only time returns.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Longest head of a request.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Requests in flight on one HTTP/2 connection.
const MAX_STREAMS: u32 = 256;

/// Flow-control windows of HTTP/2: large enough for a fast upload over a long path.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;

/// Serves the connections of one edge.
#[derive(Clone)]
pub(crate) struct Server {
    edge: Arc<Edge>,
    builder: Builder<TokioExecutor>,
    permits: Arc<Semaphore>,
    shutdown: Shutdown,
}

/// How clients speak on a listener.
#[derive(Clone)]
pub(crate) enum Transport {
    Plain,
    Tls(TlsAcceptor),
}

// === impl Server ===

impl Server {
    pub(crate) fn new(edge: Arc<Edge>, shutdown: Shutdown) -> Self {
        let patience = edge.limits.client_header;
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(patience)
            .max_buf_size(MAX_HEAD_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(patience)
            .keep_alive_timeout(patience);
        let permits = Arc::new(Semaphore::new(edge.limits.connections.min(Semaphore::MAX_PERMITS)));
        Self { edge, builder, permits, shutdown }
    }

    /// Accepts connections until shutdown; those that are open then end by themselves.
    pub(crate) async fn accept(self, listener: TcpListener, transport: Transport) {
        loop {
            // The permit first: beyond the limit, connections wait in the kernel's backlog.
            let accepted = tokio::select! {
                accepted = self.next(&listener) => accepted,
                () = self.shutdown.cancelled() => return,
            };
            let Some((stream, address, permit)) = accepted else { continue };
            let (server, transport) = (self.clone(), transport.clone());
            self.edge.tracker.spawn(async move {
                metrics().connections.inc();
                server.connection(stream, address, transport).await;
                metrics().connections.dec();
                drop(permit);
            });
        }
    }

    async fn next(
        &self,
        listener: &TcpListener,
    ) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, address)) => Some((stream, address, permit)),
            Err(error) => {
                tracing::warn!(error = %error, "Connection could not be accepted.");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    }

    async fn connection(&self, stream: TcpStream, address: SocketAddr, transport: Transport) {
        let address = address.ip().to_canonical();
        let stream = Stream::new(stream, self.edge.limits.body_idle);
        match transport {
            Transport::Plain => self.serve(stream, Peer { address, scheme: "http" }).await,
            Transport::Tls(acceptor) => {
                let handshake = acceptor.accept(stream);
                let patience = self.edge.limits.client_header;
                let result = tokio::select! {
                    result = tokio::time::timeout(patience, handshake) => result,
                    () = self.shutdown.cancelled() => return,
                };
                match result {
                    Ok(Ok(stream)) => self.serve(stream, Peer { address, scheme: "https" }).await,
                    // A client's affair: scanners and wrong trust stores are everyday life.
                    Ok(Err(_)) | Err(_) => metrics().handshake_failures.inc(),
                }
            }
        }
    }

    async fn serve<S>(&self, stream: S, peer: Peer)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let begun = Arc::new(AtomicBool::new(false));
        let service = service_fn(|request| {
            begun.store(true, Ordering::Relaxed);
            let edge = Arc::clone(&self.edge);
            async move { Ok::<_, Infallible>(handle(edge, peer, request).await) }
        });
        let mut connection = pin!(self.builder.serve_connection(TokioIo::new(stream), service));
        // While the protocol is not known yet, the builder's own timeouts don't run.
        let mut first_request = pin!(tokio::time::sleep(self.edge.limits.client_header));
        let mut waits_for_first = true;
        let mut drains = false;
        loop {
            tokio::select! {
                // Errors are the client's: broken connections, malformed requests.
                _ = connection.as_mut() => return,
                () = first_request.as_mut(), if waits_for_first => {
                    if !begun.load(Ordering::Relaxed) {
                        return;
                    }
                    waits_for_first = false;
                }
                () = self.shutdown.cancelled(), if !drains => {
                    connection.as_mut().graceful_shutdown();
                    drains = true;
                }
            }
        }
    }
}
