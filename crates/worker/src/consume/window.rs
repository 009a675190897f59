//! Deliveries that are held and not yet begun.

use std::collections::VecDeque;

use tidegate_queue::Delivery;

use crate::kinds::Kind;

/// Held deliveries of one lane, oldest first.
#[derive(Debug, Default)]
pub(super) struct Window(VecDeque<(Kind, Delivery)>);

// === impl Window ===

impl Window {
    pub(super) fn push(&mut self, kind: Kind, delivery: Delivery) {
        self.0.push_back((kind, delivery));
    }

    /// Returns the kinds that wait, the one that has waited longest first.
    pub(super) fn kinds(&self) -> Vec<Kind> {
        let mut kinds = Vec::with_capacity(Kind::ALL.len());
        for (kind, _) in &self.0 {
            if !kinds.contains(kind) {
                kinds.push(*kind);
            }
        }
        kinds
    }

    /// Takes the oldest deliveries of `kind`, at most `most`. Those that were handed out before, to
    /// a worker that went away, go apart: one of them may be why it did.
    pub(super) fn take(&mut self, kind: Kind, most: usize) -> Vec<Delivery> {
        let first = self.0.iter().find(|(other, _)| *other == kind);
        let Some(redelivered) = first.map(|(_, delivery)| delivery.redelivered) else {
            return Vec::new();
        };
        let mut taken = Vec::new();
        let mut left = VecDeque::with_capacity(self.0.len());
        for (other, delivery) in self.0.drain(..) {
            let fits = other == kind && delivery.redelivered == redelivered;
            if fits && taken.len() < most.max(1) {
                taken.push(delivery);
            } else {
                left.push_back((other, delivery));
            }
        }
        self.0 = left;
        taken
    }

    /// Takes everything.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Delivery> {
        self.0.drain(..).map(|(_, delivery)| delivery)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_queue::DeliveryTag;

    use super::*;
    use crate::fixture::job;

    /// Fills a window; an upper-case letter was handed out before.
    fn window(letters: &str) -> Window {
        let mut window = Window::default();
        for (message, letter) in (0..).zip(letters.chars()) {
            let kind = match letter.to_ascii_lowercase() {
                'i' => Kind::Ingest,
                _ => Kind::Probe,
            };
            let tag = DeliveryTag { message, fence: 0 };
            let redelivered = letter.is_ascii_uppercase();
            window.push(kind, Delivery { tag, job: job(kind.as_str()), redelivered });
        }
        window
    }

    fn places(deliveries: impl IntoIterator<Item = Delivery>) -> Vec<i64> {
        deliveries.into_iter().map(|delivery| delivery.tag.message).collect()
    }

    #[track_caller]
    fn check(letters: &str, kind: Kind, most: usize, taken: &[i64], left: &[i64]) {
        let mut window = window(letters);
        assert_eq!(places(window.take(kind, most)), taken, "{letters}");
        assert_eq!(places(window.clear()), left, "{letters}");
    }

    #[test]
    fn the_oldest_of_a_kind_run_together() {
        check("", Kind::Probe, 9, &[], &[]);
        check("iii", Kind::Probe, 9, &[], &[0, 1, 2]);
        check("pipip", Kind::Probe, 2, &[0, 2], &[1, 3, 4]);
        check("pipip", Kind::Ingest, 9, &[1, 3], &[0, 2, 4]);
        check("pp", Kind::Probe, 0, &[0], &[1]);
    }

    #[test]
    fn what_was_handed_out_before_runs_apart() {
        check("pPpP", Kind::Probe, 9, &[0, 2], &[1, 3]);
        check("PpPi", Kind::Probe, 9, &[0, 2], &[1, 3]);
    }

    #[test]
    fn the_kind_that_waited_longest_has_the_first_turn() {
        assert_eq!(window("ippi").kinds(), [Kind::Ingest, Kind::Probe]);
        assert_eq!(window("").kinds(), []);
    }
}
