//! How readings arrive: in time order, some of them late, some twice, some broken.

use std::collections::VecDeque;

use super::super::random::Draws;
use super::place::{SERIES, Series};
use super::plan::{Hour, Plan};
use super::reading::{Reading, SHARE, World};

/// Rows that are repeated.
pub(crate) const REPEATED: u32 = 300;

/// Rows that are broken.
pub(crate) const BROKEN: u32 = 200;

/// A repetition is one of this many readings sent last: some come in the same batch, some later.
const RECENT: u32 = 8_192;

/// A row to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// What it says.
    pub(crate) reading: Reading,
    /// How it arrives.
    pub(crate) manner: Manner,
}

/// How a row arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// In its own hour.
    OnTime,
    /// At least three days later.
    Late,
    /// Once more, the same id and content.
    Repeated,
    /// With a fault that must be refused.
    Broken(Fault),
}

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// A field that the product does not know.
    UnknownField,
    /// A number as text.
    WrongType,
    /// More than any pollutant may have.
    TooLarge,
    /// Less than nothing.
    Negative,
    /// A pollutant that is none.
    UnknownPollutant,
    /// No station.
    MissingField,
    /// A city that is null.
    Null,
    /// Ozone above its own limit.
    OzoneCheck,
    /// An id with spaces.
    BadId,
    /// A time that is none.
    BadTime,
    /// A time to come.
    Future,
    /// A time that the product no longer keeps.
    TooLate,
    /// A line that ends in the middle.
    Truncated,
}

/// All rows of a plan. Its memory does not grow with their number.
#[derive(Debug)]
pub(crate) struct Stream {
    world: World,
    deliveries: Draws,
    hour: Hour,
    series: u16,
    /// What the last slot gave; at most two readings, each with one more row.
    pending: VecDeque<Delivery>,
    recent: Vec<Reading>,
    readings: u64,
    rows_left: u64,
}

// === impl Fault ===

impl Fault {
    /// All of them.
    pub(crate) const ALL: [Self; 13] = [
        Self::UnknownField,
        Self::WrongType,
        Self::TooLarge,
        Self::Negative,
        Self::UnknownPollutant,
        Self::MissingField,
        Self::Null,
        Self::OzoneCheck,
        Self::BadId,
        Self::BadTime,
        Self::Future,
        Self::TooLate,
        Self::Truncated,
    ];
}

// === impl Stream ===

impl Stream {
    /// Starts the rows of a plan.
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            world: World::new(plan.seed),
            deliveries: Draws::new(plan.seed, 3),
            hour: plan.start,
            series: 0,
            pending: VecDeque::with_capacity(4),
            recent: Vec::with_capacity(RECENT as usize),
            readings: 0,
            rows_left: plan.rows,
        }
    }

    /// Goes on to the next series, after the last one to the next hour.
    fn advance(&mut self) {
        let (series, hour) = (Series(self.series), self.hour);
        self.series += 1;
        if self.series == SERIES {
            self.series = 0;
            self.hour = Hour(hour.0 + 1);
        }
        if let Some(reading) = self.world.overdue(series, hour) {
            self.deliver(reading, Manner::Late);
        }
        if let Some(reading) = self.world.on_time(series, hour) {
            self.deliver(reading, Manner::OnTime);
        }
    }

    fn deliver(&mut self, reading: Reading, manner: Manner) {
        self.pending.push_back(Delivery { reading, manner });
        self.remember(reading);
        let draw = self.deliveries.at(self.readings);
        self.readings += 1;
        let share = draw.upper(SHARE);
        if share < REPEATED {
            let count = u32::try_from(self.recent.len()).unwrap_or(RECENT);
            let reading = self.recent[draw.lower(count) as usize];
            self.pending.push_back(Delivery { reading, manner: Manner::Repeated });
        } else if share < REPEATED + BROKEN {
            let fault = Fault::ALL[(draw.next().0 % Fault::ALL.len() as u64) as usize];
            self.pending.push_back(Delivery { reading, manner: Manner::Broken(fault) });
        }
    }

    fn remember(&mut self, reading: Reading) {
        if self.recent.len() < RECENT as usize {
            self.recent.push(reading);
        } else {
            let oldest = (self.readings % u64::from(RECENT)) as usize;
            self.recent[oldest] = reading;
        }
    }
}

impl Iterator for Stream {
    type Item = Delivery;

    fn next(&mut self) -> Option<Delivery> {
        self.rows_left = self.rows_left.checked_sub(1)?;
        loop {
            if let Some(delivery) = self.pending.pop_front() {
                return Some(delivery);
            }
            self.advance();
        }
    }
}
