//! Types of parameters: those that are declared, and those that columns give.

use tidegate_core::clock::parse_span;
use tidegate_core::param::{ParamKind, ParamPlan};

use crate::compile::source::{At, Problems, Section};
use crate::contract::{Column, ColumnKind};
use crate::names::did_you_mean;
use crate::rule::Rule;

/// Longest text of a parameter that does not say.
const DEFAULT_TEXT_BYTES: usize = 256;
const MAX_TEXT_BYTES: i64 = 4_096;
const MAX_ENUM_VALUES: usize = 1_000;

const TYPES: [&str; 5] = ["string", "enum", "int", "bool", "timestamp"];

pub(super) fn kind_of(
    kind: At<&str>,
    column: Option<&Column>,
    section: &mut Section<'_>,
    problems: &mut Problems,
) -> Option<ParamKind> {
    match kind.value {
        "string" => {
            let max_len = section.count("max_len", (1, MAX_TEXT_BYTES), problems);
            let of_column = column.and_then(|column| match &column.rule {
                Rule::String { max_len, .. } => Some(*max_len),
                _ => None,
            });
            let max_len = max_len.or(of_column).unwrap_or(DEFAULT_TEXT_BYTES);
            Some(ParamKind::String { max_len })
        }
        "enum" => {
            let example = "[\"1h\", \"1d\"]";
            if !section.has("values") {
                section.missing("values", example, problems);
            }
            let values = section.texts("values", example, problems)?;
            if values.value.is_empty() || values.value.len() > MAX_ENUM_VALUES {
                let message = format!("an enum has 1 to {MAX_ENUM_VALUES} values");
                problems.add(values.at, message);
            }
            let values = values.value.iter().map(|value| value.value.to_owned()).collect();
            Some(ParamKind::Enum { values })
        }
        "bool" => Some(boolean()),
        "int" => {
            let any = (i64::MIN, i64::MAX);
            let min = section.integer("min", any, problems).map_or(i64::MIN, |min| min.value);
            let max = section.integer("max", any, problems).map_or(i64::MAX, |max| max.value);
            if min > max {
                problems.add(kind.at, "'max' is smaller than 'min'; no value would pass");
            }
            Some(ParamKind::Int { min, max })
        }
        "timestamp" => {
            let mut micros = |key: &'static str, example: &str| {
                let span = section.span(key, example, problems)?;
                if span.value.is_zero() {
                    problems.add(span.at, format!("'{key}' is not zero; write {key} = {example}"));
                }
                i64::try_from(span.value.as_micros()).ok()
            };
            let align_us = micros("align", "\"1h\"");
            let max_span_us = micros("max_span", "\"92d\"");
            Some(ParamKind::Timestamp { align_us, max_span_us })
        }
        other => {
            let suggestion = did_you_mean(other, TYPES);
            let known = TYPES.join(", ");
            let message = format!("there is no type '{other}'{suggestion}; write one of {known}");
            problems.add(kind.at, message);
            None
        }
    }
}

/// Returns what type a parameter must have to be compared with a column, if this one is wrong.
pub(super) fn misfit(column: &Column, kind: &ParamKind) -> Option<String> {
    let subset = |values: &[String], of: &[String]| values.iter().all(|value| of.contains(value));
    let fits = match (&column.rule, kind) {
        (Rule::String { .. } | Rule::Uuid, ParamKind::String { .. } | ParamKind::Enum { .. }) => {
            true
        }
        (Rule::Enum { .. }, ParamKind::String { .. }) => true,
        (Rule::Enum { values: of }, ParamKind::Enum { values }) => subset(values, of),
        (Rule::Bool, ParamKind::Enum { values }) => {
            subset(values, &["true".to_owned(), "false".to_owned()])
        }
        (Rule::Int { .. }, ParamKind::Int { .. }) => true,
        _ => false,
    };
    if fits {
        return None;
    }
    Some(match &column.rule {
        Rule::Enum { values } => {
            let shown: Vec<&str> = values.iter().take(10).map(String::as_str).collect();
            format!("enum with values of {}: {}", column.name, shown.join(", "))
        }
        Rule::Int { .. } => "int".to_owned(),
        Rule::Bool => "bool".to_owned(),
        _ => "string".to_owned(),
    })
}

/// Makes a parameter that is compared with a column; `None` if the type can't be compared.
pub(super) fn of_column(column: &Column, required: bool) -> Option<ParamPlan> {
    let kind = match (&column.rule, column.kind) {
        (Rule::String { max_len, .. }, _) => ParamKind::String { max_len: *max_len },
        (Rule::Enum { values }, _) => ParamKind::Enum { values: values.clone() },
        (_, ColumnKind::Uuid) => ParamKind::String { max_len: 36 },
        (Rule::Int { min, max }, _) => ParamKind::Int { min: *min, max: *max },
        (_, ColumnKind::Bool) => boolean(),
        _ => return None,
    };
    Some(ParamPlan { name: column.name.clone(), kind, required, default: None })
}

fn boolean() -> ParamKind {
    ParamKind::Enum { values: vec!["true".to_owned(), "false".to_owned()] }
}

pub(super) fn time(name: &str) -> ParamPlan {
    let kind = ParamKind::Timestamp { align_us: None, max_span_us: None };
    ParamPlan { name: name.to_owned(), kind, required: false, default: None }
}

pub(super) fn number(name: &str, default: usize, max: usize) -> ParamPlan {
    let max = i64::try_from(max).unwrap_or(i64::MAX);
    let kind = ParamKind::Int { min: 1, max };
    ParamPlan { name: name.to_owned(), kind, required: false, default: Some(default.to_string()) }
}

pub(super) fn is_multiple(text: &str, every_us: i64) -> bool {
    let span = parse_span(text).and_then(|span| i64::try_from(span.as_micros()).ok());
    span.is_some_and(|span| span >= every_us && span % every_us == 0)
}
