//! Notices: small facts broadcast to every process that subscribes.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

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
    /// These jobs reached a final state.
    JobsFinished {
        /// The jobs.
        jobs: Vec<Uuid>,
    },
    /// A credential is no longer valid.
    Revoked {
        /// SHA-256 of the credential, hex.
        credential: String,
    },
}
