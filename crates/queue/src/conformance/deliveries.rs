//! Claims about jobs.

use std::collections::BTreeSet;
use std::time::Duration;

use tidegate_core::clock::Timestamp;
use tidegate_core::job::Lane;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Broker, assert_waits, consumer, depth, job, jobs, number, soon, take};
use crate::{QueueError, Settlement};

const HOUR: Duration = Duration::from_secs(3_600);

pub(crate) async fn jobs_arrive_in_the_order_they_were_published(broker: &dyn Broker) {
    let queue = broker.connect().await;
    queue.publish(&jobs(Lane::Default, 0..40)).await.unwrap();
    queue.publish(&jobs(Lane::Default, 40..100)).await.unwrap();
    let mut consumer = consumer(&*queue, Lane::Default, 100).await;
    let numbers: Vec<_> = take(&mut *consumer, 100).await.iter().map(number).collect();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}

pub(crate) async fn each_lane_has_consumers_of_its_own(broker: &dyn Broker) {
    let queue = broker.connect().await;
    for (n, lane) in Lane::ALL.into_iter().enumerate() {
        queue.publish(&[job(lane, n)]).await.unwrap();
    }
    for (n, lane) in Lane::ALL.into_iter().enumerate().rev() {
        let mut consumer = consumer(&*queue, lane, 10).await;
        assert_eq!(number(&take(&mut *consumer, 1).await[0]), n);
        assert_waits(consumer.next()).await;
    }
}

pub(crate) async fn a_job_arrives_as_it_was_published(broker: &dyn Broker) {
    let queue = broker.connect().await;
    let mut published = job(Lane::High, 1);
    published.traceparent = Some("00-0af7-b7ad-01".to_owned());
    published.cohort = Some(9_999);
    published.attempt = 3;
    queue.publish(std::slice::from_ref(&published)).await.unwrap();
    let mut consumer = consumer(&*queue, Lane::High, 1).await;
    let delivery = take(&mut *consumer, 1).await.remove(0);
    assert_eq!((delivery.job, delivery.redelivered), (published, false));
}

pub(crate) async fn a_job_published_by_another_process_wakes_a_waiting_consumer(
    broker: &dyn Broker,
) {
    let (here, there) = (broker.connect().await, broker.connect().await);
    let mut consumer = consumer(&*here, Lane::Default, 4).await;
    for n in 0..50 {
        let published = [job(Lane::Default, n)];
        // The consumer is polled first: it waits when the job comes.
        let (delivery, ()) = tokio::join!(biased; soon(consumer.next()), async {
            there.publish(&published).await.unwrap();
        });
        let delivery = delivery.unwrap();
        assert_eq!(number(&delivery), n);
        consumer.settle(vec![(delivery.tag, Settlement::Ack)]).await.unwrap();
    }
}

pub(crate) async fn prefetch_bounds_unsettled_deliveries(broker: &dyn Broker) {
    let queue = broker.connect().await;
    queue.publish(&jobs(Lane::Default, 0..10)).await.unwrap();
    let mut consumer = consumer(&*queue, Lane::Default, 3).await;
    let taken = take(&mut *consumer, 3).await;
    assert_waits(consumer.next()).await;
    assert_eq!(depth(&*queue, Lane::Default).await, (7, 3));

    consumer.settle(vec![(taken[1].tag, Settlement::Ack)]).await.unwrap();
    let next = take(&mut *consumer, 1).await.remove(0);
    assert_eq!(number(&next), 3);
    assert_waits(consumer.next()).await;
    assert_eq!(depth(&*queue, Lane::Default).await, (6, 3));
}

pub(crate) async fn a_dropped_call_loses_no_message(broker: &dyn Broker) {
    let queue = broker.connect().await;
    queue.publish(&jobs(Lane::Default, 0..64)).await.unwrap();
    let mut consumer = consumer(&*queue, Lane::Default, 4).await;
    let mut numbers = Vec::new();
    while numbers.len() < 64 {
        // Dropped at the first moment it has to wait, again and again.
        let taken = tokio::select! {
            biased;
            delivery = consumer.next() => Some(delivery.unwrap()),
            () = tokio::task::yield_now() => None,
        };
        if let Some(delivery) = taken {
            numbers.push(number(&delivery));
            consumer.settle(vec![(delivery.tag, Settlement::Ack)]).await.unwrap();
        }
    }
    assert_eq!(numbers, (0..64).collect::<Vec<_>>());
    assert_eq!(depth(&*queue, Lane::Default).await, (0, 0));
}

