//! Validation (RFC 9111 section 4.3) and conditions (RFC 9110 section 13).

use http::StatusCode;
use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, HeaderMap,
    HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, TRANSFER_ENCODING,
};
use tidegate_core::clock::Timestamp;

use super::freshness::date_field;

/// What a client's condition means for a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Send the response.
    Send,
    /// The client has it already.
    NotModified,
}

/// Fields of a stored response that a 304 does not replace: they describe the body that was
/// stored (RFC 9111 section 3.2).
const OF_THE_BODY: [HeaderName; 5] =
    [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_TYPE, CONTENT_RANGE, TRANSFER_ENCODING];

/// Fields that describe a body and are left out of a 304 (RFC 9110 section 15.4.5).
const NOT_IN_304: [HeaderName; 4] = [CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_TYPE, CONTENT_RANGE];

/// Evaluates a client's condition against a stored response.
pub(crate) fn evaluate(
    request: &HeaderMap,
    status: StatusCode,
    stored: &HeaderMap,
    now: Timestamp,
) -> Condition {
    // RFC 9110 section 13.2.1: conditions apply where the answer would be a success.
    if !status.is_success() {
        return Condition::Send;
    }
    // Section 13.2.2: If-Modified-Since is not looked at when If-None-Match is there.
    if request.contains_key(IF_NONE_MATCH) {
        let etag = stored.get(ETAG).map(|etag| etag.as_bytes());
        let lines = request.get_all(IF_NONE_MATCH).iter();
        let matched = lines.map(|line| line.as_bytes()).any(|line| lists_etag(line, etag));
        return if matched { Condition::NotModified } else { Condition::Send };
    }
    let Some(since) = date_field(request, &IF_MODIFIED_SINCE, now) else { return Condition::Send };
    // RFC 9111 section 4.3.2: without Last-Modified, the date of the response stands in.
    let modified = match stored.contains_key(LAST_MODIFIED) {
        true => date_field(stored, &LAST_MODIFIED, now),
        false => date_field(stored, &DATE, now),
    };
    match modified {
        Some(modified) if modified <= since => Condition::NotModified,
        _ => Condition::Send,
    }
}

/// Puts the stored validators into a request (RFC 9111 section 4.3.1) in place of the client's.
pub(crate) fn condition(request: &mut HeaderMap, stored: &HeaderMap) {
    remove_conditions(request);
    if let Some(etag) = stored.get(ETAG) {
        request.insert(IF_NONE_MATCH, etag.clone());
    }
    if let Some(modified) = stored.get(LAST_MODIFIED) {
        request.insert(IF_MODIFIED_SINCE, modified.clone());
    }
}

/// Takes a client's conditions out of a request whose complete answer is wanted.
pub(crate) fn remove_conditions(request: &mut HeaderMap) {
    request.remove(IF_NONE_MATCH);
    request.remove(IF_MODIFIED_SINCE);
}

/// Says whether a 304 confirms this stored response (RFC 9111 section 4.3.4): an origin may
/// answer for another representation than the one whose validator was sent.
pub(crate) fn confirms(not_modified: &HeaderMap, stored: &HeaderMap) -> bool {
    match (not_modified.get(ETAG), stored.get(ETAG)) {
        (Some(sent), Some(kept)) => weak_eq(sent.as_bytes(), kept.as_bytes()),
        (Some(_), None) => false,
        (None, _) => true,
    }
}

/// Returns the stored fields updated by those of a 304 (RFC 9111 section 3.2).
pub(crate) fn merge(stored: &HeaderMap, not_modified: &HeaderMap) -> HeaderMap {
    let mut merged = stored.clone();
    for name in not_modified.keys().filter(|name| !OF_THE_BODY.contains(name)) {
        merged.remove(name);
        for value in not_modified.get_all(name) {
            merged.append(name, value.clone());
        }
    }
    merged
}

/// Takes the fields that describe a body out of the head of a 304.
pub(crate) fn strip_for_not_modified(headers: &mut HeaderMap) {
    for name in &NOT_IN_304 {
        headers.remove(name);
    }
}

/// Looks for `etag` in a list of entity tags, by weak comparison (RFC 9110 section 8.8.3.2).
fn lists_etag(line: &[u8], etag: Option<&[u8]>) -> bool {
    // Any stored response counts for an asterisk.
    if line.trim_ascii() == b"*" {
        return true;
    }
    let Some(etag) = etag else { return false };
    let mut rest = line;
    loop {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        // A tag's text may hold commas, so the list can't be split at them.
        let prefix = if rest.starts_with(b"W/") { 2 } else { 0 };
        let Some((b'"', quoted)) = rest.get(prefix..).and_then(<[u8]>::split_first) else {
            // Sloppy clients send tags without quotes.
            return rest.split(|byte| *byte == b',').any(|member| member.trim_ascii() == etag);
        };
        let Some(length) = quoted.iter().position(|byte| *byte == b'"') else { return false };
        let (member, after) = rest.split_at(prefix + length + 2);
        if weak_eq(member, etag) {
            return true;
        }
        rest = after;
    }
}

