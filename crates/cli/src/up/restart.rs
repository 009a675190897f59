//! When a child that ended is started again.

use std::time::Duration;

use tidegate_core::backoff::Backoff;

/// A child that ran this long had started well: its end is a new misfortune.
const STEADY: Duration = Duration::from_secs(5);

/// Waits after the second end in a row and later ones.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(5) };

/// How often a child was started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Restarts {
    /// Since `up` began.
    pub(crate) total: u64,
    /// Ends in a row without a steady run between them.
    in_row: u32,
}

/// What to do about a child that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    /// At once: what it served waits for it.
    Now,
    /// After a wait of this attempt: it would only end again.
    Later { attempt: u32 },
}

// === impl Restarts ===

impl Restarts {
    /// Counts an end after `ran_for`, and decides.
    pub(crate) fn ended(&mut self, ran_for: Duration) -> Restart {
        self.total = self.total.saturating_add(1);
        self.in_row = if ran_for >= STEADY { 1 } else { self.in_row.saturating_add(1) };
        match self.in_row.checked_sub(2) {
            None => Restart::Now,
            Some(attempt) => Restart::Later { attempt },
        }
    }
}

// === impl Restart ===

impl Restart {
    /// Returns how long to wait.
    pub(crate) fn wait(self) -> Duration {
        match self {
            Self::Now => Duration::ZERO,
            Self::Later { attempt } => BACKOFF.jittered(attempt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_end_is_mended_at_once_and_those_that_follow_it_later_and_later() {
        let mut restarts = Restarts::default();
        let decided: Vec<_> = (0..4).map(|_| restarts.ended(Duration::from_millis(50))).collect();
        let later = |attempt| Restart::Later { attempt };
        assert_eq!(decided, [Restart::Now, later(0), later(1), later(2)]);
        assert_eq!(restarts.total, 4);
    }

    #[test]
    fn a_steady_run_makes_the_next_end_a_first_one() {
        let mut restarts = Restarts::default();
        for _ in 0..9 {
            restarts.ended(Duration::ZERO);
        }
        assert_eq!(restarts.ended(STEADY), Restart::Now);
        assert_eq!(restarts.ended(Duration::ZERO), Restart::Later { attempt: 0 });
    }

    #[test]
    fn no_wait_is_longer_than_a_few_seconds() {
        let mut restarts = Restarts::default();
        for _ in 0..99 {
            assert!(restarts.ended(Duration::ZERO).wait() <= BACKOFF.cap);
        }
    }
}
