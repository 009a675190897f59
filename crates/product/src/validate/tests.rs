//! Which rows pass, and what is said of those that don't.

use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use super::{json_array, line_of, ndjson};
use crate::error::BodyError;
use crate::fixture::{NOW, air, air_with, parse, reading, rows};
use crate::rows::Cell;

const AT: &str = "2026-11-22T10:00:00Z";

fn good() -> String {
    reading("r1", "oslo", "pm25", AT, "12.34")
}

/// Replaces text in a good row, and compares its reasons: pointer, code, message.
#[track_caller]
fn check(from: &str, to: &str, expected: &[(&str, &str, &str)]) {
    let good = good();
    assert!(good.contains(from), "{from}");
    let contract = air();
    let parsed = parse(&contract.datasets[0], &good.replacen(from, to, 1));
    let errors: Vec<(&str, &str, &str)> = parsed
        .rejected
        .iter()
        .flat_map(|row| &row.errors)
        .map(|error| (error.pointer.as_str(), error.code.as_str(), error.message.as_str()))
        .collect();
    assert_eq!(errors, expected, "{to}");
    assert_eq!(parsed.total, 1);
    assert_eq!(parsed.rows.len(), usize::from(expected.is_empty()), "{to}");
}

#[test]
fn a_good_row_passes_whatever_the_order_of_its_fields() {
    check("oslo", "oslo", &[]);
    let contract = air();
    let dataset = &contract.datasets[0];
    let turned = r#" { "value" : "12.34", "ts":"2026-11-22T11:00:00+01:00","pollutant":"pm25",
        "city":"\u006fslo", "station":"s1", "reading_id":"r1","note":null } "#;
    let turned = rows(dataset, &[turned.replace('\n', "")]);
    let straight = rows(dataset, &[good()]);
    assert_eq!(turned, straight);
    assert_eq!(turned.hash(dataset, 0), straight.hash(dataset, 0));
}

