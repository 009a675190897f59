//! One release after the other, judged as control judges it.

use std::time::Duration;

use tidegate_control::judge::{Case, Counts, Interval, Look, Metric, MetricLook, Rules, Verdict};
use tidegate_core::clock::Timestamp;

use crate::draws::Draws;
use crate::grid::{Scenario, Shape};
use crate::table::Row;

/// Share of the canary, and of the control cohort.
const WEIGHT: f64 = 0.05;

/// Longest watch.
const MINUTES: u32 = 30;

/// Minutes of the stable release's history from which bursts are known.
const HISTORY: u32 = 24 * 60;

const MINUTE: Duration = Duration::from_secs(60);

/// The bad minutes of a shared outage, and the share of requests that fail in them.
const OUTAGE: std::ops::Range<u32> = 10..13;
const OUTAGE_SHARE: f64 = 0.33;

/// When a leak begins to show.
const LEAK_AT: u32 = 12;

/// Runs the trials of a scenario.
pub(crate) fn run(scenario: &Scenario, trials: u64, seed: u64) -> Row {
    let mut draws = Draws::new(seed);
    let mut row = Row::new(scenario.clone());
    for _ in 0..trials {
        one(scenario, &mut draws, &mut row);
    }
    row
}

fn one(scenario: &Scenario, draws: &mut Draws, row: &mut Row) {
    let dispersion = dispersion(scenario, draws);
    let metrics = [(Metric::Errors, scenario.tolerated(), dispersion)];
    let begin = Timestamp(0);
    let mut case = Case::new(Rules::default(), &metrics, begin);
    let (mut served, mut now) = (Counts::default(), begin);
    for minute in 1..=MINUTES {
        now = now.after(MINUTE);
        let canary = count(scenario, draws, minute, WEIGHT, scenario.ratio);
        let control = count(scenario, draws, minute, WEIGHT, 1.0);
        let baseline = count(scenario, draws, minute, 1.0 - 2.0 * WEIGHT, 1.0);
        served = served.and(canary);
        let counted = MetricLook {
            canary: Interval { canary, baseline },
            control: Interval { canary: control, baseline },
        };
        let look = Look { metrics: [(Metric::Errors, Some(counted))].into(), tripped: None };
        match case.look(&look, now) {
            Verdict::Fail { .. } => return row.failed(minute, served),
            Verdict::Pass => return row.passed(),
            Verdict::Hold { .. } => {}
        }
    }
    row.held();
}

/// Returns what an arm with this share of the traffic counts in a minute.
fn count(scenario: &Scenario, draws: &mut Draws, minute: u32, share: f64, ratio: f64) -> Counts {
    let wave = match scenario.shape {
        Shape::Waves => 1.0 + 0.5 * (f64::from(minute) / 5.0).sin(),
        Shape::Steady | Shape::Outage | Shape::Leak => 1.0,
    };
    let rate = match scenario.shape {
        Shape::Outage if OUTAGE.contains(&minute) => OUTAGE_SHARE,
        Shape::Leak if minute < LEAK_AT => scenario.stable,
        _ => (scenario.stable * ratio).min(0.99),
    };
    let trials = draws.poisson(scenario.rps * 60.0 * share * wave);
    let bad = draws.bursts(trials as f64 * rate, scenario.burst).min(trials);
    Counts { trials, bad }
}

/// Returns variance over mean of the bad requests of a minute, at the baseline's traffic, as a
/// day's history shows it.
fn dispersion(scenario: &Scenario, draws: &mut Draws) -> f64 {
    if scenario.burst <= 1.0 {
        return 1.0;
    }
    let mean = scenario.rps * 60.0 * scenario.stable;
    let (mut sum, mut squares) = (0.0, 0.0);
    for _ in 0..HISTORY {
        let bad = draws.bursts(mean, scenario.burst) as f64;
        sum += bad;
        squares += bad * bad;
    }
    let minutes = f64::from(HISTORY);
    let mean = sum / minutes;
    if mean > 0.0 { ((squares / minutes - mean * mean) / mean).max(1.0) } else { 1.0 }
}
