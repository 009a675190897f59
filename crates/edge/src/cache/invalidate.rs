//! What an unsafe request that succeeded makes invalid (RFC 9111 section 4.4).

use http::header::{CONTENT_LOCATION, HeaderMap, HeaderName, LOCATION};
use http::{Method, StatusCode, Uri};

/// Path and query of one URI of the request's own origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invalidated {
    pub(crate) path: String,
    pub(crate) query: String,
}

/// The request that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) method: &'a Method,
    pub(crate) scheme: &'a str,
    /// Normalised host and port.
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
}

/// Returns the URIs whose stored responses must not be reused.
pub(crate) fn targets(
    request: Answered<'_>,
    status: StatusCode,
    response: &HeaderMap,
) -> Vec<Invalidated> {
    let succeeded = status.is_success() || status.is_redirection();
    if request.method.is_safe() || !succeeded {
        return Vec::new();
    }
    let own = Invalidated { path: request.path.to_owned(), query: request.query.to_owned() };
    let named =
        [LOCATION, CONTENT_LOCATION].iter().filter_map(|name| named(request, response, name));
    let mut targets = vec![own];
    targets.extend(named);
    targets.dedup();
    targets
}

/// A URI of another origin is never invalidated: anyone could empty a foreign cache that way.
fn named(request: Answered<'_>, response: &HeaderMap, name: &HeaderName) -> Option<Invalidated> {
    let text = response.get(name)?.to_str().ok()?;
    let uri: Uri = text.parse().ok()?;
    if let Some(authority) = uri.authority() {
        let same_scheme = uri.scheme_str().is_some_and(|scheme| scheme == request.scheme);
        let host = crate::target::normalise_host(authority.as_str(), request.scheme)?;
        if !same_scheme || host != request.host {
            return None;
        }
    }
    if !uri.path().starts_with('/') {
        return None;
    }
    Some(Invalidated {
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(method: Method, status: u16, fields: &[(HeaderName, &str)], expected: &[&str]) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let answered = Answered {
            method: &method,
            scheme: "https",
            host: "a.example",
            path: "/items",
            query: "p=1",
        };
        let targets = targets(answered, StatusCode::from_u16(status).unwrap(), &headers);
        let texts: Vec<_> =
            targets.iter().map(|target| format!("{}?{}", target.path, target.query)).collect();
        assert_eq!(texts, expected, "{method} {status} {fields:?}");
    }

    #[test]
    fn unsafe_methods_invalidate_their_target_when_they_succeed() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            check(method.clone(), 204, &[], &["/items?p=1"]);
            check(method.clone(), 303, &[], &["/items?p=1"]);
            check(method.clone(), 404, &[], &[]);
            check(method, 500, &[], &[]);
        }
        for method in [Method::GET, Method::HEAD, Method::OPTIONS] {
            check(method, 200, &[], &[]);
        }
    }

    #[test]
    fn named_uris_of_the_same_origin_are_invalidated_too() {
        check(Method::POST, 201, &[(LOCATION, "/items/7")], &["/items?p=1", "/items/7?"]);
        let here = [(CONTENT_LOCATION, "https://A.example:443/x?y=1")];
        check(Method::PUT, 200, &here, &["/items?p=1", "/x?y=1"]);
        for elsewhere in ["https://b.example/x", "http://a.example/x", "x", "\\bad"] {
            check(Method::POST, 201, &[(LOCATION, elsewhere)], &["/items?p=1"]);
        }
    }
}
