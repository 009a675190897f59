//! Why a database can't be used.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Why a database can't be used. Cheap to clone: one failed commit fails all work it held.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The file can't be opened or set up.
    #[error("database {path} can't be opened", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Arc<rusqlite::Error>,
    },
    /// The lock file can't be used.
    #[error("lock file {path} can't be used", path = path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Arc<io::Error>,
    },
    /// A statement or the commit failed.
    #[error("the database refused a statement")]
    Statement(#[source] Arc<rusqlite::Error>),
    /// The disk or the quota is full: nothing was committed.
    #[error("the disk is full")]
    Full,
    /// A read took longer than its limit.
    #[error("the read took longer than it may")]
    Deadline,
    /// Work in the same transaction panicked: nothing was committed.
    #[error("the transaction was given up")]
    Panicked,
    /// The writer thread ended, or the work itself panicked.
    #[error("the database is shutting down")]
    Stopped,
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            Some(rusqlite::ErrorCode::OperationInterrupted) => Self::Deadline,
            _ => Self::Statement(Arc::new(error)),
        }
    }
}
