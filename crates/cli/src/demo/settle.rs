//! Waits until every job has ended, and adds up how its rows were counted.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::board::Board;
use super::patience::Patience;
use crate::client::{Client, Reply};
use crate::failure::Failure;

/// Jobs that may wait to be asked about; senders wait when a worker falls behind further.
const MAX_WAITING: usize = 4_096;

/// Jobs asked about at once while they end quickly.
const WIDTH: usize = 8;

/// Wait before a job that has not ended is asked about again.
const POLL: Duration = Duration::from_millis(40);

/// An accepted batch whose job has not been seen to end.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    id: Arc<str>,
    rows: u32,
    accepted: Instant,
}

/// How rows were counted. The four add up to the rows sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    /// Applied.
    pub(crate) new: u64,
    /// There before.
    pub(crate) duplicate: u64,
    /// Applied, and late.
    pub(crate) late: u64,
    /// Refused.
    pub(crate) rejected: u64,
}

/// What is read of a job.
#[derive(Debug, Deserialize)]
struct Document {
    state: String,
    #[serde(default)]
    counts: Counts,
    error: Option<String>,
}

// === impl Job ===

impl Job {
    /// A batch of `rows` rows was accepted just now.
    pub(crate) fn accepted(id: String, rows: u32) -> Self {
        Self { id: id.into(), rows, accepted: Instant::now() }
    }
}

// === impl Counts ===

impl Counts {
    /// Returns the number of all rows.
    pub(crate) fn rows(&self) -> u64 {
        self.new + self.duplicate + self.late + self.rejected
    }

    fn add(&mut self, other: &Self) {
        self.new += other.new;
        self.duplicate += other.duplicate;
        self.late += other.late;
        self.rejected += other.rejected;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { new, duplicate, late, rejected } = self;
        write!(f, "{new} new, {duplicate} duplicate, {late} late, {rejected} rejected")
    }
}

/// Returns the way from the senders to [`settle_all`].
pub(crate) fn channel() -> (mpsc::Sender<Job>, mpsc::Receiver<Job>) {
    mpsc::channel(MAX_WAITING)
}

/// Waits for the end of all jobs; returns when there are no more senders and no open job.
///
/// # Errors
/// A job failed or is not known, or patience has ended.
pub(crate) async fn settle_all(
    client: Client,
    mut accepted: mpsc::Receiver<Job>,
    patience: Arc<Patience>,
    board: Arc<Board>,
) -> Result<Counts, Failure> {
    let mut waiting: VecDeque<Job> = VecDeque::new();
    let mut counts = Counts::default();
    // Jobs end about in order: while the oldest has not ended, asking about others is waste.
    let mut width = 1;
    loop {
        while let Ok(job) = accepted.try_recv() {
            waiting.push_back(job);
        }
        let Some(oldest) = waiting.front() else {
            board.lags(Duration::ZERO);
            match accepted.recv().await {
                Some(job) => waiting.push_back(job),
                None => return Ok(counts),
            }
            continue;
        };
        board.lags(oldest.accepted.elapsed());
        let asked: Vec<Job> = waiting.drain(..width.min(waiting.len())).collect();
        let mut open = Vec::new();
        for (job, ended) in ask(&client, &patience, asked).await? {
            match ended {
                Some(ended) => {
                    counts.add(&ended);
                    board.applied(job.rows);
                    patience.progress();
                }
                None => open.push(job),
            }
        }
        width = if open.is_empty() { WIDTH } else { 1 };
        if let Some(job) = open.first() {
            patience.check(&format!("job {} was accepted and has not ended", job.id))?;
            tokio::time::sleep(POLL).await;
        }
        for job in open.into_iter().rev() {
            waiting.push_front(job);
        }
    }
}

/// Asks about jobs at once; answers in their order.
async fn ask(
    client: &Client,
    patience: &Arc<Patience>,
    jobs: Vec<Job>,
) -> Result<Vec<(Job, Option<Counts>)>, Failure> {
    let mut asked = JoinSet::new();
    for (at, job) in jobs.into_iter().enumerate() {
        let (client, patience) = (client.clone(), Arc::clone(patience));
        asked.spawn(async move {
            let path = format!("/v1/jobs/{}", job.id);
            let reply = patience.insist(|| client.get(&path)).await?;
            let ended = ended(&job.id, &reply)?;
            Ok::<_, Failure>((at, job, ended))
        });
    }
    let mut answers = Vec::with_capacity(asked.len());
    while let Some(answer) = asked.join_next().await {
        answers.push(answer.context("a question must not panic")??);
    }
    answers.sort_by_key(|(at, ..)| *at);
    Ok(answers.into_iter().map(|(_, job, ended)| (job, ended)).collect())
}

/// Returns how a job's rows were counted, `None` while it has not ended.
fn ended(id: &str, reply: &Reply) -> Result<Option<Counts>, Failure> {
    if reply.status != StatusCode::OK {
        return Err(Failure::failed(anyhow!("job {id} can't be read: {}", reply.problem())));
    }
    let document: Document = serde_json::from_slice(&reply.body)
        .with_context(|| format!("job {id} can't be understood"))?;
    match document.state.as_str() {
        "applied" => Ok(Some(document.counts)),
        "failed" => {
            let error = document.error.unwrap_or_else(|| "no reason was given".to_owned());
            Err(Failure::failed(anyhow!("job {id} failed: {error}")))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::HeaderMap;

    fn read(status: u16, body: &'static str) -> Result<Option<Counts>, Failure> {
        let status = StatusCode::from_u16(status).unwrap();
        let reply = Reply { status, headers: HeaderMap::new(), body: Bytes::from(body) };
        ended("j", &reply)
    }

    #[test]
    fn only_an_applied_job_is_counted() {
        let applied =
            r#"{"state":"applied","counts":{"new":3,"duplicate":1,"late":2,"rejected":0}}"#;
        let counts = read(200, applied).unwrap().unwrap();
        assert_eq!(counts, Counts { new: 3, duplicate: 1, late: 2, rejected: 0 });
        assert_eq!(counts.rows(), 6);
        for state in ["accepted", "running", "parked"] {
            let body = format!(r#"{{"state":"{state}"}}"#).leak();
            assert_eq!(read(200, body).unwrap(), None, "{state}");
        }
    }

    #[test]
    fn a_job_that_failed_or_is_lost_ends_the_run() {
        let failed = read(200, r#"{"state":"failed","error":"a sum overflowed"}"#).unwrap_err();
        assert!(failed.error.to_string().contains("a sum overflowed"));
        assert!(read(404, "").is_err());
        assert!(read(200, "{").is_err());
    }
}
