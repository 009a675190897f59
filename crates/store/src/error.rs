//! Why a store operation failed.

/// Why a store operation failed: one variant for each thing that the caller may have to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database can't be used at present: try again later.
    #[error("the store can't be used")]
    Unavailable(#[source] Cause),
    /// There is no room: nothing can be written until somebody makes some. Nothing was changed.
    #[error("the store's disk is full")]
    Full,
    /// The server does not let this process in, or not do what it must: somebody has to change the
    /// configuration, on one side or the other.
    #[error("{0}")]
    Misconfigured(String),
    /// A newer build has used the store: use that one, or a newer one.
    #[error("the store's schema has version {found}, this build knows {known}")]
    Newer {
        /// Version of the store.
        found: i64,
        /// The newest version that this build knows.
        known: i64,
    },
    /// The read took longer than its deadline.
    #[error("the read took too long")]
    Deadline,
    /// A name is taken.
    #[error("{0} exists")]
    Conflict(String),
    /// Stored data does not fit the contract.
    #[error("the contract does not fit what is stored: {0}")]
    Incompatible(String),
    /// What is stored is not of a shape this build knows.
    #[error("stored {what} can't be read: {reason}")]
    Corrupt {
        /// Which record.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// What an engine says about it.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

// === impl StoreError ===

impl StoreError {
    /// Returns whether the same call may succeed later although nobody changes it: what a queue
    /// retries, and what a client is told to retry.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Full | Self::Misconfigured(_) | Self::Deadline => true,
            Self::Newer { .. }
            | Self::Conflict(_)
            | Self::Incompatible(_)
            | Self::Corrupt { .. } => false,
        }
    }
}

impl From<tidegate_sqlite::Error> for StoreError {
    fn from(error: tidegate_sqlite::Error) -> Self {
        match error {
            tidegate_sqlite::Error::Deadline => Self::Deadline,
            tidegate_sqlite::Error::Full => Self::Full,
            error => Self::Unavailable(error.into()),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        tidegate_sqlite::Error::from(error).into()
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt { what: "document", reason: error.to_string() }
    }
}
