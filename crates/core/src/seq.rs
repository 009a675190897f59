//! The commit sequence of a data space, as `X-Data-Seq` carries it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The response header that names the snapshot a body was read from.
pub const HEADER: &str = "x-data-seq";

/// Whose sequence it is: one store incarnation, tenant and product.
///
/// Sequences of different spaces can't be compared: a restored backup is a new incarnation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Space {
    /// Random name of the store's life; a new one after a restore.
    pub incarnation: String,
    /// The tenant.
    pub tenant: String,
    /// The product.
    pub product: String,
}

/// A position in a [`Space`]: commit-ordered and gap-free.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DataSeq {
    /// Whose sequence.
    pub space: Space,
    /// Number of commits that changed the space, counted from 1; 0 before the first.
    pub seq: u64,
}

/// The text is not `<incarnation>/<tenant>-<product>/<seq>`.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a data sequence; expected <incarnation>/<tenant>-<product>/<number>")]
pub struct NotADataSeq;

// === impl DataSeq ===

impl fmt::Display for DataSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Space { incarnation, tenant, product } = &self.space;
        write!(f, "{incarnation}/{tenant}-{product}/{}", self.seq)
    }
}

impl FromStr for DataSeq {
    type Err = NotADataSeq;

    fn from_str(text: &str) -> Result<Self, NotADataSeq> {
        let (rest, seq) = text.rsplit_once('/').ok_or(NotADataSeq)?;
        let (incarnation, space) = rest.split_once('/').ok_or(NotADataSeq)?;
        // Product names have no hyphen, tenants may.
        let (tenant, product) = space.rsplit_once('-').ok_or(NotADataSeq)?;
        if incarnation.is_empty() || tenant.is_empty() || product.is_empty() {
            return Err(NotADataSeq);
        }
        Ok(Self {
            space: Space {
                incarnation: incarnation.to_owned(),
                tenant: tenant.to_owned(),
                product: product.to_owned(),
            },
            seq: seq.parse().map_err(|_| NotADataSeq)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_may_hold_hyphens() {
        let seq: DataSeq = "k3/acme-eu-air/42".parse().unwrap();
        assert_eq!((seq.space.tenant.as_str(), seq.space.product.as_str()), ("acme-eu", "air"));
        assert_eq!(seq.to_string(), "k3/acme-eu-air/42");
    }

    #[test]
    fn garbage_is_refused() {
        for bad in ["", "a/b/c", "a/t-p/", "a/t-p/-1", "/t-p/1", "a/tp/1", "a/t-p/1x"] {
            assert_eq!(bad.parse::<DataSeq>(), Err(NotADataSeq), "{bad}");
        }
    }
}
