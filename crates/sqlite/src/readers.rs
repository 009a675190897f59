//! A fixed set of reading connections.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use tokio::time::Instant;

use crate::Error;

/// Steps of SQLite's machine between two looks at the clock: some tens of microseconds.
const STEPS_BETWEEN_LOOKS: i32 = 1_000;

/// Reading connections, lent to one caller at a time.
pub(crate) struct Readers {
    idle: Mutex<Vec<Reader>>,
    returned: Condvar,
}

/// A reading connection that gives up at its deadline.
pub(crate) struct Reader {
    connection: Connection,
    deadline: Arc<Mutex<Option<Instant>>>,
}

/// A lent connection, given back on drop: also when the work panics.
struct Lent<'a> {
    readers: &'a Readers,
    reader: Option<Reader>,
}

// === impl Readers ===

impl Readers {
    pub(crate) fn new(readers: Vec<Reader>) -> Self {
        Self { idle: Mutex::new(readers), returned: Condvar::new() }
    }

    /// Runs `work` in one read transaction, so that all its statements see one snapshot.
    ///
    /// With a limit, waiting for a connection and all statements together take no longer than it.
    pub(crate) fn run<T, E: From<Error>>(
        &self,
        limit: Option<Duration>,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        let lent = self.lend(deadline)?;
        let Some(reader) = lent.reader.as_ref() else { return Err(Error::Stopped.into()) };
        let connection = &reader.connection;
        let control = |statement: &str| -> Result<(), Error> {
            connection.prepare_cached(statement)?.execute(())?;
            Ok(())
        };
        control("begin deferred")?;
        *reader.deadline.lock() = deadline;
        let result = work(connection);
        *reader.deadline.lock() = None;
        // A reader has nothing to keep: rolling back is the cheapest way to end the snapshot.
        control("rollback")?;
        result
    }

    fn lend(&self, deadline: Option<Instant>) -> Result<Lent<'_>, Error> {
        let mut idle = self.idle.lock();
        loop {
            if let Some(reader) = idle.pop() {
                return Ok(Lent { readers: self, reader: Some(reader) });
            }
            match deadline {
                None => self.returned.wait(&mut idle),
                Some(deadline) => {
                    if self.returned.wait_until(&mut idle, deadline.into_std()).timed_out() {
                        return Err(Error::Deadline);
                    }
                }
            }
        }
    }
}

// === impl Reader ===

impl Reader {
    pub(crate) fn new(mut connection: Connection) -> Result<Self, Error> {
        let deadline = Arc::new(Mutex::new(None::<Instant>));
        let watched = Arc::clone(&deadline);
        // `sqlite3_interrupt` from another thread could hit the next borrower's statement.
        connection.progress_handler(
            STEPS_BETWEEN_LOOKS,
            Some(move || watched.lock().is_some_and(|deadline| Instant::now() >= deadline)),
        )?;
        Ok(Self { connection, deadline })
    }
}

// === impl Lent ===

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            *reader.deadline.lock() = None;
            if !reader.connection.is_autocommit() {
                // The work panicked inside its transaction.
                reader.connection.execute_batch("rollback").ok();
            }
            self.readers.idle.lock().push(reader);
            self.readers.returned.notify_one();
        }
    }
}
