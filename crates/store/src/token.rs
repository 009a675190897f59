//! Tokens: kept by the digest of the credential, never by the credential.

use tidegate_core::clock::Timestamp;

/// A token to keep.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Unique name.
    pub name: String,
    /// SHA-256 of the credential, hex.
    pub digest: String,
    /// Whose data.
    pub tenant: String,
    /// What it may do.
    pub scopes: Vec<String>,
}

/// A token as kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Unique name.
    pub name: String,
    /// Whose data.
    pub tenant: String,
    /// What it may do: `read:air`, `write:air`, `admin:air`; `*` stands for any product.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
}
