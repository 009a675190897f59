//! A seeded simulation of rollouts: the real state machine, journal lines and leases, and a world
//! that lets them down. Equal seeds give equal runs.

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;

use serde::Serialize;

use crate::rollout::guard::Guards;
use crate::rollout::simulate::world::World;

/// Most violations that a report lists; it counts all.
const MAX_LISTED: usize = 20;

/// Something that goes wrong, or someone who interferes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Control dies in the midst of a write to the journal, and starts again later.
    Crash,
    /// Control is stopped beyond its lease, and goes on.
    Stop,
    /// An edge is cut off.
    Partition,
    /// An edge restarts with the document on its disk.
    EdgeRestart,
    /// Answers, acknowledgements and reports of effects are lost.
    Loss,
    /// Acknowledgements arrive twice.
    Duplicate,
    /// Answers are long on their way, and overtake one another.
    Delay,
    /// The wall clock is moved by up to ten minutes.
    Clock,
    /// The release is bad.
    BadBuild,
    /// The judge gets no data, or counters that stand still: it holds.
    NoData,
    /// A PASS of another stage or artifact arrives.
    StaleVerdict,
    /// A person holds the stage, and later no longer.
    Hold,
    /// A person aborts or rolls back.
    Abort,
    /// A person approves, not always what and as they may.
    Approve,
    /// The release is submitted a second time.
    Resubmit,
}

/// An invariant that did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Repeats the run.
    pub seed: u64,
    /// Simulated milliseconds since its start.
    pub at_ms: u64,
    /// Which one, as `I1` to `I12`.
    pub invariant: &'static str,
    /// What was seen.
    pub seen: String,
}

/// What many runs have shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Number of runs.
    pub runs: u64,
    /// Runs by the phase in which they ended.
    pub ends: BTreeMap<String, u64>,
    /// Changes of phase, by both of them.
    pub transitions: BTreeMap<String, u64>,
    /// Times that each fault struck.
    pub faults: BTreeMap<String, u64>,
    /// Times that the invariants were checked.
    pub checks: u64,
    /// Number of violations.
    pub violated: u64,
    /// The first of them.
    pub violations: Vec<Violation>,
}

/// Runs one rollout for each seed; each of `faults` may strike.
pub fn run(seeds: Range<u64>, faults: &BTreeSet<Fault>) -> Report {
    run_under(Guards::ALL, seeds, faults)
}

fn run_under(guards: Guards, seeds: Range<u64>, faults: &BTreeSet<Fault>) -> Report {
    let mut report = Report::default();
    for seed in seeds {
        World::new(guards, seed, faults, &mut report).run();
        report.runs += 1;
    }
    report
}

// === impl Fault ===

impl Fault {
    /// Every fault.
    pub const ALL: [Self; 15] = [
        Self::Crash,
        Self::Stop,
        Self::Partition,
        Self::EdgeRestart,
        Self::Loss,
        Self::Duplicate,
        Self::Delay,
        Self::Clock,
        Self::BadBuild,
        Self::NoData,
        Self::StaleVerdict,
        Self::Hold,
        Self::Abort,
        Self::Approve,
        Self::Resubmit,
    ];
}

// === impl Report ===

impl Report {
    fn violate(&mut self, violation: Violation) {
        self.violated += 1;
        if self.violations.len() < MAX_LISTED {
            self.violations.push(violation);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} runs, {} checks, {} violations", self.runs, self.checks, self.violated)?;
        for (title, counts) in
            [("end", &self.ends), ("transition", &self.transitions), ("fault", &self.faults)]
        {
            for (name, count) in counts {
                writeln!(f, "{title:<10} {name:<40} {count:>10}")?;
            }
        }
        for Violation { seed, at_ms, invariant, seen } in &self.violations {
            writeln!(f, "violation  {invariant:<4} seed {seed} at {at_ms} ms: {seen}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::guard::Guard;

    fn all() -> BTreeSet<Fault> {
        Fault::ALL.into_iter().collect()
    }

    #[test]
    fn no_invariant_breaks_whatever_strikes() {
        let report = run(0..300, &all());
        assert_eq!(report.violated, 0, "{report}");
        for fault in Fault::ALL {
            assert!(report.faults.contains_key(&format!("{fault:?}")), "{fault:?}\n{report}");
        }
        assert!(report.ends.contains_key("Signed"), "{report}");
        assert!(report.ends.contains_key("RolledBack"), "{report}");
    }

    #[test]
    fn a_good_release_that_nothing_strikes_is_signed_and_a_bad_one_is_rolled_back() {
        let good = run(0..20, &BTreeSet::new());
        assert_eq!(good.ends, BTreeMap::from([("Signed".to_owned(), 20)]), "{good}");
        let bad = run(0..20, &BTreeSet::from([Fault::BadBuild]));
        let ends = bad.faults.get("BadBuild").copied();
        assert_eq!(bad.ends.get("RolledBack").copied(), ends, "{bad}");
    }

    #[test]
    fn equal_seeds_give_equal_runs() {
        assert_eq!(run(7..17, &all()), run(7..17, &all()));
    }

    #[test]
    fn every_guard_is_needed() {
        for guard in Guard::ALL {
            let report = run_under(Guards::without(guard), 0..300, &all());
            assert_ne!(report.violated, 0, "{guard:?} can be left out");
        }
    }
}
