//! Contracts as registered.

use tidegate_product::contract::Contract;

/// A contract as registered.
#[derive(Debug)]
pub struct StoredContract {
    /// Number of this contract among the product's, from 1.
    pub version: i64,
    /// The contract.
    pub contract: Contract,
}
