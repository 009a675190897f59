//! What a run is: seed, number of rows, and a start that keeps every row within the product's limits.

use tidegate_core::clock::{MICROS_PER_SECOND, Timestamp};

use super::super::random::Draws;
use super::place::SERIES;
use super::reading::{LATEST_DELAY_HOURS, OUTAGE_SHARE_PERCENT};

/// Microseconds in an hour.
pub(crate) const HOUR_US: i64 = 3600 * MICROS_PER_SECOND;

/// Hours in a day.
pub(crate) const DAY_HOURS: u32 = 24;

/// The product keeps readings for 400 days; two of them are left for the run itself and for
/// clocks that differ.
const OLDEST_HOURS: u32 = 398 * DAY_HOURS;

/// Fewest rows that an hour gives, outages considered.
const ROWS_PER_HOUR: u64 = SERIES as u64 * (100 - OUTAGE_SHARE_PERCENT) / 100;

/// Characters of a run's name in every reading's id.
pub(crate) const RUN_LEN: usize = 10;

/// A run: equal plans give the same rows, byte for byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Seed of all draws.
    pub(crate) seed: u64,
    /// Rows to send, bad ones and repetitions included.
    pub(crate) rows: u64,
    /// First hour measured, in hours since the epoch.
    pub(crate) start: Hour,
}

/// Hours since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Hour(pub u32);

/// Why a run can't be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    /// The rows cover more time than the product keeps.
    #[error("{rows} rows are more than the product's 400 days hold; at most {most} fit")]
    Rows {
        /// Rows asked for.
        rows: u64,
        /// Rows that fit.
        most: u64,
    },
    /// The chosen start is too early.
    #[error(
        "--start is too early: readings up to four days older would be past retention; use {0} or later"
    )]
    StartsEarly(String),
    /// The chosen start is too late.
    #[error(
        "--start is too late: {hours} hours of readings would reach into the future; use {latest} or earlier"
    )]
    EndsLate {
        /// Hours that the rows cover.
        hours: u32,
        /// The latest start.
        latest: String,
    },
}

// === impl Plan ===

impl Plan {
    /// Makes a plan that starts at `start`, or as late as whole days allow.
    ///
    /// # Errors
    /// Some rows would be too old or in the future.
    pub(crate) fn new(
        seed: u64,
        rows: u64,
        start: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self, PlanError> {
        let now = Hour::of(now);
        let today = Hour(now.0 / DAY_HOURS * DAY_HOURS);
        let earliest = Hour(now.0.saturating_sub(OLDEST_HOURS - LATEST_DELAY_HOURS));
        // A whole day is left free, so that a clock behind ours does not see the future.
        let most_hours = today.0 - earliest.0 - DAY_HOURS;
        let hours = u32::try_from(rows / ROWS_PER_HOUR + 1).unwrap_or(u32::MAX);
        if hours > most_hours {
            let most = u64::from(most_hours - 1) * ROWS_PER_HOUR;
            return Err(PlanError::Rows { rows, most });
        }
        let Some(start) = start.map(Hour::of) else {
            let days = hours.div_ceil(DAY_HOURS) + 1;
            return Ok(Self { seed, rows, start: Hour(today.0 - days * DAY_HOURS) });
        };
        if start < earliest {
            return Err(PlanError::StartsEarly(Hour(earliest.0 + 1).to_rfc3339()));
        }
        if start.0 + hours > now.0 {
            let latest = Hour(now.0 - hours).to_rfc3339();
            return Err(PlanError::EndsLate { hours, latest });
        }
        Ok(Self { seed, rows, start })
    }

    /// Returns the run's name: rows of runs that differ in seed or start never share an id.
    pub(crate) fn run(&self) -> [u8; RUN_LEN] {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let mut bits = Draws::new(self.seed, u64::from(self.start.0)).at(0).0;
        [(); RUN_LEN].map(|()| {
            let letter = ALPHABET[usize::from(bits as u8 & 31)];
            bits >>= 5;
            letter
        })
    }
}

// === impl Hour ===

impl Hour {
    /// Returns the hour that holds `at`; times before the epoch count as the epoch.
    pub(crate) fn of(at: Timestamp) -> Self {
        Self(u32::try_from(at.0.div_euclid(HOUR_US)).unwrap_or(0))
    }

    /// Returns the day that holds it, in days since the epoch.
    pub(crate) fn day(self) -> u32 {
        self.0 / DAY_HOURS
    }

    /// Returns its start.
    pub(crate) fn timestamp(self) -> Timestamp {
        Timestamp(i64::from(self.0) * HOUR_US)
    }

    /// Writes its start as RFC 3339.
    pub(crate) fn to_rfc3339(self) -> String {
        self.timestamp().to_rfc3339()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[track_caller]
    fn check(rows: u64, start: Option<&str>, expected: Result<&str, &str>) {
        let plan = Plan::new(7, rows, start.map(at), at("2026-03-10T15:30:00Z"));
        let found = plan.map(|plan| plan.start.to_rfc3339()).map_err(|error| error.to_string());
        match (&found, expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
            _ => panic!("{found:?} is not {expected:?}"),
        }
    }

    #[test]
    fn a_run_ends_before_yesterday_does_and_starts_within_retention() {
        check(1, None, Ok("2026-03-08T00:00:00Z"));
        check(1_000_000, None, Ok("2026-02-26T00:00:00Z"));
        check(1, Some("2026-03-10T14:59:00Z"), Ok("2026-03-10T14:00:00Z"));
        check(1, Some("2026-03-10T15:00:00Z"), Err("use 2026-03-10T14:00:00Z or earlier"));
        check(1, Some("2024-01-01T00:00:00Z"), Err("too early"));
        check(u64::MAX, None, Err("at most"));
    }

    #[test]
    fn the_earliest_start_that_is_offered_is_accepted() {
        let now = at("2026-03-10T15:30:00Z");
        let Err(PlanError::StartsEarly(earliest)) = Plan::new(1, 1, Some(Timestamp(0)), now) else {
            panic!("1970 is too early");
        };
        assert!(Plan::new(1, 1, Some(at(&earliest)), now).is_ok());
    }

    #[test]
    fn a_run_s_name_depends_on_seed_and_start_but_not_on_its_length() {
        let plan = Plan { seed: 7, rows: 1, start: Hour(490_000) };
        assert_eq!(Plan { rows: 2, ..plan }.run(), plan.run());
        assert_ne!(Plan { seed: 8, ..plan }.run(), plan.run());
        assert_ne!(Plan { start: Hour(490_001), ..plan }.run(), plan.run());
    }
}
