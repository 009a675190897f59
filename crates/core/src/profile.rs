//! The project profile: one deployment's tiers, token and arrows.

use serde::{Deserialize, Serialize};

/// `deploy/projects/<name>.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Name of the deployment: what `uv deploy` is given.
    pub name: String,
    /// Public marker that travels with every release of this deployment.
    pub guardrail_token: String,
    /// Names of the tiers in logs, metrics and annotations.
    pub tiers: Tiers,
    /// Which tier hands work to which, beyond edge → api → worker.
    pub arrows: Arrows,
}

/// Names of the three tiers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tiers {
    /// The edge.
    pub edge: String,
    /// The api.
    pub api: String,
    /// The worker.
    pub worker: String,
}

/// Arrows that one deployment has and another has not; the profile enforces them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Arrows {
    /// Workers render hot responses and write them back to the edges.
    pub worker_to_edge: bool,
    /// Workers fetch and report through the api.
    pub worker_to_api: bool,
    /// Edges hand refresh work to workers.
    pub edge_to_worker: bool,
}

/// Why a profile was refused.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The file is no TOML of this shape.
    #[error("the project profile can't be read: {0}")]
    Malformed(String),
    /// A name would not survive in paths, labels and metrics.
    #[error("{field} '{value}' must be 1 to 63 lower-case letters, digits and hyphens")]
    Name {
        /// Which field.
        field: &'static str,
        /// What it holds.
        value: String,
    },
}

// === impl Profile ===

impl Profile {
    /// Parses and checks a profile.
    ///
    /// # Errors
    /// Every field that is wrong.
    pub fn parse(text: &str) -> Result<Self, Vec<ProfileError>> {
        let profile: Self = toml::from_str(text)
            .map_err(|error| vec![ProfileError::Malformed(error.to_string().trim().to_owned())])?;
        let fields = [
            ("name", &profile.name),
            ("guardrail_token", &profile.guardrail_token),
            ("tiers.edge", &profile.tiers.edge),
            ("tiers.api", &profile.tiers.api),
            ("tiers.worker", &profile.tiers.worker),
        ];
        let problems: Vec<_> = fields
            .into_iter()
            .filter(|(_, value)| !is_label(value))
            .map(|(field, value)| ProfileError::Name { field, value: value.clone() })
            .collect();
        if problems.is_empty() { Ok(profile) } else { Err(problems) }
    }
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_name_is_reported() {
        let text = r#"
            name = "ok"
            guardrail_token = "No Good"
            arrows = {}
            [tiers]
            edge = ""
            api = "api-i"
            worker = "w"
        "#;
        let problems = Profile::parse(text).unwrap_err();
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
