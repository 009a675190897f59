//! Fields that end at this hop and fields that name it (RFC 9110 section 7.6, RFC 7239).

use std::net::IpAddr;

use http::header::{
    CONNECTION, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
};

use tidegate_core::cohort;

use super::Stamp;
use crate::target::Target;

/// Fields that the edge itself writes for the tiers behind it; a client's are dropped.
const INTERNAL_PREFIX: &str = "x-tidegate-";

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields about one connection, beside those that `Connection` names.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    // Answered here: the client's body is read as soon as the origin wants it.
    EXPECT,
];

/// Removes what a client may not tell the tiers behind the edge.
pub(crate) fn strip_internal(headers: &mut HeaderMap) {
    let is_internal = |name: &&HeaderName| name.as_str().starts_with(INTERNAL_PREFIX);
    let internal: Vec<HeaderName> = headers.keys().filter(is_internal).cloned().collect();
    for name in internal {
        headers.remove(name);
    }
}

/// Says whether a body is coded for this hop in a way that can't be undone here. "chunked" is
/// undone by the HTTP library.
pub(crate) fn has_foreign_coding(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(TRANSFER_ENCODING).iter();
    lines.any(|line| !line.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

/// Removes the fields that are about the connection they came over (RFC 9110 section 7.6.1).
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        // Naming an end-to-end field here is an old trick to hide it from the origin.
        .filter(|name| name != HOST)
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Prepares a client's fields for the origin; those of its connection were removed on arrival.
pub(crate) fn for_origin(headers: &mut HeaderMap, target: &Target, client: IpAddr, node: &str) {
    set(headers, HOST, &target.host);
    append_via(headers, node);
    let client_text = client.to_string();
    let node_text = match client {
        IpAddr::V4(_) => client_text.clone(),
        // RFC 7239 section 6: brackets, and then quotes.
        IpAddr::V6(_) => format!("\"[{client_text}]\""),
    };
    let Target { scheme, host, .. } = target;
    append(headers, FORWARDED, &format!("for={node_text};host=\"{host}\";proto={scheme}"));
    let earlier = headers.get_all(X_FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok());
    let chain: Vec<&str> = earlier.chain([&*client_text]).collect();
    let chain = chain.join(", ");
    set(headers, X_FORWARDED_FOR, &chain);
    set(headers, X_FORWARDED_PROTO, scheme);
}

/// Tells the tiers behind the edge which release takes the request; an origin that belongs to no
/// release is told nothing.
pub(crate) fn stamp(headers: &mut HeaderMap, stamp: Option<Stamp<'_>>) {
    let Some(Stamp { release, cohort }) = stamp else { return };
    set(headers, HeaderName::from_static(cohort::RELEASE_HEADER), release);
    headers.insert(HeaderName::from_static(cohort::COHORT_HEADER), cohort.into());
}

/// Prepares an origin's fields for clients and for the cache.
pub(crate) fn from_origin(headers: &mut HeaderMap, node: &str) {
    strip_hop_by_hop(headers);
    append_via(headers, node);
}

/// RFC 9110 section 7.6.3.
fn append_via(headers: &mut HeaderMap, node: &str) {
    append(headers, VIA, &format!("1.1 {node}"));
}

fn append(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    // Made of checked parts: hosts, addresses and a token.
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.append(name, value);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::super::Origin;
    use super::*;

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn fields_of_the_connection_end_here_with_those_it_names() {
        let mut fields = headers(&[
            ("connection", "close, X-Private"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("trailer", "x-checksum"),
            ("x-kept", "1"),
        ]);
        strip_hop_by_hop(&mut fields);
        assert_eq!(fields, headers(&[("trailer", "x-checksum"), ("x-kept", "1")]));
    }

    #[test]
    fn the_host_can_not_be_hidden_from_the_origin() {
        let mut fields = headers(&[("connection", "host"), ("host", "a")]);
        strip_hop_by_hop(&mut fields);
        assert_eq!(fields, headers(&[("host", "a")]));
    }

    #[test]
    fn internal_fields_of_clients_are_dropped() {
        let mut fields = headers(&[("x-tidegate-release", "r"), ("X-Tidegate-Cohort", "1")]);
        strip_internal(&mut fields);
        assert!(fields.is_empty());
    }

    #[test]
    fn only_an_origin_of_a_release_is_told_of_it() {
        let address = || vec!["h:1".parse().unwrap()];
        let stamped = |origin: &Origin, subject| {
            let mut fields = HeaderMap::new();
            stamp(&mut fields, origin.stamp(subject, "192.0.2.7".parse().unwrap()));
            fields
        };
        assert_eq!(
            stamped(&Origin::new("app", address()).unwrap(), Some("reader")),
            HeaderMap::new()
        );
        let origin = Origin::of_release("sha256:aa", address()).unwrap();
        for (subject, client_key) in [(Some("reader"), "reader"), (None, "192.0.2.7")] {
            let cohort = cohort::cohort("sha256:aa", client_key).to_string();
            let expected =
                headers(&[("x-tidegate-release", "sha256:aa"), ("x-tidegate-cohort", &cohort)]);
            assert_eq!(stamped(&origin, subject), expected);
        }
    }

    #[test]
    fn the_origin_learns_who_asked_and_how() {
        let request = Request::get("/").header(HOST, "A.example").body(()).unwrap();
        let target = Target::read(&request.into_parts().0, "https").unwrap();
        let mut fields = headers(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("via", "2 cdn"),
        ]);
        for_origin(&mut fields, &target, "2001:db8::7".parse().unwrap(), "edge");
        let expected = headers(&[
            ("host", "a.example"),
            ("via", "2 cdn"),
            ("via", "1.1 edge"),
            ("forwarded", "for=\"[2001:db8::7]\";host=\"a.example\";proto=https"),
            ("x-forwarded-for", "10.0.0.1, 10.0.0.2, 2001:db8::7"),
            ("x-forwarded-proto", "https"),
        ]);
        assert_eq!(fields, expected);
    }
}
