//! How many messages wait, as the broker counts them.

use std::sync::Arc;

use lapin::Channel;
use lapin::options::QueueDeclareOptions;
use lapin::types::{FieldTable, ShortString};
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Lane;

use super::Shared;
use super::link::Live;
use super::places::Seen;
use super::rung::Rung;
use crate::{Depth, Depths, QueueError};

/// Asks on channels that are thrown away: asking for a queue that is not there ends a channel.
struct Asking {
    live: Arc<Live>,
    channel: Channel,
}

/// Counts what waits.
pub(super) async fn depths(shared: &Shared) -> Result<Depths, QueueError> {
    let names = &shared.settings.names;
    let mut asking = Asking::start(shared.consuming().await?).await?;
    let consumed = shared.places.lanes();
    let mut lanes = Vec::new();
    for lane in Lane::ALL {
        let ready = asking.count(names.lane_queue(lane)).await?.unwrap_or(0);
        let mut delayed = 0;
        // Who consumes a lane has declared its rungs.
        if consumed.contains(&lane) {
            for rung in Rung::ALL {
                delayed += asking.count(names.rung_queue(lane, rung)).await?.unwrap_or(0);
            }
        }
        let seen = shared.places.seen(lane, None).unwrap_or_default();
        lanes.push(depth(lane, None, ready, delayed, seen));
    }
    for (lane, release) in shared.places.canaries() {
        let seen = shared.places.seen(lane, Some(&release)).unwrap_or_default();
        if let Some(ready) = asking.count(names.canary_queue(lane, &release)).await? {
            lanes.push(depth(lane, Some(release), ready, 0, seen));
        }
    }
    Ok(Depths {
        lanes,
        unfiled: asking.count(names.dead_queue()).await?.unwrap_or(0) + shared.letters(),
        unrouted: asking.count(names.unrouted_queue()).await?.unwrap_or(0),
    })
}

fn depth(lane: Lane, canary: Option<String>, ready: u64, delayed: u64, seen: Seen) -> Depth {
    // A queue is served in order: what is ready came after what was handed out last. Where nothing
    // was, it may be of any age.
    let next = (ready > 0).then(|| seen.last.unwrap_or(Timestamp(0)));
    let oldest = seen.oldest.or(if ready > 0 { seen.last } else { None });
    Depth { lane, canary, ready: ready + delayed, unacked: seen.unacked, oldest, next }
}

// === impl Asking ===

impl Asking {
    async fn start(live: Arc<Live>) -> Result<Self, QueueError> {
        let channel = live.channel().await?;
        Ok(Self { live, channel })
    }

    /// Counts what is ready in a queue; `None` if there is no such queue.
    async fn count(&mut self, queue: ShortString) -> Result<Option<u64>, QueueError> {
        if !self.channel.status().connected() {
            self.channel = self.live.channel().await?;
        }
        count(&self.live, &self.channel, queue).await
    }
}

/// Counts what is ready in a queue; `None`, and the channel is of no use, if there is no such queue.
pub(super) async fn count(
    live: &Live,
    channel: &Channel,
    queue: ShortString,
) -> Result<Option<u64>, QueueError> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    match live.within(channel.queue_declare(queue, options, FieldTable::default())).await {
        Ok(queue) => Ok(Some(queue.message_count().into())),
        Err(QueueError::Disconnected) if live.is_connected() => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_is_no_older_than_what_was_handed_out_last() {
        let (early, late) = (Timestamp(1), Timestamp(2));
        let seen = Seen { unacked: 3, oldest: Some(early), last: Some(late) };
        let waiting = depth(Lane::High, None, 5, 2, seen);
        assert_eq!((waiting.ready, waiting.unacked), (7, 3));
        assert_eq!((waiting.oldest, waiting.next), (Some(early), Some(late)));
        let empty = depth(Lane::High, None, 0, 0, Seen { oldest: None, ..seen });
        assert_eq!((empty.oldest, empty.next), (None, None));
        let unknown = depth(Lane::High, None, 5, 0, Seen::default());
        assert_eq!((unknown.oldest, unknown.next), (None, Some(Timestamp(0))));
    }
}
