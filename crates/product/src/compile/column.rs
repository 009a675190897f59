//! Columns of a dataset: types and limits.

use super::parse_version;
use super::source::{At, Problems, Section};
use crate::contract::{Column, ColumnKind};
use crate::decimal::{self, MAX_PRECISION};
use crate::names::{Use, check_name, closest, did_you_mean};
use crate::pattern::Pattern;
use crate::rows::column_seed;
use crate::rule::{Rule, TimeBound};

/// Longest text of a string column, and of one that does not say.
const MAX_TEXT_BYTES: i64 = 65_536;
const DEFAULT_TEXT_BYTES: usize = 4_096;

/// Most words of an enum.
const MAX_ENUM_VALUES: usize = 1_000;

const TYPES: [&str; 8] = ["string", "enum", "uuid", "int", "decimal", "timestamp", "bool", "float"];

/// Compiles one column; the product's version limits `since`.
pub(super) fn compile(
    name: At<&str>,
    mut section: Section<'_>,
    product_version: &str,
    problems: &mut Problems,
) -> Option<Column> {
    if let Err(problem) = check_name(name.value, Use::Column) {
        problems.add(name.at, problem);
    }
    let kind = section.required_text("type", "\"string\"", problems);
    let nullable = section.boolean("nullable", problems).is_some_and(|nullable| nullable.value);
    since(&mut section, product_version, problems);
    let checked = kind.and_then(|kind| rule(kind, &mut section, problems));
    section.unsupported(&["ref", "on_missing", "pii"], problems);
    // Without a type nothing can be said of the other keys.
    if checked.is_some() {
        section.finish(problems);
    }
    let (kind, rule) = checked?;
    Some(Column {
        name: name.value.to_owned(),
        kind,
        nullable,
        rule,
        seed: column_seed(name.value),
    })
}

/// Checks the version since which the column exists; it informs readers of the file.
fn since(section: &mut Section<'_>, product_version: &str, problems: &mut Problems) {
    let Some(since) = section.text("since", "\"1.0.0\"", problems) else { return };
    match (parse_version(since.value), parse_version(product_version)) {
        (None, _) => problems
            .add(since.at, format!("'{}' is no version; write MAJOR.MINOR.PATCH", since.value)),
        (Some(since_version), Some(product)) if since_version > product => problems.add(
            since.at,
            format!(
                "'since' is later than the product's version {product_version}; raise 'version' in \
                 [product]"
            ),
        ),
        _ => {}
    }
}

fn rule(
    kind: At<&str>,
    section: &mut Section<'_>,
    problems: &mut Problems,
) -> Option<(ColumnKind, Rule)> {
    match kind.value {
        "string" => Some((ColumnKind::String, string(section, problems))),
        "enum" => Some((ColumnKind::Enum, words(section, problems)?)),
        "uuid" => Some((ColumnKind::Uuid, Rule::Uuid)),
        "int" => Some((ColumnKind::Int, int(section, problems))),
        "decimal" => decimal(section, problems),
        "timestamp" => Some((ColumnKind::Timestamp, timestamp(section, problems))),
        "bool" => Some((ColumnKind::Bool, Rule::Bool)),
        "float" => Some((ColumnKind::Float, float(section, problems))),
        other => {
            let suggestion = did_you_mean(other, TYPES);
            let known = TYPES.join(", ");
            problems.add(
                kind.at,
                format!("there is no type '{other}'{suggestion}; write one of {known}"),
            );
            // The column is taken for what was probably meant, so that its other keys are judged.
            rule(At { at: kind.at, value: closest(other, TYPES)? }, section, problems)
        }
    }
}

fn string(section: &mut Section<'_>, problems: &mut Problems) -> Rule {
    let max_len = section.count("max_len", (1, MAX_TEXT_BYTES), problems);
    let pattern = section.text("pattern", "\"^[a-z]+$\"", problems).and_then(|pattern| {
        Pattern::parse(pattern.value)
            .map_err(|problem| {
                problems.add(pattern.at, format!("the pattern is wrong: {problem}"));
            })
            .ok()
    });
    Rule::String { max_len: max_len.unwrap_or(DEFAULT_TEXT_BYTES), pattern }
}

