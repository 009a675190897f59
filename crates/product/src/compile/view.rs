//! Views: which groups are kept, and what for each.

use super::dataset::{check_place, condition, find_column};
use super::measure::{Measures, measures};
use super::source::{At, Problems, Section};
use super::{Named, look_up};
use crate::contract::{Bucket, ColumnKind, Dataset, View};
use crate::names::{Use, check_name, did_you_mean};

/// Longest value of a tag: it travels in a header of every response.
const MAX_TAG_BYTES: usize = 256;

/// Most dimensions of a view.
const MAX_DIMENSIONS: usize = 16;

const DAY_US: i64 = 86_400_000_000;
const MAX_BUCKET_US: i64 = 366 * DAY_US;

/// Stands in for a width that is wrong: no step that an endpoint declares is held against it.
const ANY_STEP_US: i64 = 1;

/// Compiles one view.
pub(super) fn compile(
    name: &str,
    mut section: Section<'_>,
    datasets: &Named<'_, Dataset>,
    problems: &mut Problems,
) -> Option<View> {
    let from = section.required_text("from", "\"readings\"", problems);
    let filter = section.text("where", "\"value > 0\"", problems);
    let group_by = group_names(&mut section, problems);
    let bucket = section.section("bucket", problems);
    let tags = section.texts("tags", "[\"city\"]", problems);
    let measures_section = section.required_section("measures", problems);
    section.finish(problems);

    let (position, dataset) = look_up(from?, "dataset", datasets, problems)?;
    let filter = filter.and_then(|filter| condition(filter, &dataset.columns, problems));
    let group_by = group_by.and_then(|names| dimensions(&names, dataset, problems));
    let bucket = bucket.and_then(|section| bucket_of(section, dataset, problems));
    let group_by = group_by?;
    let Measures { measures, stored } = match measures_section {
        Some(section) => measures(section, dataset, &group_by, problems),
        None => Measures::default(),
    };
    let tags = tags.map(|tags| tag_dims(&tags, &group_by, dataset, problems)).unwrap_or_default();
    if group_by.is_empty() && bucket.is_none() {
        problems.add(
            from?.at,
            "a view groups by something; write group_by = [\"city\"] or bucket = { column = \"ts\", \
             every = \"1h\" }",
        );
    }
    Some(View {
        name: name.to_owned(),
        dataset: position,
        build: String::new(),
        group_by,
        bucket,
        stored,
        measures,
        tags,
        access_paths: Vec::new(),
        filter,
    })
}

fn group_names<'a>(section: &mut Section<'a>, problems: &mut Problems) -> Option<Vec<At<&'a str>>> {
    if !section.has("group_by") {
        // Asked for, so that it is known; a view may have a bucket alone.
        section.texts("group_by", "[\"city\"]", problems);
        return Some(Vec::new());
    }
    let names = section.texts("group_by", "[\"city\"]", problems)?;
    if names.value.len() > MAX_DIMENSIONS {
        problems.add(names.at, format!("a view has at most {MAX_DIMENSIONS} dimensions"));
        return None;
    }
    Some(names.value)
}

fn dimensions(
    names: &[At<&str>],
    dataset: &Dataset,
    problems: &mut Problems,
) -> Option<Vec<usize>> {
    let mut dims = Vec::new();
    for name in names {
        let Some(position) = find_column(*name, &dataset.columns, problems) else { continue };
        let column = &dataset.columns[position];
        if let Err(problem) = check_name(name.value, Use::Selected) {
            problems.add(name.at, problem);
        }
        match column.kind {
            ColumnKind::Decimal { .. } | ColumnKind::Float => problems.add(
                name.at,
                format!("'{}' can't name a group: it is a measured number; use it in measures", name.value),
            ),
            ColumnKind::Timestamp => problems.add(
                name.at,
                format!(
                    "'{0}' can't name a group; write bucket = {{ column = \"{0}\", every = \"1h\" }}",
                    name.value
                ),
            ),
            _ if column.nullable => problems.add(
                name.at,
                format!(
                    "'{0}' is nullable and can't name a group; remove nullable and write {0} = \
                     \"coalesce({0}, 'none')\" under transform",
                    name.value
                ),
            ),
            _ if dims.contains(&position) => {
                problems.add(name.at, format!("'{}' stands twice; remove one", name.value));
            }
            _ => {}
        }
        dims.push(position);
    }
    if let Some(first) = names.first() {
        check_place(first.at, "a group's name", &dims, &dataset.columns, problems);
    }
    (dims.len() == names.len()).then_some(dims)
}

fn bucket_of(
    mut section: Section<'_>,
    dataset: &Dataset,
    problems: &mut Problems,
) -> Option<Bucket> {
    let column = section.required_text("column", "\"ts\"", problems);
    if !section.has("every") {
        section.missing("every", "\"1h\"", problems);
    }
    let every = section.span("every", "\"1h\"", problems);
    section.finish(problems);
    let column = column.and_then(|name| {
        let position = find_column(name, &dataset.columns, problems)?;
        let column = &dataset.columns[position];
        if column.kind != ColumnKind::Timestamp || column.nullable {
            let message = format!(
                "'{}' must be a timestamp that is not nullable to make buckets",
                name.value
            );
            problems.add(name.at, message);
        }
        Some(position)
    });
    let Some(every) = every else {
        return Some(Bucket { column: column?, every_us: ANY_STEP_US });
    };
    let every_us = i64::try_from(every.value.as_micros()).unwrap_or(i64::MAX);
    let even = every_us > 0 && (DAY_US % every_us == 0 || every_us % DAY_US == 0);
    if !even || !(1_000_000..=MAX_BUCKET_US).contains(&every_us) {
        problems.add(
            every.at,
            "a bucket is a part or a multiple of a day, from 1s to 366d; write every = \"1h\"",
        );
        return Some(Bucket { column: column?, every_us: ANY_STEP_US });
    }
    Some(Bucket { column: column?, every_us })
}

fn tag_dims(
    tags: &At<Vec<At<&str>>>,
    group_by: &[usize],
    dataset: &Dataset,
    problems: &mut Problems,
) -> Vec<usize> {
    let names: Vec<&str> =
        group_by.iter().map(|column| dataset.columns[*column].name.as_str()).collect();
    let mut dims = Vec::new();
    for tag in &tags.value {
        match names.iter().position(|name| *name == tag.value) {
            Some(dim) if dims.contains(&dim) => {
                problems.add(tag.at, format!("'{}' stands twice; remove one", tag.value));
            }
            Some(dim) => {
                let column = &dataset.columns[group_by[dim]];
                if column.rule.max_bytes() > MAX_TAG_BYTES {
                    let message = format!(
                        "tag '{0}' could have {1} bytes; write {0} = {{ …, max_len = \
                         {MAX_TAG_BYTES} }} or less",
                        tag.value,
                        column.rule.max_bytes()
                    );
                    problems.add(tag.at, message);
                }
                dims.push(dim);
            }
            None => {
                let suggestion = did_you_mean(tag.value, names.iter().copied());
                let message = format!(
                    "tag '{}' is not in group_by{suggestion}; tags are dimensions of the view",
                    tag.value
                );
                problems.add(tag.at, message);
            }
        }
    }
    // In the order of the dimensions: a tag's text must not depend on how the list is written.
    dims.sort_unstable();
    dims
}
