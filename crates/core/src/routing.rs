//! The signed routing document: which releases an edge sends traffic to.

pub mod grant;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::keys::{KeyError, PublicKey, Signed};

/// Path on control's listener; `?after=<epoch>.<generation>&wait=<seconds>` waits for a newer one.
pub const PATH: &str = "/v1/routing";

/// Path prefix on the api's private listener: an edge fetches a plan by digest from here.
pub const EDGE_PLAN_PATH: &str = "/internal/edge-plan/";

/// Most milliseconds an edge keeps acting on a canary weight without hearing from control.
pub const DEFAULT_LEASE_MS: u64 = 15_000;

/// Milliseconds after which an edge renews its lease: two renewals may be lost.
pub const RENEW_EVERY_MS: u64 = 5_000;

/// What control tells every edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingDocument {
    /// Name of the project profile.
    pub project: String,
    /// Life of the control that wrote it; a takeover raises it.
    pub epoch: u64,
    /// Number of the document within the epoch.
    pub generation: u64,
    /// When it was written.
    pub issued_at: Timestamp,
    /// Serves all traffic that no canary takes.
    pub stable: Pool,
    /// Serves `weight_bp` of the clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Pool>,
    /// Share of clients on the canary, in basis points.
    pub weight_bp: u16,
    /// After this long without a renewal the weight counts as zero.
    pub lease_ms: u64,
}

/// The api instances of one release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Digest of the release's artifact.
    pub release: String,
    /// Digest of the [`EdgePlan`](crate::edge_plan::EdgePlan) its contract compiles to.
    pub edge_plan: String,
    /// `host:port` of each instance's public listener.
    pub api: Vec<String>,
    /// `host:port` of each instance's private listener.
    pub internal: Vec<String>,
}

/// Why an edge keeps its present document.
#[derive(Debug, thiserror::Error)]
pub enum RoutingError {
    /// The signature does not verify.
    #[error("the routing document is not signed by the control this edge trusts")]
    Signature(#[source] KeyError),
    /// It is signed, but not a routing document.
    #[error("the routing document can't be read")]
    Malformed(#[source] serde_json::Error),
    /// It is for another project.
    #[error("the routing document is for project '{0}'")]
    OtherProject(String),
    /// It is older than the present one.
    #[error("the routing document {offered:?} is older than the present {present:?}")]
    Older {
        /// Epoch and generation offered.
        offered: (u64, u64),
        /// Epoch and generation held.
        present: (u64, u64),
    },
    /// It names no instance to send traffic to.
    #[error("the routing document's stable pool is empty")]
    NoInstance,
}

// === impl RoutingDocument ===

impl RoutingDocument {
    /// Returns epoch and generation: documents are ordered by them.
    pub fn version(&self) -> (u64, u64) {
        (self.epoch, self.generation)
    }

    /// Checks a signed document against the trusted key and the one held at present.
    ///
    /// # Errors
    /// Says why the present one stays.
    pub fn accept(
        signed: &Signed,
        trusted: &PublicKey,
        project: &str,
        present: Option<&Self>,
    ) -> Result<Self, RoutingError> {
        let text = trusted.verify(signed).map_err(RoutingError::Signature)?;
        let offered: Self = serde_json::from_str(text).map_err(RoutingError::Malformed)?;
        if offered.project != project {
            return Err(RoutingError::OtherProject(offered.project));
        }
        if let Some(present) = present
            && offered.version() < present.version()
        {
            let (offered, present) = (offered.version(), present.version());
            return Err(RoutingError::Older { offered, present });
        }
        if offered.stable.api.is_empty() || offered.stable.internal.is_empty() {
            return Err(RoutingError::NoInstance);
        }
        Ok(offered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::PrivateKey;

    fn document(epoch: u64, generation: u64) -> RoutingDocument {
        let at = |port: &str| vec![format!("127.0.0.1:{port}")];
        RoutingDocument {
            project: "p".to_owned(),
            epoch,
            generation,
            issued_at: Timestamp(0),
            stable: Pool {
                release: "sha256:aa".to_owned(),
                edge_plan: "sha256:bb".to_owned(),
                api: at("1"),
                internal: at("2"),
            },
            canary: None,
            weight_bp: 0,
            lease_ms: DEFAULT_LEASE_MS,
        }
    }

    #[test]
    fn a_lower_epoch_another_project_and_a_foreign_key_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let key = PrivateKey::load_or_create(&dir.path().join("a")).unwrap();
        let foreign = PrivateKey::load_or_create(&dir.path().join("b")).unwrap();
        let sign =
            |key: &PrivateKey, doc: &RoutingDocument| key.sign(serde_json::to_string(doc).unwrap());
        let present = document(5, 9);
        let accept = |signed: &Signed, project: &str| {
            RoutingDocument::accept(signed, &key.public(), project, Some(&present))
        };

        assert!(accept(&sign(&key, &document(5, 9)), "p").is_ok());
        assert!(accept(&sign(&key, &document(6, 0)), "p").is_ok());
        let older = accept(&sign(&key, &document(4, 99)), "p");
        assert!(matches!(older, Err(RoutingError::Older { .. })));
        let other = accept(&sign(&key, &document(6, 0)), "q");
        assert!(matches!(other, Err(RoutingError::OtherProject(_))));
        let forged = accept(&sign(&foreign, &document(6, 0)), "p");
        assert!(matches!(forged, Err(RoutingError::Signature(_))));
    }
}
