//! Connections that end, brokers that hang, starve, die and come back.

use std::collections::BTreeSet;
use std::time::Duration;

use tidegate_core::job::{Job, Lane};
use tokio::time::{Instant, sleep};

use super::harness::{Rabbit, variable};
use super::own::{Cluster, OwnBroker};
use super::proxy::Proxy;
use crate::conformance::{Broker, consumer, depth, job, jobs, number, soon, take};
use crate::{AmqpQueue, Queue, QueueError, QueueState, Settlement, Source};

/// Long enough for a broker to start on a machine that is busy.
const LATE: Duration = Duration::from_secs(90);

/// Pause before the next attempt.
const SHORT: Duration = Duration::from_millis(50);

/// Waits until the queue is in such a state.
#[track_caller]
fn reaches(queue: &AmqpQueue, wanted: fn(&QueueState) -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let started = Instant::now();
        while !wanted(&queue.state()) {
            assert!(started.elapsed() < LATE, "{:?} at {caller}", queue.state());
            sleep(SHORT).await;
        }
    }
}

fn connected(state: &QueueState) -> bool {
    *state == QueueState::Connected
}

fn blocked(state: &QueueState) -> bool {
    matches!(state, QueueState::Blocked { .. })
}

fn disconnected(state: &QueueState) -> bool {
    matches!(state, QueueState::Disconnected { .. })
}

/// Publishes as an outbox does: again, until it is confirmed.
async fn publish_for_sure(queue: &AmqpQueue, jobs: &[Job]) -> usize {
    let (started, mut failures) = (Instant::now(), 0);
    while let Err(error) = queue.publish(jobs).await {
        assert!(!error.is_permanent() && started.elapsed() < LATE, "{error}");
        failures += 1;
        sleep(SHORT).await;
    }
    failures
}

/// Consumes as a worker does, with a new consumer whenever one ends, until all numbers below
/// `count` have come; returns how many consumers ended.
async fn consume_for_sure(queue: &AmqpQueue, count: usize) -> usize {
    let (started, mut seen, mut ended) = (Instant::now(), BTreeSet::new(), 0);
    while seen.len() < count {
        assert!(started.elapsed() < LATE, "{} of {count} came", seen.len());
        let Ok(mut consumer) = queue.consume(Source::stable(Lane::Default), 32).await else {
            sleep(SHORT).await;
            continue;
        };
        while seen.len() < count {
            let Ok(delivery) = soon(consumer.next()).await else {
                ended += 1;
                break;
            };
            seen.insert(number(&delivery));
            consumer.settle(vec![(delivery.tag, Settlement::Ack)]).await.ok();
        }
    }
    ended
}

#[tokio::test]
async fn everything_goes_on_after_all_connections_were_closed() {
    let rabbit = Rabbit::new();
    let queue = rabbit.open().await;
    queue.publish(&jobs(Lane::Default, 0..3)).await.unwrap();
    let mut subscription = queue.subscribe().await.unwrap();
    let mut first = consumer(&queue, Lane::Default, 3).await;
    let held = take(&mut *first, 3).await;
    let (ended, ()) = tokio::join!(soon(first.next()), async { rabbit.close_connections() });
    assert!(matches!(ended, Err(QueueError::Disconnected)), "{ended:?}");
    assert!(matches!(soon(subscription.next()).await, Err(QueueError::Disconnected)));
    // Too late, and no reason to panic.
    let late = first.settle(vec![(held[0].tag, Settlement::Ack)]).await;
    assert!(matches!(late, Err(QueueError::Disconnected)), "{late:?}");
    reaches(&queue, connected).await;
    publish_for_sure(&queue, &jobs(Lane::Default, 3..4)).await;
    assert!(consume_for_sure(&queue, 4).await <= 1);
    rabbit.end().await;
}