#[test]
fn every_kind_of_mistake_has_its_code() {
    check(
        "\"oslo\"",
        "\"oslo\",\"citty\":1",
        &[("/citty", "unknown_field", "there is no such column; did you mean 'city'?")],
    );
    check(
        "\"oslo\"",
        "\"oslo\",\"a/b~c\":[{}]",
        &[("/a~1b~0c", "unknown_field", "there is no such column")],
    );
    check("\"station\":\"s1\",", "", &[("/station", "missing", "is required")]);
    check("\"s1\"", "null", &[("/station", "null", "must not be null")]);
    check("\"s1\"", "5", &[("/station", "wrong_type", "must be a string, not a number")]);
    check(
        "\"s1\"",
        "{\"a\":[1]}",
        &[("/station", "wrong_type", "must be a string, not an object")],
    );
    check(
        "\"s1\"",
        "\"12345678901234567\"",
        &[("/station", "too_long", "is 17 bytes long; at most 16 are allowed")],
    );
    check("\"s1\"", r#""s\u00001""#, &[("/station", "nul", "must not hold the character U+0000")]);
    check("\"r1\"", "\"r 1\"", &[("/reading_id", "pattern", "must match ^[A-Za-z0-9_-]+$")]);
    check("pm25", "pm1", &[("/pollutant", "not_in_enum", "must be one of pm25, pm10, no2, o3")]);
    check(
        "\"s1\"",
        "\"s1\",\"station\":\"s2\"",
        &[("/station", "duplicate_field", "is given more than once")],
    );
    check("pm25\"", "o3\",\"note\":\"n\"", &[]);
}

#[test]
fn numbers_and_times_have_codes_for_each_mistake() {
    check("12.34", "2000.01", &[("/value", "out_of_range", "must be from 0.00 to 2000.00")]);
    check("12.34", "12.345", &[("/value", "scale", "must have at most 2 digits after the point")]);
    check(
        "12.34",
        "true",
        &[("/value", "wrong_type", "must be a number, or a string with one, not a boolean")],
    );
    check(
        "12.34",
        "\"12,34\"",
        &[("/value", "wrong_type", "must be a number, not a string without one")],
    );
    check(
        AT,
        "2026-11-22",
        &[(
            "/ts",
            "wrong_type",
            "must be an RFC 3339 time such as 2026-11-22T10:00:00Z, not another string",
        )],
    );
    check(
        &format!("\"{AT}\""),
        "1795343400000",
        &[(
            "/ts",
            "wrong_type",
            "must be an RFC 3339 time as a string, such as 2026-11-22T10:00:00Z, not a number",
        )],
    );
    check(
        AT,
        "2026-11-22T10:35:00.000001Z",
        &[("/ts", "not_after", "must not be after 2026-11-22T10:35:00Z")],
    );
    check(
        AT,
        "2025-10-18T10:29:59Z",
        &[(
            "/ts",
            "too_late",
            "is before 2025-10-18T10:30:00Z, where the dataset's retention ends",
        )],
    );
}

#[test]
fn checks_see_the_whole_row() {
    let contract = air();
    let row = reading("r1", "oslo", "o3", AT, "800.01");
    let parsed = parse(&contract.datasets[0], &row);
    let error = &parsed.rejected[0].errors[0];
    assert_eq!((error.pointer.as_str(), error.code.as_str()), ("", "check_failed"));
    assert_eq!(error.message, "check 'o3_range' failed: pollutant != 'o3' || value <= 800");
    assert_eq!(parsed.rejected[0].raw, row);
}

#[test]
fn what_is_no_object_is_a_rejected_row() {
    for (line, message) in [
        ("{\"a\":", "is not a JSON object: EOF while parsing a value (column 5)"),
        ("[1]", "is not a JSON object: invalid type: sequence, expected an object (column 0)"),
        ("5", "is not a JSON object: invalid type: integer `5`, expected an object (column 1)"),
    ] {
        let contract = air();
        let parsed = parse(&contract.datasets[0], line);
        let error = &parsed.rejected[0].errors[0];
        assert_eq!((error.code.as_str(), error.message.as_str()), ("syntax", message), "{line}");
    }
}

#[test]
fn every_mistake_of_a_row_is_named() {
    let contract = air();
    let line = r#"{"reading_id":"r1","pollutant":"x","ts":"y","value":-1,"extra":true}"#;
    let parsed = parse(&contract.datasets[0], line);
    let codes: Vec<&str> = parsed.rejected[0].errors.iter().map(|e| e.code.as_str()).collect();
    let wanted = ["not_in_enum", "wrong_type", "out_of_range", "unknown_field", "missing"];
    assert_eq!(codes, wanted, "{:#?}", parsed.rejected);
}

#[test]
fn transforms_come_before_constraints() {
    let contract = air();
    let dataset = &contract.datasets[0];
    let padded = format!("{}OSLO", " ".repeat(60));
    let rows = rows(dataset, &[reading("r1", &padded, "pm25", AT, "1")]);
    assert_eq!(rows.cell(0, dataset.column("city").unwrap()), Cell::Text("oslo"));
    check(
        "oslo",
        &"x".repeat(33),
        &[("/city", "too_long", "is 33 bytes long; at most 32 are allowed")],
    );
    check("\"city\":\"oslo\",", "", &[("/city", "missing", "is required")]);
    check("\"oslo\"", "null", &[("/city", "null", "must not be null")]);
}

#[test]
fn a_transform_may_fill_in_what_is_absent() {
    let contract =
        air_with("city = \"lower(trim(city))\"", "city = \"coalesce(lower(trim(city)), station)\"");
    let dataset = &contract.datasets[0];
    let rows = rows(dataset, &[good().replace("\"city\":\"oslo\",", "")]);
    assert_eq!(rows.cell(0, dataset.column("city").unwrap()), Cell::Text("s1"));
}

#[test]
fn the_other_rows_go_through_and_keep_their_lines() {
    let contract = air();
    let dataset = &contract.datasets[0];
    let body = [&good(), "", "oops", &good(), "\r", &good()].join("\n");
    let parsed = parse(dataset, &body);
    assert_eq!((parsed.rows.len(), parsed.total), (3, 4));
    assert_eq!(parsed.lines, [1, 4, 6]);
    assert_eq!(parsed.rejected[0].line, 3);
    let parsed = parse(dataset, &[good(), good(), "oops".to_owned()].join("\r\n"));
    assert_eq!(parsed.lines, [0; 0]);
    assert_eq!(line_of(&parsed.lines, 1), 2);
}

#[test]
fn a_line_that_is_not_utf_8_is_rejected_alone() {
    let contract = air();
    let body = [good().as_bytes(), b"{\"city\":\"\xff\"}", good().as_bytes()].join(&b'\n');
    let parsed = ndjson(&contract.datasets[0], &body, NOW).unwrap();
    assert_eq!((parsed.rows.len(), parsed.rejected.len()), (2, 1));
    assert_eq!(parsed.rejected[0].errors[0].message, "is not UTF-8");
}

#[test]
fn what_is_kept_of_a_bad_row_is_bounded() {
    let contract = air();
    let long = format!("x{}", "é".repeat(5_000));
    let parsed = parse(&contract.datasets[0], &long);
    assert_eq!(parsed.rejected[0].raw.len(), 4_095);
    let many: Vec<String> = (0..100).map(|n| format!("\"x{n}\":1")).collect();
    let parsed = parse(&contract.datasets[0], &format!("{{{}}}", many.join(",")));
    assert_eq!(parsed.rejected[0].errors.len(), 16);
}

#[test]
fn arrays_are_read_by_position() {
    let contract = air();
    let dataset = &contract.datasets[0];
    let body = format!("[{}, 5,\n{{}},{}]", good(), good());
    let parsed = json_array(dataset, body.as_bytes(), NOW).unwrap();
    assert_eq!((parsed.rows.len(), parsed.total), (2, 4));
    assert_eq!(parsed.lines, [1, 4]);
    let rejected: Vec<u32> = parsed.rejected.iter().map(|row| row.line).collect();
    assert_eq!(rejected, [2, 3]);
    assert_eq!(json_array(dataset, b"[]", NOW).unwrap().total, 0);
}

#[test]
fn a_body_that_is_no_array_is_refused_with_its_place() {
    let contract = air();
    let dataset = &contract.datasets[0];
    let refused = |body: &[u8]| json_array(dataset, body, NOW).unwrap_err().to_string();
    assert_eq!(refused(b"{}"), "line 1, column 0: invalid type: map, expected an array of rows");
    assert_eq!(refused(b"[{},\n  oops]"), "line 2, column 3: expected value");
    assert_eq!(refused(b"[{}] x"), "line 1, column 6: trailing characters");
    assert_eq!(refused(b"[\"\xff\"]"), "the body must be UTF-8; byte 2 is not");
}

#[test]
fn too_many_rows_are_refused_as_a_whole() {
    let contract = air_with("max_batch_rows = 50000", "max_batch_rows = 2");
    let dataset = &contract.datasets[0];
    let two = [good(), "oops".to_owned()];
    assert_eq!(parse(dataset, &two.join("\n")).total, 2);
    let three = [good(), "oops".to_owned(), good()];
    let refused = Err(BodyError::TooManyRows { max: 2 });
    assert_eq!(ndjson(dataset, three.join("\n").as_bytes(), NOW), refused);
    let array = format!("[{}]", [good(), good(), good()].join(","));
    assert_eq!(json_array(dataset, array.as_bytes(), NOW), refused);
}

#[test]
fn the_other_types_are_taken_exactly() {
    let contract = crate::compile(
        "p.toml",
        r#"
        [product]
        name = "p"
        version = "1.0.0"
        [dataset.d]
        key = ["id"]
        time = "at"
        [dataset.d.columns]
        id = { type = "uuid" }
        at = { type = "timestamp", not_before = "2026-01-01T00:00:00Z" }
        n = { type = "int", min = -5, nullable = true }
        ok = { type = "bool", nullable = true }
        f = { type = "float", max = 1.5, nullable = true }
        "#,
    )
    .unwrap();
    let dataset = &contract.datasets[0];
    let row = |rest: &str| {
        format!(
            r#"{{"id":"018F0C3E-9d5b-7c1a-8a52-0f6a3c9b7d21","at":"2026-11-22T10:00:00Z"{rest}}}"#
        )
    };
    let rows = rows(dataset, &[row(r#","n":9223372036854775807,"ok":true,"f":1e-3"#)]);
    let cells: Vec<Cell<'_>> = (0..5).map(|column| rows.cell(0, column)).collect();
    assert_eq!(
        cells,
        [
            Cell::Text("018f0c3e-9d5b-7c1a-8a52-0f6a3c9b7d21"),
            Cell::Int(1_795_341_600_000_000),
            Cell::Int(i64::MAX),
            Cell::Int(1),
            Cell::Float(0.001),
        ]
    );
    for (rest, code) in [
        (r#","n":1.0"#, "wrong_type"),
        (r#","n":1e3"#, "wrong_type"),
        (r#","n":"1""#, "wrong_type"),
        (r#","n":-6"#, "out_of_range"),
        (r#","n":9223372036854775808"#, "out_of_range"),
        (r#","ok":1"#, "wrong_type"),
        (r#","f":1.6"#, "out_of_range"),
        (r#","f":1e999"#, "out_of_range"),
        (r#","f":"x""#, "wrong_type"),
    ] {
        let parsed = parse(dataset, &row(rest));
        assert_eq!(parsed.rejected[0].errors[0].code, code, "{rest}");
    }
    let early = parse(dataset, &row("").replace("2026-11", "2025-11"));
    assert_eq!(early.rejected[0].errors[0].code, "too_early");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_row_sent_is_accepted_or_rejected_and_bad_ones_leave_no_trace(
        lines in proptest::collection::vec((any::<bool>(), "[ -~]{0,30}"), 0..20),
    ) {
        let contract = air();
        let dataset = &contract.datasets[0];
        let (mut body, mut kept, mut sent) = (Vec::new(), Vec::new(), 0);
        for (position, (is_good, noise)) in lines.iter().enumerate() {
            let row = reading(&format!("r{position}"), "oslo", "pm25", AT, "1.5");
            let line = if *is_good { row.clone() } else { noise.clone() };
            sent += usize::from(!line.trim_ascii().is_empty());
            kept.extend(is_good.then_some(row));
            body.push(line);
        }
        let parsed = ndjson(dataset, body.join("\n").as_bytes(), NOW).unwrap();
        prop_assert_eq!(parsed.total, sent);
        prop_assert_eq!(parsed.rows.len() + parsed.rejected.len(), sent);
        prop_assert_eq!(&parsed.rows, &rows(dataset, &kept));
        let lines: Vec<u32> = (0..parsed.rows.len()).map(|row| line_of(&parsed.lines, row)).collect();
        prop_assert!(lines.is_sorted_by(|a, b| a < b));
    }
}
