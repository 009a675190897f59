//! Processes that die at the worst moments.

use std::process::Stdio;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_core::job::Lane;
use tidegate_core::outbox::{OutboxEntry, OutboxError, OutboxMessage, OutboxSource};
use tidegate_core::shutdown::Shutdown;
use tokio::process::Command;

use super::harness::{Rabbit, server_url, variable};
use crate::conformance::{Broker, consumer, jobs, number, soon, take};
use crate::{AmqpQueue, Queue, Settlement, SharedQueue, relay};

/// Tells the child its fail point, and the prefix of its queues.
const CHILD: &str = "TIDEGATE_TEST_FAIL_POINT";

/// How a child ends that reached its fail point.
const REACHED: i32 = 77;

const JOBS: usize = 20;

/// An outbox that never forgets: the child dies before it would.
struct Outbox;

#[async_trait]
impl OutboxSource for Outbox {
    async fn wait_pending(&self) {
        std::future::pending().await
    }

    async fn pending(&self, _: usize) -> Result<Vec<OutboxEntry>, OutboxError> {
        let entry = |(id, job)| OutboxEntry { id, message: OutboxMessage::Job(job) };
        Ok((0..).zip(jobs(Lane::Default, 0..JOBS)).map(entry).collect())
    }

    async fn mark_sent(&self, _: &[i64]) -> Result<(), OutboxError> {
        unreachable!("it died before")
    }
}

/// Runs this test binary as a child that dies at a fail point.
async fn die_at(fail_point: &str, rabbit: &Rabbit) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "amqp::tests::fail_points::the_child_dies_at_its_fail_point"])
        .env(CHILD, format!("{fail_point} {}", rabbit.prefix))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert_eq!(soon(status).await.unwrap().code(), Some(REACHED), "{fail_point}");
}

/// The child's part of the tests below; without its variable there is nothing to do.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how the parent tells the child what to do")]
async fn the_child_dies_at_its_fail_point() {
    let Ok(words) = std::env::var(CHILD) else { return };
    let (fail_point, prefix) = words.split_once(' ').unwrap();
    fail::cfg_callback(fail_point, || std::process::exit(REACHED)).unwrap();
    let url = format!("{}?prefix={prefix}", variable("TIDEGATE_TEST_AMQP"));
    let queue = AmqpQueue::open(&server_url(&url)).await.unwrap();
    match fail_point {
        "queue::copied" => {
            let mut consumer = consumer(&queue, Lane::Default, 1).await;
            let taken = take(&mut *consumer, 1).await.remove(0);
            let after = std::time::Duration::ZERO;
            consumer.settle(vec![(taken.tag, Settlement::Retry { after })]).await.unwrap();
        }
        _ => {
            let shared: SharedQueue = Arc::new(queue);
            relay(Arc::new(Outbox), shared, Shutdown::new()).await;
        }
    }
}

/// Whatever the child had published, its outbox is published again; returns what comes.
async fn published_again(rabbit: &Rabbit) -> Vec<usize> {
    let queue = rabbit.open().await;
    queue.publish(&jobs(Lane::Default, 0..JOBS)).await.unwrap();
    let mut consumer = consumer(&queue, Lane::Default, 200).await;
    let mut numbers: Vec<usize> = take(&mut *consumer, JOBS).await.iter().map(number).collect();
    while let Ok(more) = tokio::time::timeout(LOOK, consumer.next()).await {
        numbers.push(number(&more.unwrap()));
    }
    numbers.sort_unstable();
    numbers
}

/// What is there comes within this time.
const LOOK: std::time::Duration = std::time::Duration::from_millis(500);

#[tokio::test]
async fn a_relay_that_dies_before_the_confirmation_loses_nothing() {
    let rabbit = Rabbit::new();
    die_at("queue::published", &rabbit).await;
    let mut numbers = published_again(&rabbit).await;
    numbers.dedup();
    assert_eq!(numbers, (0..JOBS).collect::<Vec<_>>());
    rabbit.end().await;
}

#[tokio::test]
async fn a_relay_that_dies_before_it_marks_its_lines_publishes_twice_and_loses_nothing() {
    let rabbit = Rabbit::new();
    die_at("queue::confirmed", &rabbit).await;
    let numbers = published_again(&rabbit).await;
    assert_eq!(numbers, (0..2 * JOBS).map(|n| n / 2).collect::<Vec<_>>());
    rabbit.end().await;
}

#[tokio::test]
async fn a_worker_that_dies_between_a_copy_and_its_original_leaves_both() {
    let rabbit = Rabbit::new();
    let queue = rabbit.open().await;
    queue.publish(&jobs(Lane::Default, 5..6)).await.unwrap();
    die_at("queue::copied", &rabbit).await;
    let mut consumer = consumer(&queue, Lane::Default, 10).await;
    let mut taken = take(&mut *consumer, 2).await;
    taken.sort_by_key(|delivery| delivery.job.attempt);
    let told: Vec<_> = taken.iter().map(|d| (number(d), d.job.attempt, d.redelivered)).collect();
    assert_eq!(told, [(5, 0, true), (5, 1, false)]);
    rabbit.end().await;
}
