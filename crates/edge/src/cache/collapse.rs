//! Collapsed forwarding: of requests for the same thing at the same time, one asks.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

/// What is being asked for at present. Cheap to clone.
pub(crate) struct Flights<K, V> {
    in_flight: Arc<Mutex<HashMap<K, Flight<V>>>>,
}

struct Flight<V> {
    result: watch::Receiver<Option<V>>,
    spoiled: Arc<AtomicBool>,
}

/// The part a request has in a flight.
pub(crate) enum Part<K: Hash + Eq, V> {
    /// It asks, on behalf of all.
    Leader(Permit<K, V>),
    /// It waits for the leader's result.
    Follower(Follower<V>),
}

/// Held by the one request that asks; the key is released on drop, so a cancelled or panicking
/// leader can't wedge it: followers are told and one of them leads.
pub(crate) struct Permit<K: Hash + Eq, V> {
    key: K,
    in_flight: Arc<Mutex<HashMap<K, Flight<V>>>>,
    result: watch::Sender<Option<V>>,
    spoiled: Arc<AtomicBool>,
}

/// Waits for a leader.
pub(crate) struct Follower<V>(watch::Receiver<Option<V>>);

/// Why a follower has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoResult {
    /// The leader went away without one.
    Gone,
    /// It takes too long.
    TimedOut,
}

// === impl Flights ===

impl<K: Hash + Eq + Clone, V: Clone> Flights<K, V> {
    pub(crate) fn new() -> Self {
        Self { in_flight: Arc::default() }
    }

    /// Joins the flight for `key`, as its leader if there is none.
    pub(crate) fn join(&self, key: &K) -> Part<K, V> {
        let mut in_flight = self.in_flight.lock();
        if let Some(flight) = in_flight.get(key) {
            return Part::Follower(Follower(flight.result.clone()));
        }
        let (sender, receiver) = watch::channel(None);
        let spoiled = Arc::new(AtomicBool::new(false));
        let flight = Flight { result: receiver, spoiled: Arc::clone(&spoiled) };
        in_flight.insert(key.clone(), flight);
        let in_flight = Arc::clone(&self.in_flight);
        Part::Leader(Permit { key: key.clone(), in_flight, result: sender, spoiled })
    }

    /// Tells the leader for `key` that what it is about to get must not be kept.
    pub(crate) fn spoil(&self, key: &K) {
        if let Some(flight) = self.in_flight.lock().get(key) {
            flight.spoiled.store(true, Ordering::Release);
        }
    }
}

// === impl Permit ===

impl<K: Hash + Eq, V> Permit<K, V> {
    /// Says whether the key was invalidated since the flight began.
    pub(crate) fn is_spoiled(&self) -> bool {
        self.spoiled.load(Ordering::Acquire)
    }

    /// Hands the result to all followers and releases the key.
    pub(crate) fn finish(self, value: V) {
        self.result.send_replace(Some(value));
    }
}

impl<K: Hash + Eq, V> Drop for Permit<K, V> {
    fn drop(&mut self) {
        self.in_flight.lock().remove(&self.key);
    }
}

// === impl Follower ===

impl<V: Clone> Follower<V> {
    /// Waits for the leader's result, at most `patience`.
    pub(crate) async fn wait(mut self, patience: Duration) -> Result<V, NoResult> {
        let wait = self.0.wait_for(Option::is_some);
        match tokio::time::timeout(patience, wait).await {
            Ok(Ok(value)) => value.clone().ok_or(NoResult::Gone),
            Ok(Err(_)) => Err(NoResult::Gone),
            Err(_) => Err(NoResult::TimedOut),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn leader(flights: &Flights<&'static str, u32>) -> Permit<&'static str, u32> {
        match flights.join(&"k") {
            Part::Leader(permit) => permit,
            Part::Follower(_) => panic!("somebody else leads"),
        }
    }

    fn follower(flights: &Flights<&'static str, u32>) -> Follower<u32> {
        match flights.join(&"k") {
            Part::Follower(follower) => follower,
            Part::Leader(_) => panic!("nobody leads"),
        }
    }

    #[tokio::test]
    async fn followers_get_the_leader_s_result_and_the_key_is_free_again() {
        let flights = Flights::new();
        let permit = leader(&flights);
        let followers: Vec<_> = (0..3).map(|_| follower(&flights)).collect();
        permit.finish(7);
        for follower in followers {
            assert_eq!(follower.wait(PATIENCE).await, Ok(7));
        }
        leader(&flights);
    }

    #[tokio::test]
    async fn a_leader_that_is_dropped_releases_the_key_and_tells_its_followers() {
        let flights = Flights::new();
        let permit = leader(&flights);
        let waiting = follower(&flights);
        drop(permit);
        assert_eq!(waiting.wait(PATIENCE).await, Err(NoResult::Gone));
        leader(&flights);
    }

    #[tokio::test(start_paused = true)]
    async fn followers_do_not_wait_for_ever() {
        let flights = Flights::new();
        let _permit = leader(&flights);
        assert_eq!(follower(&flights).wait(PATIENCE).await, Err(NoResult::TimedOut));
    }

    #[test]
    fn only_the_present_leader_is_told_that_its_key_was_invalidated() {
        let flights = Flights::new();
        flights.spoil(&"k");
        let permit = leader(&flights);
        assert!(!permit.is_spoiled());
        flights.spoil(&"k");
        assert!(permit.is_spoiled());
    }
}
