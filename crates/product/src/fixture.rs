//! The demo product and rows for it, for tests.

use tidegate_core::clock::Timestamp;
use tidegate_core::param::{ParamValue, bind};
use tidegate_core::path::PathTemplate;

use crate::compile;
use crate::contract::{Contract, Dataset, Endpoint};
use crate::rows::Rows;
use crate::validate::{self, Parsed};

/// The demo product's file.
pub(crate) const AIR: &str = include_str!("../../../deploy/products/air.toml");

/// 2026-11-22T10:30:00Z.
pub(crate) const NOW: Timestamp = Timestamp(1_795_343_400_000_000);

/// Compiles the demo product.
pub(crate) fn air() -> Contract {
    compile("air.toml", AIR).unwrap()
}

/// Compiles a changed demo product.
#[track_caller]
pub(crate) fn air_with(from: &str, to: &str) -> Contract {
    assert!(AIR.contains(from), "{from}");
    compile("air.toml", &AIR.replace(from, to)).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// One reading as JSON.
pub(crate) fn reading(id: &str, city: &str, pollutant: &str, at: &str, value: &str) -> String {
    format!(
        r#"{{"reading_id":"{id}","station":"s1","city":"{city}","pollutant":"{pollutant}","ts":"{at}","value":{value}}}"#
    )
}

/// Validates NDJSON.
pub(crate) fn parse(dataset: &Dataset, body: &str) -> Parsed {
    validate::ndjson(dataset, body.as_bytes(), NOW).unwrap()
}

/// Validates NDJSON of which no row is bad.
#[track_caller]
pub(crate) fn rows(dataset: &Dataset, lines: &[String]) -> Rows {
    let parsed = parse(dataset, &lines.join("\n"));
    assert_eq!(parsed.rejected, []);
    parsed.rows
}

/// Binds a path and query as a request would.
#[track_caller]
pub(crate) fn request(endpoint: &Endpoint, path: &str, query: &str) -> Vec<Option<ParamValue>> {
    let template = PathTemplate::parse(&endpoint.path).unwrap();
    let captures = template.matches(path).unwrap();
    bind(&endpoint.params, &captures, query, NOW).unwrap()
}
