//! Semantic storage operations: accept a batch, apply it, read a view.
//!
//! [`Store`] says what the tiers ask of a database; `transform` holds what every engine computes
//! in the same way; [`SqliteStore`] holds the statements and transactions of one engine.

mod batch;
mod contract;
mod error;
mod reading;
mod sqlite;
mod store;
mod token;
mod transform;

use std::sync::Arc;

pub use batch::{Accepted, Applied, Backlog, Claim, Counts, JobState, JobStatus, NewBatch, Swept};
pub use contract::StoredContract;
pub use error::StoreError;
pub use reading::{GroupsPage, ReadAnswer, ReadRequest, Versions};
pub use sqlite::SqliteStore;
pub use store::Store;
pub use token::{NewToken, Token};

/// A store that this process is connected to.
pub type SharedStore = Arc<dyn Store>;
