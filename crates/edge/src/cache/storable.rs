//! Whether a response may be stored (RFC 9111 section 3).

use http::header::{ETAG, HeaderMap, LAST_MODIFIED, SET_COOKIE, VARY};
use http::{Method, StatusCode};
use tidegate_core::edge_plan::CachePlan;

use super::control::{Fields, RequestControl, ResponseControl};
use super::freshness::{Basis, Metadata, is_heuristically_cacheable};

/// What the decision looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) method: &'a Method,
    pub(crate) request: RequestControl,
    pub(crate) credentials: Credentials,
    pub(crate) plan: CachePlan,
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) control: &'a ResponseControl,
    pub(crate) metadata: &'a Metadata,
}

/// How the request was authorized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// It carried no credential, or the route's key accounts for it.
    Settled,
    /// It carried `Authorization`, and the key does not tell whose.
    Unsettled,
}

/// Why a response is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotStorable {
    Method,
    Off,
    Status,
    RequestNoStore,
    NoStore,
    Private,
    Authorization,
    VaryAny,
    SetCookie,
    NoLifetime,
    TooLarge,
    /// Too much is being collected at present.
    Busy,
    /// Its tags or its data sequence can't be read: it could never be purged.
    Unpurgeable,
}

// === impl NotStorable ===

impl NotStorable {
    /// Returns the word for `Cache-Status`.
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Off => "off",
            Self::Status => "status",
            Self::RequestNoStore => "request-no-store",
            Self::NoStore => "no-store",
            Self::Private => "private",
            Self::Authorization => "authorization",
            Self::VaryAny => "vary-any",
            Self::SetCookie => "set-cookie",
            Self::NoLifetime => "no-lifetime",
            Self::TooLarge => "too-large",
            Self::Busy => "busy",
            Self::Unpurgeable => "unpurgeable",
        }
    }

    /// Says whether the next response for this key will likely not be storable either, so that
    /// requests for it need not wait for each other.
    pub(crate) fn is_lasting(self) -> bool {
        match self {
            Self::NoStore
            | Self::Private
            | Self::VaryAny
            | Self::SetCookie
            | Self::NoLifetime
            | Self::TooLarge
            | Self::Unpurgeable => true,
            Self::Method
            | Self::Off
            | Self::Status
            | Self::RequestNoStore
            | Self::Busy
            | Self::Authorization => false,
        }
    }
}

/// Decides whether a shared cache may store a response.
pub(crate) fn judge(candidate: &Candidate<'_>) -> Result<(), NotStorable> {
    let Candidate { method, request, plan, status, headers, .. } = *candidate;
    if method != Method::GET {
        return Err(NotStorable::Method);
    }
    // RFC 9111 section 5.2.1.5.
    if request.no_store {
        return Err(NotStorable::RequestNoStore);
    }
    // Partial content and the answer to our own condition are no complete responses.
    if !is_final(status)
        || status == StatusCode::PARTIAL_CONTENT
        || status == StatusCode::NOT_MODIFIED
    {
        return Err(NotStorable::Status);
    }
    if names_any(headers) {
        return Err(NotStorable::VaryAny);
    }
    // A cookie is one client's: it is never handed to another, whatever else the origin says.
    if headers.contains_key(SET_COOKIE) {
        return Err(NotStorable::SetCookie);
    }
    match plan {
        CachePlan::Off => Err(NotStorable::Off),
        CachePlan::Override { .. } if is_heuristically_cacheable(status) => Ok(()),
        CachePlan::Override { .. } => Err(NotStorable::Status),
        CachePlan::Respect => judge_declared(candidate),
    }
}

/// RFC 9111 sections 3, 3.5 and 5.2.2.
fn judge_declared(candidate: &Candidate<'_>) -> Result<(), NotStorable> {
    let Candidate { credentials, status, headers, control, metadata, .. } = *candidate;
    // Section 5.2.2.3: what is understood may be stored in spite of no-store.
    let understood = is_heuristically_cacheable(status);
    if control.must_understand && !understood {
        return Err(NotStorable::Status);
    }
    if control.no_store && !control.must_understand {
        return Err(NotStorable::NoStore);
    }
    if control.private == Fields::All {
        return Err(NotStorable::Private);
    }
    let shared = control.public || control.must_revalidate || control.s_maxage.is_some();
    if credentials == Credentials::Unsettled && !shared {
        return Err(NotStorable::Authorization);
    }
    if metadata.basis() != Basis::Explicit && !control.public && !understood {
        return Err(NotStorable::Status);
    }
    let has_validator = headers.contains_key(ETAG) || headers.contains_key(LAST_MODIFIED);
    if !metadata.is_reusable_unvalidated() && !has_validator {
        return Err(NotStorable::NoLifetime);
    }
    Ok(())
}

fn is_final(status: StatusCode) -> bool {
    !status.is_informational()
}

