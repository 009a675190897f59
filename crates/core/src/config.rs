//! Configuration: one TOML file a tier, overridden by the environment, checked before anything starts.
//!
//! `TIDEGATE_<SECTION>__<KEY>` overrides `[section] key`; `TIDEGATE_STORE` and `TIDEGATE_QUEUE`
//! override the top-level keys of the same names.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Prefix of every environment variable that is read.
pub const ENV_PREFIX: &str = "TIDEGATE_";

/// Exit status for wrong words or a wrong configuration (`EX_USAGE`).
pub const EXIT_USAGE: u8 = 64;

/// Top-level keys that the environment may set without a section.
const TOP_LEVEL: [&str; 2] = ["store", "queue"];

/// Most problems reported for one file.
const MAX_PROBLEMS: usize = 50;

/// Everything that is wrong with a configuration, one line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigProblems(pub Vec<String>);

/// A checked configuration: made from its raw, as-written form.
pub trait Checked: Sized {
    /// The form in the file: primitive types, unknown fields denied.
    type Raw: DeserializeOwned;

    /// Checks every field before failing, so that an operator fixes the file once.
    ///
    /// # Errors
    /// One line for every problem.
    fn check(raw: Self::Raw) -> Result<Self, Vec<String>>;
}

/// Keeps a checked value, or notes what is wrong with the key.
pub fn keep<T>(key: &str, value: Result<T, String>, problems: &mut Vec<String>) -> Option<T> {
    value.map_err(|problem| problems.push(format!("{key}: {problem}"))).ok()
}

/// Reads the address of a listener.
///
/// # Errors
/// Says what would be right.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("'{text}' is no address; write IP:PORT"))
}

// === impl ConfigProblems ===

impl fmt::Display for ConfigProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Loads and checks a tier's configuration from `path` and the process environment.
///
/// # Errors
/// Every problem found, each naming the file or the key.
pub fn load<C: Checked>(path: &Path) -> Result<C, ConfigProblems> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigProblems(vec![format!("{}: can't be read: {error}", path.display())])
    })?;
    let environment = std::env::vars().filter(|(name, _)| name.starts_with(ENV_PREFIX));
    parse(&path.display().to_string(), &text, environment)
}

/// Parses and checks a tier's configuration; pure, for tests and for [`load`].
///
/// # Errors
/// Every problem found.
pub fn parse<C: Checked>(
    file: &str,
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<C, ConfigProblems> {
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| {
        ConfigProblems(vec![format!("{file}: {}", error.to_string().trim())])
    })?;
    for (name, value) in environment {
        apply_override(&mut table, &name, &value);
    }
    let in_file = |problems: Vec<String>| {
        ConfigProblems(problems.into_iter().map(|problem| format!("{file}: {problem}")).collect())
    };
    let raw = deserialize(table).map_err(in_file)?;
    C::check(raw).map_err(in_file)
}

/// Deserializes, and on an error goes on without the offending key to find the next one.
fn deserialize<T: DeserializeOwned>(mut table: Table) -> Result<T, Vec<String>> {
    let mut problems = Vec::new();
    loop {
        let error = match serde_path_to_error::deserialize(Value::Table(table.clone())) {
            Ok(raw) if problems.is_empty() => return Ok(raw),
            Ok(_) => return Err(problems),
            Err(error) => error,
        };
        let path = error.path().to_string();
        let message = error.inner().to_string();
        let message = message.trim();
        problems.push(if path == "." { message.to_owned() } else { format!("{path}: {message}") });
        let removed = remove(&mut table, &path);
        if !removed || problems.len() >= MAX_PROBLEMS {
            return Err(problems);
        }
    }
}

fn remove(table: &mut Table, path: &str) -> bool {
    let Some((parent, key)) = path.rsplit_once('.') else { return table.remove(path).is_some() };
    let mut at = table;
    for step in parent.split('.') {
        match at.get_mut(step) {
            Some(Value::Table(inner)) => at = inner,
            _ => return false,
        }
    }
    at.remove(key).is_some()
}

fn apply_override(table: &mut Table, name: &str, text: &str) {
    let Some(key) = name.strip_prefix(ENV_PREFIX) else { return };
    let key = key.to_ascii_lowercase();
    let steps: Vec<&str> = key.split("__").collect();
    let (Some((last, sections)), true) =
        (steps.split_last(), steps.len() > 1 || TOP_LEVEL.contains(&key.as_str()))
    else {
        return;
    };
    let mut at = table;
    for section in sections {
        let entry = at.entry((*section).to_owned()).or_insert_with(|| Value::Table(Table::new()));
        match entry {
            Value::Table(inner) => at = inner,
            _ => return,
        }
    }
    // A number, boolean or list where the text is one; otherwise the text itself.
    let value = format!("v = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("v"))
        .unwrap_or_else(|| Value::String(text.to_owned()));
    at.insert((*last).to_owned(), value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raw {
        listen: Listen,
        store: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Listen {
        address: String,
        backlog: Option<u32>,
    }

    #[derive(Debug)]
    struct Config {
        address: String,
        store: Option<String>,
    }

    impl Checked for Config {
        type Raw = Raw;

        fn check(raw: Raw) -> Result<Self, Vec<String>> {
            if raw.listen.backlog == Some(0) {
                return Err(vec!["listen.backlog: must not be 0".to_owned()]);
            }
            Ok(Self { address: raw.listen.address, store: raw.store })
        }
    }

    fn parse_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigProblems> {
        let pairs = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        parse("edge.toml", text, pairs)
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let text = "[listen]\naddress = \"a:1\"";
        let environment = [
            ("TIDEGATE_LISTEN__ADDRESS", "b:2"),
            ("TIDEGATE_STORE", "sqlite:x"),
            ("TIDEGATE_TOKEN", "t"),
        ];
        let config = parse_with(text, &environment).unwrap();
        assert_eq!((config.address.as_str(), config.store.as_deref()), ("b:2", Some("sqlite:x")));
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let text = "colour = 1\n[listen]\naddress = 5\nbacklog = \"x\"\nspeed = 1";
        let ConfigProblems(problems) = parse_with(text, &[]).unwrap_err();
        for key in ["colour", "listen.address", "listen.backlog", "listen.speed"] {
            assert!(problems.iter().any(|problem| problem.contains(key)), "{key}: {problems:#?}");
        }
    }

    #[test]
    fn checks_run_after_parsing() {
        let text = "[listen]\naddress = \"a:1\"\nbacklog = 0";
        let ConfigProblems(problems) = parse_with(text, &[]).unwrap_err();
        assert_eq!(problems, ["edge.toml: listen.backlog: must not be 0"]);
    }
}
