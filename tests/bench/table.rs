//! The table that a run ends in.

use serde_json::json;

/// Figures with their goals.
#[derive(Debug)]
pub(crate) struct Table {
    machine: String,
    figures: Vec<Figure>,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// For the record.
    None,
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

#[derive(Debug)]
struct Figure {
    name: String,
    goal: Goal,
    value: f64,
    unit: &'static str,
}

// === impl Table ===

impl Table {
    /// Begins a table for a machine.
    pub(crate) fn new(machine: String) -> Self {
        Self { machine, figures: Vec::new() }
    }

    /// Adds a figure.
    pub(crate) fn figure(&mut self, name: &str, goal: Goal, value: f64, unit: &'static str) {
        crate::say(&format!("  {name}: {} {unit}", number(value)));
        self.figures.push(Figure { name: name.to_owned(), goal, value, unit });
    }

    /// Writes it for a person.
    pub(crate) fn text(&self) -> String {
        let mut lines = vec![self.machine.clone(), String::new()];
        let row = |name: &str, goal: &str, value: &str, unit: &str, verdict: &str| {
            format!("{name:<48}{goal:>12}{value:>12}  {unit:<24}{verdict}").trim_end().to_owned()
        };
        lines.push(row("figure", "goal", "measured", "unit", ""));
        for Figure { name, goal, value, unit } in &self.figures {
            let bound = match goal {
                Goal::None => String::new(),
                Goal::AtLeast(bound) => format!("≥ {}", number(*bound)),
                Goal::AtMost(bound) => format!("≤ {}", number(*bound)),
            };
            let verdict = match goal.is_met(*value) {
                None => "",
                Some(true) => "reached",
                Some(false) => "missed",
            };
            lines.push(row(name, &bound, &number(*value), unit, verdict));
        }
        lines.push(String::new());
        lines.push(
            "A server CPU second is one second of user and system time of all children of \
             `tidegate up` together: \"per core\" is requests divided by these."
                .to_owned(),
        );
        lines.join("\n")
    }

    /// Writes it for a program.
    pub(crate) fn json(&self) -> String {
        let figures: Vec<_> = self
            .figures
            .iter()
            .map(|Figure { name, goal, value, unit }| {
                let (at_least, at_most) = match goal {
                    Goal::None => (None, None),
                    Goal::AtLeast(bound) => (Some(bound), None),
                    Goal::AtMost(bound) => (None, Some(bound)),
                };
                json!({
                    "name": name, "unit": unit, "value": value, "at_least": at_least,
                    "at_most": at_most, "reached": goal.is_met(*value),
                })
            })
            .collect();
        json!({ "machine": self.machine, "figures": figures }).to_string()
    }
}

// === impl Goal ===

impl Goal {
    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::None => None,
            Self::AtLeast(bound) => Some(value >= bound),
            Self::AtMost(bound) => Some(value <= bound),
        }
    }
}

/// Three digits are as many as a measurement is worth.
fn number(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
