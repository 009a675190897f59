//! What a broker does with queues, messages and limits.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use tidegate_core::job::Lane;
use tokio::time::Instant;

use super::harness::{Rabbit, rabbitmqctl, variable};
use crate::conformance::{
    Broker, assert_waits, consumer, depth, job, jobs, listen, notice, number, read, soon, take,
};
use crate::{AmqpQueue, Heard, Queue, QueueError, QueueState, Settlement};

#[tokio::test]
async fn a_job_no_queue_takes_comes_back_to_its_publisher_and_finds_a_new_queue() {
    let rabbit = Rabbit::new();
    let (queue, connection) = (rabbit.open().await, rabbit.raw().await);
    let channel = connection.create_channel().await.unwrap();
    let lane = rabbit.names().lane_queue(Lane::High);
    channel.queue_delete(lane, QueueDeleteOptions::default()).await.unwrap();
    let mut mixed = jobs(Lane::Default, 0..50);
    mixed.push(job(Lane::High, 50));
    let error = queue.publish(&mixed).await.unwrap_err();
    let QueueError::Unroutable { key } = &error else { panic!("{error}") };
    assert_eq!(key, "high.ingest");
    // The outbox publishes it again.
    soon(queue.publish(&mixed[50..])).await.unwrap();
    let mut consumer = consumer(&queue, Lane::High, 1).await;
    assert_eq!(number(&take(&mut *consumer, 1).await[0]), 50);
    rabbit.end().await;
}

#[tokio::test]
async fn a_call_is_not_told_of_messages_that_came_back_to_others() {
    let rabbit = Rabbit::new();
    let (queue, connection) = (rabbit.open().await, rabbit.raw().await);
    let channel = connection.create_channel().await.unwrap();
    for round in 0..10 {
        let lane = rabbit.names().lane_queue(Lane::High);
        channel.queue_delete(lane, QueueDeleteOptions::default()).await.unwrap();
        let (good, bad) = (jobs(Lane::Default, 0..20), jobs(Lane::High, 0..20));
        let calls = (0..20).map(|n| {
            let (queue, good, bad) = (&queue, &good[n..=n], &bad[n..=n]);
            async move { tokio::join!(queue.publish(good), queue.publish(bad)) }
        });
        let mut returned = 0;
        for (good, bad) in futures_util::future::join_all(calls).await {
            assert!(good.is_ok(), "{good:?} in round {round}");
            returned += usize::from(matches!(bad, Err(QueueError::Unroutable { .. })));
        }
        // The first group's queue was missing for sure.
        assert!(returned > 0, "round {round}");
    }
    rabbit.end().await;
}

#[tokio::test]
async fn a_consumer_whose_queue_is_deleted_ends_and_a_new_one_works() {
    let rabbit = Rabbit::new();
    let (queue, connection) = (rabbit.open().await, rabbit.raw().await);
    let channel = connection.create_channel().await.unwrap();
    let mut first = consumer(&queue, Lane::Default, 5).await;
    let lane = rabbit.names().lane_queue(Lane::Default);
    let (ended, _) = tokio::join!(biased; soon(first.next()), async {
        channel.queue_delete(lane, QueueDeleteOptions::default()).await.unwrap()
    });
    assert!(matches!(ended, Err(QueueError::Disconnected)), "{ended:?}");
    assert!(matches!(soon(first.next()).await, Err(QueueError::Disconnected)));
    // Publishing declares the queue anew, or consuming does.
    queue.publish(&[job(Lane::Default, 1)]).await.unwrap_err();
    queue.publish(&[job(Lane::Default, 1)]).await.unwrap();
    let mut second = consumer(&queue, Lane::Default, 5).await;
    assert_eq!(number(&take(&mut *second, 1).await[0]), 1);
    rabbit.end().await;
}

#[tokio::test]
async fn a_job_waits_on_a_rung_and_comes_again_with_its_attempts() {
    let rabbit = Rabbit::new();
    let queue = rabbit.open().await;
    queue.publish(&[job(Lane::Default, 0)]).await.unwrap();
    let mut consumer = consumer(&queue, Lane::Default, 1).await;
    let started = Instant::now();
    for attempt in 0..2 {
        let taken = take(&mut *consumer, 1).await.remove(0);
        assert_eq!(taken.job.attempt, attempt);
        let retry = Settlement::Retry { after: Duration::from_secs(1) };
        consumer.settle(vec![(taken.tag, retry)]).await.unwrap();
        assert_eq!(depth(&queue, Lane::Default).await, (1, 0), "it waits");
    }
    let taken = take(&mut *consumer, 1).await.remove(0);
    assert_eq!((taken.job.attempt, taken.redelivered), (2, false));
    assert!(started.elapsed() >= Duration::from_secs(2));
    rabbit.end().await;
}