/// RFC 9111 section 4.1: a `*` anywhere in `Vary` matches no request.
fn names_any(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(VARY).iter();
    lines
        .map(|line| line.as_bytes())
        .any(|line| line.split(|byte| *byte == b',').any(|member| member.trim_ascii() == b"*"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::{CACHE_CONTROL, HeaderName};
    use tidegate_core::clock::Timestamp;

    use super::super::freshness::Exchange;
    use super::*;

    const NOW: Timestamp = Timestamp(1_763_806_500_000_000);

    struct Case {
        method: Method,
        request: RequestControl,
        credentials: Credentials,
        plan: CachePlan,
        status: u16,
    }

    const PLAIN: Case = Case {
        method: Method::GET,
        request: RequestControl { no_store: false, only_if_cached: false, revalidate: false },
        credentials: Credentials::Settled,
        plan: CachePlan::Respect,
        status: 200,
    };

    #[track_caller]
    fn check(case: Case, fields: &[(&str, &str)], expected: Result<(), NotStorable>) {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let status = StatusCode::from_u16(case.status).unwrap();
        let control = ResponseControl::parse(&headers);
        let exchange = Exchange { request_time: NOW, response_time: NOW };
        let metadata = Metadata::measure(status, &headers, &control, exchange, case.plan);
        let candidate = Candidate {
            method: &case.method,
            request: case.request,
            credentials: case.credentials,
            plan: case.plan,
            status,
            headers: &headers,
            control: &control,
            metadata: &metadata,
        };
        assert_eq!(judge(&candidate), expected, "{} {fields:?}", case.status);
    }

    fn cc(value: &str) -> (&'static str, &str) {
        (CACHE_CONTROL_NAME, value)
    }

    const CACHE_CONTROL_NAME: &str = "cache-control";

    #[test]
    fn only_complete_answers_to_get_are_stored() {
        let fresh = [cc("max-age=10")];
        assert_eq!(CACHE_CONTROL, CACHE_CONTROL_NAME);
        check(PLAIN, &fresh, Ok(()));
        check(Case { method: Method::POST, ..PLAIN }, &fresh, Err(NotStorable::Method));
        check(Case { method: Method::HEAD, ..PLAIN }, &fresh, Err(NotStorable::Method));
        check(Case { status: 206, ..PLAIN }, &fresh, Err(NotStorable::Status));
        check(Case { status: 304, ..PLAIN }, &fresh, Err(NotStorable::Status));
        let request = RequestControl { no_store: true, ..PLAIN.request };
        check(Case { request, ..PLAIN }, &fresh, Err(NotStorable::RequestNoStore));
    }

    #[test]
    fn explicit_freshness_makes_any_status_storable() {
        for status in [200, 201, 302, 404, 418, 500, 599] {
            check(Case { status, ..PLAIN }, &[cc("max-age=10")], Ok(()));
        }
        let etag = ("etag", "\"a\"");
        check(Case { status: 404, ..PLAIN }, &[etag], Ok(()));
        check(Case { status: 302, ..PLAIN }, &[etag], Err(NotStorable::Status));
        check(Case { status: 302, ..PLAIN }, &[etag, cc("public")], Ok(()));
    }

    #[test]
    fn what_could_never_be_reused_is_not_stored() {
        check(PLAIN, &[], Err(NotStorable::NoLifetime));
        check(PLAIN, &[cc("max-age=0")], Err(NotStorable::NoLifetime));
        check(PLAIN, &[cc("max-age=0, stale-while-revalidate=5")], Ok(()));
        check(PLAIN, &[cc("no-cache, max-age=10")], Err(NotStorable::NoLifetime));
        check(PLAIN, &[cc("no-cache, max-age=10"), ("etag", "\"a\"")], Ok(()));
        check(PLAIN, &[("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT")], Ok(()));
    }

    #[test]
    fn no_store_and_private_forbid_it_unless_they_name_fields_or_are_understood() {
        check(PLAIN, &[cc("no-store, max-age=10")], Err(NotStorable::NoStore));
        check(PLAIN, &[cc("private, max-age=10")], Err(NotStorable::Private));
        check(PLAIN, &[cc("private=\"x-a\", max-age=10")], Ok(()));
        // RFC 9111 section 5.2.2.3.
        check(PLAIN, &[cc("must-understand, no-store, max-age=10")], Ok(()));
        let case = Case { status: 418, ..PLAIN };
        check(case, &[cc("must-understand, max-age=10")], Err(NotStorable::Status));
    }

    #[test]
    fn an_authorized_response_needs_a_directive_that_shares_it() {
        let sent = || Case { credentials: Credentials::Unsettled, ..PLAIN };
        check(sent(), &[cc("max-age=10")], Err(NotStorable::Authorization));
        check(sent(), &[cc("max-age=10, public")], Ok(()));
        check(sent(), &[cc("max-age=10, must-revalidate")], Ok(()));
        check(sent(), &[cc("s-maxage=10")], Ok(()));
    }

    #[test]
    fn cookies_and_vary_any_are_never_stored() {
        let fresh = cc("max-age=10, public");
        check(PLAIN, &[fresh, ("set-cookie", "a=b")], Err(NotStorable::SetCookie));
        check(PLAIN, &[fresh, ("vary", "accept, *")], Err(NotStorable::VaryAny));
        check(PLAIN, &[fresh, ("vary", "accept"), ("vary", "*")], Err(NotStorable::VaryAny));
    }

    #[test]
    fn a_plan_that_overrides_stores_what_the_origin_would_not() {
        let plan = CachePlan::Override { ttl_s: 5, swr_s: 0, sie_s: 0 };
        check(Case { plan, ..PLAIN }, &[cc("no-store")], Ok(()));
        check(Case { plan, status: 500, ..PLAIN }, &[], Err(NotStorable::Status));
        check(Case { plan, ..PLAIN }, &[("set-cookie", "a")], Err(NotStorable::SetCookie));
        check(Case { plan: CachePlan::Off, ..PLAIN }, &[cc("max-age=5")], Err(NotStorable::Off));
    }
}
