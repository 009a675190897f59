//! What the lanes of a process know together: how much each kind may retry, how long jobs take.

use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::job::Lane;
use tokio::time::Instant;

use crate::kinds::Kind;
use crate::pace::Pace;
use crate::retry::Budget;

/// Shared by all lanes.
#[derive(Debug)]
pub(crate) struct Ledger {
    budgets: Mutex<[Budget; Kind::ALL.len()]>,
    paces: Mutex<[Pace; Lane::ALL.len()]>,
}

// === impl Ledger ===

impl Ledger {
    pub(crate) fn new() -> Self {
        let budget = Budget::new(Instant::now());
        Self { budgets: Mutex::new(Kind::ALL.map(|_| budget)), paces: Mutex::default() }
    }

    /// Counts jobs that are done with.
    pub(crate) fn finished(&self, kind: Kind, jobs: usize) {
        self.budgets.lock()[kind.index()].finished(jobs);
    }

    /// Takes a quick retry from the kind's budget; `false` if it has none left.
    pub(crate) fn may_retry(&self, kind: Kind) -> bool {
        self.budgets.lock()[kind.index()].take(Instant::now())
    }

    /// Notes how long a run of `jobs` jobs took.
    pub(crate) fn ran(&self, lane: Lane, jobs: usize, elapsed: Duration) {
        self.paces.lock()[lane as usize].ran(jobs, elapsed);
    }

    /// Returns the median time of a job.
    pub(crate) fn p50(&self, lane: Lane) -> Duration {
        self.paces.lock()[lane as usize].p50()
    }
}
