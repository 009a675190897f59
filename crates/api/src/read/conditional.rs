//! Entity tags, and answers that were not modified (RFC 9110 sections 8.8.3 and 13.1.2).

use std::fmt::Write as _;

use http::{HeaderMap, HeaderValue, header};
use tidegate_core::param::ParamValue;
use xxhash_rust::xxh3::Xxh3Default;

/// What selects a representation, beside the version of its data.
pub(super) struct Selection<'a> {
    /// Life of the store: versions of another one mean nothing.
    pub(super) incarnation: &'a str,
    /// Who may read it.
    pub(super) scope_key: &'a str,
    /// Media type.
    pub(super) format: &'a str,
    /// Bound parameters.
    pub(super) params: &'a [Option<ParamValue>],
}

// === impl Selection ===

impl Selection<'_> {
    fn hash(&self) -> u64 {
        let mut hash = Xxh3Default::new();
        for text in [self.incarnation, self.scope_key, self.format] {
            hash.update(text.as_bytes());
            hash.update(&[0xff]);
        }
        for param in self.params {
            // Each value is preceded by its kind and ended by a byte that no text holds.
            match param {
                None => hash.update(&[0]),
                Some(ParamValue::Text(text)) => {
                    hash.update(&[1]);
                    hash.update(text.as_bytes());
                    hash.update(&[0xff]);
                }
                Some(ParamValue::Int(number)) => {
                    hash.update(&[2]);
                    hash.update(&number.to_le_bytes());
                }
                Some(ParamValue::Time(at)) => {
                    hash.update(&[3]);
                    hash.update(&at.0.to_le_bytes());
                }
            }
        }
        hash.digest()
    }
}

/// Returns the entity tag of a representation: it changes when the contract, the request, the
/// reader's scope or the data does. Weak, because equal data may be written with other headers.
pub(super) fn entity_tag(shape: &str, selection: &Selection<'_>, newest: u64) -> HeaderValue {
    let mut tag = String::with_capacity(48);
    // Writing to a string does not fail.
    write!(tag, "W/\"{shape}-{:016x}-{newest}\"", selection.hash()).ok();
    HeaderValue::try_from(tag).expect("an entity tag must be ASCII: its parts are")
}

/// Returns whether the client asks for anything but what it has.
pub(super) fn is_conditional(headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_NONE_MATCH)
}

/// Returns whether the client has the representation with this tag. Compares weakly.
pub(super) fn is_not_modified(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let Ok(current) = tag.to_str() else { return false };
    let current = opaque(current);
    let fields = headers.get_all(header::IF_NONE_MATCH).iter();
    // No tag of ours holds a comma, so splitting within a foreign one matches nothing.
    fields.filter_map(|field| field.to_str().ok()).flat_map(|field| field.split(',')).any(
        |candidate| {
            let candidate = candidate.trim();
            candidate == "*" || opaque(candidate) == current
        },
    )
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Selection<'_> =
        Selection { incarnation: "k3", scope_key: "s", format: "application/json", params: &[] };

    #[test]
    fn whatever_selects_a_representation_changes_its_tag() {
        let oslo = [Some(ParamValue::Text("oslo".to_owned())), None];
        let olso = [None, Some(ParamValue::Text("oslo".to_owned()))];
        let one = [Some(ParamValue::Int(1)), None];
        let mut tags = [
            entity_tag("c0ffee00", &BASE, 7),
            entity_tag("c0ffee00", &BASE, 8),
            entity_tag("c0ffee01", &BASE, 7),
            entity_tag("c0ffee00", &Selection { scope_key: "t", ..BASE }, 7),
            entity_tag("c0ffee00", &Selection { incarnation: "k4", ..BASE }, 7),
            entity_tag("c0ffee00", &Selection { format: "text/csv", ..BASE }, 7),
            entity_tag("c0ffee00", &Selection { params: &oslo, ..BASE }, 7),
            entity_tag("c0ffee00", &Selection { params: &olso, ..BASE }, 7),
            entity_tag("c0ffee00", &Selection { params: &one, ..BASE }, 7),
        ];
        tags.sort_unstable();
        assert!(tags.windows(2).all(|pair| pair[0] != pair[1]), "{tags:#?}");
    }

    #[test]
    fn tags_are_compared_weakly_and_anywhere_in_the_list() {
        let tag = HeaderValue::from_static("W/\"a-b-7\"");
        for (field, expected) in [
            ("W/\"a-b-7\"", true),
            ("\"a-b-7\"", true),
            ("\"x,y\", W/\"a-b-7\"", true),
            ("*", true),
            ("W/\"a-b-8\"", false),
            ("a-b-7", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static(field));
            assert_eq!(is_not_modified(&headers, &tag), expected, "{field}");
        }
    }
}
