//! The waits a broker knows: one queue for each.

use std::fmt;
use std::time::Duration;

/// A wait this short is over before a message has been to a rung and back.
const AT_ONCE: Duration = Duration::from_millis(500);

/// One of the waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Rung {
    OneSecond,
    FiveSeconds,
    HalfAMinute,
    TwoMinutes,
    TenMinutes,
    OneHour,
}

// === impl Rung ===

impl Rung {
    /// All of them, the shortest first.
    pub(super) const ALL: [Self; 6] = [
        Self::OneSecond,
        Self::FiveSeconds,
        Self::HalfAMinute,
        Self::TwoMinutes,
        Self::TenMinutes,
        Self::OneHour,
    ];

    pub(super) fn wait(self) -> Duration {
        Duration::from_secs(match self {
            Self::OneSecond => 1,
            Self::FiveSeconds => 5,
            Self::HalfAMinute => 30,
            Self::TwoMinutes => 120,
            Self::TenMinutes => 600,
            Self::OneHour => 3_600,
        })
    }

    /// Returns the rung for a wait; `None` if the message goes straight back to its lane.
    ///
    /// Between two rungs the draw decides, the nearer one being likelier, so that over many messages
    /// the mean wait is the one that was asked for, and their jitter stays.
    pub(super) fn for_wait(wait: Duration, draw: f64) -> Option<Self> {
        if wait < AT_ONCE {
            return None;
        }
        let Some(above) = Self::ALL.iter().position(|rung| rung.wait() >= wait) else {
            return Some(Self::OneHour);
        };
        let Some(below) = above.checked_sub(1) else { return Some(Self::OneSecond) };
        let (below, above) = (Self::ALL[below], Self::ALL[above]);
        let (low, high) = (below.wait().as_secs_f64(), above.wait().as_secs_f64());
        let share = (wait.as_secs_f64() - low) / (high - low);
        Some(if draw < share { above } else { below })
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OneSecond => "1s",
            Self::FiveSeconds => "5s",
            Self::HalfAMinute => "30s",
            Self::TwoMinutes => "2m",
            Self::TenMinutes => "10m",
            Self::OneHour => "1h",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(millis: u64, draw: f64, expected: Option<Rung>) {
        assert_eq!(Rung::for_wait(Duration::from_millis(millis), draw), expected);
    }

    #[test]
    fn short_waits_need_no_rung_and_long_ones_take_the_last() {
        check(0, 0.0, None);
        check(499, 0.9, None);
        check(500, 0.9, Some(Rung::OneSecond));
        check(1_000, 0.9, Some(Rung::OneSecond));
        check(7_200_000, 0.0, Some(Rung::OneHour));
    }

    #[test]
    fn between_two_rungs_the_mean_wait_is_kept() {
        const DRAWS: u32 = 10_000;
        for wait in [2u64, 4, 17, 100, 1_000] {
            let waits = (0..DRAWS).map(|n| {
                let draw = f64::from(n) / f64::from(DRAWS);
                Rung::for_wait(Duration::from_secs(wait), draw).unwrap().wait().as_secs_f64()
            });
            let mean = waits.sum::<f64>() / f64::from(DRAWS);
            let wanted = Duration::from_secs(wait).as_secs_f64();
            assert!((mean - wanted).abs() < wanted / 100.0, "{mean} for {wanted}");
        }
    }
}
