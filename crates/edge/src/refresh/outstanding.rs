//! Which responses a worker was asked to look at and has not spoken of: one order for each at a time.

use std::collections::HashMap;
use std::time::Duration;

use tidegate_core::cache_key::CacheKey;
use tokio::time::Instant;

/// For a worker's answer; later this edge asks itself, for as long before it orders again.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How long an answer is waited for to be measured.
const KEEP: Duration = Duration::from_secs(30);

/// Most orders outstanding.
const MAX_OUTSTANDING: usize = 10_000;

/// How often room is looked for when there is none.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Orders without an answer.
#[derive(Default)]
pub(super) struct Outstanding {
    by_key: HashMap<CacheKey, Placed>,
    looked: Option<Instant>,
}

struct Placed {
    at: Instant,
    /// Until then, there is no further order.
    holds_until: Instant,
    given_up: bool,
}

/// What a stale hit does about its response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Order,
    /// A worker has been asked and has time left.
    Wait,
    /// A worker has been asked and did not answer.
    GiveUp,
    /// As before, and another request has said so.
    GivenUp,
    /// There are too many.
    Full,
}

// === impl Outstanding ===

impl Outstanding {
    /// Decides, and takes note of the order that follows.
    pub(super) fn turn(&mut self, key: &CacheKey, now: Instant) -> Turn {
        let holds_until = now + ANSWER_WITHIN;
        if let Some(placed) = self.by_key.get_mut(key) {
            let holds = now < placed.holds_until;
            return match (placed.given_up, holds) {
                (false, true) => Turn::Wait,
                (false, false) => {
                    (placed.given_up, placed.holds_until) = (true, holds_until);
                    Turn::GiveUp
                }
                (true, true) => Turn::GivenUp,
                (true, false) => {
                    *placed = Placed { at: now, holds_until, given_up: false };
                    Turn::Order
                }
            };
        }
        if self.by_key.len() >= MAX_OUTSTANDING && !self.make_room(now) {
            return Turn::Full;
        }
        self.by_key.insert(key.clone(), Placed { at: now, holds_until, given_up: false });
        Turn::Order
    }

    /// Takes note of an answer and returns how long it took.
    pub(super) fn answered(&mut self, key: &CacheKey, now: Instant) -> Option<Duration> {
        self.by_key.remove(key).map(|placed| now.duration_since(placed.at))
    }

    pub(super) fn withdraw(&mut self, key: &CacheKey) {
        self.by_key.remove(key);
    }

    fn make_room(&mut self, now: Instant) -> bool {
        if self.looked.is_some_and(|looked| now < looked + LOOK_EVERY) {
            return false;
        }
        self.looked = Some(now);
        self.by_key.retain(|_, placed| now < placed.at + KEEP);
        self.by_key.len() < MAX_OUTSTANDING
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::cache_key::KeyParts;

    use super::*;

    fn key(number: usize) -> CacheKey {
        let path = &*format!("/{number}");
        let parts =
            KeyParts { scheme: "https", host: "h", path, query: "", scope_key: "", epoch: "" };
        CacheKey::new(&parts)
    }

    #[test]
    fn a_response_is_ordered_once_then_given_up_once_and_then_ordered_again() {
        let mut outstanding = Outstanding::default();
        let start = Instant::now();
        let mut turn = |after| outstanding.turn(&key(0), start + after);
        assert_eq!(turn(Duration::ZERO), Turn::Order);
        assert_eq!(turn(ANSWER_WITHIN / 2), Turn::Wait);
        assert_eq!(turn(ANSWER_WITHIN), Turn::GiveUp);
        assert_eq!(turn(ANSWER_WITHIN), Turn::GivenUp);
        assert_eq!(turn(ANSWER_WITHIN * 2), Turn::Order);
        assert_eq!(turn(ANSWER_WITHIN * 2), Turn::Wait);
    }

    #[test]
    fn an_answer_is_measured_from_the_order_even_if_it_was_given_up() {
        let mut outstanding = Outstanding::default();
        let start = Instant::now();
        outstanding.turn(&key(0), start);
        outstanding.turn(&key(0), start + ANSWER_WITHIN);
        let later = start + ANSWER_WITHIN * 2;
        assert_eq!(outstanding.answered(&key(0), later), Some(ANSWER_WITHIN * 2));
        assert_eq!(outstanding.answered(&key(0), later), None);
        assert_eq!(outstanding.turn(&key(0), later), Turn::Order);
    }

    #[test]
    fn orders_without_an_answer_are_bounded_and_forgotten_in_the_end() {
        let mut outstanding = Outstanding::default();
        let start = Instant::now();
        for number in 0..MAX_OUTSTANDING {
            assert_eq!(outstanding.turn(&key(number), start), Turn::Order);
        }
        assert_eq!(outstanding.turn(&key(MAX_OUTSTANDING), start), Turn::Full);
        assert_eq!(outstanding.turn(&key(MAX_OUTSTANDING), start + KEEP), Turn::Order);
        assert_eq!(outstanding.by_key.len(), 1);
    }
}
