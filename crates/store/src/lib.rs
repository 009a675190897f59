//! Semantic storage operations: accept a batch, apply it, read a view, run a job once.
//!
//! [`Store`] says what the tiers ask of a database; `transform` holds what every engine computes
//! in the same way; [`SqliteStore`] and [`PostgresStore`] hold their engine's statements and
//! transactions.

mod batch;
mod canary;
mod contract;
mod dead_letter;
mod error;
mod hot;
mod identity;
mod job;
mod postgres;
mod reading;
mod reconcile;
mod respond;
mod sqlite;
mod store;
mod token;
mod transform;
mod worker;

#[cfg(test)]
mod conformance;

use std::sync::Arc;

use tidegate_core::backend::StoreBackend;

pub use batch::{
    Accepted, Applied, Backlog, Changes, Claim, Counts, Hold, JobState, JobStatus, LaneBacklog,
    NewBatch, Swept,
};
pub use canary::Canaries;
pub use contract::StoredContract;
pub use dead_letter::{
    DeadFilter, DeadLetter, DeadLetters, DeadState, MAX_LETTERS, MAX_SHOWN_BYTES, NewDeadLetter,
};
pub use error::{Cause, StoreError};
pub use hot::{HALF_LIFE, HotKeys, MAX_TAGS};
pub use job::{
    Begun, Cancel, Completed, Completion, Effect, Ending, Enqueued, JobFilter, JobRun, Jobs,
    MAX_CRASHES, MAX_LISTED, NewJob, Probe, ProbeTally, Progress, Renewal,
};
pub use postgres::PostgresStore;
pub use reading::{GroupsPage, ReadAnswer, ReadRequest, Versions};
pub use reconcile::{Drift, Reconcile, ReconcileRequest, ReconcileStep};
pub use respond::{Looked, PUBLIC_TENANT, Rendered, RespondError, look, respond};
pub use sqlite::SqliteStore;
pub use store::Store;
pub use token::{NewToken, Token};
pub use worker::{BEAT_EVERY, DEAD_AFTER, LaneBeat, WorkerBeat, Workers};

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
        StoreBackend::Postgres(url) => Ok(Arc::new(PostgresStore::open(url).await?)),
    }
}
