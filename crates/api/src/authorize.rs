//! What a token may do: scopes such as `read:air`, `write:*` or `admin:air`.

use crate::authenticate::Principal;
use crate::error::Refusal;

/// Reading the endpoints of a product.
pub(crate) const READ: &str = "read";
/// Sending rows to a product.
pub(crate) const WRITE: &str = "write";

/// Administration of a product; includes reading and writing.
const ADMIN: &str = "admin";
/// Stands for every product.
const ANY: &str = "*";

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
    let names = |scope: &String| scope.split_once(':').is_some_and(|(_, of)| covers(of, product));
    principal.scopes.iter().any(names)
}

fn grants(scope: &str, action: &str, product: &str) -> bool {
    scope
        .split_once(':')
        .is_some_and(|(granted, of)| (granted == action || granted == ADMIN) && covers(of, product))
}

fn covers(of: &str, product: &str) -> bool {
    of == ANY || of == product
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(scope: &str, needed: &str, expected: bool) {
        let (action, product) = needed.split_once(':').unwrap();
        assert_eq!(grants(scope, action, product), expected, "{scope} for {needed}");
    }

    #[test]
    fn a_scope_grants_its_action_on_its_product() {
        check("read:air", "read:air", true);
        check("read:air", "write:air", false);
        check("read:air", "read:shop", false);
        check("read:air", "read:airport", false);
        check("read:*", "read:shop", true);
        check("read:*", "write:shop", false);
    }

    #[test]
    fn admin_reads_and_writes() {
        check("admin:air", "read:air", true);
        check("admin:air", "write:air", true);
        check("admin:air", "write:shop", false);
        check("admin:*", "write:shop", true);
    }

    #[test]
    fn a_malformed_scope_grants_nothing() {
        for scope in ["", "*", "read", "air", ":air", "read:"] {
            check(scope, "read:air", false);
        }
    }
}
