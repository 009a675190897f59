//! What came of the trials.

use tidegate_control::judge::Counts;

use crate::grid::{Scenario, Truth};

/// Most good releases that may fail.
const FALSE_FAIL: f64 = 0.01;

/// Most bad releases that may pass.
const FALSE_PASS: f64 = 0.05;

/// Standard normal quantile of a two-sided 95 % interval.
const Z: f64 = 1.96;

/// The verdicts of one scenario.
pub(crate) struct Row {
    scenario: Scenario,
    passed: u64,
    held: u64,
    /// Minute of each failure, and what the release had served.
    failed: Vec<(u32, Counts)>,
}

// === impl Row ===

impl Row {
    pub(crate) fn new(scenario: Scenario) -> Self {
        Self { scenario, passed: 0, held: 0, failed: Vec::new() }
    }

    pub(crate) fn failed(&mut self, minute: u32, served: Counts) {
        self.failed.push((minute, served));
    }

    pub(crate) fn passed(&mut self) {
        self.passed += 1;
    }

    pub(crate) fn held(&mut self) {
        self.held += 1;
    }

    /// Returns whether what must be rare was shown to be.
    pub(crate) fn is_shown(&self) -> bool {
        self.bound().is_none_or(|(wrong, most)| wilson(wrong, self.trials()) <= most)
    }

    /// Returns how often the judge was wrong, and how often it may be.
    fn bound(&self) -> Option<(u64, f64)> {
        match self.scenario.truth() {
            Truth::Good => Some((self.failed.len() as u64, FALSE_FAIL)),
            Truth::Bad => Some((self.passed, FALSE_PASS)),
            Truth::Tolerated => None,
        }
    }

    fn trials(&self) -> u64 {
        self.passed + self.held + self.failed.len() as u64
    }

    fn text(&self) -> String {
        let Scenario { name, rps, stable, ratio, burst, .. } = &self.scenario;
        let trials = self.trials() as f64;
        let share = |count: u64| count as f64 / trials * 100.0;
        let failed = self.failed.len() as u64;
        let (bound, verdict) = match self.bound() {
            None => (String::new(), ""),
            Some((wrong, most)) => {
                let upper = wilson(wrong, self.trials());
                let bound = format!("{:.2} ≤ {:.0}", upper * 100.0, most * 100.0);
                (bound, if upper <= most { "" } else { "  not shown" })
            }
        };
        let served = median(self.failed.iter().map(|(_, served)| served.trials).collect());
        let bad = median(self.failed.iter().map(|(_, served)| served.bad).collect());
        let minute = median(self.failed.iter().map(|(minute, _)| u64::from(*minute)).collect());
        format!(
            "{name:<14}{rps:>6}{:>8.1}{ratio:>7}{burst:>7} |{:>7.1}{:>7.1}{:>7.1} |{bound:>10} |{minute:>7}{served:>10}{bad:>8}{verdict}",
            stable * 100.0,
            share(failed),
            share(self.passed),
            share(self.held),
        )
    }
}

/// Writes the table.
pub(crate) fn text(rows: &[Row]) -> String {
    let head = format!(
        "{:<14}{:>6}{:>8}{:>7}{:>7} |{:>7}{:>7}{:>7} |{:>10} |{:>7}{:>10}{:>8}",
        "scenario",
        "rps",
        "bad, %",
        "ratio",
        "burst",
        "FAIL",
        "PASS",
        "HOLD, %",
        "wrong, %",
        "minute",
        "requests",
        "bad"
    );
    let mut lines = vec![head, String::new()];
    lines.extend(rows.iter().map(Row::text));
    lines.push(String::new());
    lines.push(
        "wrong: upper end of the Wilson interval. minute, requests, bad: medians until FAIL."
            .to_owned(),
    );
    for (truth, what) in
        [(Truth::Good, "FAIL of a good release"), (Truth::Bad, "PASS of a bad one")]
    {
        let of_it = || rows.iter().filter(|row| row.scenario.truth() == truth);
        let worst = of_it().filter_map(Row::bound).map(|(wrong, _)| wrong).max().unwrap_or(0);
        let trials = rows.first().map_or(1, Row::trials) as f64;
        let shown = of_it().filter(|row| row.is_shown()).count();
        lines.push(format!(
            "{what}: at most {:.2} % in a scenario; bound shown in {shown} of {} scenarios",
            worst as f64 / trials * 100.0,
            of_it().count(),
        ));
    }
    lines.join("\n")
}

/// Returns the upper end of the Wilson score interval of a share.
fn wilson(count: u64, trials: u64) -> f64 {
    let (trials, share) = (trials as f64, count as f64 / trials as f64);
    let square = Z * Z / trials;
    let spread = Z * ((share * (1.0 - share) + square / 4.0) / trials).sqrt();
    (share + square / 2.0 + spread) / (1.0 + square)
}

fn median(mut values: Vec<u64>) -> String {
    values.sort_unstable();
    values.get(values.len() / 2).map_or_else(|| "–".to_owned(), u64::to_string)
}
