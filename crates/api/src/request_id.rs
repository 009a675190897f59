//! Names a request in its answer and in logs.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The field that carries the name, in requests and in answers.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Longest name that is taken from a request.
const MAX_BYTES: usize = 64;

/// Makes names that no other process makes: a random prefix and a count.
pub(crate) struct RequestIds {
    prefix: String,
    next: AtomicU64,
}

/// A request's name: letters, digits and `._-`.
pub(crate) struct RequestId(HeaderValue);

// === impl RequestIds ===

impl RequestIds {
    pub(crate) fn new() -> Self {
        let prefix = Uuid::now_v7().simple().to_string();
        Self { prefix, next: AtomicU64::new(0) }
    }

    /// Returns the name the request brings from the tier before, or a new one.
    pub(crate) fn of(&self, headers: &HeaderMap) -> RequestId {
        if let Some(given) = headers.get(HEADER)
            && is_name(given.as_bytes())
        {
            return RequestId(given.clone());
        }
        let mut name = String::with_capacity(self.prefix.len() + 9);
        name.push_str(&self.prefix);
        // Writing to a string does not fail.
        write!(name, "-{:x}", self.next.fetch_add(1, Ordering::Relaxed)).ok();
        RequestId(HeaderValue::try_from(name).expect("a name must be a field value: it is ASCII"))
    }
}

// === impl RequestId ===

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().expect("a name must be text: it is ASCII")
    }

    pub(crate) fn to_header(&self) -> HeaderValue {
        self.0.clone()
    }
}

fn is_name(bytes: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_BYTES).contains(&bytes.len()) && bytes.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_well_formed_name_is_kept_and_any_other_replaced() {
        let ids = RequestIds::new();
        let name = |given: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_str(given).unwrap());
            ids.of(&headers).as_str().to_owned()
        };
        assert_eq!(name("edge-7.a_b"), "edge-7.a_b");
        for bad in ["", "a b", "a\"b", &"x".repeat(65)] {
            assert_ne!(name(bad), bad);
        }
        assert_ne!(name(""), name(""));
    }
}
