//! Semantic storage operations: accept a batch, apply it, read a view.
//!
//! [`Store`] says what the tiers ask of a database; `transform` holds what every engine computes
//! in the same way; [`SqliteStore`] holds the statements and transactions of one engine.

mod batch;
mod contract;
mod error;
mod identity;
mod reading;
mod respond;
mod sqlite;
mod store;
mod token;
mod transform;

use std::sync::Arc;

use tidegate_core::backend::StoreBackend;

pub use batch::{Accepted, Applied, Backlog, Claim, Counts, JobState, JobStatus, NewBatch, Swept};
pub use contract::StoredContract;
pub use error::{Cause, StoreError};
pub use reading::{GroupsPage, ReadAnswer, ReadRequest, Versions};
pub use respond::{Looked, PUBLIC_TENANT, Rendered, RespondError, look, respond};
pub use sqlite::SqliteStore;
pub use store::Store;
pub use token::{NewToken, Token};

/// A store that this process is connected to.
pub type SharedStore = Arc<dyn Store>;

/// Opens the store that a configuration names, and creates what is missing in it.
///
/// # Errors
/// It can't be reached or used, or was made by a build that knows more than this one.
pub async fn open(backend: &StoreBackend) -> Result<SharedStore, StoreError> {
    match backend {
        StoreBackend::Sqlite(path) => {
            let path = path.clone();
            let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&path)).await;
            let store = opened.map_err(|_| sqlite::stopped())??;
            Ok(Arc::new(store))
        }
        StoreBackend::Postgres(url) => Err(StoreError::Corrupt {
            what: "backend",
            reason: format!("{url} can't be used by this build"),
        }),
    }
}
