//! Serves a router until shutdown, with bounded connections and bounded patience.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tidegate_core::shutdown::{DRAIN, Shutdown};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::stream::Stream;

/// Connections open at a time; further ones wait in the kernel's backlog.
const CONNECTIONS: usize = 1_024;

/// How long a client may take to send the head of a request; also how long a connection may be
/// idle.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time without a byte that a client takes of its answer.
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

/// Pause after a failed accept: it fails for lack of file descriptors, which only time returns.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves `router` over HTTP/1.1 and HTTP/2 without TLS until `shutdown`, then finishes what is
/// in flight, at most [`DRAIN`].
pub async fn serve(listener: TcpListener, router: Router, shutdown: Shutdown) {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    server.http2().timer(TokioTimer::new()).keep_alive_interval(HEAD_TIMEOUT);
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut connections = tokio::task::JoinSet::new();
    let accept = async || {
        let permit = Arc::clone(&permits).acquire_owned().await.ok()?;
        match listener.accept().await {
            Ok((stream, _)) => Some((stream, permit)),
            Err(error) => {
                tracing::warn!(error = %error, "Connection could not be accepted.");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                None
            }
        }
    };
    loop {
        let accepted = tokio::select! {
            accepted = accept() => accepted,
            // Reaped here so that the set stays as small as the number of open connections.
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            () = shutdown.cancelled() => break,
        };
        let Some((stream, permit)) = accepted else { continue };
        let stream = Stream::new(stream, WRITE_PATIENCE);
        let service = TowerToHyperService::new(router.clone());
        let connection =
            server.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            // A client that breaks its connection is its own affair.
            connection.await.ok();
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN, graceful.shutdown()).await.is_err() {
        tracing::warn!(
            connections.open = connections.len(),
            "Connections were cut at the end of the drain."
        );
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_request_in_flight_is_answered_after_shutdown_began() {
        let listener = crate::listen::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let gates = (Arc::clone(&entered), Arc::clone(&leave));
        let router = Router::new().route(
            "/slow",
            get(move || async move {
                gates.0.notify_one();
                gates.1.notified().await;
                "done"
            }),
        );
        let shutdown = Shutdown::new();
        let server = tokio::spawn(serve(listener, router, shutdown.clone()));
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        entered.notified().await;
        shutdown.cancel();
        leave.notify_one();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        server.await.unwrap();
        assert!(answer.ends_with("done"), "{answer}");
    }
}
