//! How a run ended: for a person, for a program, and as an exit status.

use std::fmt::Write as _;

use anyhow::anyhow;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::air::totals::Sent;
use super::board::grouped;
use super::settle::Counts;
use super::verify::{Checked, History};
use crate::failure::Failure;

/// The last line of a run whose totals all agree; scripts look for it.
const MATCH: &str = "all views match";

/// Everything that is known at the end.
pub(crate) struct Report {
    /// How fast it was.
    pub(crate) speed: Speed,
    /// What was sent.
    pub(crate) sent: Sent,
    /// How it was counted.
    pub(crate) counts: Counts,
    /// What the counts say about earlier runs.
    pub(crate) history: History,
    /// The comparison of each view.
    pub(crate) checks: Vec<Checked>,
    /// What was wrong with the endpoint's answer.
    pub(crate) endpoint: Option<String>,
}

/// How fast a run was.
pub(crate) struct Speed {
    /// Rows sent.
    pub(crate) rows: u64,
    /// From the first request until the last job had ended.
    pub(crate) seconds: f64,
    /// Share of reads answered by the edge's cache.
    pub(crate) hit_ratio: Option<f64>,
    /// Reads meanwhile.
    pub(crate) reads: u64,
    /// Requests sent again.
    pub(crate) retries: u64,
}

// === impl Speed ===

impl Speed {
    fn rows_per_s(&self) -> f64 {
        self.rows as f64 / self.seconds.max(0.001)
    }
}

// === impl Report ===

impl Report {
    /// Returns the counts that the generator expects: applied (new or late), duplicate, rejected.
    fn expected(&self) -> (u64, u64, u64) {
        let Sent { unique, repeated, broken, .. } = self.sent;
        match self.history {
            History::New | History::Mixed => (unique, repeated, broken),
            History::Replayed => (0, unique + repeated, broken),
        }
    }

    /// Returns everything that differs, one line each.
    fn differences(&self) -> Vec<String> {
        let mut differences = Vec::new();
        let (applied, duplicate, rejected) = self.expected();
        let counts = [
            ("rows", self.sent.rows(), self.counts.rows()),
            ("new and late rows", applied, self.counts.new + self.counts.late),
            ("duplicate rows", duplicate, self.counts.duplicate),
            ("rejected rows", rejected, self.counts.rejected),
        ];
        for (name, expected, counted) in counts {
            if expected != counted {
                differences.push(format!("{counted} {name} were counted instead of {expected}"));
            }
        }
        differences.extend(self.checks.iter().flat_map(|check| check.differences.iter().cloned()));
        differences.extend(self.endpoint.clone());
        differences
    }

    /// Says it to a person.
    pub(crate) fn text(&self) -> String {
        let Speed { rows, seconds, hit_ratio, reads, retries } = &self.speed;
        let (applied, duplicate, rejected) = self.expected();
        let mut lines = format!(
            "{} rows sent and applied in {seconds:.1} s: {} rows/s, {retries} requests sent again\n",
            grouped(*rows),
            grouped(self.speed.rows_per_s() as u64),
        );
        let ratio = hit_ratio.map_or("no".into(), |ratio| format!("{:.1} %", ratio * 100.0));
        let mut line = |text: String| writeln!(lines, "{text}").expect("text can be appended to");
        line(format!("{} reads meanwhile: {ratio} cache hits\n", grouped(*reads)));
        line(format!("{:<16}{:>14}{:>14}", "rows", "generated", "counted"));
        for (name, expected, counted) in [
            ("new and late", applied, self.counts.new + self.counts.late),
            ("duplicate", duplicate, self.counts.duplicate),
            ("rejected", rejected, self.counts.rejected),
            ("all", self.sent.rows(), self.counts.rows()),
        ] {
            line(format!("{name:<16}{:>14}{:>14}", grouped(expected), grouped(counted)));
        }
        // Which rows are late depends on what was applied before them: only the sum must agree.
        let Counts { new, late, .. } = self.counts;
        line(format!(
            "{} were new, {} late: two days or more behind the newest row ({} were made so)",
            grouped(new),
            grouped(late),
            grouped(self.sent.late)
        ));
        line(format!("\n{:<16}{:>14}{:>14}", "view", "groups", "differing"));
        for check in &self.checks {
            let (groups, differing) = (grouped(check.groups), grouped(check.differing));
            line(format!("{:<16}{groups:>14}{differing:>14}", check.view.name()));
        }
        line(String::new());
        match self.differences() {
            none if none.is_empty() => lines + MATCH,
            differences => lines + &differences.join("\n"),
        }
    }

    /// Turns differences into the command's failure.
    ///
    /// # Errors
    /// Something differs.
    pub(crate) fn outcome(&self) -> Result<(), Failure> {
        if self.differences().is_empty() {
            return Ok(());
        }
        Err(Failure::failed(anyhow!("the generator's totals and the served ones differ")))
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (applied, duplicate, rejected) = self.expected();
        let views: Map<String, Value> = self
            .checks
            .iter()
            .map(|check| {
                let value = json!({ "groups": check.groups, "differing": check.differing });
                (check.view.name().to_owned(), value)
            })
            .collect();
        let differences = self.differences();
        json!({
            "event": "demo",
            "rows": self.speed.rows,
            "seconds": self.speed.seconds,
            "rows_per_s": self.speed.rows_per_s(),
            "hit_ratio": self.speed.hit_ratio,
            "reads": self.speed.reads,
            "retries": self.speed.retries,
            "counts": self.counts,
            "expected": { "new_or_late": applied, "duplicate": duplicate, "rejected": rejected },
            "views": views,
            "ok": differences.is_empty(),
            "differences": differences,
        })
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::groups::View;

    fn report(counts: Counts, differences: &[&str]) -> Report {
        let check = Checked {
            view: View::CityHour,
            groups: 5,
            differing: differences.len() as u64,
            differences: differences.iter().map(|line| (*line).to_owned()).collect(),
        };
        Report {
            speed: Speed { rows: 15, seconds: 0.5, hit_ratio: None, reads: 0, retries: 1 },
            sent: Sent { unique: 10, late: 1, repeated: 2, broken: 3 },
            counts,
            history: History::New,
            checks: vec![check],
            endpoint: None,
        }
    }

    const RIGHT: Counts = Counts { new: 9, duplicate: 2, late: 1, rejected: 3 };

    #[test]
    fn the_last_line_says_that_all_views_match() {
        let report = report(RIGHT, &[]);
        assert_eq!(report.text().lines().last(), Some("all views match"));
        assert!(report.outcome().is_ok());
        let value = serde_json::to_value(&report).unwrap();
        assert_eq!(value["ok"], true);
        assert_eq!(value["views"]["city_hour"]["groups"], 5);
        assert_eq!(value["rows_per_s"], 30.0);
    }

    #[test]
    fn any_difference_fails_the_run() {
        let wrong = [
            report(RIGHT, &["city_hour oslo differs"]),
            report(Counts { new: 8, ..RIGHT }, &[]),
            report(Counts { duplicate: 3, ..RIGHT }, &[]),
            Report { endpoint: Some("wrong".into()), ..report(RIGHT, &[]) },
        ];
        for report in wrong {
            assert!(!report.text().contains(MATCH));
            assert_eq!(report.outcome().unwrap_err().exit, crate::failure::Exit::Failed);
            assert_eq!(serde_json::to_value(&report).unwrap()["ok"], false);
        }
    }
}
