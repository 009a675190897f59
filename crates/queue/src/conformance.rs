//! What every queue must do, whatever it is made of: each backend runs all of these claims.

mod canaries;
mod dead_letters;
mod deliveries;
mod notices;

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, INGEST, Job, Lane};
use tidegate_core::notice::Notice;
use uuid::Uuid;

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
}

/// Makes a test of each claim.
macro_rules! conformance {
    ($broker:expr => $($claim:ident),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $claim() {
                crate::conformance::$claim(&$broker).await;
            }
        )+
    };
}
pub(crate) use conformance;

/// Returns a job whose body is `n`.
pub(crate) fn job(lane: Lane, n: usize) -> Job {
    Job {
        id: Uuid::now_v7(),
        kind: INGEST.to_owned(),
        schema: 1,
        lane,
        attempt: 0,
        generation: 0,
        tenant: "default".to_owned(),
        product: "air".to_owned(),
        release: None,
        arm: Arm::Stable,
        cohort: None,
        traceparent: None,
        enqueued_at: Timestamp(1),
        deadline: None,
        body: json!(n),
    }
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
