//! How many workers the load asks for.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a job is taken to last as long as none of its lane has been measured.
const UNMEASURED: Duration = Duration::from_millis(10);

/// Path on the api's private listener: a [`Signal`], for an autoscaler.
pub const PATH: &str = "/internal/scaling";

/// What an autoscaler reads: KEDA's `metrics-api` takes `desired`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Workers there should be.
    pub desired: u32,
    /// Workers there are; those that drain are not counted.
    pub current: u32,
    /// Jobs that wait.
    pub ready: u64,
    /// Jobs held by workers.
    pub unacked: u64,
    /// Age of the oldest job, in seconds.
    pub oldest_age_seconds: f64,
    /// Median time of a job over all lanes, in seconds; zero if none was measured.
    pub p50_seconds: f64,
}

/// The work of one lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneLoad {
    /// Jobs ready and held: a held one is work too, or a busy worker would be taken for idle.
    pub waiting: u64,
    /// Median time that one slot spends on a job; zero if none was measured.
    pub p50: Duration,
    /// Age of the oldest job.
    pub oldest_age: Duration,
}

/// What the pool of workers is to reach, and within which bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// In this time, what waits should be done. In seconds.
    pub drain_seconds: u64,
    /// No job should wait longer than this. In seconds.
    pub age_seconds: u64,
    /// Jobs one worker runs at a time.
    pub slots: u32,
    /// Fewest workers.
    pub min: u32,
    /// Most workers.
    pub max: u32,
}

// === impl Target ===

impl Default for Target {
    fn default() -> Self {
        Self { drain_seconds: 30, age_seconds: 60, slots: 8, min: 1, max: 4 }
    }
}

/// Returns how many workers there should be, now that there are `current`.
///
/// Enough that what waits is done within the target, and, if the oldest job is older than its
/// target in spite of them, more in proportion. Both parts fall as the backlog does, so the answer
/// comes down by itself; whoever stops a worker waits until it has drained.
pub fn desired(lanes: &[LaneLoad], current: u32, target: &Target) -> u32 {
    let (min, max) = (target.min, target.max.max(target.min));
    let work: f64 = lanes.iter().map(LaneLoad::seconds).sum();
    let drain = seconds(target.drain_seconds) * f64::from(target.slots.max(1));
    let oldest = lanes.iter().map(|lane| lane.oldest_age).max().unwrap_or_default();
    let age = oldest.as_secs_f64() / seconds(target.age_seconds);
    let workers = (work / drain).max(age * f64::from(current)).ceil();
    // A float to integer conversion saturates.
    (workers as u32).clamp(min, max)
}

/// A target of nothing would ask for workers without end.
fn seconds(target: u64) -> f64 {
    Duration::from_secs(target.max(1)).as_secs_f64()
}

// === impl LaneLoad ===

impl LaneLoad {
    /// Returns the work in seconds of one slot.
    fn seconds(&self) -> f64 {
        let p50 = if self.p50.is_zero() { UNMEASURED } else { self.p50 };
        self.waiting as f64 * p50.as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target = Target { drain_seconds: 10, age_seconds: 30, slots: 2, min: 1, max: 20 };

    /// One lane: jobs that wait, their median in milliseconds, the age of the oldest in seconds.
    #[track_caller]
    fn check(current: u32, lane: (u64, u64, u64), expected: u32) {
        let (waiting, p50, age) = lane;
        let load = LaneLoad {
            waiting,
            p50: Duration::from_millis(p50),
            oldest_age: Duration::from_secs(age),
        };
        assert_eq!(desired(&[load], current, &TARGET), expected, "{current} {lane:?}");
    }

    #[test]
    fn enough_workers_drain_what_waits_in_time() {
        check(1, (0, 100, 0), 1);
        check(1, (200, 100, 0), 1);
        check(1, (201, 100, 0), 2);
        check(1, (1_000, 100, 0), 5);
        check(7, (1_000, 100, 0), 5);
    }

    #[test]
    fn an_old_job_asks_for_more_than_there_are() {
        check(2, (1, 100, 30), 2);
        check(2, (1, 100, 31), 3);
        check(4, (1, 100, 60), 8);
        check(4, (1, 100, 3), 1);
    }

    #[test]
    fn bounds_hold_whatever_is_measured() {
        check(0, (0, 0, 0), 1);
        check(1, (u64::MAX, u64::MAX, 0), 20);
        check(u32::MAX, (0, 0, u64::MAX), 20);
        let target = Target { min: 3, max: 1, ..TARGET };
        assert_eq!(desired(&[], 1, &target), 3);
        let none = Target { drain_seconds: 0, age_seconds: 0, slots: 0, min: 0, max: 9 };
        assert_eq!(desired(&[], 1, &none), 0);
    }

    #[test]
    fn a_lane_that_was_never_measured_still_asks_for_workers() {
        check(1, (20_000, 0, 0), 10);
        let target = Target { min: 0, ..TARGET };
        let one = LaneLoad { waiting: 1, p50: Duration::ZERO, oldest_age: Duration::ZERO };
        assert_eq!(desired(&[one], 0, &target), 1);
    }

    #[test]
    fn lanes_add_up_and_the_oldest_job_of_all_counts() {
        let lane = |waiting, age| LaneLoad {
            waiting,
            p50: Duration::from_secs(1),
            oldest_age: Duration::from_secs(age),
        };
        assert_eq!(desired(&[lane(30, 0), lane(30, 0)], 1, &TARGET), 3);
        assert_eq!(desired(&[lane(1, 10), lane(1, 90)], 2, &TARGET), 6);
    }
}
