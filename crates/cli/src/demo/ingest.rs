//! Batches to the edge: bounded concurrency, one Idempotency-Key for each batch.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::board::Board;
use super::feed::{Batch, Feed};
use super::patience::Patience;
use super::settle::Job;
use crate::client::{Client, Reply};
use crate::failure::Failure;

const ROWS_PATH: &str = "/v1/air/datasets/readings/rows";

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Sends batches of one run.
#[derive(Clone)]
pub(crate) struct Sender {
    /// Where to.
    pub(crate) client: Client,
    /// How long to try.
    pub(crate) patience: Arc<Patience>,
    /// Where to count.
    pub(crate) board: Arc<Board>,
    /// Takes the job of each accepted batch.
    pub(crate) jobs: mpsc::Sender<Job>,
}

// === impl Sender ===

impl Sender {
    /// Sends all batches, at most `concurrency` at once.
    ///
    /// # Errors
    /// A batch was refused, or patience has ended.
    pub(crate) async fn send_all(self, feed: &mut Feed, concurrency: usize) -> Result<(), Failure> {
        // A name of its own for each run of the program: the same rows sent by a later run are new
        // requests, which must be judged by their rows' ids.
        let run = Uuid::now_v7();
        let mut under_way = JoinSet::new();
        while let Some(batch) = feed.next().await {
            if under_way.len() >= concurrency {
                joined(under_way.join_next().await)?;
            }
            let sender = self.clone();
            under_way.spawn(async move { sender.send(run, batch).await });
        }
        while !under_way.is_empty() {
            joined(under_way.join_next().await)?;
        }
        Ok(())
    }

    async fn send(self, run: Uuid, batch: Batch) -> Result<(), Failure> {
        // The same key at every attempt: an attempt whose answer was lost is not taken twice.
        let key = HeaderValue::try_from(format!("{run}-{}", batch.number))
            .context("a key must fit a header")?;
        let fields = [
            (CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson")),
            (IDEMPOTENCY_KEY, key),
        ];
        let post = || self.client.send(Method::POST, ROWS_PATH, &fields, batch.body.clone());
        let reply = self.patience.insist(post).await?;
        let id = job_of(&reply)?;
        self.patience.progress();
        self.board.accepted(batch.rows);
        // The collector is gone only when it has failed, and then its failure is the one to tell.
        self.jobs.send(Job::accepted(id, batch.rows)).await.ok();
        Ok(())
    }
}

/// Returns the result of a task that was joined, if there was one.
fn joined(
    task: Option<Result<Result<(), Failure>, tokio::task::JoinError>>,
) -> Result<(), Failure> {
    match task {
        Some(done) => done.context("a sender must not panic")?,
        None => Ok(()),
    }
}

/// Returns the job of an accepted batch. The field comes first: an answer may lack its content.
fn job_of(reply: &Reply) -> Result<String, Failure> {
    match reply.status {
        StatusCode::ACCEPTED | StatusCode::OK => {}
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            return Err(Failure::failed(anyhow!(
                "the token may not write rows of 'air' ({})",
                reply.problem()
            )));
        }
        _ => return Err(Failure::failed(anyhow!("a batch was refused: {}", reply.problem()))),
    }
    let from_location = reply.header("location").and_then(|path| path.rsplit('/').next());
    if let Some(id) = from_location.filter(|id| !id.is_empty()) {
        return Ok(id.to_owned());
    }
    let document: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let id = document.get("job").and_then(|id| id.as_str());
    Ok(id.context("a batch was accepted without naming its job")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::HeaderMap;

    fn reply(status: StatusCode, location: Option<&'static str>, body: &'static str) -> Reply {
        let mut headers = HeaderMap::new();
        if let Some(location) = location {
            headers.insert("location", HeaderValue::from_static(location));
        }
        Reply { status, headers, body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn the_job_is_known_from_the_head_alone() {
        let cut = reply(StatusCode::ACCEPTED, Some("/v1/jobs/j1"), "");
        assert_eq!(job_of(&cut).unwrap(), "j1");
        let plain = reply(StatusCode::OK, None, r#"{"job":"j2"}"#);
        assert_eq!(job_of(&plain).unwrap(), "j2");
        assert!(job_of(&reply(StatusCode::ACCEPTED, None, "{}")).is_err());
    }

    #[test]
    fn a_refusal_says_what_the_server_said() {
        let refused = reply(StatusCode::PAYLOAD_TOO_LARGE, None, r#"{"title":"too many rows"}"#);
        let failure = job_of(&refused).unwrap_err();
        assert!(failure.error.to_string().contains("too many rows"), "{}", failure.error);
    }
}
