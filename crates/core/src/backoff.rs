//! Exponential backoff with full jitter.

use std::time::Duration;

/// How long to wait between attempts: a random part of an exponentially growing bound.
///
/// Full jitter (a uniform draw from zero to the bound) spreads a herd of clients that failed
/// together better than a fixed delay with a small jitter does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Bound of the first wait.
    pub base: Duration,
    /// Bound that no wait exceeds.
    pub cap: Duration,
}

// === impl Backoff ===

impl Backoff {
    /// Returns the bound for `attempt`, counted from zero.
    pub fn bound(&self, attempt: u32) -> Duration {
        self.base.saturating_mul(2u32.saturating_pow(attempt.min(31))).min(self.cap)
    }

    /// Returns the wait for `attempt`, given a uniform draw from `[0, 1)`.
    pub fn wait(&self, attempt: u32, draw: f64) -> Duration {
        self.bound(attempt).mul_f64(draw.clamp(0.0, 1.0))
    }

    /// Returns the wait for `attempt` with a draw of the operating system's randomness.
    pub fn jittered(&self, attempt: u32) -> Duration {
        self.wait(attempt, draw())
    }
}

/// Returns a uniform draw from `[0, 1)` of the operating system's randomness.
pub fn draw() -> f64 {
    getrandom::u32().map_or(0.5, |bits| f64::from(bits) / (f64::from(u32::MAX) + 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_doubles_and_stops_at_the_cap() {
        let backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(1) };
        let bounds: Vec<_> = (0..6).map(|n| backoff.bound(n).as_millis()).collect();
        assert_eq!(bounds, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(backoff.bound(u32::MAX), Duration::from_secs(1));
    }

    #[test]
    fn a_draw_of_zero_retries_at_once() {
        let backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(1) };
        assert_eq!(backoff.wait(3, 0.0), Duration::ZERO);
    }
}
