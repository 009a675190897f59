//! What an answer holds: fields, order, number of rows, formats.

use super::{DEFAULT_PAGE, MAX_ROWS, Target};
use crate::compile::source::{At, Problems, Section};
use crate::contract::{Binding, Field, Format, GroupPart, Page, Top};
use crate::names::did_you_mean;

pub(super) fn select(
    names: Option<&At<Vec<At<&str>>>>,
    target: Target<'_>,
    problems: &mut Problems,
) -> Vec<Field> {
    let fields = target.fields();
    let Some(names) = names else { return fields.into_iter().map(|(_, field)| field).collect() };
    if names.value.is_empty() {
        problems.add(names.at, "select names at least one field; remove it to have all");
    }
    let mut selected = Vec::new();
    for name in &names.value {
        let Some((_, field)) = fields.iter().find(|(known, _)| *known == name.value) else {
            let suggestion = did_you_mean(name.value, fields.iter().map(|(known, _)| *known));
            let known: Vec<&str> = fields.iter().map(|(known, _)| *known).collect();
            let message = format!(
                "there is no field '{}'{suggestion}; known are {}",
                name.value,
                known.join(", ")
            );
            problems.add(name.at, message);
            continue;
        };
        if selected.contains(field) {
            problems.add(name.at, format!("'{}' stands twice; remove one", name.value));
        }
        selected.push(*field);
    }
    selected
}

/// Checks that the declared order is the one in which rows are read: there is no other.
pub(super) fn check_order(
    names: Option<&At<Vec<At<&str>>>>,
    target: Target<'_>,
    problems: &mut Problems,
) {
    let Some(names) = names else { return };
    // A dataset without a key has that problem first.
    if target.view.is_none() && target.dataset.key.is_empty() {
        return;
    }
    let columns = &target.dataset.columns;
    let order: Vec<&str> = match target.view {
        Some(view) => {
            let dims = view.group_by.iter().map(|column| columns[*column].name.as_str());
            view.bucket.map(|_| "bucket").into_iter().chain(dims).collect()
        }
        None => {
            let key = target.dataset.key.iter().filter(|column| **column != target.dataset.time);
            let places = std::iter::once(&target.dataset.time).chain(key);
            places.map(|column| columns[*column].name.as_str()).collect()
        }
    };
    let wanted: Vec<&str> = names.value.iter().map(|name| name.value).collect();
    if !order.starts_with(&wanted) {
        let list: Vec<String> = order.iter().map(|name| format!("\"{name}\"")).collect();
        let message =
            format!("rows come in the order [{}]; write this or its beginning", list.join(", "));
        problems.add(names.at, message);
    }
}

pub(super) fn top_of(
    mut section: Section<'_>,
    target: Target<'_>,
    problems: &mut Problems,
) -> Option<Top> {
    let by = section.required_text("by", "\"avg\"", problems);
    let k = section.count("k", (1, MAX_ROWS), problems);
    let k_max = section.count("k_max", (1, MAX_ROWS), problems);
    let at = section.at();
    section.finish(problems);
    let Some(view) = target.view else {
        problems.add(at, "'top' is for views; remove it, or read a view");
        return None;
    };
    let by = by?;
    let position = view.measures.iter().position(|measure| measure.name == by.value);
    if position.is_none() {
        let names = view.measures.iter().map(|measure| measure.name.as_str());
        let suggestion = did_you_mean(by.value, names);
        let message = format!("view '{}' has no measure '{}'{suggestion}", view.name, by.value);
        problems.add(by.at, message);
    }
    let k = k.unwrap_or(10);
    let k_max = k_max.unwrap_or(k);
    if k > k_max {
        problems.add(at, format!("'k' is larger than 'k_max'; write k_max = {k}"));
    }
    Some(Top { by: position?, k, k_max })
}

/// A top of every bucket there ever was would read all of them.
pub(super) fn check_top(
    top: Option<Top>,
    bindings: &[Binding],
    target: Target<'_>,
    at: usize,
    problems: &mut Problems,
) {
    let buckets = target.view.is_some_and(|view| view.bucket.is_some());
    let one_bucket = bindings.contains(&Binding::Part(GroupPart::Bucket));
    if top.is_some() && buckets && !one_bucket {
        problems.add(
            at,
            "'top' compares the groups of one bucket; write params.at = { type = \"timestamp\", \
             default = \"now\" }",
        );
    }
}

pub(super) fn page_of(
    mut section: Section<'_>,
    target: Target<'_>,
    problems: &mut Problems,
) -> Option<Page> {
    let size = section.count("size", (1, MAX_ROWS), problems);
    let max = section.count("max", (1, MAX_ROWS), problems);
    let at = section.at();
    section.finish(problems);
    if target.view.is_some() {
        problems.add(at, "'page' is for datasets; remove it, and set max_rows");
        return None;
    }
    let size = size.unwrap_or(DEFAULT_PAGE.size);
    let max = max.unwrap_or(DEFAULT_PAGE.max.max(size));
    if size > max {
        problems.add(at, format!("'size' is larger than 'max'; write max = {size}"));
    }
    Some(Page { size, max })
}

pub(super) fn formats(names: Option<&At<Vec<At<&str>>>>, problems: &mut Problems) -> Vec<Format> {
    let Some(names) = names else { return vec![Format::Json] };
    let mut formats = Vec::new();
    for name in &names.value {
        match Format::ALL.into_iter().find(|format| format.word() == name.value) {
            Some(format) if formats.contains(&format) => {
                problems.add(name.at, format!("'{}' stands twice; remove one", name.value));
            }
            Some(format) => formats.push(format),
            None => problems.add(
                name.at,
                format!("there is no format '{}'; write json, ndjson or csv", name.value),
            ),
        }
    }
    if names.value.is_empty() {
        problems.add(names.at, "formats names at least one; write formats = [\"json\"]");
    }
    formats
}
