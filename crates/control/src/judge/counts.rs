//! What was counted.

use serde::{Deserialize, Serialize};

/// Events of one arm: requests that may be errors or too slow, jobs that may fail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All of them.
    pub trials: u64,
    /// Those that went badly; never more than `trials`.
    pub bad: u64,
}

/// One metric of two arms, between two looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// Of the release that is judged.
    pub canary: Counts,
    /// Of the stable release at the same time.
    pub baseline: Counts,
}

// === impl Counts ===

impl Counts {
    /// Makes counts; what can't be is no count.
    pub fn new(trials: u64, bad: u64) -> Option<Self> {
        (bad <= trials).then_some(Self { trials, bad })
    }

    /// Returns the counts of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            trials: self.trials.saturating_add(other.trials),
            bad: self.bad.saturating_add(other.bad),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_bad_events_than_events_are_no_counts() {
        assert_eq!(Counts::new(3, 4), None);
        let three = Counts::new(3, 3).unwrap();
        assert_eq!(three.and(Counts { trials: 1, bad: 0 }), Counts { trials: 4, bad: 3 });
    }
}
