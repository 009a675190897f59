//! Datasets: what rows are taken in.

use std::collections::HashMap;
use std::time::Duration;

use super::column;
use super::source::{At, Problems, Section};
use crate::contract::{Check, Column, ColumnKind, Dataset, OnError};
use crate::expr::{Expr, Type};
use crate::names::{Use, check_name, closest, did_you_mean};

/// Most bytes of a key or a group's name: a cursor holds one.
const MAX_PLACE_BYTES: usize = 8_192;

/// Most columns of a dataset: validation keeps a set of them in 128 bits.
const MAX_COLUMNS: usize = 128;

const DEFAULT_REPLAY: Duration = Duration::from_secs(7 * 86_400);
const DEFAULT_BATCH_ROWS: usize = 50_000;
const MAX_BATCH_ROWS: i64 = 1_000_000;
const DEFAULT_BODY_BYTES: usize = 16 << 20;
const MAX_BODY_BYTES: usize = 256 << 20;

/// Compiles one dataset.
pub(super) fn compile(
    name: &str,
    mut section: Section<'_>,
    product_version: &str,
    problems: &mut Problems,
) -> Option<Dataset> {
    mode(&mut section, problems);
    section.unsupported(&["version", "delete"], problems);
    let key = key_names(&mut section, problems);
    let time = section.required_text("time", "\"ts\"", problems);
    let retention = section.span("retention", "\"400d\"", problems);
    let replay = section.span("replay", "\"7d\"", problems);
    let late_after = section.span("late_after", "\"48h\"", problems);
    let on_error = on_error(&mut section, problems);
    let max_batch_rows = section.count("max_batch_rows", (1, MAX_BATCH_ROWS), problems);
    let max_body_bytes = max_body(&mut section, problems);
    let columns = columns(&mut section, product_version, problems);
    let checks = section.sections("check", problems);
    let transform = section.section("transform", problems);
    section.finish(problems);

    let columns = columns?;
    let transforms = transform.map(|section| transforms(section, &columns, problems));
    let checks = self::checks(checks, &columns, problems);
    // Views need neither key nor time: a stand-in for a wrong one lets them be judged too.
    let key = key.and_then(|key| key_positions(&key, &columns, problems)).unwrap_or_default();
    let time = time.and_then(|time| time_position(time, &columns, problems));
    let time = time.or_else(|| columns.iter().position(|it| it.kind == ColumnKind::Timestamp));
    let dataset = Dataset {
        name: name.to_owned(),
        positions: positions(&columns),
        columns,
        key,
        time: time?,
        retention: retention.map(|span| span.value),
        replay: replay.map_or(DEFAULT_REPLAY, |span| span.value),
        late_after: late_after.map(|span| span.value),
        on_error,
        max_batch_rows: max_batch_rows.unwrap_or(DEFAULT_BATCH_ROWS),
        max_body_bytes,
        transforms: transforms.unwrap_or_default(),
        checks,
    };
    check_late(&dataset, late_after, problems);
    Some(dataset)
}

fn mode(section: &mut Section<'_>, problems: &mut Problems) {
    if let Some(mode) = section.text("mode", "\"append\"", problems) {
        match mode.value {
            "append" => {}
            "upsert" => problems.add(
                mode.at,
                "mode = \"upsert\" is not supported by this build; write mode = \"append\"",
            ),
            other => problems
                .add(mode.at, format!("there is no mode '{other}'; write mode = \"append\"")),
        }
    }
}

fn key_names<'a>(
    section: &mut Section<'a>,
    problems: &mut Problems,
) -> Option<At<Vec<At<&'a str>>>> {
    let example = "[\"id\"]";
    if !section.has("key") {
        section.missing("key", example, problems);
    }
    let key = section.texts("key", example, problems)?;
    if key.value.is_empty() {
        problems.add(
            key.at,
            format!("a key names the columns that identify a row; write key = {example}"),
        );
        return None;
    }
    Some(key)
}

fn on_error(section: &mut Section<'_>, problems: &mut Problems) -> OnError {
    match section.text("on_error", "\"quarantine\"", problems) {
        None => OnError::Quarantine,
        Some(At { value: "quarantine", .. }) => OnError::Quarantine,
        Some(At { value: "reject", .. }) => OnError::Reject,
        Some(other) => {
            let message = format!(
                "on_error can't be '{}'; write on_error = \"quarantine\" or \"reject\"",
                other.value
            );
            problems.add(other.at, message);
            OnError::Quarantine
        }
    }
}

fn max_body(section: &mut Section<'_>, problems: &mut Problems) -> usize {
    let Some(text) = section.text("max_body", "\"16MiB\"", problems) else {
        return DEFAULT_BODY_BYTES;
    };
    match parse_bytes(text.value) {
        Some(bytes) if (1..=MAX_BODY_BYTES).contains(&bytes) => bytes,
        _ => {
            let message = format!(
                "'{}' is no size up to 256MiB; write max_body = \"16MiB\" (B, KiB or MiB)",
                text.value
            );
            problems.add(text.at, message);
            DEFAULT_BODY_BYTES
        }
    }
}

fn parse_bytes(text: &str) -> Option<usize> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        _ => return None,
    };
    number.parse::<usize>().ok()?.checked_mul(unit)
}

fn columns(
    section: &mut Section<'_>,
    product_version: &str,
    problems: &mut Problems,
) -> Option<Vec<Column>> {
    let section = section.required_section("columns", problems)?;
    let at = section.at();
    let sections = section.into_sections(problems);
    if sections.is_empty() || sections.len() > MAX_COLUMNS {
        problems.add(at, format!("a dataset has 1 to {MAX_COLUMNS} columns"));
        return None;
    }
    let columns = sections
        .into_iter()
        .map(|(name, section)| column::compile(name, section, product_version, problems));
    // Every column is looked at before the first wrong one ends it.
    columns.collect::<Vec<Option<Column>>>().into_iter().collect()
}