#[tokio::test]
async fn a_consumer_s_jobs_come_again_elsewhere_when_its_connection_is_cut() {
    let rabbit = Rabbit::new();
    let server = variable("TIDEGATE_TEST_AMQP");
    let proxy = Proxy::start(&server).await;
    let here = AmqpQueue::open(&rabbit.at(&proxy.instead_of(&server), "")).await.unwrap();
    let there = rabbit.open().await;
    there.publish(&jobs(Lane::Default, 0..4)).await.unwrap();
    let mut dying = consumer(&here, Lane::Default, 4).await;
    take(&mut *dying, 4).await;
    let mut heir = consumer(&there, Lane::Default, 4).await;
    proxy.cut();
    let inherited = take(&mut *heir, 4).await;
    assert!(inherited.iter().all(|delivery| delivery.redelivered));
    assert!(matches!(soon(dying.next()).await, Err(QueueError::Disconnected)));
    rabbit.end().await;
}

#[tokio::test]
async fn nothing_is_lost_while_a_proxy_cuts_every_connection_again_and_again() {
    const JOBS: usize = 4_000;
    let rabbit = Rabbit::new();
    let server = variable("TIDEGATE_TEST_AMQP");
    let proxy = Proxy::start(&server).await;
    let queue = AmqpQueue::open(&rabbit.at(&proxy.instead_of(&server), "")).await.unwrap();
    let all = jobs(Lane::Default, 0..JOBS);
    let publishing = async {
        let mut failures = 0;
        for chunk in all.chunks(20) {
            failures += publish_for_sure(&queue, chunk).await;
        }
        failures
    };
    let cutting = async {
        loop {
            sleep(Duration::from_millis(700)).await;
            proxy.cut();
        }
    };
    let (failures, ended) = tokio::select! {
        both = async { tokio::join!(publishing, consume_for_sure(&queue, JOBS)) } => both,
        () = cutting => unreachable!("it cuts for ever"),
    };
    assert!(failures > 0 && ended > 0, "{failures} publishes failed, {ended} consumers ended");
    rabbit.end().await;
}

#[tokio::test]
async fn a_broker_that_lacks_memory_blocks_publishers_and_not_consumers() {
    let broker = OwnBroker::started();
    let rabbit = Rabbit::new();
    let queue = AmqpQueue::open(&rabbit.at(&broker.url, "")).await.unwrap();
    queue.publish(&jobs(Lane::Default, 0..4)).await.unwrap();
    let mut consumer = consumer(&queue, Lane::Default, 4).await;
    let taken = take(&mut *consumer, 4).await;
    broker.control(&["ctl", "set_vm_memory_high_watermark", "0.00001"]);
    // The broker tells a connection only once it publishes.
    let publish = [job(Lane::Default, 4)];
    let (published, ()) = tokio::join!(queue.publish(&publish), reaches(&queue, blocked));
    assert!(published.is_err());
    let QueueState::Blocked { reason, .. } = queue.state() else { panic!("not blocked") };
    assert!(reason.contains("memory"), "{reason}");
    // From now on it fails at once.
    let started = Instant::now();
    let error = queue.publish(&publish).await.unwrap_err().to_string();
    assert!(error.contains("takes nothing in") && started.elapsed() < Duration::from_secs(1));
    // Acknowledgements pass; a copy waits, and its original with it.
    let retry = Settlement::Retry { after: Duration::ZERO };
    let settlements = vec![(taken[0].tag, Settlement::Ack), (taken[1].tag, retry)];
    soon(consumer.settle(settlements)).await.unwrap();
    assert_eq!(depth(&queue, Lane::Default).await.1, 3);

    broker.control(&["ctl", "set_vm_memory_high_watermark", "absolute", "1GB"]);
    reaches(&queue, connected).await;
    // What could not be confirmed may have arrived nevertheless.
    let again = loop {
        let delivery = soon(consumer.next()).await.unwrap();
        if delivery.job.id == taken[1].job.id {
            break delivery;
        }
        assert_eq!(delivery.job.id, publish[0].id);
    };
    assert_eq!(again.job.attempt, 1);
    publish_for_sure(&queue, &publish).await;
}

