//! Probes put through the edge for as long as a trial lasts, always some more than are done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::{Client, Servers, Stack, eventually};

/// Jobs of one request.
const JOBS: u64 = 100;

/// Jobs that may wait to be done before no more are put, unless a trial allows more: enough for every worker to hold some at
/// any moment, and few enough to be done soon after the last fault.
const BACKLOG: u64 = 1_500;

/// One request in so many asks for jobs that fail once, and so come again through a delay.
const FLAKY: u64 = 6;

/// Pause between two looks at what waits, or after a refusal.
const PAUSE: Duration = Duration::from_millis(50);

/// Lanes for short jobs.
const LANES: [&str; 3] = ["default", "high", "low"];

/// Which probes are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// All succeed at once.
    Plain,
    /// Some fail the first time.
    Flaky,
}

/// A request for probes that was answered with 202.
#[derive(Clone, Debug)]
pub struct Put {
    /// The trial, as the answer names it.
    pub run: String,
    /// How many were asked for.
    pub jobs: u64,
}

/// Puts probes until it is stopped.
pub struct Load {
    shared: Arc<Shared>,
    task: JoinHandle<Vec<Put>>,
}

struct Shared {
    stop: AtomicBool,
    accepted: AtomicU64,
    refused: AtomicU64,
    asked_to_wait: AtomicU64,
    backlog: AtomicU64,
}

struct Driver {
    client: Client,
    servers: Servers,
    mix: Mix,
    shared: Arc<Shared>,
}

// === impl Load ===

impl Load {
    /// Starts to put probes to a stack.
    pub fn start(stack: &Stack, servers: &Servers, mix: Mix) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            asked_to_wait: AtomicU64::new(0),
            backlog: AtomicU64::new(BACKLOG),
        });
        let driver = Driver {
            client: stack.client(),
            servers: servers.clone(),
            mix,
            shared: Arc::clone(&shared),
        };
        Self { shared, task: tokio::spawn(driver.run()) }
    }

    /// Returns how many jobs were accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Returns how many requests were refused or not answered so far.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// Returns how many of them were refused with 503 and a `Retry-After`.
    pub fn asked_to_wait(&self) -> u64 {
        self.shared.asked_to_wait.load(Ordering::SeqCst)
    }

    /// Lets so many more jobs wait to be done.
    pub fn allow(&self, jobs: u64) {
        self.shared.backlog.fetch_add(jobs, Ordering::SeqCst);
    }

    /// Waits until so many more jobs were accepted.
    pub async fn flows(&self, jobs: u64) {
        let goal = self.accepted() + jobs;
        eventually("more jobs are accepted", || async { (self.accepted() >= goal).then_some(()) })
            .await;
    }

    /// Puts no more; returns what was accepted.
    ///
    /// # Panics
    /// The driver has.
    pub async fn stop(mut self) -> Vec<Put> {
        self.shared.stop.store(true, Ordering::SeqCst);
        (&mut self.task).await.expect("the driver must not panic")
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

// === impl Driver ===

impl Driver {
    async fn run(self) -> Vec<Put> {
        let mut puts = Vec::new();
        let mut request = 0;
        while !self.shared.stop.load(Ordering::SeqCst) {
            // A database that is away can't say how many wait: then the api is to refuse.
            let waiting = self.servers.count("select count(*) from dp_probe where times = 0").await;
            let backlog = self.shared.backlog.load(Ordering::SeqCst);
            if waiting.is_some_and(|waiting| waiting >= backlog) {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            match self.put(request).await {
                Some(put) => {
                    self.shared.accepted.fetch_add(put.jobs, Ordering::SeqCst);
                    puts.push(put);
                }
                None => {
                    self.shared.refused.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(PAUSE).await;
                }
            }
            request += 1;
        }
        puts
    }

    /// Sends one request; `None` if it was not answered with 202. Its jobs may be put all the same.
    async fn put(&self, request: u64) -> Option<Put> {
        let flaky = self.mix == Mix::Flaky && request.is_multiple_of(FLAKY);
        let lane = LANES[usize::try_from(request).unwrap_or(0) % LANES.len()];
        let outcome = if flaky { "flaky" } else { "ok" };
        let body = json!({ "jobs": JOBS, "lane": lane, "outcome": outcome }).to_string();
        let fields = [("content-type", "application/json")];
        let sent = self.client.try_send(Method::POST, "/v1/air/probes", &fields, Bytes::from(body));
        let reply = sent.await.ok()?;
        if reply.status == 503 && !reply.header("retry-after").is_empty() {
            self.shared.asked_to_wait.fetch_add(1, Ordering::SeqCst);
        }
        let run = (reply.status == 202).then(|| reply.json()["run"].as_str().map(str::to_owned));
        Some(Put { run: run??, jobs: JOBS })
    }
}
