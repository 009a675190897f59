//! What must be in a view, and how what is there differs from it. Pure but for reading the baseline.

use std::collections::HashMap;

use super::air::place::{CITIES, POLLUTANTS, Station};
use super::air::totals::{Named, Sent, Sum, Totals};
use super::decimal;
use super::groups::{self, AVERAGE_SCALE, Key, Listed, SCALE, Seen, View};
use super::patience::Patience;
use super::settle::Counts;
use crate::client::Client;
use crate::failure::Failure;

/// Differences that are shown for one view.
const SHOWN: usize = 10;

/// What a view held before this run.
pub(crate) struct Baseline {
    view: View,
    groups: HashMap<Key, Sum>,
}

/// What a view must hold after this run.
pub(crate) struct Expected {
    view: View,
    groups: HashMap<Key, Sum>,
}

/// Whether this run's rows were there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    /// None of them was.
    New,
    /// All of them were: the same run again.
    Replayed,
    /// Some of them were, or the counts are wrong.
    Mixed,
}

/// A comparison under way.
pub(crate) struct Check {
    expected: Expected,
    groups: u64,
    differing: u64,
    differences: Vec<String>,
}

/// A comparison that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    /// Which view.
    pub(crate) view: View,
    /// Groups that it holds.
    pub(crate) groups: u64,
    /// Groups that differ, are missing or too many.
    pub(crate) differing: u64,
    /// The first of them, one line each.
    pub(crate) differences: Vec<String>,
}

/// Compares how rows were counted with what was sent.
pub(crate) fn history(sent: &Sent, counts: &Counts) -> History {
    let applied = counts.new + counts.late;
    if counts.rows() != sent.rows() || counts.rejected != sent.broken {
        History::Mixed
    } else if applied == sent.unique {
        History::New
    } else if applied == 0 {
        History::Replayed
    } else {
        History::Mixed
    }
}

// === impl Baseline ===

impl Baseline {
    /// Reads what a view holds.
    ///
    /// # Errors
    /// It can't be read.
    pub(crate) async fn read(
        client: &Client,
        view: View,
        patience: &Patience,
    ) -> Result<Self, Failure> {
        let mut groups = HashMap::new();
        groups::list(client, view, patience, |key, listed| {
            groups.insert(key, Sum::listed(&listed));
        })
        .await?;
        Ok(Self { view, groups })
    }

    /// Returns whether the view held nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

impl Sum {
    /// What is not listed is not compared later either, and must not win as an extreme.
    fn listed(listed: &Listed) -> Self {
        Self {
            rows: listed.rows,
            sum: listed.sum.unwrap_or(0),
            min: listed.min.unwrap_or(i64::MAX),
            max: listed.max.unwrap_or(i64::MIN),
        }
    }
}

// === impl Expected ===

impl Expected {
    /// Adds this run's own totals to the baseline, unless they are in it.
    pub(crate) fn new(baseline: Baseline, totals: &Totals, history: History) -> Self {
        let Baseline { view, mut groups } = baseline;
        let mut add = |(key, own): (Key, Sum)| {
            let group = groups.entry(key).or_insert(Sum::EMPTY);
            match history {
                History::New | History::Mixed => group.merge(&own),
                // A group with no more rows than ours holds exactly ours; in one with more, ours
                // can't be told from the others.
                History::Replayed if group.rows <= own.rows => *group = own,
                History::Replayed => {}
            }
        };
        match view {
            View::CityHour => totals.city_hours().map(city_hour).for_each(&mut add),
            View::StationDay => totals.station_days().map(station_day).for_each(&mut add),
        }
        Self { view, groups }
    }

    /// Returns the view.
    pub(crate) fn view(&self) -> View {
        self.view
    }

    /// Returns what one group must hold.
    pub(crate) fn group(&self, key: &Key) -> Option<&Sum> {
        self.groups.get(key)
    }
}

fn city_hour(((city, pollutant, bucket), sum): (Named, Sum)) -> (Key, Sum) {
    let (place, pollutant) = (CITIES[city].into(), POLLUTANTS[pollutant].into());
    (Key { bucket, place, pollutant }, sum)
}

fn station_day(((station, pollutant, bucket), sum): (Named, Sum)) -> (Key, Sum) {
    let station = Station(u16::try_from(station).expect("a station's number must fit"));
    let (place, pollutant) = (station.name().into(), POLLUTANTS[pollutant].into());
    (Key { bucket, place, pollutant }, sum)
}

// === impl Check ===

impl Check {
    /// Begins with what must be there.
    pub(crate) fn new(expected: Expected) -> Self {
        Self { expected, groups: 0, differing: 0, differences: Vec::new() }
    }

    /// Returns the view.
    pub(crate) fn view(&self) -> View {
        self.expected.view
    }

    /// Compares one group that the view lists.
    pub(crate) fn compare(&mut self, key: &Key, listed: &Listed) {
        self.groups += 1;
        match self.expected.groups.remove(key) {
            None => self.differ(key, &format!("is not expected, and has {} rows", listed.rows)),
            Some(sum) => {
                let differences = differences(self.expected.view, &sum, listed);
                if !differences.is_empty() {
                    self.differ(key, &differences.join(", "));
                }
            }
        }
    }

