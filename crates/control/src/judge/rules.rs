//! How sure the judge must be.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a release is judged by; fixed when its watch begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// Most probable share of good releases that fail, over all metrics and looks.
    pub false_fail: f64,
    /// Most probable share of releases at `tolerated` or worse that pass.
    pub false_pass: f64,
    /// How many times as often as the baseline's the canary's events may go badly before that
    /// counts as worse: 1 or more.
    pub tolerated_ratio: f64,
    /// Shortest watch before anything passes; time without data does not count.
    pub watch: Duration,
    /// After a change of weight, for so long nothing is counted: caches and connections are new.
    pub warm_up: Duration,
}

// === impl Rules ===

impl Default for Rules {
    fn default() -> Self {
        Self {
            false_fail: 0.01,
            false_pass: 0.05,
            tolerated_ratio: 1.0,
            watch: Duration::from_secs(15 * 60),
            warm_up: Duration::from_secs(60),
        }
    }
}
