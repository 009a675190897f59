//! The `Cache-Status` field (RFC 9211): what this cache did for a request.

use std::fmt::Write as _;

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};

/// The field's name.
pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// One member of the field, written when a response is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheStatus {
    pub(crate) handling: Handling,
    /// Status of the origin's answer, if it differs from what the client gets.
    pub(crate) fwd_status: Option<StatusCode>,
    pub(crate) storing: Storing,
    pub(crate) sharing: Sharing,
    /// Rest of the lifetime in seconds, negative when stale.
    pub(crate) ttl: Option<i64>,
    pub(crate) detail: Option<&'static str>,
}

/// Where the answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handling {
    /// From the cache, without asking the origin.
    Hit,
    /// The request went to the origin.
    Forwarded(Forward),
}

/// Why a request went to the origin (RFC 9211 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forward {
    /// The cache was configured not to handle this request.
    Bypass,
    /// The method's semantics require it.
    Method,
    /// Nothing is stored for the URI.
    UriMiss,
    /// Stored responses don't match the fields named by `Vary`.
    VaryMiss,
    /// The client asked for it.
    Request,
    /// What is stored is stale or purged.
    Stale,
}

/// What became of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storing {
    Stored,
    NotStored,
}

/// Whose fetch it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// This request's.
    Own,
    /// Another request's, which this one waited for.
    Collapsed,
}

// === impl CacheStatus ===

impl CacheStatus {
    /// An answer from the cache.
    pub(crate) fn hit(ttl: i64) -> Self {
        Self { ttl: Some(ttl), ..Self::new(Handling::Hit) }
    }

    /// A request that went to the origin.
    pub(crate) fn forwarded(forward: Forward) -> Self {
        Self::new(Handling::Forwarded(forward))
    }

    fn new(handling: Handling) -> Self {
        Self {
            handling,
            fwd_status: None,
            storing: Storing::NotStored,
            sharing: Sharing::Own,
            ttl: None,
            detail: None,
        }
    }

    /// Appends this cache's member, after those of caches nearer to the origin.
    pub(crate) fn append_to(&self, headers: &mut HeaderMap, node: &str) {
        // A node's name is checked to be a token, so the text is always a field value.
        if let Ok(value) = HeaderValue::from_str(&self.to_text(node)) {
            headers.append(CACHE_STATUS, value);
        }
    }

    fn to_text(self, node: &str) -> String {
        let mut text = String::with_capacity(64);
        text.push_str(node);
        match self.handling {
            Handling::Hit => text.push_str("; hit"),
            Handling::Forwarded(forward) => {
                text.push_str("; fwd=");
                text.push_str(forward.token());
            }
        }
        // Writing to a string does not fail.
        if let Some(status) = self.fwd_status {
            write!(text, "; fwd-status={}", status.as_u16()).ok();
        }
        if self.storing == Storing::Stored {
            text.push_str("; stored");
        }
        if self.sharing == Sharing::Collapsed {
            text.push_str("; collapsed");
        }
        if let Some(ttl) = self.ttl {
            write!(text, "; ttl={ttl}").ok();
        }
        if let Some(detail) = self.detail {
            write!(text, "; detail={detail}").ok();
        }
        text
    }
}

// === impl Forward ===

impl Forward {
    fn token(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Request => "request",
            Self::Stale => "stale",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_written_as_rfc_9211_says() {
        let forwarded = CacheStatus::forwarded;
        let cases = [
            (CacheStatus::hit(30), "edge; hit; ttl=30"),
            (
                CacheStatus { detail: Some("purged"), ..forwarded(Forward::Bypass) },
                "edge; fwd=bypass; detail=purged",
            ),
            (CacheStatus::hit(-3), "edge; hit; ttl=-3"),
            (forwarded(Forward::Method), "edge; fwd=method"),
            (
                CacheStatus {
                    fwd_status: Some(StatusCode::NOT_MODIFIED),
                    storing: Storing::Stored,
                    ttl: Some(60),
                    ..forwarded(Forward::Stale)
                },
                "edge; fwd=stale; fwd-status=304; stored; ttl=60",
            ),
            (
                CacheStatus { sharing: Sharing::Collapsed, ..forwarded(Forward::UriMiss) },
                "edge; fwd=uri-miss; collapsed",
            ),
        ];
        for (status, expected) in cases {
            assert_eq!(status.to_text("edge"), expected);
        }
    }

    #[test]
    fn caches_nearer_to_the_origin_come_first() {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_STATUS, HeaderValue::from_static("shield; hit"));
        CacheStatus::hit(1).append_to(&mut headers, "edge");
        let lines: Vec<_> = headers.get_all(CACHE_STATUS).iter().collect();
        assert_eq!(lines, ["shield; hit", "edge; hit; ttl=1"]);
    }
}