#[tokio::test]
async fn a_message_that_is_no_job_is_kept_aside_and_holds_up_nothing() {
    let rabbit = Rabbit::new();
    let (queue, connection) = (rabbit.open().await, rabbit.raw().await);
    let channel = connection.create_channel().await.unwrap();
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let (exchange, key) = (rabbit.names().jobs(), "low.someone".into());
    channel.basic_publish(exchange, key, options, b"hello", properties).await.unwrap();
    queue.publish(&[job(Lane::Low, 1)]).await.unwrap();
    let mut consumer = consumer(&queue, Lane::Low, 5).await;
    assert_eq!(number(&take(&mut *consumer, 1).await[0]), 1);
    assert_waits(consumer.next()).await;
    let mut letters = queue.dead_letters(5).await.unwrap();
    // The consumer keeps it aside while it waits.
    let letter = tokio::select! {
        letter = soon(letters.next()) => letter.unwrap(),
        delivery = consumer.next() => panic!("{delivery:?}"),
    };
    assert_eq!(
        (letter.body.as_slice(), letter.job, letter.lane),
        (&b"hello"[..], None, Some(Lane::Low))
    );
    assert!(letter.reason.starts_with("malformed: "), "{}", letter.reason);
    rabbit.end().await;
}

#[tokio::test]
async fn a_job_whose_consumers_crash_again_and_again_is_kept_aside_by_the_broker() {
    let rabbit = Rabbit::new();
    let queue = rabbit.open().await;
    let pattern = format!("^{}\\.q\\.default\\.v1$", rabbit.prefix);
    let limit = r#"{"delivery-limit":2,"dead-letter-strategy":"at-least-once","overflow":"reject-publish"}"#;
    rabbitmqctl(&["set_policy", "--apply-to", "queues", &rabbit.prefix, &pattern, limit]);
    queue.publish(&[job(Lane::Default, 3)]).await.unwrap();
    let mut letters = queue.dead_letters(5).await.unwrap();
    for delivery in 0..3 {
        let mut crashing = consumer(&queue, Lane::Default, 1).await;
        assert_eq!(take(&mut *crashing, 1).await[0].redelivered, delivery > 0);
    }
    let letter = read(&mut *letters, 1).await.remove(0);
    assert!(letter.reason.starts_with("delivery_limit: "), "{}", letter.reason);
    assert_eq!((letter.lane, letter.job.unwrap().body), (Some(Lane::Default), 3.into()));
    assert_eq!(letter.headers["x-death"][0]["reason"], "delivery_limit");
    rabbitmqctl(&["clear_policy", &rabbit.prefix]);
    rabbit.end().await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_what_it_refused_can_be_published_later() {
    let rabbit = Rabbit::new();
    let queue = rabbit.open().await;
    let pattern = format!("^{}\\.q\\.low\\.v1$", rabbit.prefix);
    let limit = r#"{"max-length":5,"overflow":"reject-publish"}"#;
    rabbitmqctl(&["set_policy", "--apply-to", "queues", &rabbit.prefix, &pattern, limit]);
    let (mut refused, mut published) = (None, 0);
    while refused.is_none() && published < 1_000 {
        match queue.publish(&[job(Lane::Low, published)]).await {
            Ok(()) => published += 1,
            Err(error) => refused = Some(error),
        }
    }
    assert!(matches!(refused, Some(QueueError::Refused)), "{refused:?}");
    let mut consumer = consumer(&queue, Lane::Low, 1_000).await;
    let taken = take(&mut *consumer, published).await;
    let acks = taken.iter().map(|delivery| (delivery.tag, Settlement::Ack)).collect();
    consumer.settle(acks).await.unwrap();
    // There is room again, and the broker notices in a moment.
    let room = async {
        while queue.publish(&[job(Lane::Low, published)]).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon(room).await;
    rabbitmqctl(&["clear_policy", &rabbit.prefix]);
    rabbit.end().await;
}

#[tokio::test]
async fn a_slow_subscriber_hears_that_its_queue_was_too_small() {
    let rabbit = Rabbit::new();
    let small = AmqpQueue::open(&rabbit.url("&notices=5")).await.unwrap();
    let mut subscription = small.subscribe().await.unwrap();
    // One message each. Far more than the queue and what is on its way hold.
    for n in 0..400 {
        small.broadcast(&[notice(n)]).await.unwrap();
    }
    let mut heard = Vec::new();
    let mut missed = false;
    while heard.last() != Some(&notice(399)) {
        match soon(subscription.next()).await.unwrap() {
            Heard::Notices(notices) => heard.extend(notices),
            Heard::Missed => missed = true,
        }
    }
    assert!(missed, "{} were heard", heard.len());
    small.broadcast(&[notice(400)]).await.unwrap();
    assert_eq!(listen(&mut *subscription, 1).await, [notice(400)]);
    rabbit.end().await;
}

#[tokio::test]
async fn a_queue_with_other_settings_is_named() {
    let rabbit = Rabbit::new();
    let connection = rabbit.raw().await;
    let channel = connection.create_channel().await.unwrap();
    let lane = rabbit.names().lane_queue(Lane::Low);
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(lane.clone(), options, FieldTable::default()).await.unwrap();
    let queue = rabbit.open().await;
    let QueueState::Disconnected { error, .. } = queue.state() else { panic!("connected") };
    assert!(error.contains(lane.as_str()) && error.contains("inequivalent"), "{error}");
    assert!(error.contains("delete it"), "{error}");
    let error = queue.publish(&[job(Lane::Low, 1)]).await.unwrap_err();
    assert!(matches!(error, QueueError::Unavailable { .. }), "{error}");
    rabbit.end().await;
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_shown() {
    let rabbit = Rabbit::new();
    let mut wrong = url::Url::parse(&variable("TIDEGATE_TEST_AMQP")).unwrap();
    wrong.set_password(Some("not-the-secret")).unwrap();
    let queue = AmqpQueue::open(&rabbit.at(wrong.as_str(), "")).await.unwrap();
    let error = queue.publish(&[job(Lane::Low, 1)]).await.unwrap_err().to_string();
    assert!(error.contains("refused the user 'guest'"), "{error}");
    assert!(!error.contains("not-the-secret"), "{error}");
}

#[tokio::test]
async fn a_virtual_host_that_is_not_there_is_named() {
    let rabbit = Rabbit::new();
    let server = variable("TIDEGATE_TEST_AMQP").replace("%2f", "nowhere");
    let queue = AmqpQueue::open(&rabbit.at(&server, "")).await.unwrap();
    let error = queue.publish(&[job(Lane::Low, 1)]).await.unwrap_err().to_string();
    assert!(error.contains("virtual host 'nowhere'"), "{error}");
}

#[tokio::test]
async fn tls_works_with_the_broker_s_own_authority_and_fails_clearly_without() {
    let rabbit = Rabbit::new();
    let (server, authority) = (variable("TIDEGATE_TEST_AMQPS"), variable("TIDEGATE_TEST_CA"));
    let url = rabbit.at(&server, &format!("&cacertfile={authority}"));
    let queue = AmqpQueue::open(&url).await.unwrap();
    assert_eq!(queue.state(), QueueState::Connected);
    queue.publish(&[job(Lane::Low, 5)]).await.unwrap();
    let mut consumer = consumer(&queue, Lane::Low, 1).await;
    assert_eq!(number(&take(&mut *consumer, 1).await[0]), 5);

    let stranger = AmqpQueue::open(&rabbit.at(&server, "")).await.unwrap();
    let QueueState::Disconnected { error, .. } = stranger.state() else { panic!("connected") };
    assert!(error.contains("no TLS") && error.contains("UnknownIssuer"), "{error}");
    let lost = AmqpQueue::open(&rabbit.at(&server, "&cacertfile=/nowhere.pem")).await.unwrap();
    let QueueState::Disconnected { error, .. } = lost.state() else { panic!("connected") };
    assert!(error.contains("/nowhere.pem"), "{error}");
    rabbit.end().await;
}