#[tokio::test]
async fn a_broker_that_hangs_is_given_up_in_time_and_used_again_when_it_goes_on() {
    let broker = OwnBroker::started();
    let rabbit = Rabbit::new();
    let queue = AmqpQueue::open(&rabbit.at(&broker.url, "&heartbeat=2")).await.unwrap();
    let mut consumer = consumer(&queue, Lane::Default, 4).await;
    broker.control(&["pause"]);
    let started = Instant::now();
    queue.publish(&[job(Lane::Default, 0)]).await.unwrap_err();
    let ended = soon(consumer.next()).await;
    assert!(matches!(ended, Err(QueueError::Disconnected)), "{ended:?}");
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    reaches(&queue, disconnected).await;
    let started = Instant::now();
    let error = queue.publish(&[job(Lane::Default, 0)]).await.unwrap_err();
    assert!(matches!(error, QueueError::Unavailable { .. }), "{error}");
    assert!(started.elapsed() < Duration::from_secs(1));
    broker.control(&["resume"]);
    publish_for_sure(&queue, &[job(Lane::Default, 0)]).await;
    consume_for_sure(&queue, 1).await;
}

#[tokio::test]
async fn a_broker_may_come_late_and_die_and_come_back() {
    let broker = OwnBroker::prepare();
    let rabbit = Rabbit::new();
    let queue = AmqpQueue::open(&rabbit.at(&broker.url, "")).await.unwrap();
    let QueueState::Disconnected { error, .. } = queue.state() else { panic!("connected") };
    assert!(error.to_lowercase().contains("refused"), "{error}");
    let error = queue.publish(&[job(Lane::Default, 0)]).await.unwrap_err();
    assert!(matches!(error, QueueError::Unavailable { .. }), "{error}");
    let consumed = queue.consume(Source::stable(Lane::Default), 1).await;
    assert!(matches!(consumed.err(), Some(QueueError::Unavailable { .. })));

    broker.control(&["start"]);
    publish_for_sure(&queue, &jobs(Lane::Default, 0..100)).await;
    broker.control(&["kill"]);
    reaches(&queue, disconnected).await;
    broker.control(&["start"]);
    // What was confirmed is still there.
    consume_for_sure(&queue, 100).await;
}

#[tokio::test]
async fn limits_are_set_through_the_management_api() {
    let broker = OwnBroker::started();
    let rabbit = Rabbit::new();
    let management = format!("&management={}", broker.management);
    let queue = AmqpQueue::open(&rabbit.at(&broker.url, &management)).await.unwrap();
    assert_eq!(queue.state(), QueueState::Connected);
    let applied = broker.control(&["ctl", "list_queues", "--quiet", "name", "policy"]);
    let name = rabbit.names().lane_queue(Lane::High);
    let line = format!("{name}\t{}-work", rabbit.prefix);
    assert!(applied.lines().any(|applied| applied == line), "{applied}");
}

async fn lose_the_leader(publishing: bool) {
    const JOBS: usize = 6_000;
    let (cluster, rabbit) = (Cluster::start(), Rabbit::new());
    let (server, more) = cluster.url_beginning_with(0);
    let queue = AmqpQueue::open(&rabbit.at(&server, &more)).await.unwrap();
    let all = jobs(Lane::Default, 0..JOBS);
    let leader = cluster.leader(rabbit.names().lane_queue(Lane::Default).as_str());
    let publish = async |jobs: &[Job]| {
        for chunk in jobs.chunks(50) {
            publish_for_sure(&queue, chunk).await;
        }
    };
    // The node is killed in the middle: about a third is done, and the rest is under way.
    publish(&all[..JOBS / 3]).await;
    if publishing {
        let ((), _) = tokio::join!(publish(&all[JOBS / 3..]), kill(&cluster, &leader));
        consume_for_sure(&queue, JOBS).await;
    } else {
        publish(&all[JOBS / 3..]).await;
        let (_, ()) = tokio::join!(consume_for_sure(&queue, JOBS), kill(&cluster, &leader));
    }
}

/// Kills a node while others work.
async fn kill(cluster: &Cluster, node: &str) {
    sleep(Duration::from_millis(100)).await;
    cluster.kill(node).await;
}

#[tokio::test]
async fn nothing_is_lost_when_the_leader_dies_while_jobs_are_published() {
    lose_the_leader(true).await;
}

#[tokio::test]
async fn nothing_is_lost_when_the_leader_dies_while_jobs_are_consumed() {
    lose_the_leader(false).await;
}
