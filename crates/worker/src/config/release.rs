//! `[release]`: which release this worker is of, and whose jobs it takes.

use serde::Deserialize;
use tidegate_core::job::Arm;

use crate::canary::Canary;

/// Which release a worker is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReleaseConfig {
    /// Its name. Default: none.
    pub id: Option<String>,
    /// Whose jobs it takes: of a canary only those that name its release. Default: `stable`.
    pub arm: Arm,
    /// A canary heeds revocations of its release after this one: earlier ones are about an earlier
    /// deployment of it. Default: 0.
    pub epoch: u64,
}

/// The section as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawRelease {
    id: Option<String>,
    arm: Arm,
    epoch: u64,
}

// === impl RawRelease ===

impl RawRelease {
    pub(super) fn check(self) -> Result<ReleaseConfig, String> {
        let Self { id, arm, epoch } = self;
        if id.as_deref() == Some("") {
            return Err("id must not be empty".to_owned());
        }
        match (arm, &id) {
            (Arm::Canary, None) => Err("a canary needs an id".to_owned()),
            (Arm::Canary | Arm::Stable, _) => Ok(ReleaseConfig { id, arm, epoch }),
        }
    }
}

// === impl ReleaseConfig ===

impl ReleaseConfig {
    /// Returns what a worker of a canary is; `None` for a stable one.
    pub(crate) fn canary(&self) -> Option<Canary> {
        match self.arm {
            Arm::Stable => None,
            Arm::Canary => self.id.clone().map(|release| Canary { release, epoch: self.epoch }),
        }
    }
}
