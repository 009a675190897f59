//! Folding is counting: its laws.

use std::collections::BTreeMap;

use proptest::prelude::{ProptestConfig, Strategy, prop_assert_eq, proptest};

use super::{Delta, Value, fold, merge, touched_tags};
use crate::contract::{Contract, GroupPart, View};
use crate::fixture::{air, air_with, reading, rows};
use crate::rows::Rows;

/// Rows of few cities, pollutants and hours, so that groups are shared.
fn lines(most: usize) -> impl Strategy<Value = Vec<String>> {
    let row = (0usize..4, 0usize..2, 0u32..30, 0i64..9_999);
    let row = row.prop_map(|(city, pollutant, hour, value)| {
        let city = ["oslo", "rome", "bern", "kyiv"][city];
        let pollutant = ["pm25", "no2"][pollutant];
        let at = format!("2026-11-{:02}T{:02}:59:59.999999Z", 20 + hour / 24, hour % 24);
        reading("r", city, pollutant, &at, &format!("{}.{:02}", value / 100, value % 100))
    });
    proptest::collection::vec(row, 0..most)
}

fn fold_all(contract: &Contract, view: &View, rows: &Rows) -> Vec<Delta> {
    fold(view, contract.dataset_of(view), rows, 0..rows.len()).unwrap()
}

fn by_group(deltas: Vec<Delta>) -> BTreeMap<String, Delta> {
    deltas.into_iter().map(|delta| (format!("{:?}", delta.group), delta)).collect()
}

fn merged(view: &View, a: Vec<Delta>, b: Vec<Delta>) -> BTreeMap<String, Delta> {
    let mut groups = by_group(a);
    for (name, delta) in by_group(b) {
        match groups.get_mut(&name) {
            Some(into) => merge(view, into, &delta).unwrap(),
            None => {
                groups.insert(name, delta);
            }
        }
    }
    groups
}

#[test]
fn each_touched_group_has_one_delta_in_the_order_of_the_primary_key() {
    let contract = air();
    let (_, view) = contract.view("city_hour").unwrap();
    let at = |hour: u8| format!("2026-11-22T{hour:02}:15:00Z");
    let rows = rows(
        &contract.datasets[0],
        &[
            reading("a", "rome", "no2", &at(9), "3"),
            reading("b", "oslo", "pm25", &at(9), "1.50"),
            reading("c", "oslo", "pm25", &at(8), "7"),
            reading("d", "oslo", "pm25", &at(9), "2.25"),
            reading("e", "oslo", "no2", &at(9), "9"),
        ],
    );
    let deltas = fold(view, &contract.datasets[0], &rows, [0, 1, 2, 3].into_iter()).unwrap();
    let text = |text: &str| Value::Text(text.to_owned());
    let hour = |hour: i64| Value::Int(1_795_305_600_000_000 + hour * 3_600_000_000);
    let int = Value::Int;
    assert_eq!(
        deltas,
        [
            Delta {
                group: vec![text("oslo"), text("pm25"), hour(8)],
                rows: 1,
                stored: vec![int(700), int(700), int(700)],
            },
            Delta {
                group: vec![text("oslo"), text("pm25"), hour(9)],
                rows: 2,
                stored: vec![int(375), int(150), int(225)],
            },
            Delta {
                group: vec![text("rome"), text("no2"), hour(9)],
                rows: 1,
                stored: vec![int(300), int(300), int(300)],
            },
        ]
    );
}

#[test]
fn a_filter_leaves_rows_out() {
    let contract = air_with(
        "from = \"readings\"\ngroup_by = [\"city\"",
        "from = \"readings\"\nwhere = \"value > 2 && note is null\"\ngroup_by = [\"city\"",
    );
    let (_, view) = contract.view("city_hour").unwrap();
    let at = "2026-11-22T10:00:00Z";
    let rows = rows(
        &contract.datasets[0],
        &[
            reading("a", "rome", "no2", at, "2"),
            reading("b", "rome", "no2", at, "3"),
            reading("c", "rome", "no2", at, "4").replace('}', ",\"note\":\"calibration\"}"),
        ],
    );
    let deltas = fold_all(&contract, view, &rows);
    assert_eq!(deltas.iter().map(|delta| delta.rows).collect::<Vec<_>>(), [1]);
}

#[test]
fn nulls_are_not_counted_and_the_extremes_of_nothing_are_null() {
    let contract = air_with(
        "note = { type = \"string\", nullable = true, max_len = 200, since = \"1.2.0\" }",
        "level = { type = \"int\", nullable = true }",
    );
    let source = contract.source.replace(
        "n = \"count()\", avg = \"avg(value)\", min = \"min(value)\"",
        "n = \"count(level)\", avg = \"avg(level)\", min = \"min(level)\"",
    );
    let contract = crate::compile("air.toml", &source).unwrap();
    let (_, view) = contract.view("city_hour").unwrap();
    let at = "2026-11-22T10:00:00Z";
    let row = reading("a", "rome", "no2", at, "2");
    let null = rows(&contract.datasets[0], std::slice::from_ref(&row));
    let delta = fold_all(&contract, view, &null).remove(0);
    assert_eq!(delta.rows, 1);
    assert_eq!(delta.stored[..3], [Value::Int(0), Value::Int(0), Value::Null]);
    let both = rows(&contract.datasets[0], &[row.clone(), row.replace('}', ",\"level\":-4}")]);
    let delta = fold_all(&contract, view, &both).remove(0);
    assert_eq!(delta.rows, 2);
    assert_eq!(delta.stored[..3], [Value::Int(1), Value::Int(-4), Value::Int(-4)]);
}

