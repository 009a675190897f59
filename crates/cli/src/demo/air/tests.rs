//! Laws of the generator, checked on what it wrote.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use tidegate_core::clock::Timestamp;

use super::encode::Encoder;
use super::place::POLLUTANTS;
use super::plan::{HOUR_US, Hour, Plan};
use super::reading::SHORTEST_DELAY_HOURS;
use super::stream::{Delivery, Fault, Manner, Stream};
use super::totals::{Sum, Totals};
use crate::demo::decimal;

const NOW: &str = "2026-03-10T15:30:00Z";

fn plan(seed: u64, rows: u64) -> Plan {
    Plan::new(seed, rows, None, Timestamp::parse_rfc3339(NOW).unwrap()).unwrap()
}

/// Returns the rows of a plan, as deliveries and as they are written.
fn rows(plan: &Plan) -> Vec<(Delivery, String)> {
    let mut encoder = Encoder::new(plan);
    Stream::new(plan)
        .map(|delivery| {
            let mut line = Vec::new();
            encoder.row(&mut line, &delivery);
            assert_eq!(line.pop(), Some(b'\n'));
            (delivery, String::from_utf8(line).unwrap())
        })
        .collect()
}

fn share(rows: &[(Delivery, String)], is_counted: impl Fn(Manner) -> bool) -> f64 {
    let counted = rows.iter().filter(|(delivery, _)| is_counted(delivery.manner)).count();
    counted as f64 / rows.len() as f64 * 100.0
}

#[test]
fn equal_plans_give_equal_bytes_and_other_seeds_do_not() {
    let (one, same) = (rows(&plan(7, 20_000)), rows(&plan(7, 20_000)));
    assert_eq!(one.len(), 20_000);
    assert!(one == same);
    assert!(one != rows(&plan(8, 20_000)));
    let shorter = Plan { rows: 5_000, ..plan(7, 20_000) };
    assert!(rows(&shorter) == one[..5_000]);
}

#[test]
fn late_repeated_and_broken_rows_have_their_shares() {
    for rows in [rows(&plan(7, 200_000)), rows(&plan(1, 60_000))] {
        let checks = [
            (share(&rows, |manner| manner == Manner::Late), 0.5),
            (share(&rows, |manner| manner == Manner::Repeated), 0.3),
            (share(&rows, |manner| matches!(manner, Manner::Broken(_))), 0.2),
        ];
        for (found, expected) in checks {
            assert!((found / expected - 1.0).abs() < 0.25, "{found} % instead of {expected} %");
        }
    }
}

#[test]
fn time_goes_forward_and_late_rows_come_three_days_behind_it() {
    let mut latest = 0;
    for (delivery, line) in rows(&plan(7, 50_000)) {
        let (Manner::OnTime | Manner::Late) = delivery.manner else { continue };
        let value: Value = serde_json::from_str(&line).unwrap();
        let ts = Timestamp::parse_rfc3339(value["ts"].as_str().unwrap()).unwrap().0;
        if delivery.manner == Manner::Late {
            // The first rows of a run have nothing before them to be behind of.
            assert!(latest == 0 || ts + i64::from(SHORTEST_DELAY_HOURS - 1) * HOUR_US <= latest);
        } else {
            assert!(ts >= latest, "{line}");
            latest = ts;
        }
    }
}

#[test]
fn every_time_is_within_the_product_s_limits() {
    let now = Timestamp::parse_rfc3339(NOW).unwrap();
    for plan in [plan(1, 100_000), plan(2, 1)] {
        for (delivery, line) in rows(&plan) {
            if matches!(delivery.manner, Manner::Broken(_)) {
                continue;
            }
            let value: Value = serde_json::from_str(&line).unwrap();
            let ts = Timestamp::parse_rfc3339(value["ts"].as_str().unwrap()).unwrap();
            assert!(ts < now && now.since(ts).as_secs() < 399 * 86_400, "{line}");
        }
    }
}

#[test]
fn a_repeated_row_has_the_bytes_of_an_earlier_one() {
    let mut sent = HashSet::new();
    let mut repeated = 0;
    for (delivery, line) in rows(&plan(7, 50_000)) {
        match delivery.manner {
            Manner::OnTime | Manner::Late => assert!(sent.insert(line), "an id was used twice"),
            Manner::Repeated => {
                repeated += 1;
                assert!(sent.contains(&line), "{line}");
            }
            Manner::Broken(_) => assert!(!sent.contains(&line)),
        }
    }
    assert!(repeated > 0);
}

