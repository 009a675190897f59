//! Paths of endpoints: below the product, and each one's own.

use tidegate_core::path::PathTemplate;

use crate::compile::Named;
use crate::compile::source::{At, Problems};
use crate::contract::Endpoint;

/// First segments below `/v1/{product}` that the api itself serves.
const RESERVED_SEGMENTS: [&str; 8] =
    ["datasets", "docs", "exports", "freshness", "lineage", "openapi.json", "schema", "views"];

pub(super) fn check_path(
    path: At<&str>,
    product: &str,
    problems: &mut Problems,
) -> Option<PathTemplate> {
    let first = path.value.trim_start_matches('/').split('/').next().unwrap_or("");
    if path.value.len() > 512 || path.value.contains('*') {
        problems.add(path.at, "a path has at most 512 bytes and no '*'; write another path");
        return None;
    }
    if first.is_empty() || !path.value.starts_with('/') {
        problems.add(path.at, "a path begins with '/' and a segment; write path = \"/worst\"");
    }
    if first.is_empty() {
        return None;
    }
    if RESERVED_SEGMENTS.contains(&first) {
        let message = format!("paths below '/{first}' are the api's own; write another path");
        problems.add(path.at, message);
    }
    PathTemplate::parse(&format!("/v1/{product}/{}", path.value.trim_start_matches('/')))
        .map_err(|error| {
            problems.add(path.at, format!("{error}; write path = \"/cities/{{city}}\""))
        })
        .ok()
}

/// Refuses two endpoints that take the same paths.
pub(in crate::compile) fn check_paths(endpoints: &Named<'_, Endpoint>, problems: &mut Problems) {
    let shape = |path: &str| -> Vec<String> {
        let segments = path.split('/');
        let segments = segments.map(|part| if part.starts_with('{') { "{}" } else { part });
        segments.map(str::to_owned).collect()
    };
    let known: Vec<(&At<&str>, &Endpoint)> =
        endpoints.iter().filter_map(|(name, endpoint)| Some((name, endpoint.as_ref()?))).collect();
    for (position, (name, endpoint)) in known.iter().enumerate() {
        let earlier = known.iter().take(position);
        let mut same = earlier.filter(|(_, other)| shape(&other.path) == shape(&endpoint.path));
        if let Some((_, other)) = same.next() {
            let message = format!(
                "'{}' has the path of endpoint '{}'; write another",
                name.value, other.name
            );
            problems.add(name.at, message);
        }
    }
}
