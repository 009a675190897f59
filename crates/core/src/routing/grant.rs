//! What an edge does with a weight: which it takes, and how long it acts on it.
//!
//! Times are monotonic, since any fixed moment of the edge's process: no wall clock matters here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::routing::RoutingDocument;

/// The part of a routing document that moves traffic to a canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Life of the control that wrote it.
    pub epoch: u64,
    /// Number within the epoch.
    pub generation: u64,
    /// Share of clients on the canary, in basis points.
    pub weight_bp: u16,
    /// Milliseconds for which it counts without a renewal.
    pub lease_ms: u64,
}

/// A grant that an edge holds, and since when it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    grant: Grant,
    /// None as long as no control that lives has confirmed it: it was read from disk.
    confirmed_at: Option<Duration>,
}

/// Why an edge keeps the grant it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is from an earlier life of control, or an earlier document of this one.
    #[error("the grant is older than the one held")]
    Older,
    /// It has the version of the one held, but says something else.
    #[error("the grant has the version of the one held, but not its weight")]
    Forked,
    /// It says a share above the whole.
    #[error("the weight is above 10 000 basis points")]
    Weight,
}

// === impl Grant ===

impl Grant {
    /// Returns epoch and generation: grants are ordered by them.
    pub fn version(&self) -> (u64, u64) {
        (self.epoch, self.generation)
    }
}

impl From<&RoutingDocument> for Grant {
    fn from(document: &RoutingDocument) -> Self {
        Self {
            epoch: document.epoch,
            generation: document.generation,
            // Without a pool there is nothing to send a share to.
            weight_bp: document.canary.as_ref().map_or(0, |_| document.weight_bp),
            lease_ms: document.lease_ms,
        }
    }
}

// === impl Held ===

impl Held {
    /// Returns what a restarted edge holds: it knows the version, so that nothing older is taken,
    /// but not how long it was away, so that it sends nothing to the canary until control confirms.
    pub fn from_disk(grant: Grant) -> Self {
        Self { grant, confirmed_at: None }
    }

    /// Takes a grant that control gave in answer to a question asked at `asked_at`.
    ///
    /// The lease counts from the question, not from the answer: an answer that was long on its way,
    /// or that a stopped control gave late, has used up its time there.
    ///
    /// # Errors
    /// Says why `present` stays as it is.
    pub fn accept(
        present: Option<&Self>,
        offered: Grant,
        asked_at: Duration,
    ) -> Result<Self, Refusal> {
        if offered.weight_bp > crate::cohort::COHORTS {
            return Err(Refusal::Weight);
        }
        let Some(present) = present else {
            return Ok(Self { grant: offered, confirmed_at: Some(asked_at) });
        };
        if offered.version() < present.grant.version() {
            return Err(Refusal::Older);
        }
        let same = offered.version() == present.grant.version();
        if same && offered.weight_bp != present.grant.weight_bp {
            return Err(Refusal::Forked);
        }
        // Answers may overtake one another: an older one never shortens the lease.
        let earlier = present.confirmed_at.filter(|_| same);
        Ok(Self { grant: offered, confirmed_at: earlier.max(Some(asked_at)) })
    }

    /// Returns the grant that is held, whether it still counts or not.
    pub fn grant(&self) -> Grant {
        self.grant
    }

    /// Returns the weight to act on, in basis points: zero once the lease is over.
    pub fn weight_at(&self, now: Duration) -> u16 {
        let lease = Duration::from_millis(self.grant.lease_ms);
        match self.confirmed_at {
            Some(at) if now.saturating_sub(at) < lease => self.grant.weight_bp,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: fn(u64) -> Duration = Duration::from_secs;

    fn grant(epoch: u64, generation: u64, weight_bp: u16) -> Grant {
        Grant { epoch, generation, weight_bp, lease_ms: 15_000 }
    }

    #[test]
    fn a_weight_counts_for_its_lease_from_the_question_on() {
        let held = Held::accept(None, grant(1, 1, 500), AT(100)).unwrap();
        assert_eq!([100, 114, 115].map(|at| held.weight_at(AT(at))), [500, 500, 0]);
        let renewed = Held::accept(Some(&held), grant(1, 1, 500), AT(110)).unwrap();
        assert_eq!([124, 125].map(|at| renewed.weight_at(AT(at))), [500, 0]);
        let overtaken = Held::accept(Some(&renewed), grant(1, 1, 500), AT(105)).unwrap();
        assert_eq!(overtaken, renewed);
    }

    #[test]
    fn a_restarted_edge_refuses_the_older_and_sends_nothing_until_confirmed() {
        let held = Held::from_disk(grant(3, 7, 500));
        assert_eq!(held.weight_at(AT(0)), 0);
        for older in [grant(2, 99, 900), grant(3, 6, 900)] {
            assert_eq!(Held::accept(Some(&held), older, AT(1)), Err(Refusal::Older));
        }
        let confirmed = Held::accept(Some(&held), grant(3, 7, 500), AT(1)).unwrap();
        assert_eq!(confirmed.weight_at(AT(2)), 500);
    }

    #[test]
    fn one_version_has_one_weight_and_none_is_above_the_whole() {
        let held = Held::accept(None, grant(1, 1, 500), AT(1)).unwrap();
        assert_eq!(Held::accept(Some(&held), grant(1, 1, 600), AT(2)), Err(Refusal::Forked));
        assert_eq!(Held::accept(Some(&held), grant(2, 0, 10_001), AT(2)), Err(Refusal::Weight));
        assert_eq!(Held::accept(Some(&held), grant(2, 0, 0), AT(2)).unwrap().weight_at(AT(2)), 0);
    }
}
