//! The table that a run ends in.

use std::fmt::Write as _;

use crate::Speed;

/// Speeds of all rounds, and what they come to.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<(&'static str, Vec<Speed>)>,
    goals: Vec<Goal>,
}

/// A ratio that is to be reached.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) what: &'static str,
    pub(crate) at_least: f64,
    pub(crate) is: f64,
}

// === impl Table ===

impl Table {
    /// Adds what one turn measured.
    pub(crate) fn add(&mut self, name: &'static str, speed: Speed) {
        crate::say(&format!(
            "  {name}: enqueue {:.0}/s, process {:.0}/s",
            speed.enqueue, speed.process
        ));
        match self.rows.iter_mut().find(|(present, _)| *present == name) {
            Some((_, speeds)) => speeds.push(speed),
            None => self.rows.push((name, vec![speed])),
        }
    }

    /// Adds a ratio of medians.
    pub(crate) fn compare(&mut self, goal: Goal) {
        self.goals.push(goal);
    }

    /// Returns the median of all turns.
    pub(crate) fn median(&self, name: &str, of: fn(&Speed) -> f64) -> f64 {
        let speeds = self.rows.iter().find(|(present, _)| *present == name);
        let mut values: Vec<f64> = speeds.into_iter().flat_map(|(_, all)| all).map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    }

    /// Writes it for a person.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut line = |line: String| writeln!(text, "{line}").expect("text can be appended to");
        line(format!("{:<28}{:>6}{:>22}{:>22}", "median", "turns", "enqueue/s", "process/s"));
        for (name, speeds) in &self.rows {
            line(format!(
                "{name:<28}{:>6}{:>22}{:>22}",
                speeds.len(),
                self.range(name, |speed| speed.enqueue),
                self.range(name, |speed| speed.process)
            ));
        }
        line(String::new());
        line(format!("{:<44}{:>8}{:>10}", "ratio of medians", "goal", "measured"));
        for Goal { what, at_least, is } in &self.goals {
            let verdict = if is >= at_least { "reached" } else { "missed" };
            line(format!("{what:<44}{:>8}{is:>10.1}  {verdict}", format!("≥ {at_least}")));
        }
        text.trim_end().to_owned()
    }

    fn range(&self, name: &str, of: fn(&Speed) -> f64) -> String {
        let speeds = self.rows.iter().find(|(present, _)| *present == name);
        let values = speeds.into_iter().flat_map(|(_, all)| all).map(of);
        let (least, most) =
            values.fold((f64::MAX, 0.0), |(l, m), value| (f64::min(l, value), f64::max(m, value)));
        format!("{:.0} ({least:.0}-{most:.0})", self.median(name, of))
    }
}
