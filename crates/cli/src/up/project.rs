//! The project profile: one that the binary brings along, or a file.

use anyhow::{Context as _, bail};
use tidegate_core::profile::Profile;

/// Profiles that the binary brings along.
const KNOWN: [&str; 2] = [
    include_str!("../../../../deploy/projects/gq-ztfutjv.toml"),
    include_str!("../../../../deploy/projects/4pnihc40q-yj.toml"),
];

/// A profile and the text it was made from.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) profile: Profile,
    pub(crate) source: String,
}

// === impl Project ===

impl Project {
    /// Finds a profile by name, else reads it from a file.
    pub(crate) fn load(wanted: &str) -> anyhow::Result<Self> {
        let mut names = Vec::new();
        for source in KNOWN {
            let project = Self::parse(source.to_owned())?;
            if project.profile.name == wanted {
                return Ok(project);
            }
            names.push(project.profile.name);
        }
        // What looks like a path is one; anything else is a mistyped name.
        if !wanted.contains(['/', '.']) {
            bail!(
                "project '{wanted}' is not known; write {}, or the path of a profile",
                names.join(", ")
            );
        }
        let source = std::fs::read_to_string(wanted)
            .with_context(|| format!("the project profile {wanted} can't be read"))?;
        Self::parse(source).with_context(|| format!("the project profile {wanted} is wrong"))
    }

    fn parse(source: String) -> anyhow::Result<Self> {
        match Profile::parse(&source) {
            Ok(profile) => Ok(Self { profile, source }),
            Err(problems) => {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                bail!("{}", problems.join("; "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_are_found_by_name_and_by_path() {
        let profile = Project::load("4pnihc40q-yj").unwrap().profile;
        assert_eq!(profile.guardrail_token, "tpt-rifvn-of1ce");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own.toml");
        std::fs::write(&path, KNOWN[0].replace("gq-ztfutjv", "own")).unwrap();
        assert_eq!(Project::load(path.to_str().unwrap()).unwrap().profile.name, "own");
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = Project::load("gq").unwrap_err().to_string();
        assert!(error.contains("gq-ztfutjv, 4pnihc40q-yj"), "{error}");
    }
}
