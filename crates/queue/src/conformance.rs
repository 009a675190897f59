//! What every queue must do, whatever it is made of: each backend runs all of these claims.

mod canaries;
mod dead_letters;
mod deliveries;
mod notices;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{INGEST, Job, Lane};
use tidegate_core::notice::Notice;

pub(crate) use self::canaries::*;
pub(crate) use self::dead_letters::*;
pub(crate) use self::deliveries::*;
pub(crate) use self::notices::*;
use crate::{
    Consumer, DeadDelivery, DeadLetters, Delivery, Depth, Heard, Queue, SharedQueue, Source,
    Subscription,
};

/// Longer than any step takes; reached only by what never happens.
const NEVER: Duration = Duration::from_secs(20);

/// Short enough to look again and again.
const LOOK: Duration = Duration::from_millis(20);

/// A backend under test.
#[async_trait]
pub(crate) trait Broker: Send + Sync {
    /// Connects as another process would. Such a handle must not poll: it has to be woken.
    async fn connect(&self) -> SharedQueue;

    /// Makes the backend take the consumers of all handles for dead, although they live on.
    async fn presume_dead(&self);

    /// Cleans up after a claim that held.
    async fn end(&self);
}

/// Makes a test of each claim.
macro_rules! conformance {
    ($broker:expr) => {
        crate::conformance::conformance!($broker =>
            jobs_arrive_in_the_order_they_were_published,
            each_lane_has_consumers_of_its_own,
            a_job_arrives_as_it_was_published,
            a_job_published_by_another_process_wakes_a_waiting_consumer,
            prefetch_bounds_unsettled_deliveries,
            a_dropped_call_loses_no_message,
            each_settlement_does_what_it_says,
            a_retry_wakes_a_consumer_when_it_is_due,
            a_dropped_consumer_gives_back_at_once,
            a_settlement_by_a_consumer_taken_for_dead_changes_nothing,
            consumers_share_the_work_and_none_gets_what_another_holds,
            depth_knows_how_old_the_oldest_job_is_that_is_held,
            depth_knows_that_what_is_ready_is_no_older,
            a_job_too_large_for_a_message_is_refused,
            jobs_of_a_canary_go_to_its_own_workers,
            jobs_of_a_canary_without_workers_go_to_stable_ones,
            jobs_wait_for_a_canary_whose_workers_are_away,
            a_job_that_failed_on_a_canary_comes_again_to_stable_workers,
            a_revoked_canary_s_jobs_move_to_stable_workers,
            revoking_a_canary_nobody_knows_does_nothing,
            a_dead_letter_says_what_is_known_of_it,
            a_letter_comes_again_until_it_is_filed,
            unfiled_letters_are_counted_and_bounded_by_the_prefetch,
            a_letter_wakes_who_waits_for_it,
            every_subscriber_hears_every_notice_in_order,
            a_notice_of_another_process_wakes_a_waiting_subscriber,
            a_subscription_begins_with_what_comes_after_it,
            a_slow_subscriber_catches_up,
        );
    };
    ($broker:expr => $($claim:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $claim() {
                let broker = $broker;
                crate::conformance::$claim(&broker).await;
                crate::conformance::Broker::end(&broker).await;
            }
        )+
    };
}
pub(crate) use conformance;

/// Returns a job whose body is `n`.
pub(crate) fn job(lane: Lane, n: usize) -> Job {
    Job::new(INGEST, lane, ("default", "air"), json!(n), Timestamp(1))
}

pub(crate) fn jobs(lane: Lane, range: std::ops::Range<usize>) -> Vec<Job> {
    range.map(|n| job(lane, n)).collect()
}

pub(crate) fn notice(n: usize) -> Notice {
    Notice::Revoked { credential: n.to_string() }
}

pub(crate) fn number(delivery: &Delivery) -> usize {
    usize::try_from(delivery.job.body.as_u64().unwrap()).unwrap()
}

/// Waits for what must happen.
#[track_caller]
pub(crate) fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = std::panic::Location::caller();
    async move {
        match tokio::time::timeout(NEVER, future).await {
            Ok(output) => output,
            Err(_) => panic!("nothing happened at {caller}"),
        }
    }
}

/// Waits for `count` deliveries.
pub(crate) async fn take(consumer: &mut dyn Consumer, count: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(soon(consumer.next()).await.unwrap());
    }
    taken
}

/// Waits for `count` notices.
pub(crate) async fn listen(subscription: &mut dyn Subscription, count: usize) -> Vec<Notice> {
    let mut heard = Vec::new();
    while heard.len() < count {
        match soon(subscription.next()).await.unwrap() {
            Heard::Notices(notices) => heard.extend(notices),
            Heard::Missed => panic!("missed after {} notices", heard.len()),
        }
    }
    heard
}

/// Waits for `count` letters.
pub(crate) async fn read(letters: &mut dyn DeadLetters, count: usize) -> Vec<DeadDelivery> {
    let mut read = Vec::new();
    for _ in 0..count {
        read.push(soon(letters.next()).await.unwrap());
    }
    read
}

/// Starts a consumer of a lane of the stable workers.
pub(crate) async fn consumer(queue: &dyn Queue, lane: Lane, prefetch: usize) -> Box<dyn Consumer> {
    queue.consume(Source::stable(lane), prefetch).await.unwrap()
}

/// Returns ready and unacked of one lane of the stable workers.
pub(crate) async fn depth(queue: &dyn Queue, lane: Lane) -> (u64, u64) {
    let depths = queue.depth().await.unwrap();
    let Depth { ready, unacked, .. } = *depths.stable(lane).unwrap();
    (ready, unacked)
}

/// Asserts that `future` is still pending when it has run as far as it can without waiting.
pub(crate) async fn assert_waits<T: std::fmt::Debug>(future: impl Future<Output = T>) {
    tokio::select! {
        biased;
        output = future => panic!("did not wait: {output:?}"),
        () = std::future::ready(()) => {}
    }
}
