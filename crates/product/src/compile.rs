//! `product.toml` to a checked contract: every problem at once, each with its line.

mod access;
mod canonical;
mod column;
mod dataset;
mod endpoint;
mod measure;
mod params;
mod source;
mod view;

use std::fmt;

use toml::de::DeTable;

use crate::contract::Contract;
use crate::names::{Use, check_name, closest, did_you_mean};
use source::{At, Problems, Section};

/// Largest product file.
const MAX_SOURCE_BYTES: usize = 1 << 20;

/// Most datasets, views or endpoints of a product.
const MAX_PARTS: usize = 500;

/// Something to put right in a product file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong; what to write instead.
    pub message: String,
}

/// Compiles a product file; `file` is its name in messages.
///
/// Where it can be guessed what was meant, the guess stands in, so that one problem does not hide
/// those in what rests on it.
///
/// # Errors
/// Everything that is wrong with it, in the order of its lines.
pub fn compile(file: &str, source: &str) -> Result<Contract, Vec<Problem>> {
    let mut problems = Problems::new(file, source);
    if source.len() > MAX_SOURCE_BYTES {
        problems.add(0, format!("the file is larger than {MAX_SOURCE_BYTES} bytes"));
        return Err(problems.into_sorted());
    }
    // One mistake in the syntax makes many that follow: only the first is worth reading.
    let root = match DeTable::parse(source) {
        Ok(root) => root,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            problems.add(at, format!("this is not TOML: {}", error.message()));
            return Err(problems.into_sorted());
        }
    };
    let contract = contract(source, Section::root(root.get_ref()), &mut problems);
    match contract {
        Some(contract) if problems.is_empty() => Ok(contract),
        _ => Err(problems.into_sorted()),
    }
}

fn contract(source: &str, mut root: Section<'_>, problems: &mut Problems) -> Option<Contract> {
    let (name, version) = match root.required_section("product", problems) {
        Some(section) => product(section, problems),
        None => (None, None),
    };
    let version = version.unwrap_or_default();
    let datasets = named(&mut root, "dataset", problems, |name, section, problems| {
        dataset::compile(name, section, &version, problems)
    });
    if datasets.is_empty() {
        problems.add(0, "there is no dataset; write [dataset.NAME] with columns, key and time");
    }
    let views = named(&mut root, "view", problems, |name, section, problems| {
        view::compile(name, section, &datasets, problems)
    });
    // A stand-in keeps a wrong name from spoiling every path.
    let product = name.unwrap_or("product");
    let sources = endpoint::Sources { product, datasets: &datasets, views: &views };
    let endpoints = named(&mut root, "endpoint", problems, |name, section, problems| {
        endpoint::compile(name, section, &sources, problems)
    });
    endpoint::check_paths(&endpoints, problems);
    root.finish(problems);
    let complete = problems.is_empty();
    let name = name.filter(|_| complete)?.to_owned();
    let mut contract = Contract {
        name,
        version,
        hash: String::new(),
        source: source.to_owned(),
        datasets: datasets.into_iter().filter_map(|(_, dataset)| dataset).collect(),
        views: views.into_iter().filter_map(|(_, view)| view).collect(),
        endpoints: endpoints.into_iter().filter_map(|(_, endpoint)| endpoint).collect(),
    };
    access::add_paths(&mut contract);
    canonical::add_hashes(&mut contract);
    Some(contract)
}

/// Reads `[product]`: name and version.
fn product<'a>(
    mut section: Section<'a>,
    problems: &mut Problems,
) -> (Option<&'a str>, Option<String>) {
    let name = section.required_text("name", "\"air\"", problems).and_then(|name| {
        check_name(name.value, Use::Product)
            .map_err(|problem| problems.add(name.at, problem))
            .ok()
            .map(|()| name.value)
    });
    let version = section.required_text("version", "\"1.0.0\"", problems).and_then(|version| {
        if parse_version(version.value).is_none() {
            problems.add(
                version.at,
                format!("'{}' is no version; write MAJOR.MINOR.PATCH", version.value),
            );
            return None;
        }
        Some(version.value.to_owned())
    });
    if let Some(zone) = section.text("timezone", "\"UTC\"", problems)
        && zone.value != "UTC"
    {
        problems
            .add(zone.at, "time zones are not supported by this build; write timezone = \"UTC\"");
    }
    section.finish(problems);
    (name, version)
}

/// Compiles every `[kind.NAME]`, also those whose names are wrong.
fn named<'a, T>(
    root: &mut Section<'a>,
    kind: &'static str,
    problems: &mut Problems,
    mut compile: impl FnMut(&'a str, Section<'a>, &mut Problems) -> Option<T>,
) -> Vec<(At<&'a str>, Option<T>)> {
    let Some(parent) = root.section(kind, problems) else { return Vec::new() };
    let at = parent.at();
    let sections = parent.into_sections(problems);
    if sections.len() > MAX_PARTS {
        problems.add(at, format!("a product has at most {MAX_PARTS} of [{kind}.NAME]"));
        return Vec::new();
    }
    sections
        .into_iter()
        .map(|(name, section)| {
            if let Err(problem) = check_name(name.value, Use::Other) {
                problems.add(name.at, problem);
            }
            (name, compile(name.value, section, problems))
        })
        .collect()
}

/// Parses `MAJOR.MINOR.PATCH`.
fn parse_version(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split('.').map(|part| {
        let plain = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| part.parse::<u32>().ok()).flatten()
    });
    let version = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(version)
}

/// What was compiled under each name; `None` where it was wrong.
type Named<'a, T> = [(At<&'a str>, Option<T>)];

/// Finds what was compiled under a name, or says that there is none; the one that was probably
/// meant stands in. One that is wrong has its own problems: nothing can be said of what reads it.
fn look_up<'t, T>(
    name: At<&str>,
    what: &str,
    named: &'t Named<'_, T>,
    problems: &mut Problems,
) -> Option<(usize, &'t T)> {
    let position = |wanted: &str| named.iter().position(|(known, _)| known.value == wanted);
    let names = || named.iter().map(|(known, _)| known.value);
    let found = position(name.value).or_else(|| {
        let suggestion = did_you_mean(name.value, names());
        let shown: String = name.value.chars().take(64).collect();
        let message = format!("there is no {what} '{}'{suggestion}", shown.escape_debug());
        problems.add(name.at, message);
        closest(name.value, names()).and_then(position)
    })?;
    named[found].1.as_ref().map(|compiled| (found, compiled))
}

// === impl Problem ===

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

#[cfg(test)]
mod tests;