#[test]
fn ids_are_short_plain_ordered_by_time_and_of_one_run() {
    let (one, other) = (plan(7, 10_000), plan(8, 10_000));
    let ids = |plan: &Plan| -> Vec<String> {
        rows(plan)
            .iter()
            .filter(|(delivery, _)| delivery.manner == Manner::OnTime)
            .map(|(_, line)| {
                let value: Value = serde_json::from_str(line).unwrap();
                value["reading_id"].as_str().unwrap().to_owned()
            })
            .collect()
    };
    let (one, other) = (ids(&one), ids(&other));
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    assert!(one.iter().all(|id| id.len() <= 40 && id.bytes().all(is_plain)));
    assert!(one.is_sorted());
    let one: HashSet<_> = one.into_iter().collect();
    assert!(other.iter().all(|id| !one.contains(id)));
}

#[test]
fn totals_equal_a_recomputation_from_the_written_rows() {
    let plan = plan(7, 120_000);
    let mut totals = Totals::new(&plan);
    let mut seen = HashSet::new();
    let mut city_hours: HashMap<(String, String, i64), Sum> = HashMap::new();
    let mut station_days: HashMap<(String, String, i64), Sum> = HashMap::new();
    for (delivery, line) in rows(&plan) {
        totals.add(&delivery);
        if matches!(delivery.manner, Manner::Broken(_)) {
            continue;
        }
        let row: HashMap<&str, &serde_json::value::RawValue> = serde_json::from_str(&line).unwrap();
        let text = |name: &str| serde_json::from_str::<String>(row[name].get()).unwrap();
        if !seen.insert(text("reading_id")) {
            continue;
        }
        let ts = Timestamp::parse_rfc3339(&text("ts")).unwrap().0;
        let value = decimal::parse(row["value"].get(), 2).unwrap();
        let city = text("city").trim().to_lowercase();
        let hour = (city, text("pollutant"), ts - ts.rem_euclid(HOUR_US));
        city_hours.entry(hour).or_insert(Sum::EMPTY).add(value);
        let day = (text("station"), text("pollutant"), ts - ts.rem_euclid(24 * HOUR_US));
        station_days.entry(day).or_insert(Sum::EMPTY).add(value);
    }
    assert_eq!(totals.sent().unique, seen.len() as u64);
    assert_eq!(totals.sent().rows(), plan.rows);
    let named = |place: String, pollutant: usize, bucket: i64| {
        (place, POLLUTANTS[pollutant].to_owned(), bucket)
    };
    let own: HashMap<_, _> = totals
        .city_hours()
        .map(|((city, pollutant, bucket), sum)| {
            (named(super::place::CITIES[city].to_owned(), pollutant, bucket), sum)
        })
        .collect();
    assert!(own == city_hours);
    let own: HashMap<_, _> = totals
        .station_days()
        .map(|((station, pollutant, bucket), sum)| {
            let station = super::place::Station(u16::try_from(station).unwrap());
            (named(station.name(), pollutant, bucket), sum)
        })
        .collect();
    assert!(own == station_days);
}

#[test]
fn a_plan_s_rows_fit_into_the_hours_it_reckons_with() {
    let plan = plan(3, 300_000);
    let last = Stream::new(&plan).last().unwrap().reading.hour;
    let today = Hour::of(Timestamp::parse_rfc3339(NOW).unwrap()).0 / 24 * 24;
    assert!(last.0 < today, "{last:?}");
    assert!(today - last.0 < 3 * 24, "no more time is left free than needed");
}

#[test]
fn the_product_takes_every_good_row_and_refuses_every_broken_one() {
    let source = crate::product::AIR;
    let contract = tidegate_product::compile("air.toml", source).unwrap();
    let (_, dataset) = contract.dataset("readings").unwrap();
    let now = Timestamp::parse_rfc3339(NOW).unwrap();
    let rows = rows(&plan(7, 100_000));
    let mut faults = HashSet::new();
    for part in rows.chunks(5_000) {
        let body: String = part.iter().map(|(_, line)| format!("{line}\n")).collect();
        let parsed = tidegate_product::validate::ndjson(dataset, body.as_bytes(), now).unwrap();
        let mut rejected = parsed.rejected.iter().map(|row| (row.line as usize, &row.errors));
        for (line, (delivery, text)) in (1..).zip(part) {
            if let Manner::Broken(fault) = delivery.manner {
                faults.insert(fault);
                let (refused, errors) = rejected.next().expect("a broken row must be refused");
                assert_eq!(refused, line, "{text} passed, or a good row did not: {errors:?}");
            }
        }
        assert_eq!(rejected.next(), None);
        assert_eq!(parsed.rows.len() + parsed.rejected.len(), part.len());
    }
    assert_eq!(faults.len(), Fault::ALL.len(), "every fault must have been tried");
}
