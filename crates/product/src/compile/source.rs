//! A TOML file with positions: look-ups that remember what was asked for.

mod typed;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::Problem;
use crate::names::did_you_mean;

/// Most problems that are reported.
const MAX_PROBLEMS: usize = 100;

/// Collects problems by their place in the file.
pub(super) struct Problems {
    file: String,
    /// Where each line begins.
    lines: Vec<usize>,
    found: Vec<(usize, Problem)>,
}

/// A value and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<T> {
    /// Byte in the file.
    pub(super) at: usize,
    /// The value.
    pub(super) value: T,
}

/// A table whose keys are taken one by one: what is left was not known.
pub(super) struct Section<'a> {
    /// Its name in messages.
    label: String,
    /// Where it begins.
    at: usize,
    entries: Vec<Entry<'a>>,
    known: Vec<&'static str>,
}

#[derive(Clone, Copy)]
struct Entry<'a> {
    key: &'a str,
    at: usize,
    value: &'a DeValue<'a>,
    value_at: usize,
}

// === impl Problems ===

impl Problems {
    pub(super) fn new(file: &str, source: &str) -> Self {
        let breaks = source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        Self { file: file.to_owned(), lines, found: Vec::new() }
    }

    /// Adds a problem at a byte of the file.
    pub(super) fn add(&mut self, at: usize, message: impl Into<String>) {
        if self.found.len() < MAX_PROBLEMS {
            let line = self.lines.partition_point(|start| *start <= at).max(1);
            let problem = Problem { file: self.file.clone(), line, message: message.into() };
            self.found.push((at, problem));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(super) fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|(at, _)| *at);
        let mut problems: Vec<Problem> = self.found.into_iter().map(|(_, found)| found).collect();
        problems.dedup();
        problems
    }
}

// === impl Section ===

impl<'a> Section<'a> {
    pub(super) fn root(table: &'a DeTable<'a>) -> Self {
        Self::new(String::new(), 0, table)
    }

    fn new(label: String, at: usize, table: &'a DeTable<'a>) -> Self {
        let mut entries: Vec<Entry<'a>> =
            table.iter().map(|(key, value)| Entry::new(key, value)).collect();
        // The map is sorted by key; the order of the file is part of what it says.
        entries.sort_by_key(|entry| entry.at);
        Self { label, at, entries, known: Vec::new() }
    }

    /// Returns where the section begins.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Says that a required key is absent.
    pub(super) fn missing(&self, key: &str, example: &str, problems: &mut Problems) {
        let place = if self.label.is_empty() { "the file" } else { &self.label };
        problems.add(self.at, format!("{place} has no '{key}'; write {key} = {example}"));
    }

    fn take(&mut self, key: &'static str) -> Option<Entry<'a>> {
        self.known.push(key);
        let position = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(position))
    }

    fn wrong(&self, entry: Entry<'_>, wanted: &str, problems: &mut Problems) {
        let found = type_name(entry.value);
        let key = entry.key;
        let dot = if self.label.is_empty() { "" } else { "." };
        let message = format!("{}{dot}{key} is {found}; write {wanted}", self.label);
        problems.add(entry.value_at, message);
    }

    /// Refuses keys of features that a later build has.
    pub(super) fn unsupported(&mut self, keys: &[&'static str], problems: &mut Problems) {
        for key in keys {
            if let Some(entry) = self.take(key) {
                let message = format!("'{key}' is not supported by this build; remove it");
                problems.add(entry.at, message);
            }
            // It is not to be suggested either.
            self.known.pop();
        }
    }

    /// Reads a table.
    pub(super) fn section(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<Section<'a>> {
        let entry = self.take(key)?;
        self.open(entry, problems)
    }

    pub(super) fn required_section(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Option<Section<'a>> {
        if !self.has(key) {
            self.known.push(key);
            let path = if self.label.is_empty() { key } else { &format!("{}.{key}", self.label) };
            let place = if self.label.is_empty() { "the file" } else { &self.label };
            problems.add(self.at, format!("{place} has no '{key}'; write [{path}]"));
            return None;
        }
        self.section(key, problems)
    }

    /// Reads a list of tables, `[[key]]`.
    pub(super) fn sections(
        &mut self,
        key: &'static str,
        problems: &mut Problems,
    ) -> Vec<Section<'a>> {
        let Some(entry) = self.take(key) else { return Vec::new() };
        let label = self.child(key);
        let tables = match entry.value {
            DeValue::Array(list) => list
                .iter()
                .map(|item| match item.get_ref() {
                    DeValue::Table(table) => Some((item.span().start, table)),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let Some(tables) = tables else {
            self.wrong(entry, &format!("tables: [[{label}]]"), problems);
            return Vec::new();
        };
        tables.into_iter().map(|(at, table)| Section::new(label.clone(), at, table)).collect()
    }

    /// Takes every entry as a table by its name.
    pub(super) fn into_sections(self, problems: &mut Problems) -> Vec<(At<&'a str>, Section<'a>)> {
        let entries = self.entries.iter();
        entries
            .filter_map(|entry| {
                let section = self.open(*entry, problems)?;
                Some((At { at: entry.at, value: entry.key }, section))
            })
            .collect()
    }

    /// Takes every entry as a string by its name.
    pub(super) fn into_texts(self, problems: &mut Problems) -> Vec<(At<&'a str>, At<&'a str>)> {
        let entries = self.entries.iter();
        entries
            .filter_map(|entry| {
                let DeValue::String(text) = entry.value else {
                    self.wrong(*entry, "a string", problems);
                    return None;
                };
                let text = At { at: entry.value_at, value: text.as_ref() };
                Some((At { at: entry.at, value: entry.key }, text))
            })
            .collect()
    }

    /// Reports the keys that nobody asked for.
    pub(super) fn finish(self, problems: &mut Problems) {
        for entry in &self.entries {
            let place =
                if self.label.is_empty() { "the file".to_owned() } else { self.label.clone() };
            let suggestion = did_you_mean(entry.key, self.known.iter().copied());
            let shown: String = entry.key.chars().take(64).collect();
            let advice = if suggestion.is_empty() {
                format!("; known are {}", self.known.join(", "))
            } else {
                suggestion
            };
            problems
                .add(entry.at, format!("{place} has no key '{}'{advice}", shown.escape_debug()));
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    fn open(&self, entry: Entry<'a>, problems: &mut Problems) -> Option<Section<'a>> {
        let label = self.child(entry.key);
        let DeValue::Table(table) = entry.value else {
            self.wrong(entry, &format!("a table: [{label}]"), problems);
            return None;
        };
        Some(Section::new(label, entry.at, table))
    }

    fn child(&self, key: &str) -> String {
        let key: String = key.chars().take(64).collect();
        let key = key.escape_debug();
        if self.label.is_empty() { key.to_string() } else { format!("{}.{key}", self.label) }
    }
}

// === impl Entry ===

impl<'a> Entry<'a> {
    fn new(key: &'a Spanned<DeString<'a>>, value: &'a Spanned<DeValue<'a>>) -> Self {
        Self {
            key: key.get_ref(),
            at: key.span().start,
            value: value.get_ref(),
            value_at: value.span().start,
        }
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
