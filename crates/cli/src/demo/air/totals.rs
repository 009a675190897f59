//! The generator's own totals of every group of both views: exact integers, no product crate.

use super::place::{CITIES, POLLUTANTS, SERIES};
use super::plan::{DAY_HOURS, HOUR_US, Hour, Plan};
use super::reading::{LATEST_DELAY_HOURS, Reading};
use super::stream::{Delivery, Manner};

/// Groups of `city_hour` in one hour.
const PLACES_PER_HOUR: usize = CITIES.len() * POLLUTANTS.len();

/// Groups of `station_day` in one day.
const SERIES_PER_DAY: usize = SERIES as usize;

/// Count, sum and extremes of one group, in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    /// Number of rows; the rest means nothing at zero.
    pub(crate) rows: i64,
    /// Sum of the values.
    pub(crate) sum: i64,
    /// Smallest value.
    pub(crate) min: i64,
    /// Largest value.
    pub(crate) max: i64,
}

/// What was sent, by how it must be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Good rows with an id that was not sent before.
    pub(crate) unique: u64,
    /// Those of them that arrive at least three days late.
    pub(crate) late: u64,
    /// Rows sent once more.
    pub(crate) repeated: u64,
    /// Rows with a fault.
    pub(crate) broken: u64,
}

/// Totals of all rows of a run. Grows with the time covered, not with the number of rows.
#[derive(Clone, Debug)]
pub(crate) struct Totals {
    first: Hour,
    city_hours: Vec<Sum>,
    station_days: Vec<Sum>,
    sent: Sent,
}

/// A group's name: city or station, position of the pollutant, start of the bucket.
pub(crate) type Named = (usize, usize, i64);

// === impl Sum ===

impl Sum {
    /// No rows.
    pub(crate) const EMPTY: Self = Self { rows: 0, sum: 0, min: i64::MAX, max: i64::MIN };

    /// Adds one value.
    pub(crate) fn add(&mut self, value: i64) {
        self.merge(&Self { rows: 1, sum: value, min: value, max: value });
    }

    /// Adds all values of another.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.sum += other.sum;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

// === impl Sent ===

impl Sent {
    /// Returns the number of all rows.
    pub(crate) fn rows(&self) -> u64 {
        self.unique + self.repeated + self.broken
    }
}

// === impl Totals ===

impl Totals {
    /// No rows yet.
    pub(crate) fn new(plan: &Plan) -> Self {
        // The first group belongs to the oldest late reading; days begin at whole days.
        let first = (plan.start.0 - LATEST_DELAY_HOURS) / DAY_HOURS * DAY_HOURS;
        Self {
            first: Hour(first),
            city_hours: Vec::new(),
            station_days: Vec::new(),
            sent: Sent::default(),
        }
    }

    /// Counts a row.
    pub(crate) fn add(&mut self, delivery: &Delivery) {
        match delivery.manner {
            Manner::OnTime => self.sent.unique += 1,
            Manner::Late => {
                self.sent.unique += 1;
                self.sent.late += 1;
            }
            Manner::Repeated => {
                self.sent.repeated += 1;
                return;
            }
            Manner::Broken(_) => {
                self.sent.broken += 1;
                return;
            }
        }
        let Reading { series, hour, value } = delivery.reading;
        let hours = (hour.0 - self.first.0) as usize;
        let place = series.station().city() * POLLUTANTS.len() + series.pollutant();
        slot(&mut self.city_hours, hours, PLACES_PER_HOUR, place).add(value);
        let days = hours / DAY_HOURS as usize;
        slot(&mut self.station_days, days, SERIES_PER_DAY, usize::from(series.0)).add(value);
    }

    /// Returns what was sent.
    pub(crate) fn sent(&self) -> Sent {
        self.sent
    }

    /// Returns the groups of `city_hour`; places are positions in [`CITIES`].
    pub(crate) fn city_hours(&self) -> impl Iterator<Item = (Named, Sum)> + '_ {
        groups(&self.city_hours, PLACES_PER_HOUR, self.first, 1)
    }

    /// Returns the groups of `station_day`; places are numbers of stations.
    pub(crate) fn station_days(&self) -> impl Iterator<Item = (Named, Sum)> + '_ {
        groups(&self.station_days, SERIES_PER_DAY, self.first, DAY_HOURS)
    }
}

fn slot(sums: &mut Vec<Sum>, bucket: usize, width: usize, at: usize) -> &mut Sum {
    let end = (bucket + 1) * width;
    if sums.len() < end {
        sums.resize(end, Sum::EMPTY);
    }
    &mut sums[bucket * width + at]
}

fn groups(
    sums: &[Sum],
    width: usize,
    first: Hour,
    hours: u32,
) -> impl Iterator<Item = (Named, Sum)> + '_ {
    let bucket_us = i64::from(hours) * HOUR_US;
    sums.iter().enumerate().filter(|(_, sum)| sum.rows > 0).map(move |(at, sum)| {
        let (bucket, place) = (at / width, at % width);
        let start = first.timestamp().0 + bucket as i64 * bucket_us;
        ((place / POLLUTANTS.len(), place % POLLUTANTS.len(), start), *sum)
    })
}
