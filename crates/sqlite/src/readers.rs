//! A fixed set of reading connections.

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use crate::Error;

/// Reading connections, lent to one caller at a time.
pub(crate) struct Readers {
    idle: Mutex<Vec<Connection>>,
    returned: Condvar,
}

/// A lent connection, given back on drop: also when the work panics.
struct Lent<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

// === impl Readers ===

impl Readers {
    pub(crate) fn new(connections: Vec<Connection>) -> Self {
        Self { idle: Mutex::new(connections), returned: Condvar::new() }
    }

    /// Runs `work` in one read transaction, so that all its statements see one snapshot.
    pub(crate) fn run<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let lent = self.lend();
        let Some(connection) = lent.connection.as_ref() else { return Err(Error::Stopped.into()) };
        let control = |statement: &str| -> Result<(), Error> {
            connection.prepare_cached(statement)?.execute(())?;
            Ok(())
        };
        control("begin deferred")?;
        let result = work(connection);
        // A reader has nothing to keep: rolling back is the cheapest way to end the snapshot.
        control("rollback")?;
        result
    }

    fn lend(&self) -> Lent<'_> {
        let mut idle = self.idle.lock();
        loop {
            if let Some(connection) = idle.pop() {
                return Lent { readers: self, connection: Some(connection) };
            }
            self.returned.wait(&mut idle);
        }
    }
}

// === impl Lent ===

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            if !connection.is_autocommit() {
                // The work panicked inside its transaction.
                connection.execute_batch("rollback").ok();
            }
            self.readers.idle.lock().push(connection);
            self.readers.returned.notify_one();
        }
    }
}
