//! What an endpoint's answers say of themselves: entity tag, cache policy, what selects them.

use std::fmt::Write as _;

use tidegate_core::param::ParamValue;
use xxhash_rust::xxh3::Xxh3Default;

use crate::contract::{Cache, Endpoint, Format};

/// What selects a representation, beside the version of its data.
#[derive(Clone, Copy, Debug)]
pub struct Selection<'a> {
    /// Life of the store: versions of another one mean nothing.
    pub incarnation: &'a str,
    /// Who may read it.
    pub scope_key: &'a str,
    /// In which form.
    pub format: Format,
    /// Bound parameters.
    pub params: &'a [Option<ParamValue>],
}

// === impl Selection ===

impl Selection<'_> {
    fn hash(&self) -> u64 {
        let mut hash = Xxh3Default::new();
        for text in [self.incarnation, self.scope_key, self.format.media_type()] {
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

/// Returns the first part of an endpoint's entity tags: it changes with the shape of the answers.
pub fn shape(endpoint: &Endpoint) -> String {
    endpoint.hash.chars().take(8).collect()
}

/// Returns the entity tag of a representation (RFC 9110 section 8.8.3).
///
/// It changes when the contract, the request, the reader's scope or the data does. Weak, because
/// equal data may be written with other fields.
pub fn entity_tag(shape: &str, selection: &Selection<'_>, newest: u64) -> String {
    let mut tag = String::with_capacity(48);
    // Writing to a string does not fail.
    write!(tag, "W/\"{shape}-{:016x}-{newest}\"", selection.hash()).ok();
    tag
}

/// Returns `Cache-Control` (RFC 9111 section 5.2.2.10, RFC 5861).
///
/// Clients validate every time, so that a purge reaches them; shared caches follow the policy.
pub fn cache_control(endpoint: &Endpoint) -> String {
    let Cache { ttl_s, swr_s, sie_s, .. } = endpoint.cache;
    if ttl_s == 0 {
        return "private, no-cache".to_owned();
    }
    let public = if endpoint.scope.is_none() { "public, " } else { "" };
    format!(
        "{public}max-age=0, s-maxage={ttl_s}, stale-while-revalidate={swr_s}, \
         stale-if-error={sie_s}"
    )
}

/// Returns `Vary`: the request fields that select the representation.
pub fn vary(endpoint: &Endpoint) -> Option<&'static str> {
    match (endpoint.formats.len() > 1, endpoint.scope.is_some()) {
        (true, true) => Some("Accept, Authorization"),
        (true, false) => Some("Accept"),
        (false, true) => Some("Authorization"),
        (false, false) => None,
    }
}

/// Returns `Content-Type`.
pub fn content_type(format: Format) -> &'static str {
    match format {
        Format::Json => "application/json",
        Format::Ndjson => "application/x-ndjson",
        Format::Csv => "text/csv; charset=utf-8; header=present",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::air;

    const BASE: Selection<'_> =
        Selection { incarnation: "k3", scope_key: "s", format: Format::Json, params: &[] };

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
            entity_tag("c0ffee00", &Selection { format: Format::Csv, ..BASE }, 7),
            entity_tag("c0ffee00", &Selection { params: &oslo, ..BASE }, 7),
            entity_tag("c0ffee00", &Selection { params: &olso, ..BASE }, 7),
            entity_tag("c0ffee00", &Selection { params: &one, ..BASE }, 7),
        ];
        tags.sort_unstable();
        assert!(tags.windows(2).all(|pair| pair[0] != pair[1]), "{tags:#?}");
    }

    #[test]
    fn the_declared_policy_becomes_cache_control() {
        let contract = air();
        let mut endpoint = contract.endpoints[0].clone();
        endpoint.cache = Cache { ttl_s: 30, swr_s: 300, sie_s: 3600, ..Cache::default() };
        let policy = "max-age=0, s-maxage=30, stale-while-revalidate=300, stale-if-error=3600";
        endpoint.scope = Some("read:air".to_owned());
        assert_eq!(cache_control(&endpoint), policy);
        endpoint.scope = None;
        assert_eq!(cache_control(&endpoint), format!("public, {policy}"));
        endpoint.cache = Cache::default();
        assert_eq!(cache_control(&endpoint), "private, no-cache");
    }
}
