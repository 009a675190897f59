//! The table that a run ends in.

/// Figures with their goals.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

/// What a figure must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// For the record.
    None,
    /// This.
    Exactly(u64),
    /// This or more.
    AtLeast(u64),
    /// This or less.
    AtMost(u64),
}

#[derive(Clone, Debug)]
enum Row {
    Part(&'static str),
    Figure { name: String, goal: Goal, value: u64 },
}

// === impl Table ===

impl Table {
    /// Begins a part.
    pub(crate) fn part(&mut self, name: &'static str) {
        self.rows.push(Row::Part(name));
    }

    /// Adds a figure.
    pub(crate) fn figure(&mut self, name: &str, goal: Goal, value: u64) {
        crate::say(&format!("  {name}: {value}{}", goal.verdict(value)));
        self.rows.push(Row::Figure { name: name.to_owned(), goal, value });
    }

    /// Returns whether all figures are as they must be.
    pub(crate) fn is_met(&self) -> bool {
        self.rows.iter().all(|row| match row {
            Row::Part(_) => true,
            Row::Figure { goal, value, .. } => goal.is_met(*value),
        })
    }

    /// Writes it.
    pub(crate) fn text(&self) -> String {
        let line = |name: &str, goal: &str, measured: &str, verdict: &str| {
            format!("{name:<58}{goal:>10}{measured:>10}{verdict}").trim_end().to_owned()
        };
        let mut lines = vec![line("figure", "goal", "measured", "")];
        for row in &self.rows {
            lines.push(match row {
                Row::Part(name) => format!("\n{name}"),
                Row::Figure { name, goal, value } => {
                    let (name, measured) = (format!("  {name}"), value.to_string());
                    line(&name, &goal.text(), &measured, goal.verdict(*value))
                }
            });
        }
        lines.join("\n")
    }
}

// === impl Goal ===

impl Goal {
    fn is_met(self, value: u64) -> bool {
        match self {
            Self::None => true,
            Self::Exactly(goal) => value == goal,
            Self::AtLeast(goal) => value >= goal,
            Self::AtMost(goal) => value <= goal,
        }
    }

    fn text(self) -> String {
        match self {
            Self::None => String::new(),
            Self::Exactly(goal) => format!("= {goal}"),
            Self::AtLeast(goal) => format!("≥ {goal}"),
            Self::AtMost(goal) => format!("≤ {goal}"),
        }
    }

    fn verdict(self, value: u64) -> &'static str {
        if self.is_met(value) { "" } else { "  missed" }
    }
}
