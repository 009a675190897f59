//! Claimed batches on their way through one transaction.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_product::contract::Dataset;

use crate::Claim;
use crate::transform::outcome::Outcome;
use crate::transform::prepare::Prepared;
use crate::transform::space::Space;

/// A claim, and what could be found out about its rows without the database.
pub(crate) struct Work {
    pub(crate) claim: Claim,
    pub(crate) prepared: Prepared,
}

/// What an attempt to apply batches has changed, besides rows and groups.
#[derive(Default)]
pub(crate) struct Attempt<'a> {
    /// How the rows of each batch ended.
    pub(crate) outcomes: Vec<(&'a Work, Outcome)>,
    /// Tags that were touched in each space that was changed.
    pub(crate) tags: BTreeMap<Space<'a>, BTreeSet<String>>,
    /// Views that were changed in each space.
    pub(crate) views: BTreeSet<(Space<'a>, &'a str, &'a str)>,
}

// === impl Work ===

impl Work {
    pub(crate) fn dataset(&self) -> &Dataset {
        &self.claim.contract.contract.datasets[self.claim.dataset]
    }

    pub(crate) fn space(&self) -> Space<'_> {
        Space { tenant: &self.claim.tenant, product: &self.claim.contract.contract.name }
    }
}

// === impl Attempt ===

impl<'a> Attempt<'a> {
    pub(crate) fn extend(&mut self, other: Self) {
        self.outcomes.extend(other.outcomes);
        self.views.extend(other.views);
        for (space, tags) in other.tags {
            self.tags.entry(space).or_default().extend(tags);
        }
    }
}
