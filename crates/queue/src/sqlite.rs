//! A queue in one SQLite file, shared by the processes of one machine.
//!
//! Beside the file live two directories: `wake/`, with a socket for each process that wants to
//! know of commits, and `consumers/`, with a lock file for each consumer that is alive.

mod canary;
mod consumer;
mod dead;
mod dead_letters;
mod deliver;
mod depth;
mod liveness;
mod message;
mod notice;
mod schema;
mod subscription;
mod wake;

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Job;
use tidegate_core::notice::Notice;
use tidegate_sqlite::Database;

use self::consumer::SqliteConsumer;
use self::dead_letters::SqliteDeadLetters;
use self::message::NewMessage;
use self::subscription::SqliteSubscription;
use self::wake::{Bell, Topic};
use crate::{Consumer, DeadLetters, Depths, Queue, QueueError, QueueState, Source, Subscription};

/// Reading connections: looks at the queue take microseconds and never wait for a writer.
const READERS: usize = 2;

/// How long one operation on the file may take. Longer, and a process holds the file and hangs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Messages written in one transaction: others wait meanwhile.
const CHUNK: usize = 1_000;

/// A queue in one SQLite file. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SqliteQueue {
    shared: Arc<Shared>,
}

/// How a [`SqliteQueue`] behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How often consumers and subscribers look without having been woken, and look for consumers
    /// that died. Default: 1 s.
    pub poll: Duration,
    /// Most notices kept for slow subscribers. Default: 20 000.
    pub notices: u32,
    /// Longest a notice is kept for slow subscribers. Default: 10 min.
    pub notices_for: Duration,
}

/// What handles, consumers and subscriptions share.
#[derive(Debug)]
struct Shared {
    database: Database,
    consumers: PathBuf,
    bell: Bell,
    options: Options,
}

// === impl SqliteQueue ===

impl SqliteQueue {
    /// Opens or creates the queue at `path`, with its directories beside it.
    ///
    /// # Errors
    /// The file or a directory can't be used, or the file is of a newer release.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open(path: &Path) -> Result<Self, QueueError> {
        Self::open_with(path, Options::default())
    }

    /// Opens or creates the queue at `path` with `options`.
    ///
    /// # Errors
    /// As for [`SqliteQueue::open`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open_with(path: &Path, options: Options) -> Result<Self, QueueError> {
        let database = Database::open_with(path, READERS, schema::create)?;
        // Processes may name the file differently; the sockets' place must be the same for all.
        let directory = path.canonicalize()?.parent().map(Path::to_owned).unwrap_or_default();
        let consumers = directory.join("consumers");
        wake::private_directory(&consumers)?;
        let bell = Bell::hang(&wake::place(&directory))?;
        Ok(Self { shared: Arc::new(Shared { database, consumers, bell, options }) })
    }
}

#[async_trait]
impl Queue for SqliteQueue {
    async fn publish(&self, jobs: &[Job]) -> Result<(), QueueError> {
        let now = Timestamp::now();
        for chunk in jobs.chunks(CHUNK) {
            let messages = chunk.iter().map(NewMessage::of).collect::<Result<Vec<_>, _>>()?;
            let written =
                self.shared.database.write(move |sql| message::insert(sql, &messages, now));
            within(written).await?;
            self.shared.bell.ring(Topic::Messages);
        }
        Ok(())
    }

    async fn consume(
        &self,
        source: Source<'_>,
        prefetch: usize,
    ) -> Result<Box<dyn Consumer>, QueueError> {
        let consumer = SqliteConsumer::start(Arc::clone(&self.shared), source, prefetch).await?;
        Ok(Box::new(consumer))
    }

    async fn dead_letters(&self, prefetch: usize) -> Result<Box<dyn DeadLetters>, QueueError> {
        Ok(Box::new(SqliteDeadLetters::start(Arc::clone(&self.shared), prefetch)))
    }

    async fn broadcast(&self, notices: &[Notice]) -> Result<(), QueueError> {
        let (now, options) = (Timestamp::now(), self.shared.options);
        for chunk in notices.chunks(CHUNK) {
            let bodies = chunk.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
            let written = self.shared.database.write(move |sql| {
                notice::append(sql, &bodies, now)?;
                notice::trim(sql, options.notices, now.before(options.notices_for))
            });
            within(written).await?;
            self.shared.bell.ring(Topic::Notices);
        }
        Ok(())
    }

    async fn subscribe(&self) -> Result<Box<dyn Subscription>, QueueError> {
        Ok(Box::new(SqliteSubscription::start(Arc::clone(&self.shared))?))
    }

    async fn depth(&self) -> Result<Depths, QueueError> {
        within(self.shared.database.read_blocking(depth::depths)).await
    }

    async fn revoke_canary(&self, release: &str) -> Result<u64, QueueError> {
        let mut moved = 0;
        loop {
            let release = release.to_owned();
            let step = self.shared.database.write(move |sql| {
                canary::unbind(sql, &release)?;
                canary::move_waiting(sql, &release, CHUNK)
            });
            let step = within(step).await?;
            moved += u64::try_from(step).unwrap_or(u64::MAX);
            if step < CHUNK {
                self.shared.bell.ring(Topic::Messages);
                return Ok(moved);
            }
        }
    }

    fn state(&self) -> QueueState {
        QueueState::Connected
    }
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            poll: Duration::from_secs(1),
            // One may name hundreds of tags: this bounds the file, and who was away for longer finds
            // little left that is worth keeping.
            notices: 20_000,
            notices_for: Duration::from_secs(600),
        }
    }
}

/// Bounds an operation on the file.
async fn within<T>(
    operation: impl Future<Output = Result<T, tidegate_sqlite::Error>>,
) -> Result<T, QueueError> {
    match tokio::time::timeout(PATIENCE, operation).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(QueueError::TimedOut(PATIENCE)),
    }
}

#[cfg(test)]
mod tests;