#[test]
fn a_sum_that_does_not_fit_names_its_group() {
    let contract = air_with(
        "value = { type = \"decimal\", precision = 8, scale = 2, min = 0, max = 2000 }",
        "value = { type = \"decimal\", precision = 18, scale = 0 }",
    );
    let (_, view) = contract.view("city_hour").unwrap();
    let largest = reading("a", "rome", "no2", "2026-11-22T10:00:00Z", &"9".repeat(18));
    let ten = rows(&contract.datasets[0], &vec![largest; 10]);
    let dataset = contract.dataset_of(view);
    assert!(fold(view, dataset, &ten, 0..9).is_ok());
    let error = fold(view, dataset, &ten, 0..10).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a sum of view 'city_hour' does not fit into 64 bits in group ('rome', 'no2', \
         1795341600000000)"
    );
}

#[test]
fn a_change_purges_what_shows_it_and_no_other_city() {
    let contract = air();
    let (_, view) = contract.view("city_hour").unwrap();
    let at = "2026-11-22T10:00:00Z";
    let change = rows(
        &contract.datasets[0],
        &[reading("a", "são paulo", "no2", at, "2"), reading("b", "rome", "no2", at, "2")],
    );
    let tags = touched_tags(&contract, view, "acme", &fold_all(&contract, view, &change));
    assert_eq!(
        tags,
        [
            "acme/air/v:city_hour",
            "acme/air/v:city_hour:city=rome",
            "acme/air/v:city_hour:city=s%C3%A3o%20paulo",
        ]
    );
    assert_eq!(touched_tags(&contract, view, "acme", &[]), [""; 0]);
}

#[test]
fn a_change_of_too_many_cities_purges_all_of_them() {
    let contract = air();
    let (_, view) = contract.view("city_hour").unwrap();
    let change = |cities: usize| {
        let at = "2026-11-22T10:00:00Z";
        let lines: Vec<String> = (0..cities)
            .flat_map(|city| {
                let city = format!("c{city}");
                ["no2", "o3"].map(|pollutant| reading("a", &city, pollutant, at, "2"))
            })
            .collect();
        let rows = rows(&contract.datasets[0], &lines);
        touched_tags(&contract, view, "acme", &fold_all(&contract, view, &rows))
    };
    assert_eq!(change(256).len(), 257);
    assert_eq!(change(257), ["acme/air/v:city_hour", "acme/air/v:city_hour:*"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn folding_parts_and_merging_is_folding_all(a in lines(40), b in lines(40)) {
        let contract = air();
        let dataset = &contract.datasets[0];
        let all = rows(dataset, &[a.as_slice(), b.as_slice()].concat());
        let (a, b) = (rows(dataset, &a), rows(dataset, &b));
        for view in &contract.views {
            let whole = by_group(fold_all(&contract, view, &all));
            let parts = || (fold_all(&contract, view, &a), fold_all(&contract, view, &b));
            let (first, second) = parts();
            prop_assert_eq!(&merged(view, first, second), &whole);
            let (first, second) = parts();
            prop_assert_eq!(&merged(view, second, first), &whole);
        }
    }

    #[test]
    fn merging_is_associative(a in lines(20), b in lines(20), c in lines(20)) {
        let contract = air();
        let dataset = &contract.datasets[0];
        let view = &contract.views[0];
        let [a, b, c] = [a, b, c].map(|lines| fold_all(&contract, view, &rows(dataset, &lines)));
        let list = |groups: BTreeMap<String, Delta>| groups.into_values().collect::<Vec<_>>();
        let left = merged(view, list(merged(view, a.clone(), b.clone())), c.clone());
        let right = merged(view, a, list(merged(view, b, c)));
        prop_assert_eq!(left, right);
    }

    #[test]
    fn deltas_add_up_to_the_rows_and_are_in_order(lines in lines(60)) {
        let contract = air();
        let rows = rows(&contract.datasets[0], &lines);
        for view in &contract.views {
            let deltas = fold_all(&contract, view, &rows);
            let sum: i64 = deltas.iter().map(|delta| delta.rows).sum();
            prop_assert_eq!(usize::try_from(sum).unwrap(), rows.len());
            let key = |delta: &Delta| {
                let part = |part: &GroupPart| format!("{:?}", delta.group[view.position_of(*part)]);
                view.access_paths[0].iter().map(part).collect::<Vec<_>>()
            };
            let sorted = deltas.is_sorted_by(|a, b| key(a) < key(b));
            proptest::prop_assert!(sorted);
        }
    }
}
