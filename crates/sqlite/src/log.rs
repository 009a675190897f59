//! Keeps the write-ahead log bounded while reads never pause.
//!
//! SQLite copies the log to the database file at commits, but begins the log anew only at a moment
//! when no reader looks at it. Where reads overlap without end that moment does not come by itself,
//! and the log grows with every commit. So once it is too long the writer asks for the moment: it
//! waits until the reads under way have ended, while new ones look at the database file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tokio::time::Instant;

use crate::{BUSY_TIMEOUT, Error};

/// How long the writer waits for readers: most reads take microseconds.
const WAIT: Duration = Duration::from_millis(250);

/// Pause after a reader was longer than that.
const PAUSE: Duration = Duration::from_secs(1);

/// The write-ahead log of a database.
pub(crate) struct Log {
    file: PathBuf,
    max_bytes: u64,
    not_before: Option<Instant>,
}

// === impl Log ===

impl Log {
    /// Names the log of the database at `path`.
    pub(crate) fn of(path: &Path, max_bytes: u64) -> Self {
        let mut file = path.as_os_str().to_owned();
        file.push("-wal");
        Self { file: file.into(), max_bytes, not_before: None }
    }

    /// Returns whether the log is too long, and was not found in use a moment ago.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.not_before.is_none_or(|not_before| now >= not_before)
            && std::fs::metadata(&self.file).is_ok_and(|file| file.len() > self.max_bytes)
    }

    /// Empties the log. Call it between transactions, with the writer's lock.
    pub(crate) fn shorten(&mut self, connection: &Connection, now: Instant) -> Result<(), Error> {
        connection.busy_timeout(WAIT)?;
        let blocked = connection
            .prepare_cached("pragma wal_checkpoint(truncate)")?
            .query_row((), |row| row.get::<_, bool>(0));
        connection.busy_timeout(BUSY_TIMEOUT)?;
        self.not_before = blocked?.then(|| now + PAUSE);
        Ok(())
    }
}
