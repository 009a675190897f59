//! Notices: small facts broadcast to every process that subscribes.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cache_update::{CacheUpdate, Refreshed};
use crate::seq::DataSeq;

/// One broadcast fact. Receiving it twice, or late, is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum Notice {
    /// A commit changed what these tags name: responses read before `seq` must be validated.
    Purge {
        /// The commit.
        seq: DataSeq,
        /// Coarse and fine tags that changed.
        tags: Vec<String>,
    },
    /// A worker has rendered a response that edges may store (write-back).
    Update(Box<CacheUpdate>),
    /// A response was looked at anew for the edges.
    Refreshed(Box<Refreshed>),
    /// These jobs reached a final state.
    JobsFinished {
        /// The jobs.
        jobs: Vec<Uuid>,
    },
    /// Somebody wants these jobs to end early.
    JobsCancelled {
        /// The jobs.
        jobs: Vec<Uuid>,
    },
    /// A canary release takes no more jobs: its workers stop, its jobs move to stable.
    CanaryRevoked {
        /// The release.
        release: String,
        /// Which revocation; a later one outweighs an earlier.
        epoch: u64,
    },
    /// A credential is no longer valid.
    Revoked {
        /// SHA-256 of the credential, hex.
        credential: String,
    },
}
