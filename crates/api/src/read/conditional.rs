//! Answers that were not modified (RFC 9110 section 13.1.2).

use http::{HeaderMap, HeaderValue, header};

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
