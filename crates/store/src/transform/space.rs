//! Whose data a commit changes.

use tidegate_core::seq::{self, DataSeq};

/// Whose sequence it is, within this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Space<'a> {
    pub(crate) tenant: &'a str,
    pub(crate) product: &'a str,
}

// === impl Space ===

impl Space<'_> {
    /// Returns a position in this space.
    pub(crate) fn at(self, incarnation: &str, seq: i64) -> DataSeq {
        DataSeq {
            space: seq::Space {
                incarnation: incarnation.to_owned(),
                tenant: self.tenant.to_owned(),
                product: self.product.to_owned(),
            },
            seq: u64::try_from(seq).unwrap_or(0),
        }
    }
}
