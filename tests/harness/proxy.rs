//! A network that fails: a TCP proxy which can cut, stall and resume what it carries.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Bytes read at a time: a cut may fall anywhere within a frame.
const CHUNK: usize = 4 << 10;

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// They go through.
    Through,
    /// They wait; connections stay open and silent.
    Stalled,
    /// Connections are closed, and new ones too.
    Cut,
}

/// A proxy in front of one server; it ends when dropped.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    task: JoinHandle<()>,
}

// === impl Proxy ===

impl Proxy {
    /// Listens on a free port of loopback.
    ///
    /// # Panics
    /// There is none.
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port must be free");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (mode, modes) = watch::channel(Mode::Through);
        let task = tokio::spawn(accept(listener, server, modes));
        Self { address, mode, task }
    }

    /// Closes all connections, whatever is on its way, and refuses new ones.
    pub fn cut(&self) {
        self.mode.send_replace(Mode::Cut);
    }

    /// Holds all bytes back, and tells nobody.
    pub fn stall(&self) {
        self.mode.send_replace(Mode::Stalled);
    }

    /// Lets bytes through again.
    pub fn resume(&self) {
        self.mode.send_replace(Mode::Through);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, modes: watch::Receiver<Mode>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((client, _)) = listener.accept() => {
                connections.spawn(carry(client, server, modes.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection until either side closes it, or it is cut.
async fn carry(client: TcpStream, server: SocketAddr, modes: watch::Receiver<Mode>) {
    if *modes.borrow() == Mode::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, modes.clone()) => {}
        () = pump(from_server, to_client, modes) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut modes: watch::Receiver<Mode>) {
    let mut bytes = vec![0; CHUNK];
    loop {
        let mode = *modes.borrow_and_update();
        tokio::select! {
            read = from.read(&mut bytes), if mode == Mode::Through => match read {
                Ok(read @ 1..) => {
                    if to.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
            changed = modes.changed() => if changed.is_err() { return },
        }
        if *modes.borrow() == Mode::Cut {
            return;
        }
    }
}