pub(crate) async fn each_settlement_does_what_it_says(broker: &dyn Broker) {
    let queue = broker.connect().await;
    queue.publish(&jobs(Lane::Default, 0..6)).await.unwrap();
    let mut consumer = consumer(&*queue, Lane::Default, 10).await;
    let taken = take(&mut *consumer, 6).await;
    let settlements = [
        Settlement::Ack,
        Settlement::Retry { after: HOUR },
        Settlement::Retry { after: Duration::ZERO },
        Settlement::Release,
        Settlement::DeadLetter { reason: "no such kind".to_owned() },
        Settlement::Defer { after: Duration::ZERO },
    ];
    let tags = taken.iter().map(|delivery| delivery.tag);
    consumer.settle(tags.zip(settlements).collect()).await.unwrap();
    let mut again = take(&mut *consumer, 3).await;
    again.sort_by_key(number);
    let told: Vec<_> =
        again.iter().map(|delivery| (number(delivery), delivery.job.attempt)).collect();
    assert_eq!(told, [(2, 1), (3, 0), (5, 0)]);
    assert!(again.iter().all(|delivery| taken.iter().all(|first| first.tag != delivery.tag)));
    // The one that waits for its retry is ready as well.
    assert_eq!(depth(&*queue, Lane::Default).await, (1, 3));
    assert_eq!(queue.depth().await.unwrap().unfiled, 1);
}

pub(crate) async fn a_retry_wakes_a_consumer_when_it_is_due(broker: &dyn Broker) {
    let (here, there) = (broker.connect().await, broker.connect().await);
    here.publish(&[job(Lane::Default, 0)]).await.unwrap();
    let mut failing = consumer(&*here, Lane::Default, 1).await;
    let first = take(&mut *failing, 1).await.remove(0);
    let mut waiting = consumer(&*there, Lane::Default, 1).await;
    let after = Duration::from_millis(30);
    let (again, ()) = tokio::join!(biased; soon(waiting.next()), async {
        failing.settle(vec![(first.tag, Settlement::Retry { after })]).await.unwrap();
        // Otherwise it may come to this one.
        drop(failing);
    });
    let again = again.unwrap();
    assert_eq!((again.job.attempt, again.tag != first.tag), (1, true));
}

pub(crate) async fn a_dropped_consumer_gives_back_at_once(broker: &dyn Broker) {
    let (here, there) = (broker.connect().await, broker.connect().await);
    here.publish(&jobs(Lane::Default, 0..3)).await.unwrap();
    let mut leaving = consumer(&*here, Lane::Default, 3).await;
    take(&mut *leaving, 1).await;
    let mut waiting = consumer(&*there, Lane::Default, 3).await;
    let (first, ()) = tokio::join!(biased; soon(waiting.next()), async { drop(leaving) });
    let mut taken = vec![first.unwrap()];
    taken.extend(take(&mut *waiting, 2).await);
    assert_eq!(taken.iter().map(number).collect::<Vec<_>>(), [0, 1, 2]);
    // The first was handed out; of the others a broker does not know that they were not.
    assert!(taken[0].redelivered);
}

