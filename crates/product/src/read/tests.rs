//! From requests to plans, and from tables to answers.

use tidegate_core::param::ParamError;

use super::{
    Answer, GroupsPlan, Order, ReadPlan, RowsPlan, Table, finish, groups_after, groups_cursor,
    plan, tags,
};
use crate::contract::{Contract, GroupPart};
use crate::error::FinishError;
use crate::fixture::{air, air_with, request};
use crate::fold::Value;

const HOUR: i64 = 3_600_000_000;
/// 2026-11-22T00:00:00Z.
const DAY: i64 = 1_795_305_600_000_000;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

#[track_caller]
fn plan_of(
    contract: &Contract,
    endpoint: &str,
    path: &str,
    query: &str,
) -> Result<ReadPlan, ParamError> {
    let endpoint = contract.endpoint(endpoint).unwrap();
    plan(contract, endpoint, &request(endpoint, path, query))
}

#[track_caller]
fn check_error(endpoint: &str, path: &str, query: &str, expected: &str) {
    let error = plan_of(&air(), endpoint, path, query).unwrap_err();
    assert_eq!(error.to_string(), expected, "{query}");
}

#[test]
fn parameters_become_equalities_a_range_and_a_step() {
    let contract = air();
    let query = "from=2026-11-22T08:20:00Z&to=2026-11-22T10:59:00Z";
    let expected = GroupsPlan {
        view: 0,
        equals: vec![(GroupPart::Dim(0), text("oslo")), (GroupPart::Dim(1), text("pm25"))],
        range: Some((DAY + 8 * HOUR, DAY + 10 * HOUR)),
        step_us: None,
        order: Order::Group,
        limit: 2209,
    };
    let path = "/v1/air/cities/oslo/series";
    let found = plan_of(&contract, "city_series", path, query);
    assert_eq!(found, Ok(ReadPlan::Groups(expected.clone())));
    let stepped = plan_of(&contract, "city_series", path, &format!("{query}&step=1d"));
    let expected = GroupsPlan { step_us: Some(24 * HOUR), limit: 2208 * 24 + 1, ..expected };
    assert_eq!(stepped, Ok(ReadPlan::Groups(expected)));
}

#[test]
fn a_top_reads_one_bucket() {
    let expected = GroupsPlan {
        view: 0,
        equals: vec![
            (GroupPart::Dim(1), text("no2")),
            (GroupPart::Bucket, Value::Int(DAY + 9 * HOUR)),
        ],
        range: None,
        step_us: None,
        order: Order::Top(1),
        limit: 5,
    };
    let found = plan_of(&air(), "worst", "/v1/air/worst", "pollutant=no2&k=5");
    assert_eq!(found, Ok(ReadPlan::Groups(expected)));
}

#[test]
fn filters_of_rows_are_optional_and_pages_are_bounded() {
    let contract = air();
    let bare = RowsPlan { dataset: 0, equals: vec![], range: None, after: None, limit: 101 };
    let found = plan_of(&contract, "raw", "/v1/air/readings", "");
    assert_eq!(found, Ok(ReadPlan::Rows(bare.clone())));
    let query = "city=oslo&limit=7&from=2026-11-22T00:00:00Z";
    let found = plan_of(&contract, "raw", "/v1/air/readings", query);
    let expected = RowsPlan {
        equals: vec![(2, text("oslo"))],
        range: Some((DAY, i64::MAX)),
        limit: 8,
        ..bare
    };
    assert_eq!(found, Ok(ReadPlan::Rows(expected)));
}

#[test]
fn contradictions_are_refused() {
    let path = "/v1/air/cities/oslo/series";
    check_error(
        "city_series",
        path,
        "from=now&to=now-2h",
        "parameter 'from': must not be later than 'to'",
    );
    check_error(
        "city_series",
        path,
        "from=2026-01-01T00:00:00Z&to=2026-06-01T00:00:00Z",
        "parameter 'to': must be at most 92d from the other end",
    );
    let refused = "parameter 'cursor': is not one that this request was answered with; begin again \
                   without it";
    check_error("raw", "/v1/air/readings", "cursor=AAAA", refused);
    check_error("raw", "/v1/air/readings", "cursor=%20", refused);
}

fn page_of(rows: usize) -> Table {
    let row = |n: usize| {
        let at = Value::Int(DAY + i64::try_from(n).unwrap());
        let id = text(&format!("r{n}"));
        vec![id, text("s1"), text("oslo"), text("no2"), at, Value::Int(1250), Value::Null]
    };
    Table { width: 7, values: (0..rows).flat_map(row).collect() }
}

#[test]
fn a_cursor_continues_after_the_last_row_of_the_page() {
    let contract = air();
    let raw = contract.endpoint("raw").unwrap();
    let query = "city=oslo&limit=2";
    let first = plan_of(&contract, "raw", "/v1/air/readings", query).unwrap();
    let Answer { table, next } = finish(&contract, raw, &first, page_of(3)).unwrap();
    assert_eq!(table.rows().len(), 2);
    let next = next.unwrap();
    let query = format!("{query}&cursor={next}");
    let ReadPlan::Rows(second) = plan_of(&contract, "raw", "/v1/air/readings", &query).unwrap()
    else {
        panic!("a dataset's rows must be read")
    };
    assert_eq!(second.after, Some((DAY + 1, vec![text("r1")])));
    let last = finish(&contract, raw, &first, page_of(2)).unwrap();
    assert_eq!((last.table.rows().len(), last.next), (2, None));
    for other in ["city=rome&limit=2", "limit=2"] {
        let query = format!("{other}&cursor={next}");
        assert!(plan_of(&contract, "raw", "/v1/air/readings", &query).is_err(), "{other}");
    }
}

