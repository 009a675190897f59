//! Surrogate keys: names of what a response was made from, by which it is purged.

use std::fmt::Write as _;

/// The response header that lists tags, separated by spaces.
pub const HEADER: &str = "surrogate-key";

/// Most fine tags one purge names; beyond it the coarse tag and the wide one are purged.
pub const MAX_FINE_TAGS: usize = 256;

/// Returns the tag of everything that belongs to one tenant's product.
pub fn product(tenant: &str, product: &str) -> String {
    format!("{tenant}/{product}")
}

/// Returns the coarse tag of a view: responses that may show any of its groups carry it, and every
/// change of the view purges it.
pub fn view(tenant: &str, product: &str, view: &str) -> String {
    format!("{tenant}/{product}/v:{view}")
}

/// Returns the wide tag of a view: responses that are narrowed to a fine tag carry it, and a change
/// purges it that touches too many fine tags to name. With the coarse tag it is the whole view.
pub fn view_narrowed(tenant: &str, product: &str, view: &str) -> String {
    format!("{tenant}/{product}/v:{view}:*")
}

/// Returns the tag of a dataset's base rows.
pub fn dataset(tenant: &str, product: &str, dataset: &str) -> String {
    format!("{tenant}/{product}/d:{dataset}")
}

/// Returns the tag of an endpoint, purged when its cache policy or shape changes.
pub fn endpoint(tenant: &str, product: &str, endpoint: &str) -> String {
    format!("{tenant}/{product}/e:{endpoint}")
}

/// Returns the fine tag of the groups of a view whose tag dimensions have the given values.
pub fn group<'a>(
    tenant: &str,
    product: &str,
    view: &str,
    dims: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> String {
    let mut tag = self::view(tenant, product, view);
    for (name, value) in dims {
        tag.push(':');
        tag.push_str(name);
        tag.push('=');
        push_escaped(&mut tag, value);
    }
    tag
}

/// Escapes what would end a tag or split the header: anything but letters, digits and `._-`.
fn push_escaped(tag: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-') {
            tag.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            write!(tag, "%{byte:02X}").ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_can_not_break_out_of_their_tag() {
        assert_eq!(
            group("acme", "air", "city_hour", [("city", "são paulo:x=y")]),
            "acme/air/v:city_hour:city=s%C3%A3o%20paulo%3Ax%3Dy"
        );
    }
}