pub(crate) async fn a_settlement_by_a_consumer_taken_for_dead_changes_nothing(broker: &dyn Broker) {
    let here = broker.connect().await;
    here.publish(&jobs(Lane::Default, 0..2)).await.unwrap();
    let mut zombie = consumer(&*here, Lane::Default, 2).await;
    let held = take(&mut *zombie, 2).await;
    broker.presume_dead().await;

    let there = broker.connect().await;
    let mut heir = consumer(&*there, Lane::Default, 2).await;
    let inherited = take(&mut *heir, 2).await;
    for (before, after) in held.iter().zip(&inherited) {
        assert_eq!(before.job, after.job);
        assert!(after.redelivered && after.tag != before.tag);
    }
    let reason = "too late".to_owned();
    let settlements =
        vec![(held[0].tag, Settlement::Ack), (held[1].tag, Settlement::DeadLetter { reason })];
    let settled = soon(zombie.settle(settlements)).await;
    assert!(matches!(settled, Ok(()) | Err(QueueError::Disconnected)), "{settled:?}");
    assert_eq!(depth(&*there, Lane::Default).await, (0, 2));
    assert!(matches!(soon(zombie.next()).await, Err(QueueError::Disconnected)));

    let acks = inherited.iter().map(|delivery| (delivery.tag, Settlement::Ack)).collect();
    heir.settle(acks).await.unwrap();
    assert_eq!(depth(&*there, Lane::Default).await, (0, 0));
}

pub(crate) async fn consumers_share_the_work_and_none_gets_what_another_holds(broker: &dyn Broker) {
    const JOBS: usize = 600;
    let (done, mut numbers) = mpsc::channel(JOBS);
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let (queue, done) = (broker.connect().await, done.clone());
        tasks.spawn(async move {
            let mut consumer = consumer(&*queue, Lane::Default, 16).await;
            loop {
                let delivery = consumer.next().await.unwrap();
                consumer.settle(vec![(delivery.tag, Settlement::Ack)]).await.unwrap();
                done.send(number(&delivery)).await.unwrap();
            }
        });
    }
    let publisher = broker.connect().await;
    publisher.publish(&jobs(Lane::Default, 0..JOBS)).await.unwrap();
    let mut seen = BTreeSet::new();
    for _ in 0..JOBS {
        assert!(seen.insert(soon(numbers.recv()).await.unwrap()), "handed out twice");
    }
    assert_eq!(seen, (0..JOBS).collect());
    assert_eq!(depth(&*publisher, Lane::Default).await, (0, 0));
}

pub(crate) async fn depth_knows_how_old_the_oldest_job_is_that_is_held(broker: &dyn Broker) {
    let queue = broker.connect().await;
    let oldest = async |lane: Lane| queue.depth().await.unwrap().stable(lane).unwrap().oldest;
    assert_eq!(oldest(Lane::Default).await, None);
    let before = Timestamp::now();
    queue.publish(&jobs(Lane::Default, 0..2)).await.unwrap();
    let after = Timestamp::now();
    let mut consumer = consumer(&*queue, Lane::Default, 1).await;
    take(&mut *consumer, 1).await;
    let oldest_held = oldest(Lane::Default).await.unwrap();
    assert!((before..=after).contains(&oldest_held));
    assert_eq!(oldest(Lane::High).await, None);
}

pub(crate) async fn depth_knows_that_what_is_ready_is_no_older(broker: &dyn Broker) {
    let queue = broker.connect().await;
    let next = async || queue.depth().await.unwrap().stable(Lane::Default).unwrap().next;
    assert_eq!(next().await, None);
    queue.publish(&jobs(Lane::Default, 0..1)).await.unwrap();
    let between = Timestamp::now();
    queue.publish(&jobs(Lane::Default, 1..2)).await.unwrap();
    assert!(next().await.is_some_and(|next| next <= between));
    let mut consumer = consumer(&*queue, Lane::Default, 1).await;
    let held = take(&mut *consumer, 1).await.remove(0);
    assert!(next().await.is_some_and(|next| next <= Timestamp::now()));
    consumer.settle(vec![(held.tag, Settlement::Ack)]).await.unwrap();
    take(&mut *consumer, 1).await;
    assert_eq!(next().await, None, "both were handed out");
}

pub(crate) async fn a_job_too_large_for_a_message_is_refused(broker: &dyn Broker) {
    let queue = broker.connect().await;
    let mut large = job(Lane::Default, 0);
    large.body = "x".repeat(crate::MAX_MESSAGE).into();
    let error = queue.publish(&[large]).await.unwrap_err();
    assert!(matches!(error, QueueError::TooLarge { .. }) && error.is_permanent(), "{error}");
}
