//! What a token may do: scopes such as `read:air`, `write:*` or `admin:air`.

use tidegate_core::scope::{self, grants};

use crate::authenticate::Principal;
use crate::error::Refusal;

/// Reading the endpoints of a product.
pub(crate) const READ: &str = "read";
/// Sending rows to a product.
pub(crate) const WRITE: &str = "write";
/// Administration of a product; includes reading and writing.
pub(crate) const ADMIN: &str = "admin";

/// Checks that the token may do `action` to `product`.
pub(crate) fn check(principal: &Principal, action: &str, product: &str) -> Result<(), Refusal> {
    if principal.scopes.iter().any(|scope| grants(scope, action, product)) {
        return Ok(());
    }
    Err(Refusal::Forbidden {
        subject: principal.subject.clone(),
        needed: format!("{action}:{product}"),
    })
}

/// Checks that the token has a scope that an endpoint names.
pub(crate) fn check_scope(principal: &Principal, needed: &str) -> Result<(), Refusal> {
    let (action, product) = needed.split_once(':').unwrap_or((needed, ""));
    check(principal, action, product)
}

/// Returns whether the token may do anything at all to `product`.
pub(crate) fn knows(principal: &Principal, product: &str) -> bool {
    principal.scopes.iter().any(|scope| scope::knows(scope, product))
}
