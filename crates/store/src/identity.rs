//! Who a store is.

use std::sync::Arc;

use tidegate_core::scope::hex;

use crate::StoreError;

/// Bytes of the secret that scope keys are made with.
const SECRET_BYTES: usize = 32;

/// Who a store is: made once, when its tables are.
#[derive(Clone)]
pub(crate) struct Identity {
    /// Part of every data sequence.
    pub(crate) incarnation: Arc<str>,
    /// What scope keys are made with.
    pub(crate) scope_secret: Arc<[u8]>,
}

// === impl Identity ===

impl Identity {
    /// Makes up a new store's.
    pub(crate) fn random() -> Result<Self, StoreError> {
        let mut random = [0; SECRET_BYTES + 4];
        getrandom::fill(&mut random).map_err(|error| StoreError::Corrupt {
            what: "random source",
            reason: error.to_string(),
        })?;
        let (secret, incarnation) = random.split_at(SECRET_BYTES);
        Ok(Self { incarnation: hex(incarnation).into(), scope_secret: secret.into() })
    }
}
