//! How long jobs take, from a small sliding window.

use std::collections::VecDeque;
use std::time::Duration;

/// Samples kept.
const SAMPLES: usize = 64;

/// The last runs of a lane: for each, the time that one of its jobs took.
#[derive(Debug, Default)]
pub(crate) struct Pace(VecDeque<Duration>);

// === impl Pace ===

impl Pace {
    /// Adds a run of `jobs` jobs, which shared its time.
    pub(crate) fn ran(&mut self, jobs: usize, elapsed: Duration) {
        let Ok(jobs @ 1..) = u32::try_from(jobs) else { return };
        if self.0.len() == SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back(elapsed / jobs);
    }

    /// Returns the median; zero if there is no sample.
    pub(crate) fn p50(&self) -> Duration {
        let mut samples: Vec<_> = self.0.iter().copied().collect();
        let middle = samples.len() / 2;
        if samples.is_empty() {
            return Duration::ZERO;
        }
        *samples.select_nth_unstable(middle).1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_follows_the_last_runs() {
        let mut pace = Pace::default();
        assert_eq!(pace.p50(), Duration::ZERO);
        pace.ran(0, Duration::from_secs(9));
        assert_eq!(pace.p50(), Duration::ZERO);
        for seconds in [5, 1, 3] {
            pace.ran(1, Duration::from_secs(seconds));
        }
        assert_eq!(pace.p50(), Duration::from_secs(3));
        for _ in 0..SAMPLES {
            pace.ran(10, Duration::from_secs(20));
        }
        assert_eq!(pace.p50(), Duration::from_secs(2));
    }
}