    /// Ends with the groups that the view did not list.
    pub(crate) fn finish(mut self) -> Checked {
        let mut missing: Vec<(Key, Sum)> = self.expected.groups.drain().collect();
        missing.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (key, sum) in missing {
            self.differ(&key, &format!("is missing, and must have {} rows", sum.rows));
        }
        Checked {
            view: self.expected.view,
            groups: self.groups,
            differing: self.differing,
            differences: self.differences,
        }
    }

    fn differ(&mut self, key: &Key, what: &str) {
        self.differing += 1;
        if self.differences.len() < SHOWN {
            let bucket = tidegate_core::clock::Timestamp(key.bucket).to_rfc3339();
            let (view, place, pollutant) = (self.expected.view.name(), &key.place, &key.pollutant);
            self.differences.push(format!("{view} {place} {pollutant} {bucket} {what}"));
        }
    }
}

/// Compares a group's columns; each difference names column, expectation and finding.
fn differences(view: View, sum: &Sum, listed: &Listed) -> Vec<String> {
    let mut found = seen_differences(view, sum, &listed.seen);
    let mut compare =
        |name, expected, listed| found.extend(difference(name, SCALE, expected, listed));
    compare("sum", Some(sum.sum), listed.sum);
    compare("max", Some(sum.max), listed.max);
    // A view without the measure need not store it, but if it does it must be right.
    if view == View::CityHour {
        compare("min", Some(sum.min), listed.min);
    }
    found.extend(difference("rows", 0, Some(sum.rows), Some(listed.rows)));
    found
}

/// Compares what readers see of a group.
pub(crate) fn seen_differences(view: View, sum: &Sum, seen: &Seen) -> Vec<String> {
    let average = decimal::average(sum.sum, sum.rows);
    let min = (view == View::CityHour).then_some(sum.min);
    [
        difference("n", 0, Some(sum.rows), seen.n),
        difference("measure avg", AVERAGE_SCALE, Some(average), seen.avg),
        difference("measure min", SCALE, min, seen.min),
        difference("measure max", SCALE, Some(sum.max), seen.max),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn difference(
    name: &str,
    scale: usize,
    expected: Option<i64>,
    found: Option<i64>,
) -> Option<String> {
    let text = |number: Option<i64>| number.map_or("nothing".into(), |n| decimal::text(n, scale));
    (expected != found).then(|| format!("{name} is {} instead of {}", text(found), text(expected)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: Sum = Sum { rows: 3, sum: 100, min: 10, max: 60 };

    fn key(place: &str) -> Key {
        Key { bucket: 0, place: place.into(), pollutant: "o3".into() }
    }

    fn listed() -> Listed {
        let seen = Seen { n: Some(3), avg: Some(3333), min: Some(10), max: Some(60) };
        Listed { rows: 3, sum: Some(100), min: Some(10), max: Some(60), seen }
    }

    fn check(expected: &[&str], found: &[(&str, Listed)]) -> Checked {
        let groups = expected.iter().map(|place| (key(place), SUM)).collect();
        let mut check = Check::new(Expected { view: View::CityHour, groups });
        for (place, listed) in found {
            check.compare(&key(place), listed);
        }
        check.finish()
    }

    #[test]
    fn equal_groups_do_not_differ() {
        let checked = check(&["oslo", "rome"], &[("rome", listed()), ("oslo", listed())]);
        assert_eq!((checked.groups, checked.differing), (2, 0));
        assert!(checked.differences.is_empty());
    }

    #[test]
    fn every_column_of_a_group_is_compared() {
        let one = listed();
        let seen = one.seen;
        let wrong = [
            Listed { rows: 4, ..one },
            Listed { sum: Some(101), ..one },
            Listed { sum: None, ..one },
            Listed { min: Some(9), ..one },
            Listed { max: Some(61), ..one },
            Listed { seen: Seen { n: Some(2), ..seen }, ..one },
            Listed { seen: Seen { avg: Some(3334), ..seen }, ..one },
            Listed { seen: Seen { min: None, ..seen }, ..one },
            Listed { seen: Seen { max: Some(59), ..seen }, ..one },
        ];
        for listed in wrong {
            let checked = check(&["oslo"], &[("oslo", listed)]);
            assert_eq!(checked.differing, 1, "{listed:?}");
            assert!(checked.differences[0].starts_with("city_hour oslo o3 1970-"), "{checked:?}");
        }
    }

    #[test]
    fn missing_and_additional_groups_differ() {
        let checked = check(&["oslo"], &[("rome", listed())]);
        assert_eq!(checked.differing, 2);
        assert!(
            checked.differences[0].contains("rome") && checked.differences[1].contains("missing")
        );
    }

    #[test]
    fn only_the_first_differences_are_shown() {
        let names: Vec<String> = (0..30).map(|at| format!("c{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let checked = check(&names, &[]);
        assert_eq!((checked.differing, checked.differences.len()), (30, SHOWN));
    }

    #[test]
    fn a_run_is_new_or_replayed_or_neither() {
        let sent = Sent { unique: 10, late: 1, repeated: 2, broken: 3 };
        let counts = |new, duplicate, late, rejected| Counts { new, duplicate, late, rejected };
        for (counts, expected) in [
            (counts(9, 2, 1, 3), History::New),
            (counts(0, 12, 0, 3), History::Replayed),
            (counts(4, 8, 0, 3), History::Mixed),
            (counts(9, 2, 1, 2), History::Mixed),
            (counts(10, 1, 1, 3), History::Mixed),
            (counts(10, 2, 0, 4), History::Mixed),
        ] {
            assert_eq!(history(&sent, &counts), expected, "{counts:?}");
        }
    }
}
