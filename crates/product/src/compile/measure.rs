//! Measures of a view: what readers see, and what must be stored for it.

use super::dataset::find_column;
use super::source::{At, Problems, Section};
use crate::contract::{ColumnKind, Dataset, Formula, Measure, Stored};
use crate::measure::AVERAGE_DIGITS;
use crate::names::{Use, check_name, did_you_mean};

/// Most measures of a view.
const MAX_MEASURES: usize = 64;

const FUNCTIONS: [&str; 5] = ["count", "sum", "avg", "min", "max"];
const LATER: [&str; 2] = ["quantile", "approx_distinct"];

/// What a view shows and stores.
#[derive(Default)]
pub(super) struct Measures {
    pub(super) measures: Vec<Measure>,
    pub(super) stored: Vec<Stored>,
}

/// Compiles `measures = { n = "count()", … }`.
pub(super) fn measures(
    section: Section<'_>,
    dataset: &Dataset,
    group_by: &[usize],
    problems: &mut Problems,
) -> Measures {
    let at = section.at();
    let entries = section.into_texts(problems);
    if entries.is_empty() || entries.len() > MAX_MEASURES {
        let message = format!("a view has 1 to {MAX_MEASURES} measures; write n = \"count()\"");
        problems.add(at, message);
    }
    let mut compiled = Measures::default();
    for (name, source) in entries {
        if let Err(problem) = check_name(name.value, Use::Column) {
            problems.add(name.at, problem);
        }
        if group_by.iter().any(|column| dataset.columns[*column].name == name.value) {
            let message =
                format!("measure '{}' has the name of a dimension; rename it", name.value);
            problems.add(name.at, message);
        }
        let call = call(source, problems);
        let measure = call.and_then(|call| compiled.measure(call, dataset, problems));
        // A stand-in for a wrong one keeps the endpoints that select it from being blamed.
        let measure = measure.unwrap_or_else(|| of(Formula::Rows, ColumnKind::Int));
        compiled.measures.push(Measure { name: name.value.to_owned(), ..measure });
    }
    compiled
}

/// A function and its column, checked as words only.
struct Call<'a> {
    at: usize,
    function: &'a str,
    argument: Option<&'a str>,
}

fn call<'a>(source: At<&'a str>, problems: &mut Problems) -> Option<Call<'a>> {
    let text = source.value.trim();
    let parts = text.split_once('(').and_then(|(name, rest)| Some((name, rest.strip_suffix(')')?)));
    let Some((function, arguments)) = parts else {
        let shown: String = text.chars().take(64).collect();
        problems.add(
            source.at,
            format!("'{}' is no measure; write count() or avg(COLUMN)", shown.escape_debug()),
        );
        return None;
    };
    let function = function.trim();
    if LATER.contains(&function) {
        problems.add(
            source.at,
            format!(
                "{function}() is not supported by this build; known are count, sum, avg, min, max"
            ),
        );
        return None;
    }
    if !FUNCTIONS.contains(&function) {
        let suggestion = did_you_mean(function, FUNCTIONS);
        let shown: String = function.chars().take(64).collect();
        problems.add(
            source.at,
            format!(
                "there is no measure '{}'{suggestion}; known are count, sum, avg, min, max",
                shown.escape_debug()
            ),
        );
        return None;
    }
    let argument = Some(arguments.trim()).filter(|argument| !argument.is_empty());
    if argument.is_none() && function != "count" {
        problems.add(source.at, format!("{function}() needs a column; write {function}(COLUMN)"));
        return None;
    }
    Some(Call { at: source.at, function, argument })
}

// === impl Measures ===

impl Measures {
    /// Resolves a call; the measure's name is the caller's to fill in.
    fn measure(
        &mut self,
        call: Call<'_>,
        dataset: &Dataset,
        problems: &mut Problems,
    ) -> Option<Measure> {
        let Some(argument) = call.argument else {
            return Some(of(Formula::Rows, ColumnKind::Int));
        };
        let name = At { at: call.at, value: argument };
        let position = find_column(name, &dataset.columns, problems)?;
        let column = &dataset.columns[position];
        if call.function == "count" {
            // In a column without nulls it is the number of rows, which is kept anyway.
            let formula = match column.nullable {
                true => Formula::Stored(self.store(Stored::Count(position))),
                false => Formula::Rows,
            };
            return Some(of(formula, ColumnKind::Int));
        }
        let extreme = matches!(call.function, "min" | "max");
        let fits = match column.kind {
            ColumnKind::Int | ColumnKind::Decimal { .. } | ColumnKind::Float => true,
            ColumnKind::Timestamp => extreme,
            _ => false,
        };
        if !fits {
            let wanted = if extreme {
                "an int, decimal, float or timestamp"
            } else {
                "an int, decimal or float"
            };
            let message = format!("{}() needs {wanted}; '{argument}' is neither", call.function);
            problems.add(call.at, message);
            return None;
        }
        Some(match call.function {
            "sum" => of(Formula::Stored(self.store(Stored::Sum(position))), column.kind),
            "min" => of(Formula::Stored(self.store(Stored::Min(position))), column.kind),
            "max" => of(Formula::Stored(self.store(Stored::Max(position))), column.kind),
            _ => {
                let sum = self.store(Stored::Sum(position));
                let count = column.nullable.then(|| self.store(Stored::Count(position)));
                let kind = match column.kind {
                    ColumnKind::Decimal { scale } => {
                        ColumnKind::Decimal { scale: scale + AVERAGE_DIGITS }
                    }
                    ColumnKind::Float => ColumnKind::Float,
                    _ => ColumnKind::Decimal { scale: AVERAGE_DIGITS },
                };
                of(Formula::Ratio { sum, count }, kind)
            }
        })
    }

    /// Returns the position of an aggregate, kept once however many measures use it.
    fn store(&mut self, aggregate: Stored) -> usize {
        let known = self.stored.iter().position(|stored| *stored == aggregate);
        known.unwrap_or_else(|| {
            self.stored.push(aggregate);
            self.stored.len() - 1
        })
    }
}

fn of(formula: Formula, kind: ColumnKind) -> Measure {
    let scale = match kind {
        ColumnKind::Decimal { scale } => Some(scale),
        _ => None,
    };
    Measure { name: String::new(), formula, scale, float: kind == ColumnKind::Float }
}
