//! What this process knows of the queues it consumes: the broker tells only how much is ready.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Lane;

/// Most canaries followed at a time.
const MAX_PLACES: usize = 1_024;

/// The queues this process has consumed, by lane and release.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<BTreeMap<Key, Arc<Place>>>);

type Key = (Lane, Option<String>);

/// One queue.
#[derive(Debug)]
pub(super) struct Place {
    canary: bool,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// When the jobs that are held were published, and how many at each time.
    held: BTreeMap<Timestamp, u64>,
    unacked: u64,
    /// When the job was published that came last.
    last: Option<Timestamp>,
}

/// What is known of one queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) unacked: u64,
    /// When the oldest job that is held was published.
    pub(super) oldest: Option<Timestamp>,
    pub(super) last: Option<Timestamp>,
}

// === impl Places ===

impl Places {
    /// Returns what is known of a queue from now on.
    pub(super) fn get(&self, lane: Lane, canary: Option<&str>) -> Arc<Place> {
        let mut places = self.0.lock();
        if places.len() >= MAX_PLACES {
            places.retain(|_, place| Arc::strong_count(place) > 1);
        }
        let place = places.entry((lane, canary.map(str::to_owned))).or_insert_with(|| {
            Arc::new(Place { canary: canary.is_some(), known: Mutex::default() })
        });
        Arc::clone(place)
    }

    pub(super) fn seen(&self, lane: Lane, canary: Option<&str>) -> Option<Seen> {
        let places = self.0.lock();
        places.get(&(lane, canary.map(str::to_owned))).map(|place| place.seen())
    }

    /// Returns the canaries' queues.
    pub(super) fn canaries(&self) -> Vec<(Lane, String)> {
        let places = self.0.lock();
        places.keys().filter_map(|(lane, canary)| Some((*lane, canary.clone()?))).collect()
    }

    /// Returns the lanes of stable workers.
    pub(super) fn lanes(&self) -> Vec<Lane> {
        let places = self.0.lock();
        places.keys().filter(|(_, canary)| canary.is_none()).map(|(lane, _)| *lane).collect()
    }

    /// Forgets a canary.
    pub(super) fn forget(&self, canary: &str) {
        self.0.lock().retain(|(_, release), place| {
            release.as_deref() != Some(canary) || Arc::strong_count(place) > 1
        });
    }
}

// === impl Place ===

impl Place {
    pub(super) fn is_canary(&self) -> bool {
        self.canary
    }

    /// Takes note of a job that came.
    pub(super) fn took(&self, published_at: Option<Timestamp>) {
        let mut known = self.known.lock();
        known.unacked += 1;
        if let Some(at) = published_at {
            *known.held.entry(at).or_default() += 1;
            known.last = Some(at);
        }
    }

    /// Takes note of a job that is held no more.
    pub(super) fn settled(&self, published_at: Option<Timestamp>) {
        let mut known = self.known.lock();
        known.unacked = known.unacked.saturating_sub(1);
        if let Some(at) = published_at
            && let Some(count) = known.held.get_mut(&at)
        {
            *count -= 1;
            if *count == 0 {
                known.held.remove(&at);
            }
        }
    }

    fn seen(&self) -> Seen {
        let known = self.known.lock();
        let oldest = known.held.first_key_value().map(|(at, _)| *at);
        Seen { unacked: known.unacked, oldest, last: known.last }
    }
}
