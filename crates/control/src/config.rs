//! Control's configuration.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use tidegate_core::config::{self, Checked};
use tidegate_core::profile::Profile;
use tidegate_core::telemetry::LogConfig;

/// Most instances of one pool.
const MAX_INSTANCES: usize = 256;

/// Control's configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The project's profile.
    pub profile: Profile,
    /// The product's source; no product as long as there is no such file.
    pub product: PathBuf,
    /// Digest of the stable release.
    pub release: String,
    /// Where it governs.
    pub environment: Environment,
    /// Signing key and epoch.
    pub state: PathBuf,
    /// Listener for edges and people.
    pub address: SocketAddr,
    /// Listener for liveness, readiness and metrics.
    pub private: SocketAddr,
    /// Instances of the stable release.
    pub stable: Stable,
    /// Logs.
    pub log: LogConfig,
    /// End when standard input closes.
    pub supervised: bool,
}

/// Instances of the stable release, each as `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stable {
    /// Public listeners.
    pub api: Vec<String>,
    /// Private listeners.
    pub internal: Vec<String>,
}

/// Where a control governs; fixed at its first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// A developer's machine: contracts may be applied directly.
    Local,
    /// Where releases are tried.
    Staging,
    /// Where users are.
    Production,
}

/// The configuration as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    /// Path of the project profile.
    profile: PathBuf,
    /// Path of `product.toml`.
    product: PathBuf,
    /// `sha256:` and 64 hex digits.
    release: Option<String>,
    /// A file that holds them, instead: images bring one along.
    release_file: Option<PathBuf>,
    /// `local`, `staging` or `production`.
    environment: String,
    /// Directory.
    state: PathBuf,
    listen: RawListen,
    stable: Stable,
    #[serde(default)]
    log: LogConfig,
    /// Default: false.
    #[serde(default)]
    supervised: bool,
    /// Control uses neither, but `TIDEGATE_STORE` and `TIDEGATE_QUEUE` are often set for all tiers
    /// of a machine.
    #[serde(default, rename = "store")]
    _store: Option<IgnoredAny>,
    #[serde(default, rename = "queue")]
    _queue: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawListen {
    address: String,
    private: String,
}

// === impl Config ===

impl Checked for Config {
    type Raw = Raw;

    fn check(raw: Raw) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let profile = keep(&mut problems, load_profile(&raw.profile));
        let environment = keep(&mut problems, one("environment", raw.environment.parse()));
        let address =
            keep(&mut problems, one("listen.address", config::address(&raw.listen.address)));
        let private =
            keep(&mut problems, one("listen.private", config::address(&raw.listen.private)));
        let release = keep(&mut problems, load_release(raw.release, raw.release_file.as_deref()));
        check_instances(&mut problems, "stable.api", &raw.stable.api);
        check_instances(&mut problems, "stable.internal", &raw.stable.internal);
        match (profile, release, environment, address, private) {
            (Some(profile), Some(release), Some(environment), Some(address), Some(private))
                if problems.is_empty() =>
            {
                Ok(Self {
                    profile,
                    product: raw.product,
                    release,
                    environment,
                    state: raw.state,
                    address,
                    private,
                    stable: raw.stable,
                    log: raw.log,
                    supervised: raw.supervised,
                })
            }
            _ => Err(problems),
        }
    }
}

// === impl Environment ===

impl Environment {
    /// Returns the word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Environment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Local, Self::Staging, Self::Production]
            .into_iter()
            .find(|environment| environment.as_str() == text)
            .ok_or_else(|| format!("'{text}' is not known; write local, staging or production"))
    }
}

fn load_profile(path: &Path) -> Result<Profile, Vec<String>> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| vec![format!("profile: {} can't be read: {error}", path.display())])?;
    Profile::parse(&text).map_err(|problems| {
        problems.iter().map(|problem| format!("profile: {}: {problem}", path.display())).collect()
    })
}

