//! What a request is for: scheme, normalised host, path and query.

use http::header::HOST;
use http::uri::Authority;
use http::{Method, Uri, request};

use crate::error::RequestError;
use crate::upstream::headers;

/// The target of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) scheme: &'static str,
    /// Lower case, with a port only if it is not the scheme's default.
    pub(crate) host: String,
    uri: Uri,
}

// === impl Target ===

impl Target {
    /// Reads the target of a request that came in over `scheme`.
    pub(crate) fn read(parts: &request::Parts, scheme: &'static str) -> Result<Self, RequestError> {
        // CONNECT would open a tunnel, TRACE would show other intermediaries' fields.
        if parts.method == Method::CONNECT || parts.method == Method::TRACE {
            return Err(RequestError::Method);
        }
        if headers::has_foreign_coding(&parts.headers) {
            return Err(RequestError::TransferCoding);
        }
        let mut hosts = parts.headers.get_all(HOST).iter();
        let header = hosts.next().map(|value| value.to_str());
        if hosts.next().is_some() {
            return Err(RequestError::Host);
        }
        // RFC 9112 section 3.2.2: an absolute target's authority replaces Host.
        let authority = match (parts.uri.authority(), header) {
            (Some(authority), _) => authority.as_str(),
            (None, Some(Ok(host))) => host,
            _ => return Err(RequestError::Host),
        };
        let host = normalise_host(authority, scheme).ok_or(RequestError::Host)?;
        Ok(Self { scheme, host, uri: parts.uri.clone() })
    }

    pub(crate) fn path(&self) -> &str {
        self.uri.path()
    }

    pub(crate) fn query(&self) -> &str {
        self.uri.query().unwrap_or_default()
    }

    /// Returns the host without its port.
    pub(crate) fn host_name(&self) -> &str {
        without_port(&self.host)
    }
}

/// Writes a host in lower case, without the scheme's default port and the root's dot; `None` if
/// it is no host.
pub(crate) fn normalise_host(authority: &str, scheme: &str) -> Option<String> {
    let authority: Authority = authority.parse().ok()?;
    // Credentials in a URI are never wanted here (RFC 9110 section 4.2.4).
    if authority.as_str().contains('@') || authority.host().is_empty() {
        return None;
    }
    let has_port = authority.as_str().len() > authority.host().len();
    if has_port && authority.port_u16().is_none() {
        return None;
    }
    let mut host = authority.host().to_ascii_lowercase();
    if host.ends_with('.') && host.len() > 1 {
        host.pop();
    }
    let default = if scheme == "https" { 443 } else { 80 };
    if let Some(port) = authority.port_u16().filter(|port| *port != default) {
        host.push(':');
        host.push_str(&port.to_string());
    }
    Some(host)
}

/// Returns a normalised host without its port.
pub(crate) fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[track_caller]
    fn check(authority: &str, scheme: &str, expected: Option<&str>) {
        assert_eq!(normalise_host(authority, scheme).as_deref(), expected, "{authority}");
    }

    #[test]
    fn hosts_that_mean_the_same_have_one_form() {
        check("A.Example", "https", Some("a.example"));
        check("a.example:443", "https", Some("a.example"));
        check("a.example:443", "http", Some("a.example:443"));
        check("a.example:80", "http", Some("a.example"));
        check("a.example.", "http", Some("a.example"));
        check("[::1]:8443", "https", Some("[::1]:8443"));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for bad in ["", "a b", "u@a", "a:", "a:x", "a:99999", "a/b", "a\r\nb"] {
            check(bad, "https", None);
        }
    }

    #[test]
    fn the_port_is_no_part_of_the_name() {
        assert_eq!(without_port("a.example:81"), "a.example");
        assert_eq!(without_port("[::1]"), "[::1]");
        assert_eq!(without_port("[::1]:81"), "[::1]");
    }

    fn read(request: Request<()>) -> Result<String, RequestError> {
        Target::read(&request.into_parts().0, "http").map(|target| target.host)
    }

    #[test]
    fn an_absolute_target_replaces_the_host_field() {
        let request = Request::get("http://a.example/x").header(HOST, "b.example");
        assert_eq!(read(request.body(()).unwrap()).as_deref(), Ok("a.example"));
    }

    #[test]
    fn a_request_must_name_exactly_one_host() {
        assert_eq!(read(Request::get("/").body(()).unwrap()), Err(RequestError::Host));
        let twice = Request::get("/").header(HOST, "a").header(HOST, "a");
        assert_eq!(read(twice.body(()).unwrap()), Err(RequestError::Host));
        let trace = Request::builder().method("TRACE").uri("/").header(HOST, "a");
        assert_eq!(read(trace.body(()).unwrap()), Err(RequestError::Method));
    }
}
