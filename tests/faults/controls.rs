//! The negative controls: consumers that must lose jobs, and that must do some twice.

use std::process::Stdio;
use std::time::Duration;

use e2e::{PATIENCE, Put, Random, Servers, Tally, eventually, signal};
use serde_json::json;
use tidegate_core::backend::{QueueBackend, StoreBackend};
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Job, Lane, PROBE};
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::SharedQueue;
use tidegate_store::NewJob;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use uuid::Uuid;

use crate::naive::{BEGUN, ENDED, Order};
use crate::table::{Goal, Table};
use crate::words::Words;

/// Kills of each consumer while it holds jobs.
const KILLS: u64 = 20;

/// Jobs of each: more than are done before the last kill.
const JOBS: u32 = 4_000;

/// Longest time from what it says to the kill, in microseconds.
const WITHIN_US: u64 = 15_000;

/// How long a stopped process is listened to: what it said is in the pipe already.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// A running consumer.
struct Consumer {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

/// Breaks both, and demands that it shows.
pub(crate) async fn measure(words: &Words, table: &mut Table) {
    let mut random = Random::new(words.seed);
    let early = trial(Order::AckThenWork, &mut random).await;
    table.figure("acknowledged before the work: kills at work", Goal::AtLeast(KILLS), KILLS);
    table.figure("acknowledged before the work: jobs lost", Goal::AtLeast(1), early.lost);
    table.figure("acknowledged before the work: done twice", Goal::None, early.duplicated);
    let late = trial(Order::WorkThenAck, &mut random).await;
    table.figure("without an inbox: kills at work", Goal::AtLeast(KILLS), KILLS);
    table.figure("without an inbox: done twice", Goal::AtLeast(1), late.duplicated);
    table.figure("without an inbox: jobs lost", Goal::None, late.lost);
}

async fn trial(order: Order, random: &mut Random) -> Tally {
    let servers = Servers::new().await;
    let queue = open_queue(&servers).await;
    let run = put(&servers, &queue).await;
    for _ in 0..KILLS {
        kill_at_work(order, &servers, random).await;
    }
    let last = Consumer::start(order, &servers);
    eventually("nothing is left in the queue", || async {
        let depths = queue.depth().await.ok()?;
        let lane = depths.stable(Lane::Default)?;
        (lane.ready == 0 && unacknowledged(&servers).await == 0).then_some(())
    })
    .await;
    drop(last);
    Tally::now(&servers, &[Put { run, jobs: u64::from(JOBS) }]).await
}

async fn open_queue(servers: &Servers) -> SharedQueue {
    let backend: QueueBackend = servers.queue.parse().expect("the URL must be one");
    let queue = tidegate_queue::open(&backend).await.expect("the queue can be opened");
    eventually("the broker is connected", || async { queue.state().check().ok() }).await;
    queue
}

/// Puts the jobs as the api does: into the store, and from its outbox into the queue.
async fn put(servers: &Servers, queue: &SharedQueue) -> String {
    let backend: StoreBackend = servers.store.parse().expect("the URL must be one");
    let store = tidegate_store::open(&backend).await.expect("the store can be opened");
    let (run, now) = (Uuid::now_v7(), Timestamp::now());
    let jobs = (0..JOBS).map(|n| NewJob {
        job: Job::new(
            PROBE,
            Lane::Default,
            ("default", "air"),
            json!({ "run": run, "n": n, "of": JOBS }),
            now,
        ),
        run_at: None,
        idempotency_key: None,
    });
    store.enqueue(jobs.collect(), now).await.expect("the jobs can be put");
    let stop = Shutdown::new();
    let relay = tokio::spawn(tidegate_queue::relay(store, queue.clone(), stop.clone()));
    eventually("all jobs are published", || async {
        servers.count("select count(*) from dp_outbox").await.filter(|left| *left == 0)
    })
    .await;
    stop.cancel();
    relay.await.expect("the relay must not panic");
    run.to_string()
}

async fn kill_at_work(order: Order, servers: &Servers, random: &mut Random) {
    let mut consumer = Consumer::start(order, servers);
    loop {
        consumer.begins().await;
        tokio::time::sleep(Duration::from_micros(random.below(WITHIN_US))).await;
        let id = consumer.child.id().expect("it is not waited for yet");
        signal(id, "STOP").await;
        if consumer.last_said(BEGUN).await == BEGUN {
            signal(id, "KILL").await;
            consumer.child.wait().await.expect("a child can be waited for");
            break;
        }
        signal(id, "CONT").await;
    }
    // What it held is the broker's again.
    eventually("its channel is gone", || async {
        (unacknowledged(servers).await == 0).then_some(())
    })
    .await;
}

async fn unacknowledged(servers: &Servers) -> u64 {
    let words = ["list_queues", "-q", "--no-table-headers", "messages_unacknowledged", "name"];
    let listed = servers.rabbitmqctl(&words).await;
    let ours = listed.lines().filter(|line| line.contains(&servers.prefix));
    ours.filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok()).sum()
}

// === impl Consumer ===

impl Consumer {
    fn start(order: Order, servers: &Servers) -> Self {
        let us = std::env::current_exe().expect("a program knows its path");
        let mut child = Command::new(us)
            .args(["naive", order.word(), &servers.store, &servers.queue])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("this program must start again");
        let stdout = child.stdout.take().expect("standard output is piped");
        Self { child, said: BufReader::new(stdout).lines() }
    }

    /// Waits until it holds jobs.
    async fn begins(&mut self) {
        let begins = async { while self.next_word().await != BEGUN {} };
        tokio::time::timeout(PATIENCE, begins).await.expect("the consumer must find jobs");
    }

    /// Returns what a stopped consumer has said last, if anything since it said `before`.
    async fn last_said(&mut self, before: &str) -> String {
        let mut last = before.to_owned();
        while let Ok(word) = tokio::time::timeout(LAST_WORDS, self.next_word()).await {
            last = word;
        }
        last
    }

    async fn next_word(&mut self) -> String {
        let word = self.said.next_line().await.expect("a consumer says text");
        let word = word.expect("the consumer must not end by itself");
        assert!([BEGUN, ENDED].contains(&word.as_str()), "the consumer failed: {word}");
        word
    }
}
