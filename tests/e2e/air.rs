//! Rows and paths of the demo product `air`.

use std::time::Duration;

use tidegate_core::clock::Timestamp;

/// Where rows go in.
pub(crate) const ROWS: &str = "/v1/air/datasets/readings/rows";

/// Returns the beginning of the hour that lies `hours` back, so that a test's rows share a bucket.
pub(crate) fn hours_ago(hours: u64) -> String {
    let hour = Duration::from_secs(3600);
    let hours = u32::try_from(hours).expect("a test looks back a few hours");
    Timestamp::now().align_down(hour).before(hour * hours).to_rfc3339()
}

/// Returns one valid row as an NDJSON line.
pub(crate) fn row(id: &str, city: &str, hours_back: u64, value: &str) -> String {
    let ts = hours_ago(hours_back);
    format!(
        "{{\"reading_id\":\"{id}\",\"station\":\"st-1\",\"city\":\"{city}\",\"pollutant\":\"no2\",\
         \"ts\":\"{ts}\",\"value\":{value}}}\n"
    )
}

/// Returns the path of a city's hourly series over the last day.
pub(crate) fn series(city: &str) -> String {
    format!("/v1/air/cities/{city}/series?pollutant=no2")
}
