//! What is measured: diurnal curves, noise and episodes, outages, and readings that are held back.

use super::super::random::{Draw, Draws};
use super::place::Series;
use super::plan::Hour;

/// A share of readings: parts of one hundred thousand.
pub(crate) const SHARE: u32 = 100_000;

/// Readings that are delivered late.
pub(crate) const LATE: u32 = 500;

/// Shortest delay of a late reading: past the product's 48 hours with a day to spare.
pub(crate) const SHORTEST_DELAY_HOURS: u32 = 72;

/// Longest delay of a late reading.
pub(crate) const LATEST_DELAY_HOURS: u32 = SHORTEST_DELAY_HOURS + 23;

/// Station-days with an outage: at most this share of readings is missing.
pub(crate) const OUTAGE_SHARE_PERCENT: u64 = 5;

/// One outage on this share of station-days, of 2 to 9 hours.
const OUTAGES: u32 = 8_000;

/// Readings that belong to an episode: six times the usual value.
const EPISODES: u32 = 300;

/// Typical values and their daily swing, in hundredths.
const LEVELS: [(i64, i64); 4] = [(1_200, 500), (2_100, 800), (3_100, 1_900), (5_200, 3_600)];

/// Largest values that the product takes, in hundredths.
const LARGEST: [i64; 4] = [200_000, 200_000, 200_000, 80_000];

/// Two rush hours, in per cent of the swing.
const TRAFFIC: [i64; 24] = [
    -70, -85, -95, -100, -80, -30, 30, 90, 100, 70, 35, 20, 15, 15, 20, 35, 65, 95, 80, 45, 10,
    -15, -35, -55,
];

/// The sun makes ozone; in per cent of the swing.
const SUN: [i64; 24] = [
    -90, -95, -100, -100, -95, -90, -75, -50, -20, 10, 40, 65, 85, 95, 100, 95, 80, 55, 20, -15,
    -40, -60, -75, -85,
];

/// One measured value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// What and where.
    pub(crate) series: Series,
    /// When.
    pub(crate) hour: Hour,
    /// In hundredths.
    pub(crate) value: i64,
}

/// Everything that is ever measured under one seed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World {
    readings: Draws,
    outages: Draws,
}

// === impl World ===

impl World {
    /// Makes the world of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { readings: Draws::new(seed, 1), outages: Draws::new(seed, 2) }
    }

    /// Returns the reading that arrives in its own hour.
    pub(crate) fn on_time(&self, series: Series, hour: Hour) -> Option<Reading> {
        let draw = self.draw(series, hour);
        (!is_late(draw)).then(|| self.measure(series, hour, draw))?
    }

    /// Returns the reading that was held back and arrives in `hour`.
    pub(crate) fn overdue(&self, series: Series, hour: Hour) -> Option<Reading> {
        let measured = Hour(hour.0 - delay_hours(series));
        let draw = self.draw(series, measured);
        is_late(draw).then(|| self.measure(series, measured, draw))?
    }

    fn draw(&self, series: Series, hour: Hour) -> Draw {
        self.readings.at(u64::from(hour.0) << 12 | u64::from(series.0))
    }

    fn measure(&self, series: Series, hour: Hour, draw: Draw) -> Option<Reading> {
        (!self.is_out(series, hour)).then(|| Reading {
            series,
            hour,
            value: value(series, hour, draw),
        })
    }

    /// Whether the station is silent: an outage begins and ends within one day, which makes it a
    /// function of the day alone.
    fn is_out(&self, series: Series, hour: Hour) -> bool {
        let draw = self.outages.at(u64::from(hour.day()) << 12 | u64::from(series.station().0));
        if draw.upper(SHARE) >= OUTAGES {
            return false;
        }
        let first = draw.lower(24);
        let hours = 2 + draw.next().lower(8);
        (first..first + hours).contains(&(hour.0 % 24))
    }
}

fn is_late(draw: Draw) -> bool {
    draw.upper(SHARE) < LATE
}

/// A series has one delay, so that the reading due in an hour can be computed from the hour.
fn delay_hours(series: Series) -> u32 {
    SHORTEST_DELAY_HOURS + u32::from(series.0) % (LATEST_DELAY_HOURS - SHORTEST_DELAY_HOURS + 1)
}

fn value(series: Series, hour: Hour, draw: Draw) -> i64 {
    let pollutant = series.pollutant();
    let (level, swing) = LEVELS[pollutant];
    let curve = if pollutant == 3 { &SUN } else { &TRAFFIC };
    // The hour of day fits an index; cities differ by a fixed factor from 0.6 to 1.38.
    let typical = level + swing * curve[(hour.0 % 24) as usize] / 100;
    let city = 60 + 2 * i64::from(series.station().0 % 40);
    let noise = 700 + i64::from(draw.lower(600));
    let episode = if draw.next().upper(SHARE) < EPISODES { 6 } else { 1 };
    (typical * city * noise * episode / 100_000).clamp(0, LARGEST[pollutant])
}