fn words(section: &mut Section<'_>, problems: &mut Problems) -> Option<Rule> {
    let example = "[\"a\", \"b\"]";
    let Some(values) = section.texts("values", example, problems) else {
        if !section.has("values") {
            section.missing("values", example, problems);
        }
        return Some(Rule::Enum { values: Vec::new() });
    };
    if values.value.is_empty() || values.value.len() > MAX_ENUM_VALUES {
        let message =
            format!("an enum has 1 to {MAX_ENUM_VALUES} values; write values = {example}");
        problems.add(values.at, message);
    }
    for (position, word) in values.value.iter().enumerate() {
        if values.value.iter().take(position).any(|earlier| earlier.value == word.value) {
            problems.add(word.at, format!("'{}' stands twice; remove one", word.value));
        }
        if word.value.is_empty() || word.value.len() > 128 {
            problems.add(word.at, "a value of an enum has 1 to 128 bytes; write another");
        }
    }
    Some(Rule::Enum { values: values.value.iter().map(|word| word.value.to_owned()).collect() })
}

fn int(section: &mut Section<'_>, problems: &mut Problems) -> Rule {
    let any = (i64::MIN, i64::MAX);
    let min = section.integer("min", any, problems);
    let max = section.integer("max", any, problems);
    check_order(min.map(|min| min.value), max, |min, max| min <= max, problems);
    Rule::Int {
        min: min.map_or(i64::MIN, |min| min.value),
        max: max.map_or(i64::MAX, |max| max.value),
    }
}

fn decimal(section: &mut Section<'_>, problems: &mut Problems) -> Option<(ColumnKind, Rule)> {
    let most = i64::from(MAX_PRECISION);
    if !section.has("precision") {
        section.missing("precision", "8", problems);
    }
    if !section.has("scale") {
        section.missing("scale", "2", problems);
    }
    let precision = section.integer("precision", (1, most), problems);
    let scale = section.integer("scale", (0, most), problems);
    let (min, max) = (section.digits("min", problems), section.digits("max", problems));
    let scale = scale?;
    let mut precision = precision.map_or(most, |precision| precision.value);
    if scale.value > precision {
        problems.add(scale.at, "'scale' is larger than 'precision'; write a smaller one");
        precision = most;
    }
    let scale = u8::try_from(scale.value).ok()?;
    let largest = 10i64.pow(u32::try_from(precision).ok()?) - 1;
    let mut bound = |digits: Option<At<&str>>| {
        let digits = digits?;
        let value = decimal::parse(digits.value, scale).ok();
        let value = value.filter(|value| (-largest..=largest).contains(value));
        if value.is_none() {
            let limit = decimal::text(largest, scale);
            problems.add(
                digits.at,
                format!(
                    "'{}' does not fit decimal({precision}, {scale}); write a number within ±{limit}",
                    digits.value
                ),
            );
        }
        value.map(|value| At { at: digits.at, value })
    };
    let (min, max) = (bound(min), bound(max));
    check_order(min.map(|min| min.value), max, |min, max| min <= max, problems);
    let rule = Rule::Decimal {
        min: min.map_or(-largest, |min| min.value),
        max: max.map_or(largest, |max| max.value),
    };
    Some((ColumnKind::Decimal { scale }, rule))
}

fn timestamp(section: &mut Section<'_>, problems: &mut Problems) -> Rule {
    let mut bound = |key: &'static str| {
        let text = section.text(key, "\"now+5m\"", problems)?;
        let bound = TimeBound::parse(text.value);
        if bound.is_none() {
            problems.add(
                text.at,
                format!("'{}' is no time; write RFC 3339, or {key} = \"now+5m\"", text.value),
            );
        }
        bound
    };
    Rule::Timestamp { not_before: bound("not_before"), not_after: bound("not_after") }
}

fn float(section: &mut Section<'_>, problems: &mut Problems) -> Rule {
    let mut bound = |key: &'static str| {
        let digits = section.digits(key, problems)?;
        let value = digits.value.parse::<f64>().ok().filter(|value| value.is_finite());
        if value.is_none() {
            problems.add(digits.at, format!("'{}' is no finite number", digits.value));
        }
        value.map(|value| At { at: digits.at, value })
    };
    let (min, max) = (bound("min"), bound("max"));
    check_order(min.map(|min| min.value), max, |min, max| min <= max, problems);
    Rule::Float {
        min: min.map_or(f64::MIN, |min| min.value),
        max: max.map_or(f64::MAX, |max| max.value),
    }
}

fn check_order<T: Copy>(
    min: Option<T>,
    max: Option<At<T>>,
    ordered: fn(T, T) -> bool,
    problems: &mut Problems,
) {
    if let (Some(min), Some(max)) = (min, max)
        && !ordered(min, max.value)
    {
        problems.add(max.at, "'max' is smaller than 'min'; no value would pass");
    }
}
