//! Wakes the processes of this machine after a commit, so that nobody has to poll.
//!
//! Each open queue listens on a datagram socket in one directory. Ringing sends one byte to every
//! socket there: the kernel says at once whether the owner lives. A byte that is lost costs
//! nothing but the wait until the next poll.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixDatagram as Sender;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a socket's path on Linux, without the terminating zero.
const MAX_PATH: usize = 107;

/// Bytes of a socket's name in its directory: 16 hex digits.
const NAME: usize = 16 + SUFFIX.len();

const SUFFIX: &str = ".sock";

/// Most sockets rung at once.
const MAX_SOCKETS: usize = 1_024;

/// Pause after the socket failed to receive.
const PAUSE: Duration = Duration::from_secs(1);

/// What became available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Topic {
    Messages,
    Notices,
}

/// Tells this process and others that something became available.
#[derive(Debug)]
pub(super) struct Bell {
    directory: PathBuf,
    own: PathBuf,
    sender: Sender,
    heard: Heard,
    /// Ends the listening task when the bell is dropped.
    _listener: JoinSet<()>,
}

/// Wakes those of this process who wait.
#[derive(Clone, Debug)]
struct Heard {
    messages: watch::Sender<()>,
    notices: watch::Sender<()>,
}

// === impl Topic ===

impl Topic {
    fn byte(self) -> u8 {
        match self {
            Self::Messages => b'm',
            Self::Notices => b'n',
        }
    }
}

// === impl Bell ===

impl Bell {
    /// Listens on a new socket in `directory`.
    pub(super) fn hang(directory: &Path) -> io::Result<Self> {
        private_directory(directory)?;
        // The random half of the id.
        let (_, random) = Uuid::now_v7().as_u64_pair();
        let own = directory.join(format!("{random:016x}{SUFFIX}"));
        let socket = UnixDatagram::bind(&own)?;
        let sender = Sender::unbound()?;
        sender.set_nonblocking(true)?;
        let heard = Heard { messages: watch::Sender::new(()), notices: watch::Sender::new(()) };
        let mut listener = JoinSet::new();
        listener.spawn(listen(socket, heard.clone()));
        Ok(Self { directory: directory.to_owned(), own, sender, heard, _listener: listener })
    }

    /// Returns a receiver that changes each time `topic` is rung, here or in another process.
    pub(super) fn hear(&self, topic: Topic) -> watch::Receiver<()> {
        self.heard.of(topic).subscribe()
    }

    /// Wakes all who wait for `topic`. Call it after the commit.
    pub(super) fn ring(&self, topic: Topic) {
        self.heard.of(topic).send_replace(());
        // Listed each time: some 10 µs, against commits of hundreds. A list that is kept would
        // miss the process that came a moment ago.
        let Ok(entries) = std::fs::read_dir(&self.directory) else { return };
        for entry in entries.flatten().take(MAX_SOCKETS) {
            let path = entry.path();
            if path != self.own && path.to_str().is_some_and(|path| path.ends_with(SUFFIX)) {
                self.send(topic, &path);
            }
        }
    }

    fn send(&self, topic: Topic, path: &Path) {
        let Err(error) = self.sender.send_to(&[topic.byte()], path) else { return };
        match error.kind() {
            // Its process was killed. Names are never used twice, so this removes no other.
            ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).ok();
            }
            // Full: the owner has not yet heard earlier rings, and this one says the same.
            // Not found: the owner has just left.
            ErrorKind::WouldBlock | ErrorKind::NotFound => {}
            _ => tracing::debug!(error = %error, "Wake-up could not be sent."),
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        // One that stays is removed by the next who rings.
        std::fs::remove_file(&self.own).ok();
    }
}

// === impl Heard ===

impl Heard {
    fn of(&self, topic: Topic) -> &watch::Sender<()> {
        match topic {
            Topic::Messages => &self.messages,
            Topic::Notices => &self.notices,
        }
    }
}

async fn listen(socket: UnixDatagram, heard: Heard) {
    let mut datagram = [0u8; 1];
    loop {
        match socket.recv(&mut datagram).await {
            Ok(_) => {
                let topics = [Topic::Messages, Topic::Notices];
                if let Some(topic) = topics.into_iter().find(|topic| topic.byte() == datagram[0]) {
                    heard.of(topic).send_replace(());
                }
            }
            Err(error) => {
                tracing::warn!(error = %error, "Wake-up socket failed.");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Returns the directory of the sockets for a queue in `directory`, which must be canonical.
///
/// A socket's path is short by nature: where the directory's is too long, the sockets live under
/// the system's directory for temporary files, named by a hash that every process computes.
pub(super) fn place(directory: &Path) -> PathBuf {
    let beside = directory.join("wake");
    if beside.as_os_str().len() + 1 + NAME <= MAX_PATH {
        return beside;
    }
    let hash = xxh3_64(directory.as_os_str().as_encoded_bytes());
    std::env::temp_dir().join(format!("tidegate-{hash:016x}"))
}

/// Creates a directory that only this user can enter, unless it exists.
pub(super) fn private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
