//! Rows of the air product at the edge, without checks: for pacing and for comparing costs.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use e2e::Client;
use http::Method;
use tidegate_core::clock::Timestamp;
use tokio::task::JoinSet;

/// Where rows go in.
const ROWS: &str = "/v1/air/datasets/readings/rows";

/// Requests at once.
const CONCURRENCY: usize = 8;

/// Series that take turns: 40 cities with 25 stations and 4 pollutants, as in the demo.
const SERIES: u64 = 4_000;

/// Wait between two looks at a job.
const POLL: Duration = Duration::from_millis(20);

/// Makes rows in time order; ids never repeat within one run's name.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    run: String,
    start: Timestamp,
    next: u64,
}

// === impl Rows ===

impl Rows {
    /// Begins at the start of the day `days` ago.
    pub(crate) fn new(run: &str, days: u32) -> Self {
        let day = Duration::from_secs(86_400);
        Self {
            run: run.to_owned(),
            start: Timestamp::now().align_down(day).before(day * days),
            next: 0,
        }
    }

    /// Returns the next rows as NDJSON.
    pub(crate) fn batch(&mut self, rows: u64) -> Bytes {
        let mut body = String::new();
        for _ in 0..rows {
            let (hour, series) = (self.next / SERIES, self.next % SERIES);
            self.next += 1;
            let (station, pollutant) =
                (series / 4, ["pm25", "pm10", "no2", "o3"][(series % 4) as usize]);
            let ts = self.start.after(Duration::from_secs(hour * 3600)).to_rfc3339();
            let city = format!("city-{:02}", station % 40);
            let value = series % 700;
            writeln!(
                body,
                r#"{{"reading_id":"{hour:06x}-{series:03x}-{}","station":"{city}-{}","city":"{city}","pollutant":"{pollutant}","ts":"{ts}","value":{value}.25}}"#,
                self.run,
                station / 40,
            )
            .expect("text can be appended to");
        }
        body.into()
    }
}

/// Sends a batch; returns its job.
pub(crate) async fn send(client: &Client, body: Bytes) -> anyhow::Result<String> {
    let fields = [("content-type", "application/x-ndjson")];
    let reply = client.try_send(Method::POST, ROWS, &fields, body).await?;
    ensure!(reply.status == 202, "rows were answered {}: {}", reply.status, reply.text());
    let id = reply.header("location").rsplit('/').next().unwrap_or_default();
    ensure!(!id.is_empty(), "an accepted batch names no job");
    Ok(id.to_owned())
}

/// Waits until a job has been applied.
pub(crate) async fn applied(client: &Client, job: &str) -> anyhow::Result<()> {
    let path = format!("/v1/jobs/{job}");
    loop {
        let reply = client.try_send(Method::GET, &path, &[], Bytes::new()).await?;
        let document: serde_json::Value = serde_json::from_slice(&reply.body)?;
        match document.get("state").and_then(|state| state.as_str()) {
            Some("applied") => return Ok(()),
            Some("failed") | None => anyhow::bail!("job {job}: {}", reply.text()),
            Some(_) => tokio::time::sleep(POLL).await,
        }
    }
}

/// Sends rows in batches as fast as they are taken, and waits until all are applied.
pub(crate) async fn send_all(
    client: &Client,
    mut rows: Rows,
    count: u64,
    batch: u64,
) -> anyhow::Result<()> {
    let mut under_way = JoinSet::new();
    let mut jobs = Vec::new();
    for _ in 0..count / batch {
        if under_way.len() >= CONCURRENCY {
            let job: Result<anyhow::Result<String>, _> =
                under_way.join_next().await.context("a request is under way")?;
            jobs.push(job??);
        }
        let (client, body) = (client.clone(), rows.batch(batch));
        under_way.spawn(async move { send(&client, body).await });
    }
    while let Some(job) = under_way.join_next().await {
        jobs.push(job??);
    }
    for job in jobs {
        applied(client, &job).await?;
    }
    Ok(())
}
