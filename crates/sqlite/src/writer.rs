//! The writer thread: takes work from a bounded queue and commits what is waiting together.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::log::Log;
use crate::{Error, FileLock};

/// Work that may wait before callers of [`Writer::run`] have to.
const QUEUE: usize = 1_024;

/// A shared transaction takes no further work after this long: other processes wait for it.
const TRANSACTION: Duration = Duration::from_millis(50);

/// What tells a caller how its work ended, once the commit is known.
type Report = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// Work that was run inside the open transaction.
enum Ran {
    /// Its changes are part of the transaction.
    Kept(Report),
    /// It failed; its changes must be undone.
    Failed(Report),
}

type Work = Box<dyn FnOnce(&Connection) -> Ran + Send>;

/// A handle to the writer thread, which ends when the last handle is dropped.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Work>,
}

// === impl Writer ===

impl Writer {
    pub(crate) fn start(connection: Connection, lock: FileLock, log: Log) -> Result<Self, Error> {
        let (queue, work) = mpsc::channel(QUEUE);
        std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || run(&connection, &lock, log, work))
            .map_err(|_| Error::Stopped)?;
        Ok(Self { queue })
    }

    pub(crate) async fn run<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel::<Result<T, E>>();
        let work: Work = Box::new(move |connection| match work(connection) {
            Ok(value) => Ran::Kept(Box::new(move |committed| {
                // A caller that went away has no use for the answer.
                sender.send(committed.map(|()| value).map_err(E::from)).ok();
            })),
            Err(error) => Ran::Failed(Box::new(move |_| {
                sender.send(Err(error)).ok();
            })),
        });
        self.queue.send(work).await.map_err(|_| Error::Stopped)?;
        receiver.await.unwrap_or_else(|_| Err(Error::Stopped.into()))
    }
}

fn run(connection: &Connection, lock: &FileLock, mut log: Log, mut queue: mpsc::Receiver<Work>) {
    while let Some(first) = queue.blocking_recv() {
        let mut reports = Vec::new();
        // A panic ends the transaction, not the thread: other callers still need it.
        let transaction = || transact(connection, lock, first, &mut queue, &mut reports);
        let outcome = catch_unwind(AssertUnwindSafe(transaction)).unwrap_or(Err(Error::Panicked));
        if let Err(error) = &outcome {
            tracing::warn!(error = %error, "Transaction failed.");
            if !connection.is_autocommit() {
                connection.execute_batch("rollback").ok();
            }
        }
        for report in reports {
            report(outcome.clone());
        }
        if let Err(error) = shorten(connection, lock, &mut log) {
            tracing::warn!(error = %error, "Write-ahead log could not be shortened.");
        }
    }
}

/// Runs `first`, and what else is waiting, in one transaction.
fn transact(
    connection: &Connection,
    lock: &FileLock,
    first: Work,
    queue: &mut mpsc::Receiver<Work>,
    reports: &mut Vec<Report>,
) -> Result<(), Error> {
    let held = lock.lock()?;
    connection.prepare_cached("begin immediate")?.execute(())?;
    let started = Instant::now();
    let mut next = Some(first);
    while let Some(work) = next {
        connection.prepare_cached("savepoint work")?.execute(())?;
        match work(connection) {
            Ran::Kept(report) => reports.push(report),
            Ran::Failed(report) => {
                // First: a full disk has ended the whole transaction, and then undoing fails.
                report(Ok(()));
                connection.prepare_cached("rollback to work")?.execute(())?;
            }
        }
        connection.prepare_cached("release work")?.execute(())?;
        next = if started.elapsed() < TRANSACTION { queue.try_recv().ok() } else { None };
    }
    connection.prepare_cached("commit")?.execute(())?;
    drop(held);
    Ok(())
}

/// Shortens the log in a turn of its own: what was committed has been reported by then.
fn shorten(connection: &Connection, lock: &FileLock, log: &mut Log) -> Result<(), Error> {
    if !log.is_due(Instant::now()) {
        return Ok(());
    }
    let held = lock.lock()?;
    let shortened = log.shorten(connection, Instant::now());
    drop(held);
    shortened
}
