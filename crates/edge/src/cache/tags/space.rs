//! The marks of one space: which position each of its tags was last purged at.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// Marks kept before those that no stored response holds are dropped.
const MIN_PRUNE_AT: usize = 65_536;

/// The position of a tag's last purge, shared by all responses that carry the tag.
pub(super) type Mark = Arc<AtomicU64>;

/// The marks of one space.
#[derive(Debug)]
pub(super) struct Marks {
    superseded: AtomicBool,
    /// The lowest position of what was fetched since these marks were begun: at it and above,
    /// everything is included that happened before.
    proven: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    by_tag: HashMap<Box<str>, Mark>,
    /// The highest position of any mark that was dropped. Below it, a tag without a mark may have
    /// been purged, so nothing is stored.
    floor: u64,
    newest: u64,
    prune_at: usize,
}

// === impl Marks ===

impl Marks {
    /// Bytes one tag of one response takes, roughly: text, table entry, counter.
    pub(super) const WEIGHT_OF_A_MARK: usize = 96;

    pub(super) fn starting_at(floor: u64) -> Self {
        let inner = Inner { by_tag: HashMap::new(), floor, newest: floor, prune_at: MIN_PRUNE_AT };
        let (superseded, proven) = (AtomicBool::new(false), AtomicU64::new(u64::MAX));
        Self { superseded, proven, inner: Mutex::new(inner) }
    }

    /// Takes note of the position of something that was fetched.
    pub(super) fn prove(&self, position: u64) {
        self.proven.fetch_min(position, Ordering::Relaxed);
    }

    /// Says whether a position is known to include everything that happened before these marks
    /// were begun.
    pub(super) fn is_proven(&self, position: u64) -> bool {
        position >= self.proven.load(Ordering::Relaxed)
    }

    /// Purges tags at a position; marks are made for unknown ones too, as a fetch in flight may
    /// bring them.
    pub(super) fn purge(&self, tags: &[String], position: u64) {
        let mut inner = self.inner.lock();
        for tag in tags {
            inner.mark(tag).fetch_max(position, Ordering::Relaxed);
        }
        inner.newest = inner.newest.max(position);
    }

    /// Returns the marks of a response read at `position`, or nothing if one of its tags was
    /// purged later, or may have been.
    pub(super) fn link(&self, tags: &[&str], position: u64) -> Option<Box<[Mark]>> {
        let mut inner = self.inner.lock();
        // Superseded between the two locks: the next fetch gets the new space.
        if self.is_superseded() || position < inner.floor {
            return None;
        }
        let marks: Box<[Mark]> = tags.iter().map(|tag| Arc::clone(inner.mark(tag))).collect();
        let current = marks.iter().all(|mark| mark.load(Ordering::Relaxed) <= position);
        current.then_some(marks)
    }

    /// Says whether everything linked to this space is invalid.
    pub(super) fn is_superseded(&self) -> bool {
        self.superseded.load(Ordering::Relaxed)
    }

    /// Invalidates everything linked to this space.
    pub(super) fn retire(&self) {
        self.superseded.store(true, Ordering::Relaxed);
    }

    /// Invalidates everything linked to this space and returns its successor, which knows only
    /// that purges up to the newest have happened.
    pub(super) fn supersede(&self) -> Arc<Self> {
        let inner = self.inner.lock();
        self.retire();
        Arc::new(Self::starting_at(inner.newest))
    }
}

// === impl Inner ===

impl Inner {
    fn mark(&mut self, tag: &str) -> &Mark {
        if self.by_tag.len() >= self.prune_at && !self.by_tag.contains_key(tag) {
            self.prune();
        }
        self.by_tag.entry(tag.into()).or_default()
    }

    /// Drops marks that no stored response holds. What remains is bounded by what is stored; the
    /// next round starts at twice that, so pruning costs little per mark.
    fn prune(&mut self) {
        let floor = &mut self.floor;
        self.by_tag.retain(|_, mark| {
            let held = Arc::strong_count(mark) > 1;
            if !held {
                *floor = (*floor).max(mark.load(Ordering::Relaxed));
            }
            held
        });
        self.prune_at = MIN_PRUNE_AT.max(self.by_tag.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgotten_marks_raise_the_floor_and_held_ones_stay_exact() {
        let marks = Marks::starting_at(0);
        let held = marks.link(&["held"], 5).unwrap();
        for number in 0..MIN_PRUNE_AT {
            marks.purge(&[format!("t{number}")], 100);
        }
        assert!(marks.inner.lock().by_tag.len() < MIN_PRUNE_AT);
        assert!(marks.link(&["t0"], 99).is_none());
        assert!(marks.link(&["never purged"], 99).is_none());
        assert!(marks.link(&["t0"], 100).is_some());
        marks.purge(&["held".to_owned()], 101);
        assert_eq!(held[0].load(Ordering::Relaxed), 101);
    }
}
