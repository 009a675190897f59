//! An edge on free ports, configured by the same text as in production.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate_core::config::parse;
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::SharedQueue;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::client::{Answer, request, send};
use super::origin::Origin;
use crate::config::Config;
use crate::error::Error;
use crate::run::{Sockets, run_on};

/// Longest wait for something that must happen; never for something that must not.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running edge.
pub(super) struct TestEdge {
    pub(super) http: SocketAddr,
    pub(super) https: Option<SocketAddr>,
    pub(super) private: SocketAddr,
    pub(super) shutdown: Shutdown,
    ended: JoinHandle<Result<(), Error>>,
}

// === impl TestEdge ===

impl TestEdge {
    /// An edge that stands alone before `origin`.
    pub(super) async fn before(origin: &Origin) -> Self {
        Self::configured(&routed(origin.address, ""), None).await
    }

    /// An edge before `origin` with further configuration.
    pub(super) async fn before_with(origin: &Origin, extra: &str) -> Self {
        Self::configured(&routed(origin.address, extra), None).await
    }

    pub(super) async fn configured(text: &str, queue: Option<SharedQueue>) -> Self {
        let config: Config = parse("edge.toml", text, []).unwrap();
        let sockets = Sockets::bind(&config).unwrap();
        let address = |listener: &TcpListener| listener.local_addr().unwrap();
        let http = address(sockets.http.as_ref().unwrap());
        let https = sockets.https.as_ref().map(address);
        let private = address(sockets.private.as_ref().unwrap());
        let shutdown = Shutdown::new();
        let ended = tokio::spawn(run_on(sockets, queue, config, shutdown.clone()));
        Self { http, https, private, shutdown, ended }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[]).await
    }

    pub(super) async fn send(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        send(self.http, request(method, path, fields)).await
    }

    /// Waits until the edge says that it is ready, with nothing amiss.
    pub(super) async fn ready(&self) {
        let answer = async || send(self.private, request("GET", "/readyz", &[])).await;
        eventually(async || answer().await.body.as_ref() == br#"{"ready":true}"#).await;
    }

    /// Waits until the edge has ended.
    pub(super) async fn ended(mut self) -> Result<(), Error> {
        (&mut self.ended).await.unwrap()
    }
}

impl Drop for TestEdge {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// Configuration of an edge before one address.
pub(super) fn routed(origin: SocketAddr, extra: &str) -> String {
    format!(
        "[listen]\nhttp = \"127.0.0.1:0\"\nprivate = \"127.0.0.1:0\"\n{extra}\n\
         [[route]]\npath = \"/*\"\nupstream = \"app\"\n\
         [[upstream]]\nname = \"app\"\naddresses = [\"{origin}\"]\n"
    )
}

/// Waits for a condition that other tasks bring about.
pub(super) async fn eventually(condition: impl AsyncFn() -> bool) {
    let met = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, met).await.expect("the condition must come true");
}
