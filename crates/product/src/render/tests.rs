//! Bodies, byte for byte.

use super::{body, groups_ndjson};
use crate::contract::Format;
use crate::fixture::{air, air_with};
use crate::fold::Value;
use crate::read::{Answer, Table};

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn groups() -> Table {
    let at = Value::Int(1_795_341_600_000_000);
    let numbers = [3, 10_000, 1, 9_950].map(Value::Int);
    let group = [text("são \"x\""), text("no2"), at].into_iter().chain(numbers);
    Table { width: 7, values: group.collect() }
}

#[track_caller]
fn check(endpoint: &str, format: Format, answer: &Answer, expected: &str) {
    let contract = air();
    let body = body(&contract, contract.endpoint(endpoint).unwrap(), format, answer);
    assert_eq!(String::from_utf8(body).unwrap(), expected);
}

#[test]
fn numbers_have_exactly_the_digits_of_their_type() {
    let answer = Answer { table: groups(), next: None };
    check(
        "city_series",
        Format::Json,
        &answer,
        r#"{"data":[{"bucket":"2026-11-22T10:00:00Z","n":3,"avg":33.3333,"min":0.01,"max":99.50}]}"#,
    );
    let none = Answer { table: Table { width: 7, values: vec![] }, next: None };
    check("city_series", Format::Json, &none, r#"{"data":[]}"#);
}

fn readings() -> Answer {
    let row = |id: &str, note: Value| {
        let at = Value::Int(1_795_341_600_000_001);
        [text(id), text("s1"), text("a,\"b\"\n\u{1}"), text("o3"), at, Value::Int(-5), note]
    };
    let values = [row("r1", Value::Null), row("r2", text("ok"))].concat();
    Answer { table: Table { width: 7, values }, next: Some("AbC-_9".to_owned()) }
}

#[test]
fn rows_are_rendered_in_every_format() {
    let first = r#"{"reading_id":"r1","station":"s1","city":"a,\"b\"\n\u0001","pollutant":"o3","ts":"2026-11-22T10:00:00.000001Z","value":-0.05,"note":null}"#;
    let second = first.replace("r1", "r2").replace("null", "\"ok\"");
    let json = format!("{{\"data\":[{first},{second}],\"next\":\"AbC-_9\"}}");
    check("raw", Format::Json, &readings(), &json);
    check("raw", Format::Ndjson, &readings(), &format!("{first}\n{second}\n"));
    let csv = "reading_id,station,city,pollutant,ts,value,note\r\n\
        r1,s1,\"a,\"\"b\"\"\n\u{1}\",o3,2026-11-22T10:00:00.000001Z,-0.05,\r\n\
        r2,s1,\"a,\"\"b\"\"\n\u{1}\",o3,2026-11-22T10:00:00.000001Z,-0.05,ok\r\n";
    check("raw", Format::Csv, &readings(), csv);
}

#[test]
fn every_rendered_body_is_json() {
    let contract = air();
    let raw = contract.endpoint("raw").unwrap();
    let body = body(&contract, raw, Format::Json, &readings());
    let parsed: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(parsed["data"][0]["city"], "a,\"b\"\n\u{1}");
}

#[test]
fn listings_show_what_is_stored_digit_by_digit() {
    let contract = air();
    let (_, view) = contract.view("city_hour").unwrap();
    let listing = String::from_utf8(groups_ndjson(&contract, view, &groups())).unwrap();
    assert_eq!(
        listing,
        concat!(
            r#"{"city":"são \"x\"","pollutant":"no2","bucket":"2026-11-22T10:00:00Z","rows":3,"#,
            r#""stored":{"sum_value":"100.00","min_value":"0.01","max_value":"99.50"},"#,
            r#""measures":{"n":3,"avg":33.3333,"min":0.01,"max":99.50}}"#,
            "\n",
        )
    );
}

#[test]
fn floats_times_and_absent_extremes_are_rendered_as_such() {
    let contract = air_with(
        "value = { type = \"decimal\", precision = 8, scale = 2, min = 0, max = 2000 }",
        "value = { type = \"float\" }",
    );
    let source =
        contract.source.replace("max = \"max(value)\" }\n# A new", "last = \"max(ts)\" }\n# A new");
    let source = source.replace("\"min\", \"max\"]\norder", "\"min\", \"last\"]\norder");
    let contract = crate::compile("air.toml", &source).unwrap();
    let series = contract.endpoint("city_series").unwrap();
    let at = Value::Int(1_795_341_600_000_000);
    let row = |sum: f64, min: Value| {
        let stored = [Value::Int(4), Value::Float(sum), min, at.clone()];
        [text("oslo"), text("no2"), at.clone()].into_iter().chain(stored)
    };
    let values = row(1.0, Value::Null).chain(row(f64::INFINITY, Value::Float(0.1))).collect();
    let answer = Answer { table: Table { width: 7, values }, next: None };
    let body = body(&contract, series, Format::Ndjson, &answer);
    let lines = String::from_utf8(body).unwrap();
    assert_eq!(
        lines,
        concat!(
            r#"{"bucket":"2026-11-22T10:00:00Z","n":4,"avg":0.25,"min":null,"last":"2026-11-22T10:00:00Z"}"#,
            "\n",
            r#"{"bucket":"2026-11-22T10:00:00Z","n":4,"avg":null,"min":0.1,"last":"2026-11-22T10:00:00Z"}"#,
            "\n",
        )
    );
}
