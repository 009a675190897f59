//! A contiguous watermark over a gap-free sequence: detects messages that were missed.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::clock::Timestamp;

/// How long a hole may stay before it counts as a gap: the relay publishes out of order.
pub const GAP_AFTER: Duration = Duration::from_secs(1);

/// Most sequence numbers kept beyond a hole; more than that is a gap at once.
const MAX_AHEAD: usize = 4096;

/// Follows the sequence of one space.
#[derive(Debug, Default)]
pub struct Watermark {
    /// Every number up to and including this one has been seen; `None` before the first.
    contiguous: Option<u64>,
    ahead: BTreeSet<u64>,
    hole_since: Option<Timestamp>,
}

/// What a subscriber must do after [`Watermark::observe`] or [`Watermark::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// Nothing is missing, or not for long enough to say so.
    Intact,
    /// Messages were missed: everything of the space must be revalidated.
    Gap,
}

// === impl Watermark ===

impl Watermark {
    /// Takes note of `seq`, in any order and any number of times.
    pub fn observe(&mut self, seq: u64, now: Timestamp) -> Continuity {
        match self.contiguous {
            None => self.contiguous = Some(seq),
            Some(seen) if seq <= seen => {}
            Some(_) => {
                self.ahead.insert(seq);
            }
        }
        self.advance();
        self.hole_since = if self.ahead.is_empty() { None } else { self.hole_since.or(Some(now)) };
        self.check(now)
    }

    /// Declares a gap once a hole is older than [`GAP_AFTER`], and steps over it.
    pub fn check(&mut self, now: Timestamp) -> Continuity {
        let overdue = self.hole_since.is_some_and(|since| now.since(since) >= GAP_AFTER);
        if !overdue && self.ahead.len() <= MAX_AHEAD {
            return Continuity::Intact;
        }
        self.contiguous = self.ahead.pop_last().or(self.contiguous);
        self.ahead.clear();
        self.hole_since = None;
        Continuity::Gap
    }

    fn advance(&mut self) {
        while let Some(next) = self.contiguous.and_then(|seen| seen.checked_add(1))
            && self.ahead.remove(&next)
        {
            self.contiguous = Some(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    #[test]
    fn reordered_messages_leave_no_gap() {
        let mut watermark = Watermark::default();
        for seq in [7, 9, 8, 8, 10] {
            assert_eq!(watermark.observe(seq, NOW), Continuity::Intact);
        }
        assert_eq!(watermark.check(NOW.after(Duration::from_secs(60))), Continuity::Intact);
    }

    #[test]
    fn a_hole_is_a_gap_after_one_second_and_only_once() {
        let mut watermark = Watermark::default();
        watermark.observe(1, NOW);
        assert_eq!(watermark.observe(3, NOW), Continuity::Intact);
        assert_eq!(watermark.check(NOW.after(Duration::from_millis(999))), Continuity::Intact);
        assert_eq!(watermark.check(NOW.after(GAP_AFTER)), Continuity::Gap);
        assert_eq!(watermark.check(NOW.after(Duration::from_secs(9))), Continuity::Intact);
        assert_eq!(watermark.observe(4, NOW), Continuity::Intact);
    }

    #[test]
    fn what_is_kept_beyond_a_hole_is_bounded() {
        let mut watermark = Watermark::default();
        watermark.observe(0, NOW);
        let gaps =
            (2..20_000).filter(|seq| watermark.observe(*seq, NOW) == Continuity::Gap).count();
        assert!((1..=4).contains(&gaps), "{gaps}");
    }
}
