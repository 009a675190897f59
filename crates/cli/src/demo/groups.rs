//! The listing of a view's groups, page by page.

use std::borrow::Cow;

use anyhow::{Context as _, anyhow};
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate_core::clock::Timestamp;

use super::decimal;
use super::patience::Patience;
use crate::client::{Client, Reply};
use crate::failure::Failure;

/// Groups in one page.
const PAGE: u32 = 10_000;

/// Digits after the point of a value.
pub(crate) const SCALE: usize = 2;

/// Digits after the point of an average.
pub(crate) const AVERAGE_SCALE: usize = SCALE + 2;

/// A view of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// By city, pollutant and hour.
    CityHour,
    /// By station, pollutant and day.
    StationDay,
}

/// A group's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    /// Start of the bucket, in microseconds.
    pub(crate) bucket: i64,
    /// City or station.
    pub(crate) place: Box<str>,
    /// Pollutant.
    pub(crate) pollutant: Box<str>,
}

/// What a view says about a group. Values are in hundredths, the average has two more digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// Number of rows.
    pub(crate) rows: i64,
    /// Stored sum.
    pub(crate) sum: Option<i64>,
    /// Stored smallest value.
    pub(crate) min: Option<i64>,
    /// Stored largest value.
    pub(crate) max: Option<i64>,
    /// What readers see.
    pub(crate) seen: Seen,
}

/// What readers see of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Number of rows.
    pub(crate) n: Option<i64>,
    /// Average.
    pub(crate) avg: Option<i64>,
    /// Smallest value.
    pub(crate) min: Option<i64>,
    /// Largest value.
    pub(crate) max: Option<i64>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    city: Option<Cow<'a, str>>,
    #[serde(borrow)]
    station: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pollutant: Cow<'a, str>,
    #[serde(borrow)]
    bucket: Cow<'a, str>,
    rows: i64,
    #[serde(borrow)]
    stored: Stored<'a>,
    #[serde(borrow)]
    measures: Measures<'a>,
}

#[derive(Deserialize)]
struct Stored<'a> {
    #[serde(borrow)]
    sum_value: Option<Cow<'a, str>>,
    #[serde(borrow)]
    min_value: Option<Cow<'a, str>>,
    #[serde(borrow)]
    max_value: Option<Cow<'a, str>>,
}

/// Measures as an answer spells them: numbers whose digits count.
#[derive(Deserialize)]
pub(crate) struct Measures<'a> {
    n: Option<i64>,
    #[serde(borrow)]
    avg: Option<&'a RawValue>,
    #[serde(borrow)]
    min: Option<&'a RawValue>,
    #[serde(borrow)]
    max: Option<&'a RawValue>,
}

// === impl View ===

impl View {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::CityHour, Self::StationDay];

    /// Returns its name in the product.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CityHour => "city_hour",
            Self::StationDay => "station_day",
        }
    }

    fn first_page(self, limit: u32) -> String {
        format!("/v1/air/views/{}/groups?limit={limit}", self.name())
    }
}

// === impl Measures ===

impl Measures<'_> {
    /// Reads the numbers; `None` in `Err` names one that is no decimal of its scale.
    pub(crate) fn read(&self) -> Result<Seen, &'static str> {
        let number = |raw: Option<&RawValue>, scale, name| match raw {
            None => Ok(None),
            Some(raw) => decimal::parse(raw.get(), scale).map(Some).ok_or(name),
        };
        Ok(Seen {
            n: self.n,
            avg: number(self.avg, AVERAGE_SCALE, "avg")?,
            min: number(self.min, SCALE, "min")?,
            max: number(self.max, SCALE, "max")?,
        })
    }
}

/// Returns the sequence of the last batch that changed the product.
///
/// # Errors
/// The edge can't be reached, or does not let us list the product's views.
pub(crate) async fn sequence(
    client: &Client,
    patience: &Patience,
) -> Result<Option<String>, Failure> {
    let path = View::CityHour.first_page(1);
    let reply = page(&path, patience.insist(|| client.get(&path)).await?)?;
    Ok(reply.header("x-data-seq").map(str::to_owned))
}

/// Reads every group of a view.
///
/// # Errors
/// A page can't be read or understood.
pub(crate) async fn list(
    client: &Client,
    view: View,
    patience: &Patience,
    mut each: impl FnMut(Key, Listed),
) -> Result<(), Failure> {
    let mut next = Some(view.first_page(PAGE));
    while let Some(path) = next {
        let reply = patience.insist(|| client.get(&path)).await?;
        patience.progress();
        let reply = page(&path, reply)?;
        for line in reply.body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let (key, listed) = group(line).with_context(|| {
                format!("{} lists what is no group: {}", view.name(), String::from_utf8_lossy(line))
            })?;
            each(key, listed);
        }
        next = reply.header("link").and_then(next_page);
    }
    Ok(())
}