#[test]
fn listings_continue_after_their_last_group() {
    let contract = air();
    let (_, view) = contract.view("city_hour").unwrap();
    let table = groups(&[("oslo", 1, 1, 100, 100, 100), ("rome", 2, 1, 100, 100, 100)]);
    let cursor = groups_cursor(view, &table).unwrap();
    let after = groups_after(&contract, view, &cursor).unwrap();
    assert_eq!(after, [text("rome"), text("no2"), Value::Int(DAY + 2 * HOUR)]);
    let (_, other) = contract.view("station_day").unwrap();
    assert!(groups_after(&contract, other, &cursor).is_err());
    assert_eq!(groups_cursor(view, &Table { width: 7, values: vec![] }), None);
}

/// City, hour, rows, sum, min, max.
type Group<'a> = (&'a str, i64, i64, i64, i64, i64);

fn groups(rows: &[Group<'_>]) -> Table {
    let values = rows.iter().flat_map(|(city, hour, rows, sum, min, max)| {
        let numbers = [DAY + hour * HOUR, *rows, *sum, *min, *max].map(Value::Int);
        [text(city), text("no2")].into_iter().chain(numbers)
    });
    Table { width: 7, values: values.collect() }
}

#[test]
fn wider_steps_merge_buckets() {
    let contract = air();
    let endpoint = contract.endpoint("city_series").unwrap();
    let path = "/v1/air/cities/oslo/series";
    let plan = plan_of(&contract, "city_series", path, "step=1d").unwrap();
    let found = groups(&[
        ("oslo", -1, 1, 500, 500, 500),
        ("oslo", 0, 2, 700, 300, 400),
        ("oslo", 23, 1, 100, 100, 100),
    ]);
    let answer = finish(&contract, endpoint, &plan, found).unwrap();
    let expected = groups(&[("oslo", -24, 1, 500, 500, 500), ("oslo", 0, 3, 800, 100, 400)]);
    assert_eq!(answer.table, expected);
}

#[test]
fn groups_come_by_bucket_and_then_by_name_whatever_the_store_did() {
    let contract = air_with("params.city = { type = \"string\", required = true }", "");
    let contract = crate::compile(
        "air.toml",
        &contract
            .source
            .replace("/cities/{city}/series", "/series")
            .replace(", tags = [\"city\"], vary", ", vary"),
    )
    .unwrap();
    let endpoint = contract.endpoint("city_series").unwrap();
    let plan = plan_of(&contract, "city_series", "/v1/air/series", "").unwrap();
    let mixed =
        groups(&[("rome", 1, 1, 1, 1, 1), ("oslo", 2, 1, 1, 1, 1), ("oslo", 1, 1, 1, 1, 1)]);
    let sorted =
        groups(&[("oslo", 1, 1, 1, 1, 1), ("rome", 1, 1, 1, 1, 1), ("oslo", 2, 1, 1, 1, 1)]);
    assert_eq!(finish(&contract, endpoint, &plan, mixed).unwrap().table, sorted);
}

#[test]
fn the_largest_come_first_and_equals_by_name() {
    let contract = air();
    let worst = contract.endpoint("worst").unwrap();
    let plan = plan_of(&contract, "worst", "/v1/air/worst", "pollutant=no2&k=3").unwrap();
    // Averages 2, 3, 3, 1.
    let found = groups(&[
        ("bern", 9, 2, 400, 1, 1),
        ("rome", 9, 1, 300, 1, 1),
        ("oslo", 9, 2, 600, 1, 1),
        ("kyiv", 9, 9, 900, 1, 1),
    ]);
    let expected =
        groups(&[("oslo", 9, 2, 600, 1, 1), ("rome", 9, 1, 300, 1, 1), ("bern", 9, 2, 400, 1, 1)]);
    assert_eq!(finish(&contract, worst, &plan, found).unwrap().table, expected);
}

#[test]
fn an_answer_that_would_be_too_long_is_refused() {
    let contract = air_with("max_rows = 2208 ", "max_rows = 2 ");
    let endpoint = contract.endpoint("city_series").unwrap();
    let plan = plan_of(&contract, "city_series", "/v1/air/cities/oslo/series", "").unwrap();
    let found =
        groups(&[("oslo", 1, 1, 1, 1, 1), ("oslo", 2, 1, 1, 1, 1), ("oslo", 3, 1, 1, 1, 1)]);
    let refused = finish(&contract, endpoint, &plan, found).unwrap_err();
    assert_eq!(refused, FinishError::TooManyRows { max: 2 });
}

#[test]
fn narrowed_responses_carry_their_fine_tag_and_the_wide_one() {
    let contract = air();
    let tags_of = |endpoint: &str, path: &str, query: &str| {
        let endpoint = contract.endpoint(endpoint).unwrap();
        tags(&contract, endpoint, &request(endpoint, path, query), "acme")
    };
    assert_eq!(
        tags_of("city_series", "/v1/air/cities/oslo/series", ""),
        [
            "acme/air",
            "acme/air/e:city_series",
            "acme/air/v:city_hour:city=oslo",
            "acme/air/v:city_hour:*"
        ]
    );
    assert_eq!(
        tags_of("worst", "/v1/air/worst", "pollutant=no2"),
        ["acme/air", "acme/air/e:worst", "acme/air/v:city_hour"]
    );
    assert_eq!(
        tags_of("raw", "/v1/air/readings", "city=oslo"),
        ["acme/air", "acme/air/e:raw", "acme/air/d:readings"]
    );
}
