//! A TCP proxy that cuts connections when a test says so.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Stands between a queue and the broker until it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    cuts: watch::Sender<u64>,
    _tasks: JoinSet<()>,
}

// === impl Proxy ===

impl Proxy {
    /// Starts a proxy in front of the server of `url`.
    pub(crate) async fn start(url: &str) -> Self {
        let server = url::Url::parse(url).unwrap();
        let behind = format!("{}:{}", server.host_str().unwrap(), server.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cuts = watch::Sender::new(0);
        let mut tasks = JoinSet::new();
        let knife = cuts.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let (behind, mut cut) = (behind.clone(), knife.subscribe());
                connections.spawn(async move {
                    let mut far = TcpStream::connect(behind).await.unwrap();
                    near.set_nodelay(true).unwrap();
                    far.set_nodelay(true).unwrap();
                    tokio::select! {
                        // Either end may fail as it likes.
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.changed() => {}
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, cuts, _tasks: tasks }
    }

    /// Cuts all connections, in the middle of whatever they carry.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Returns `url` with this proxy in the server's place.
    pub(crate) fn instead_of(&self, url: &str) -> String {
        let mut url = url::Url::parse(url).unwrap();
        url.set_host(Some(&self.address.ip().to_string())).unwrap();
        url.set_port(Some(self.address.port())).unwrap();
        url.to_string()
    }
}