fn weak_eq(a: &[u8], b: &[u8]) -> bool {
    let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_owned();
    a.strip_prefix(b"W/").unwrap_or(a) == opaque(b).as_slice()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NOW: Timestamp = Timestamp(1_763_806_500_000_000);

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[track_caller]
    fn check(request: &[(&str, &str)], stored: &[(&str, &str)], expected: Condition) {
        let condition = evaluate(&headers(request), StatusCode::OK, &headers(stored), NOW);
        assert_eq!(condition, expected, "{request:?} {stored:?}");
    }

    #[test]
    fn if_none_match_compares_weakly_in_lists() {
        let strong = [("etag", "\"a\"")];
        let weak = [("etag", "W/\"a\"")];
        for list in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "\"x,y\" , W/\"a\"", "*", ",\"a\""] {
            check(&[("if-none-match", list)], &strong, Condition::NotModified);
            check(&[("if-none-match", list)], &weak, Condition::NotModified);
        }
        check(&[("if-none-match", "\"b\""), ("if-none-match", "\"a\"")], &weak, {
            Condition::NotModified
        });
        for list in ["\"b\"", "\"a", "\"x,a\"", "", "\"A\""] {
            check(&[("if-none-match", list)], &strong, Condition::Send);
        }
        check(&[("if-none-match", "\"a\"")], &[], Condition::Send);
        check(&[("if-none-match", "*")], &[], Condition::NotModified);
    }

    #[test]
    fn if_modified_since_is_used_only_without_if_none_match() {
        let since = ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT");
        let same = [("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")];
        let newer = [("last-modified", "Sun, 06 Nov 1994 08:49:38 GMT")];
        check(&[since], &same, Condition::NotModified);
        check(&[since], &newer, Condition::Send);
        check(&[since, ("if-none-match", "\"a\"")], &same, Condition::Send);
        check(&[("if-modified-since", "yesterday")], &same, Condition::Send);
        // RFC 9111 section 4.3.2.
        check(&[since], &[("date", "Sun, 06 Nov 1994 08:00:00 GMT")], Condition::NotModified);
        check(&[since], &[], Condition::Send);
    }

    #[test]
    fn conditions_apply_to_successes_only() {
        let request = headers(&[("if-none-match", "*")]);
        let stored = headers(&[("etag", "\"a\"")]);
        let condition = evaluate(&request, StatusCode::NOT_FOUND, &stored, NOW);
        assert_eq!(condition, Condition::Send);
    }

    #[test]
    fn a_304_updates_fields_but_not_those_of_the_body() {
        let stored = headers(&[
            ("cache-control", "max-age=1"),
            ("content-length", "5"),
            ("content-encoding", "gzip"),
            ("x-a", "old"),
            ("x-kept", "1"),
        ]);
        let update = headers(&[
            ("cache-control", "max-age=9"),
            ("content-length", "0"),
            ("content-encoding", "br"),
            ("x-a", "new"),
            ("x-a", "newer"),
        ]);
        let expected = headers(&[
            ("cache-control", "max-age=9"),
            ("content-length", "5"),
            ("content-encoding", "gzip"),
            ("x-a", "new"),
            ("x-a", "newer"),
            ("x-kept", "1"),
        ]);
        assert_eq!(merge(&stored, &update), expected);
    }

    #[test]
    fn a_304_for_another_representation_confirms_nothing() {
        let tagged = |tag| headers(&[("etag", tag)]);
        assert!(confirms(&tagged("W/\"a\""), &tagged("\"a\"")));
        assert!(confirms(&HeaderMap::new(), &tagged("\"a\"")));
        assert!(!confirms(&tagged("\"b\""), &tagged("\"a\"")));
        assert!(!confirms(&tagged("\"b\""), &HeaderMap::new()));
    }

    #[test]
    fn the_stored_validators_replace_the_client_s() {
        let mut request = headers(&[("if-none-match", "\"client\""), ("if-modified-since", "x")]);
        condition(&mut request, &headers(&[("etag", "\"kept\"")]));
        assert_eq!(request, headers(&[("if-none-match", "\"kept\"")]));
    }
}
