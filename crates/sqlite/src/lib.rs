//! One SQLite file as a server process needs it: one writer thread with group commit, a pool of
//! readers, and fair turns between processes.
//!
//! SQLite has one writer at a time. Left to `busy_timeout`, processes that want to write sleep and
//! poll, and one of them may starve. Here each process has one writer thread; it queues on a file
//! lock *before* `BEGIN IMMEDIATE`, so a transaction never waits inside SQLite, and it commits all
//! work that is waiting in one transaction, so that a sync to disk is shared.

mod error;
mod lock;
mod log;
mod readers;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use error::Error;
pub use lock::FileLock;
pub use rusqlite;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::log::Log;
use crate::readers::{Reader, Readers};
use crate::writer::Writer;

/// Statements kept prepared on each connection.
const STATEMENT_CACHE: usize = 256;

/// Pages in the write-ahead log before a commit moves them to the database file: 32 MiB.
const CHECKPOINT_PAGES: u32 = 8_192;

/// Bytes of the write-ahead log from which on the writer waits for readers to let it begin anew.
const MAX_LOG_BYTES: u64 = 128 << 20;

/// How long SQLite itself waits for a lock: only a checkpoint or a foreign tool holds one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A database file, open for reading and writing. Cheap to clone.
#[derive(Clone)]
pub struct Database {
    path: PathBuf,
    writer: Writer,
    readers: Arc<Readers>,
}

// === impl Database ===

impl Database {
    /// Opens or creates the file at `path` with `readers` reading connections.
    ///
    /// # Errors
    /// The file or its lock can't be opened, or is no database.
    pub fn open(path: &Path, readers: usize) -> Result<Self, Error> {
        Self::open_with(path, readers, |_| Ok(()))
    }

    /// Opens the file as [`Database::open`], and first runs `set_up` in a transaction of its own,
    /// with its turn among processes: for creating tables.
    ///
    /// # Errors
    /// As for [`Database::open`], or what `set_up` returned: nothing of it is kept.
    pub fn open_with<E: From<Error>>(
        path: &Path,
        readers: usize,
        set_up: impl FnOnce(&Connection) -> Result<(), E>,
    ) -> Result<Self, E> {
        let lock = FileLock::open(&path.with_extension("db.lock"))?;
        let held = lock.lock()?;
        let connection = connect(path, true)?;
        let transaction = connection.unchecked_transaction().map_err(Error::from)?;
        set_up(&transaction)?;
        transaction.commit().map_err(Error::from)?;
        drop(held);
        let writer = Writer::start(connection, lock, Log::of(path, MAX_LOG_BYTES))?;
        let readers = (0..readers.max(1))
            .map(|_| connect(path, false).and_then(Reader::new))
            .collect::<Result<_, _>>()?;
        Ok(Self { path: path.to_owned(), writer, readers: Arc::new(Readers::new(readers)) })
    }

    /// Returns the file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs `work` on the writer thread, in a transaction that it may share with other work.
    ///
    /// Returns after the commit has reached the disk. If `work` fails, its own changes are undone
    /// and nobody else's.
    ///
    /// # Errors
    /// What `work` returned, or why the shared transaction could not be committed.
    pub async fn write<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.writer.run(work).await
    }

    /// Runs `work` in a read transaction on this thread, waiting for a free connection.
    ///
    /// For reads of a few microseconds: a handover to another thread would cost more than the
    /// read. A reader never waits for a writer.
    ///
    /// # Errors
    /// What `work` returned, or why the snapshot could not be taken.
    pub fn read<T, E: From<Error>>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.readers.run(None, work)
    }

    /// Runs `work` as [`Database::read`], for at most `limit`.
    ///
    /// # Errors
    /// As for [`Database::read`]; [`Error::Deadline`] if a statement took too long.
    pub fn read_within<T, E: From<Error>>(
        &self,
        limit: Duration,
        work: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.readers.run(Some(limit), work)
    }

    /// Runs `work` in a read transaction on a blocking thread.
    ///
    /// # Errors
    /// As for [`Database::read`].
    pub async fn read_blocking<T, E>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let readers = Arc::clone(&self.readers);
        match tokio::task::spawn_blocking(move || readers.run(None, work)).await {
            Ok(result) => result,
            Err(_) => Err(Error::Stopped.into()),
        }
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Database").field("path", &self.path).finish_non_exhaustive()
    }
}

fn connect(path: &Path, writes: bool) -> Result<Connection, Error> {
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE;
    if writes {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let failed = |source| Error::Open { path: path.to_owned(), source: Arc::new(source) };
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
    // Plans don't depend on bound values: otherwise SQLite prepares a statement anew whenever a bound
    // limit changes hands, which costs more than most reads.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failed)?;
    let configure = || {
        // WAL: readers don't block the writer. FULL: a commit that was reported survives a power cut.
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "temp_store", "memory")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        // Negative: KiB. Readers are many, so theirs is small; pages come from the page cache.
        connection.pragma_update(None, "cache_size", if writes { -16_384 } else { -2_048 })?;
        if !writes {
            connection.pragma_update(None, "query_only", true)?;
        }
        Ok(())
    };
    configure().map_err(failed)?;
    Ok(connection)
}

#[cfg(test)]
mod tests;
