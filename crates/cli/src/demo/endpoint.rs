//! One declared endpoint's answer, as a reader gets it from the edge, against the same totals.

use std::borrow::Cow;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate_core::clock::Timestamp;
use tokio::time::Instant;

use super::air::place::{CITIES, POLLUTANTS};
use super::air::plan::{DAY_HOURS, Hour, Plan};
use super::air::totals::Sum;
use super::groups::{Key, Measures, Seen, View};
use super::patience::Patience;
use super::verify::{Expected, seen_differences};
use crate::client::Client;
use crate::failure::Failure;

/// Longest wait for the last commit to show through the edge: the product's freshness promise.
const PATIENCE: Duration = Duration::from_secs(10);

/// Wait between two looks.
const POLL: Duration = Duration::from_millis(20);

/// The first day of one city's series.
pub(crate) struct Series {
    path: String,
    buckets: Vec<(i64, Sum)>,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Bucket<'a> {
    #[serde(borrow)]
    bucket: Cow<'a, str>,
}

// === impl Series ===

impl Series {
    /// Takes what the series must show from what its view must hold.
    pub(crate) fn choose(plan: &Plan, expected: &Expected) -> Self {
        let (city, pollutant) = (CITIES[0], POLLUTANTS[0]);
        let hours = (0..DAY_HOURS).map(|hour| Hour(plan.start.0 + hour));
        let buckets = hours.filter_map(|hour| {
            let bucket = hour.timestamp().0;
            let key = Key { bucket, place: city.into(), pollutant: pollutant.into() };
            expected.group(&key).map(|sum| (bucket, *sum))
        });
        let (from, to) = (plan.start.to_rfc3339(), Hour(plan.start.0 + DAY_HOURS).to_rfc3339());
        let path =
            format!("/v1/air/cities/{city}/series?pollutant={pollutant}&from={from}&to={to}");
        Self { path, buckets: buckets.collect() }
    }

    /// Reads the endpoint until it shows what it must, as long as its freshness allows; returns
    /// what is wrong with the last answer.
    ///
    /// # Errors
    /// It can't be read.
    pub(crate) async fn check(
        &self,
        client: &Client,
        patience: &Patience,
    ) -> Result<Option<String>, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = patience.insist(|| client.get(&self.path)).await?;
            let wrong = match reply.status {
                StatusCode::OK => self.compare(&reply.body),
                _ => Some(reply.problem()),
            };
            if wrong.is_none() || Instant::now() >= deadline {
                return Ok(wrong.map(|wrong| format!("{}: {wrong}", self.path)));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Returns the first thing that is wrong with an answer.
    fn compare(&self, body: &[u8]) -> Option<String> {
        let points = match points(body) {
            Ok(points) => points,
            Err(error) => return Some(format!("{error:#}")),
        };
        if points.len() != self.buckets.len() {
            return Some(format!("{} buckets instead of {}", points.len(), self.buckets.len()));
        }
        for ((bucket, sum), (found, seen)) in self.buckets.iter().zip(points) {
            let mut wrong = seen_differences(View::CityHour, sum, &seen);
            if found.0 != *bucket {
                wrong.push(format!("begins at {}", found.to_rfc3339()));
            }
            if !wrong.is_empty() {
                let bucket = Timestamp(*bucket).to_rfc3339();
                return Some(format!("bucket {bucket}: {}", wrong.join(", ")));
            }
        }
        None
    }
}

fn points(body: &[u8]) -> anyhow::Result<Vec<(Timestamp, Seen)>> {
    let answer: Answer<'_> = serde_json::from_slice(body)?;
    let point = |raw: &&RawValue| {
        let Bucket { bucket } = serde_json::from_str(raw.get())?;
        let measures: Measures<'_> = serde_json::from_str(raw.get())?;
        let seen = measures.read().map_err(|name| anyhow!("{name} is no decimal of its scale"))?;
        Ok((Timestamp::parse_rfc3339(&bucket).context("a bucket is no time")?, seen))
    };
    answer.data.iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series() -> Series {
        let sum = Sum { rows: 2, sum: 3025, min: 1025, max: 2000 };
        Series { path: "/p".into(), buckets: vec![(3_600_000_000, sum)] }
    }

    fn wrong(avg: &str, bucket: &str) -> Option<String> {
        let body = format!(
            r#"{{"data":[{{"bucket":"{bucket}","n":2,"avg":{avg},"min":10.25,"max":20.00}}]}}"#
        );
        series().compare(body.as_bytes())
    }

    #[test]
    fn an_answer_is_compared_bucket_by_bucket() {
        assert_eq!(wrong("15.1250", "1970-01-01T01:00:00Z"), None);
        let average = wrong("15.1251", "1970-01-01T01:00:00Z").unwrap();
        assert!(average.contains("avg is 15.1251 instead of 15.1250"), "{average}");
        assert!(wrong("15.1250", "1970-01-01T02:00:00Z").is_some());
        assert_eq!(series().compare(br#"{"data":[]}"#).unwrap(), "0 buckets instead of 1");
        assert!(series().compare(b"[]").is_some());
    }
}
