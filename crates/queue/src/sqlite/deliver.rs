//! From claimed messages to deliveries.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, Job};

use super::Shared;
use super::message::{self, Claim, Claimed, Place};
use super::wake::Topic;
use crate::{Delivery, QueueError, Settlement};

/// A claim under way. It is kept until it has answered: its messages are held from the moment of
/// the commit, whether or not someone still waits for them.
pub(super) type Claiming = Pin<Box<dyn Future<Output = Result<Vec<Delivery>, QueueError>> + Send>>;

/// Claims up to `room` messages for `owner`. What can't be read as a job is kept aside at once:
/// it would come back for ever.
pub(super) fn claim(shared: Arc<Shared>, owner: i64, place: Place, room: usize) -> Claiming {
    Box::pin(async move {
        let arm = if place.canary.is_some() { Arm::Canary } else { Arm::Stable };
        let claim = shared
            .database
            .write(move |sql| message::claim(sql, owner, &place, room, Timestamp::now()))
            .await?;
        let Claim::Got(claimed) = claim else { return Err(QueueError::Disconnected) };
        let (mut deliveries, mut unreadable) = (Vec::with_capacity(claimed.len()), Vec::new());
        for claimed in claimed {
            let tag = claimed.tag;
            match read(claimed, arm) {
                Ok(delivery) => deliveries.push(delivery),
                Err(error) => {
                    let reason = format!("malformed: not a job this release can read: {error}");
                    tracing::warn!(error = %error, message.id = tag.message, "Job could not be read.");
                    unreadable.push((tag, Settlement::DeadLetter { reason }));
                }
            }
        }
        if !unreadable.is_empty() {
            shared
                .database
                .write(move |sql| message::settle(sql, owner, &unreadable, Timestamp::now()))
                .await?;
            shared.bell.ring(Topic::Messages);
        }
        Ok(deliveries)
    })
}

fn read(claimed: Claimed, arm: Arm) -> Result<Delivery, serde_json::Error> {
    let Claimed { tag, attempt, redelivered, body } = claimed;
    let job: Job = serde_json::from_str(&body)?;
    Ok(Delivery { tag, job: Job { attempt, arm, ..job }, redelivered })
}