fn page(path: &str, reply: Reply) -> Result<Reply, Failure> {
    let said = reply.problem();
    Err(Failure::failed(match reply.status {
        StatusCode::OK => return Ok(reply),
        StatusCode::UNAUTHORIZED => anyhow!("the token is not known here ({said})"),
        StatusCode::FORBIDDEN => anyhow!("the token may not read the product 'air' ({said})"),
        StatusCode::NOT_FOUND => {
            anyhow!("the product 'air' is not served here ({said}); start `tidegate up --demo air`")
        }
        _ => anyhow!("{path} can't be read: {said}"),
    }))
}

/// Returns the path and query of the link with `rel="next"` (RFC 8288).
fn next_page(link: &str) -> Option<String> {
    let next = link.split(',').find(|link| link.contains(r#"rel="next""#))?;
    let (target, _) = next.trim().strip_prefix('<')?.split_once('>')?;
    let target: Uri = target.parse().ok()?;
    Some(target.path_and_query()?.to_string())
}

fn group(line: &[u8]) -> anyhow::Result<(Key, Listed)> {
    let line: Line<'_> = serde_json::from_slice(line)?;
    let place = line.city.or(line.station).context("it names neither city nor station")?;
    let bucket = Timestamp::parse_rfc3339(&line.bucket).context("its bucket is no time")?;
    let key = Key { bucket: bucket.0, place: place.into(), pollutant: line.pollutant.into() };
    let exact = |text: Option<Cow<'_, str>>, name: &str| match text {
        None => Ok(None),
        Some(text) => decimal::parse(&text, SCALE)
            .map(Some)
            .with_context(|| format!("{name} is no decimal with {SCALE} digits")),
    };
    let listed = Listed {
        rows: line.rows,
        sum: exact(line.stored.sum_value, "sum_value")?,
        min: exact(line.stored.min_value, "min_value")?,
        max: exact(line.stored.max_value, "max_value")?,
        seen: line
            .measures
            .read()
            .map_err(|name| anyhow!("the measure {name} is no decimal of its scale"))?,
    };
    Ok((key, listed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_read_to_the_last_digit() {
        let line = br#"{"city":"oslo","pollutant":"o3","bucket":"2026-11-01T05:00:00Z","rows":3,
            "stored":{"sum_value":"100000000000.01","min_value":"0.10","max_value":"7.00"},
            "measures":{"n":3,"avg":33333333333.3367,"min":0.10,"max":7.00}}"#;
        let (key, listed) = group(line).unwrap();
        assert_eq!((&*key.place, &*key.pollutant), ("oslo", "o3"));
        assert_eq!(key.bucket % 3_600_000_000, 0);
        assert_eq!(listed.sum, Some(10_000_000_000_001));
        assert_eq!(listed.seen.avg, Some(333_333_333_333_367));
        assert_eq!((listed.min, listed.seen.min), (Some(10), Some(10)));
    }

    #[test]
    fn numbers_that_are_not_exact_are_refused() {
        let line = |sum: &str, avg: &str| {
            format!(
                r#"{{"station":"oslo-01","pollutant":"o3","bucket":"2026-11-01T00:00:00Z","rows":1,
                   "stored":{{"sum_value":"{sum}"}},"measures":{{"n":1,"avg":{avg}}}}}"#
            )
        };
        assert!(group(line("1.00", "1.0000").as_bytes()).is_ok());
        assert!(group(line("1.001", "1.0000").as_bytes()).is_err());
        assert!(group(line("1.00", "1.00001").as_bytes()).is_err());
        assert!(group(line("1.00", "1e0").as_bytes()).is_err());
    }

    #[test]
    fn the_next_page_is_a_path_whatever_the_link_s_form() {
        let path = Some("/v1/air/views/v/groups?cursor=a".to_owned());
        let link = r#"</v1/air/views/v/groups?cursor=a>; rel="next""#;
        assert_eq!(next_page(link), path);
        let absolute = r#"<https://h:1/v1/air/views/v/groups?cursor=a>; rel="next""#;
        assert_eq!(next_page(absolute), path);
        assert_eq!(next_page(r#"</first>; rel="prev""#), None);
    }
}
