//! Contracts that were compiled, so that none is twice.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::{StoreError, StoredContract};

/// Contracts that this process has compiled: a few for each product, as each came from a person.
#[derive(Default)]
pub(crate) struct Compiled {
    contracts: Mutex<HashMap<(String, i64), Arc<StoredContract>>>,
}

// === impl Compiled ===

impl Compiled {
    /// Returns a contract that was compiled before.
    pub(crate) fn known(&self, product: &str, version: i64) -> Option<Arc<StoredContract>> {
        self.contracts.lock().get(&(product.to_owned(), version)).cloned()
    }

    /// Compiles a contract as it is stored, and remembers it.
    pub(crate) fn compile(
        &self,
        product: &str,
        version: i64,
        source: &str,
        hash: &str,
    ) -> Result<Arc<StoredContract>, StoreError> {
        let contract = tidegate_product::compile(product, source).map_err(|problems| {
            let first = problems.first().map_or("", |problem| problem.message.as_str());
            damaged(format!("'{product}' version {version} does not compile: {first}"))
        })?;
        if contract.hash != hash {
            // Tables are named after hashes.
            return Err(damaged(format!(
                "'{product}' version {version} means {} to this build, and meant {hash} to the one \
                 that took it",
                contract.hash
            )));
        }
        let contract = Arc::new(StoredContract { version, contract });
        self.contracts.lock().insert((product.to_owned(), version), Arc::clone(&contract));
        Ok(contract)
    }
}

/// Says that a contract which something refers to is not there.
pub(crate) fn absent(product: &str, version: i64) -> StoreError {
    damaged(format!("'{product}' has no version {version}"))
}

fn damaged(reason: String) -> StoreError {
    StoreError::Corrupt { what: "contract", reason }
}
