//! Who sends a request: bearer tokens, looked up by the digest of the credential.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tidegate_core::scope::{hex, scope_key};
use tidegate_store::SharedStore;
use tokio::time::Instant;

use crate::error::Refusal;

/// A token is looked up again after this long: a revocation whose notice was lost ends here.
const LIFETIME: Duration = Duration::from_secs(1);

/// Most tokens remembered.
const CAPACITY: usize = 4_096;

/// Longest credential that is looked at.
const MAX_CREDENTIAL_BYTES: usize = 512;

/// Who a valid token speaks for.
#[derive(Debug)]
pub(crate) struct Principal {
    pub(crate) tenant: String,
    pub(crate) subject: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) scope_key: String,
}

/// Finds tokens, and remembers them for a moment.
pub(crate) struct Credentials {
    store: SharedStore,
    known: Mutex<HashMap<Fingerprint, Known>>,
}

type Fingerprint = [u8; 32];

struct Known {
    principal: Arc<Principal>,
    since: Instant,
}

// === impl Credentials ===

impl Credentials {
    pub(crate) fn new(store: SharedStore) -> Self {
        Self { store, known: Mutex::default() }
    }

    /// Returns who sends the request.
    pub(crate) async fn authenticate(
        &self,
        headers: &HeaderMap,
        now: Instant,
    ) -> Result<Arc<Principal>, Refusal> {
        let fingerprint = digest(headers)?;
        if let Some(known) = self.known.lock().get(&fingerprint)
            && now.duration_since(known.since) < LIFETIME
        {
            return Ok(Arc::clone(&known.principal));
        }
        let principal = Arc::new(self.find(&fingerprint).await?);
        let mut known = self.known.lock();
        if known.len() >= CAPACITY {
            known.retain(|_, entry| now.duration_since(entry.since) < LIFETIME);
            // Thousands of tokens within a second: start over rather than grow.
            if known.len() >= CAPACITY {
                known.clear();
            }
        }
        known.insert(fingerprint, Known { principal: Arc::clone(&principal), since: now });
        Ok(principal)
    }

    /// Returns who sends the request as the store knows it now, for an answer that is relied on
    /// for longer than a revocation may take: the notice may reach the asker first.
    pub(crate) async fn look_up(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        self.find(&digest(headers)?).await
    }

    async fn find(&self, fingerprint: &Fingerprint) -> Result<Principal, Refusal> {
        let token = self.store.find_token(&hex(fingerprint)).await?;
        let token = token.ok_or(Refusal::UnknownToken)?;
        Ok(Principal {
            scope_key: scope_key(self.store.scope_secret(), &token.tenant, &token.scopes, ""),
            tenant: token.tenant,
            subject: token.name,
            scopes: token.scopes,
        })
    }

    /// Forgets the token with this digest.
    pub(crate) fn revoke(&self, digest: &str) {
        if let Some(fingerprint) = fingerprint(digest) {
            self.known.lock().remove(&fingerprint);
        }
    }

    /// Forgets all tokens: revocations may have been missed.
    pub(crate) fn forget(&self) {
        self.known.lock().clear();
    }
}

fn digest(headers: &HeaderMap) -> Result<Fingerprint, Refusal> {
    Ok(Sha256::digest(credential(headers)?.as_bytes()).into())
}

/// Reads a digest as notices carry it: hex.
fn fingerprint(digest: &str) -> Option<Fingerprint> {
    let mut fingerprint = Fingerprint::default();
    let (pairs, rest) = digest.as_bytes().as_chunks::<2>();
    if pairs.len() != fingerprint.len() || !rest.is_empty() {
        return None;
    }
    for (byte, pair) in fingerprint.iter_mut().zip(pairs) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(fingerprint)
}

/// Returns the credential of `Authorization: Bearer …` (RFC 6750 section 2.1).
fn credential(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let field = fields.next().ok_or(Refusal::NoCredential)?;
    if fields.next().is_some() {
        return Err(Refusal::MalformedCredential);
    }
    let text = field.to_str().map_err(|_| Refusal::MalformedCredential)?;
    let (scheme, credential) = text.split_once(' ').ok_or(Refusal::MalformedCredential)?;
    let credential = credential.trim();
    let well_formed = scheme.eq_ignore_ascii_case("bearer")
        && (1..=MAX_CREDENTIAL_BYTES).contains(&credential.len())
        && credential.bytes().all(|byte| byte.is_ascii_graphic());
    if well_formed { Ok(credential) } else { Err(Refusal::MalformedCredential) }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[track_caller]
    fn check(fields: &[&str], expected: Option<&str>) {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(AUTHORIZATION, HeaderValue::from_str(field).unwrap());
        }
        assert_eq!(credential(&headers).ok(), expected, "{fields:?}");
    }

    #[test]
    fn a_digest_is_read_back_or_refused() {
        let bytes: Fingerprint = Sha256::digest(b"t").into();
        assert_eq!(fingerprint(&hex(&bytes)), Some(bytes));
        for bad in ["", "00", &"zz".repeat(32), &"0".repeat(63), &"0".repeat(66)] {
            assert_eq!(fingerprint(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_one_bearer_credential_is_taken() {
        check(&["Bearer abc"], Some("abc"));
        check(&["bearer  abc"], Some("abc"));
        check(&[], None);
        check(&["Bearer"], None);
        check(&["Bearer "], None);
        check(&["Basic abc"], None);
        check(&["Bearer a b"], None);
        check(&["Bearer a", "Bearer b"], None);
        check(&[&format!("Bearer {}", "x".repeat(513))], None);
    }
}