fn load_release(text: Option<String>, file: Option<&Path>) -> Result<String, Vec<String>> {
    let problem = |text: String| Err(vec![text]);
    let (key, text) = match (text, file) {
        (Some(text), None) => ("release", text),
        (None, Some(path)) => match std::fs::read_to_string(path) {
            Ok(text) => ("release_file", text.trim().to_owned()),
            Err(error) => {
                return problem(format!("release_file: {} can't be read: {error}", path.display()));
            }
        },
        _ => return problem("release: name it, or release_file".to_owned()),
    };
    if is_digest(&text) {
        Ok(text)
    } else {
        problem(format!("{key}: expected sha256: and 64 hex digits"))
    }
}

/// Takes the value, or its problems aside.
fn keep<T>(problems: &mut Vec<String>, checked: Result<T, Vec<String>>) -> Option<T> {
    checked.map_err(|mut found| problems.append(&mut found)).ok()
}

fn one<T>(key: &str, checked: Result<T, String>) -> Result<T, Vec<String>> {
    checked.map_err(|problem| vec![format!("{key}: {problem}")])
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| {
        hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn check_instances(problems: &mut Vec<String>, key: &str, instances: &[String]) {
    if instances.is_empty() || instances.len() > MAX_INSTANCES {
        problems.push(format!("{key}: name 1 to {MAX_INSTANCES} instances"));
    }
    for instance in instances {
        let port = instance.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        if !port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port != 0)) {
            problems.push(format!("{key}: '{instance}' is not host:port"));
        }
    }
}

#[cfg(test)]
pub(crate) fn sample(dir: &Path) -> Config {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    Config {
        profile: Profile::parse(include_str!("../../../deploy/projects/gq-ztfutjv.toml")).unwrap(),
        product: dir.join("product.toml"),
        release: format!("sha256:{}", "0".repeat(64)),
        environment: Environment::Local,
        state: dir.join("state"),
        address: loopback,
        private: loopback,
        stable: Stable {
            api: vec!["127.0.0.1:1".to_owned()],
            internal: vec!["127.0.0.1:2".to_owned()],
        },
        log: LogConfig::default(),
        supervised: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_reported_at_once() {
        let text = r#"
            profile = "absent.toml"
            product = "product.toml"
            release = "latest"
            environment = "moon"
            state = "state"
            [listen]
            address = "here"
            private = "127.0.0.1:0"
            [stable]
            api = []
            internal = ["127.0.0.1"]
        "#;
        let problems = tidegate_core::config::parse::<Config>("control.toml", text, [])
            .unwrap_err()
            .0
            .join("\n");
        for key in
            ["profile", "release", "environment", "listen.address", "stable.api", "stable.internal"]
        {
            assert!(problems.contains(&format!("control.toml: {key}:")), "{key} in\n{problems}");
        }
    }

    #[test]
    fn the_release_may_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let digest = format!("sha256:{}", "a".repeat(64));
        std::fs::write(file.path(), format!("{digest}\n")).unwrap();
        assert_eq!(load_release(None, Some(file.path())), Ok(digest.clone()));
        std::fs::write(file.path(), "latest\n").unwrap();
        for (text, path) in
            [(None, Some(file.path())), (None, None), (Some(digest), Some(file.path()))]
        {
            assert!(load_release(text, path).is_err());
        }
    }

    #[test]
    fn both_deployments_are_what_their_notes_say() {
        #[track_caller]
        fn check(file: &str, text: &str, arrows: (bool, bool, bool)) {
            let profile = Profile::parse(text).unwrap();
            assert_eq!(profile.name, file);
            let present = profile.arrows;
            assert_eq!(
                (present.worker_to_edge, present.worker_to_api, present.edge_to_worker),
                arrows
            );
        }
        check(
            "gq-ztfutjv",
            include_str!("../../../deploy/projects/gq-ztfutjv.toml"),
            (true, false, false),
        );
        check(
            "4pnihc40q-yj",
            include_str!("../../../deploy/projects/4pnihc40q-yj.toml"),
            (false, true, true),
        );
    }
}