fn positions(columns: &[Column]) -> HashMap<String, usize> {
    let names = columns.iter().enumerate();
    names.map(|(position, column)| (column.name.clone(), position)).collect()
}

/// Finds a column by name, or says that there is none; the one that was probably meant stands in,
/// so that what rests on it is judged too.
pub(super) fn find_column(
    name: At<&str>,
    columns: &[Column],
    problems: &mut Problems,
) -> Option<usize> {
    let position = |wanted: &str| columns.iter().position(|column| column.name == wanted);
    if let Some(found) = position(name.value) {
        return Some(found);
    }
    let names = || columns.iter().map(|column| column.name.as_str());
    let suggestion = did_you_mean(name.value, names());
    let shown: String = name.value.chars().take(64).collect();
    let message = format!("there is no column '{}'{suggestion}", shown.escape_debug());
    problems.add(name.at, message);
    closest(name.value, names()).and_then(position)
}

fn key_positions(
    key: &At<Vec<At<&str>>>,
    columns: &[Column],
    problems: &mut Problems,
) -> Option<Vec<usize>> {
    let mut positions = Vec::new();
    for name in &key.value {
        let Some(position) = find_column(*name, columns, problems) else { continue };
        let column = &columns[position];
        if column.nullable {
            problems
                .add(name.at, format!("key column '{}' is nullable; remove nullable", name.value));
        }
        if column.kind == ColumnKind::Float {
            let message = format!(
                "key column '{}' is a float, which is not exact; use a decimal",
                name.value
            );
            problems.add(name.at, message);
        }
        if positions.contains(&position) {
            problems.add(name.at, format!("'{}' stands twice; remove one", name.value));
        }
        positions.push(position);
    }
    check_place(key.at, "a key", &positions, columns, problems);
    (positions.len() == key.value.len()).then_some(positions)
}

/// Checks that the values which name a row or a group are short enough together.
pub(super) fn check_place(
    at: usize,
    what: &str,
    positions: &[usize],
    columns: &[Column],
    problems: &mut Problems,
) {
    let bytes: usize = positions.iter().map(|position| columns[*position].rule.max_bytes()).sum();
    if bytes > MAX_PLACE_BYTES {
        let message = format!(
            "{what} could have {bytes} bytes, most are {MAX_PLACE_BYTES}; write a smaller max_len \
             for its columns"
        );
        problems.add(at, message);
    }
}

fn time_position(time: At<&str>, columns: &[Column], problems: &mut Problems) -> Option<usize> {
    let position = find_column(time, columns, problems)?;
    let column = &columns[position];
    if column.kind != ColumnKind::Timestamp || column.nullable {
        let message = format!(
            "time column '{0}' must be a timestamp that is not nullable; write {0} = {{ type = \
             \"timestamp\" }}",
            time.value
        );
        problems.add(time.at, message);
    }
    Some(position)
}

fn check_late(dataset: &Dataset, late_after: Option<At<Duration>>, problems: &mut Problems) {
    if let (Some(late_after), Some(retention)) = (late_after, dataset.retention)
        && late_after.value > retention
    {
        problems.add(
            late_after.at,
            "'late_after' is longer than 'retention'; rows that late are not taken in",
        );
    }
}

fn transforms(
    section: Section<'_>,
    columns: &[Column],
    problems: &mut Problems,
) -> Vec<(usize, Expr)> {
    let mut transforms = Vec::new();
    for (name, source) in section.into_texts(problems) {
        let Some(column) = find_column(name, columns, problems) else { continue };
        let Some(expr) = expression(source, columns, problems) else { continue };
        let wanted = Type::of(columns[column].kind);
        if expr.kind != wanted {
            let message = format!(
                "the transform of '{}' yields {}; the column holds {}",
                name.value,
                expr.kind.describe(),
                wanted.describe()
            );
            problems.add(source.at, message);
            continue;
        }
        transforms.push((column, expr));
    }
    transforms
}

fn checks(sections: Vec<Section<'_>>, columns: &[Column], problems: &mut Problems) -> Vec<Check> {
    let mut checks: Vec<Check> = Vec::new();
    for mut section in sections {
        let name = section.required_text("name", "\"o3_range\"", problems);
        let expr = section.required_text("expr", "\"value <= 800\"", problems);
        section.finish(problems);
        if let Some(name) = name {
            if let Err(problem) = check_name(name.value, Use::Other) {
                problems.add(name.at, problem);
            }
            if checks.iter().any(|check| check.name == name.value) {
                problems.add(name.at, format!("check '{}' stands twice; rename one", name.value));
            }
        }
        let expr = expr.and_then(|expr| condition(expr, columns, problems));
        if let (Some(name), Some(expr)) = (name, expr) {
            checks.push(Check { name: name.value.to_owned(), expr });
        }
    }
    checks
}

/// Compiles an expression that must be a condition.
pub(super) fn condition(
    source: At<&str>,
    columns: &[Column],
    problems: &mut Problems,
) -> Option<Expr> {
    let expr = expression(source, columns, problems)?;
    if expr.kind != Type::Bool {
        let message =
            format!("this yields {}; write a condition such as value <= 800", expr.kind.describe());
        problems.add(source.at, message);
        return None;
    }
    Some(expr)
}

fn expression(source: At<&str>, columns: &[Column], problems: &mut Problems) -> Option<Expr> {
    Expr::parse(source.value, columns)
        .map_err(|error| {
            let place = source.value.get(..error.at).unwrap_or("").chars().count() + 1;
            problems
                .add(source.at, format!("{} (character {place} of the expression)", error.message));
        })
        .ok()
}
