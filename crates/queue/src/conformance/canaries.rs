//! Claims about jobs that are meant for a canary's workers.

use tidegate_core::job::{Arm, Job, Lane};

use super::{Broker, assert_waits, consumer, depth, job, number, soon, take};
use crate::{Consumer, Queue, Settlement, Source};

const RELEASE: &str = "air@sha256:0123";

fn canary_jobs(release: &str, range: std::ops::Range<usize>) -> Vec<Job> {
    let meant =
        |n| Job { release: Some(release.to_owned()), arm: Arm::Canary, ..job(Lane::Default, n) };
    range.map(meant).collect()
}

async fn canary(queue: &dyn Queue, release: &str) -> Box<dyn Consumer> {
    let source = Source { lane: Lane::Default, canary: Some(release) };
    queue.consume(source, 10).await.unwrap()
}

/// Returns ready and unacked of the canary's default lane; none where it has no queue.
async fn canary_depth(queue: &dyn Queue) -> (u64, u64) {
    let depths = queue.depth().await.unwrap();
    let mut lanes = depths.lanes.iter();
    let found =
        lanes.find(|depth| depth.lane == Lane::Default && depth.canary.as_deref() == Some(RELEASE));
    found.map_or((0, 0), |depth| (depth.ready, depth.unacked))
}

pub(crate) async fn jobs_of_a_canary_go_to_its_own_workers(broker: &dyn Broker) {
    let queue = broker.connect().await;
    let mut stable = consumer(&*queue, Lane::Default, 10).await;
    let (mut ours, mut other) = (canary(&*queue, RELEASE).await, canary(&*queue, "other").await);
    queue.publish(&canary_jobs(RELEASE, 0..2)).await.unwrap();
    queue.publish(&[job(Lane::Default, 2)]).await.unwrap();
    let taken = take(&mut *ours, 2).await;
    let told: Vec<_> = taken.iter().map(|delivery| (number(delivery), delivery.job.arm)).collect();
    assert_eq!(told, [(0, Arm::Canary), (1, Arm::Canary)]);
    assert_eq!(number(&take(&mut *stable, 1).await[0]), 2);
    assert_waits(stable.next()).await;
    assert_waits(other.next()).await;
    assert_eq!(
        (depth(&*queue, Lane::Default).await, canary_depth(&*queue).await),
        ((0, 1), (0, 2))
    );
}

pub(crate) async fn jobs_of_a_canary_without_workers_go_to_stable_ones(broker: &dyn Broker) {
    let queue = broker.connect().await;
    let mut stable = consumer(&*queue, Lane::Default, 10).await;
    let _other = canary(&*queue, "other").await;
    queue.publish(&canary_jobs(RELEASE, 0..1)).await.unwrap();
    let delivery = take(&mut *stable, 1).await.remove(0);
    // The arm is that of the workers it came to; what the request said stays.
    assert_eq!((delivery.job.arm, delivery.job.release.as_deref()), (Arm::Stable, Some(RELEASE)));
}

pub(crate) async fn jobs_wait_for_a_canary_whose_workers_are_away(broker: &dyn Broker) {
    let queue = broker.connect().await;
    drop(canary(&*queue, RELEASE).await);
    queue.publish(&canary_jobs(RELEASE, 0..1)).await.unwrap();
    assert_eq!(depth(&*queue, Lane::Default).await, (0, 0));
    assert_eq!(number(&take(&mut *canary(&*queue, RELEASE).await, 1).await[0]), 0);
}

pub(crate) async fn a_job_that_failed_on_a_canary_comes_again_to_stable_workers(
    broker: &dyn Broker,
) {
    let queue = broker.connect().await;
    let mut ours = canary(&*queue, RELEASE).await;
    let mut stable = consumer(&*queue, Lane::Default, 10).await;
    queue.publish(&canary_jobs(RELEASE, 0..1)).await.unwrap();
    let failed = take(&mut *ours, 1).await.remove(0);
    let after = std::time::Duration::ZERO;
    ours.settle(vec![(failed.tag, Settlement::Retry { after })]).await.unwrap();
    let again = take(&mut *stable, 1).await.remove(0);
    assert_eq!((again.job.id, again.job.attempt, again.job.arm), (failed.job.id, 1, Arm::Stable));
}

pub(crate) async fn a_revoked_canary_s_jobs_move_to_stable_workers(broker: &dyn Broker) {
    let (here, there) = (broker.connect().await, broker.connect().await);
    let mut ours = canary(&*here, RELEASE).await;
    here.publish(&canary_jobs(RELEASE, 0..25)).await.unwrap();
    let held = take(&mut *ours, 3).await;
    let mut stable = consumer(&*there, Lane::Default, 100).await;
    // The consumer holds ten; it was handed three of them.
    assert_eq!(soon(there.revoke_canary(RELEASE)).await.unwrap(), 15);
    here.publish(&canary_jobs(RELEASE, 25..30)).await.unwrap();
    let moved = take(&mut *stable, 20).await;
    let mut numbers: Vec<_> = moved.iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (10..30).collect::<Vec<_>>());
    assert!(
        moved.iter().all(|delivery| (delivery.job.attempt, delivery.job.arm) == (0, Arm::Stable))
    );

    // What was in flight may finish; the rest comes back.
    ours.settle(vec![(held[0].tag, Settlement::Ack)]).await.unwrap();
    drop(ours);
    let mut numbers = Vec::new();
    while numbers.len() < 9 {
        soon(there.revoke_canary(RELEASE)).await.unwrap();
        if let Ok(delivery) = tokio::time::timeout(super::LOOK, stable.next()).await {
            numbers.push(number(&delivery.unwrap()));
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..10).collect::<Vec<_>>());
}

pub(crate) async fn revoking_a_canary_nobody_knows_does_nothing(broker: &dyn Broker) {
    let queue = broker.connect().await;
    assert_eq!(soon(queue.revoke_canary(RELEASE)).await.unwrap(), 0);
    assert_eq!(soon(queue.revoke_canary(RELEASE)).await.unwrap(), 0);
}
