//! Why a store operation failed.

/// Why a store operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database can't be used at present: try again later.
    #[error("the store can't be used")]
    Unavailable(#[source] tidegate_sqlite::Error),
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

// === impl StoreError ===

impl From<tidegate_sqlite::Error> for StoreError {
    fn from(error: tidegate_sqlite::Error) -> Self {
        match error {
            tidegate_sqlite::Error::Deadline => Self::Deadline,
            error => Self::Unavailable(error),
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
