//! Whether something is missing between two messages of a publisher.

use std::collections::HashMap;

use uuid::Uuid;

/// Most publishers followed; beyond it all are followed anew.
const MAX_PUBLISHERS: usize = 4_096;

/// The last number heard of each publisher.
#[derive(Debug, Default)]
pub(super) struct Holes {
    last: HashMap<Uuid, u64>,
}

/// What a number says about those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuity {
    /// Nothing is missing, as far as can be told.
    Whole,
    /// Numbers are missing.
    Hole,
    /// It was heard before.
    Repeated,
}

// === impl Holes ===

impl Holes {
    /// Takes note of message `number` of a publisher. The first one heard begins its sequence.
    pub(super) fn hear(&mut self, publisher: Uuid, number: u64) -> Continuity {
        if self.last.len() >= MAX_PUBLISHERS && !self.last.contains_key(&publisher) {
            self.last.clear();
        }
        let Some(last) = self.last.insert(publisher, number) else { return Continuity::Whole };
        if number <= last {
            self.last.insert(publisher, last);
            return Continuity::Repeated;
        }
        if number == last + 1 { Continuity::Whole } else { Continuity::Hole }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_in_one_publisher_s_numbers_is_a_hole() {
        let (mut holes, one, other) = (Holes::default(), Uuid::from_u128(1), Uuid::from_u128(2));
        let heard = [(one, 7), (other, 1), (one, 8), (one, 8), (other, 3), (other, 4), (one, 9)];
        let told = heard.map(|(publisher, number)| holes.hear(publisher, number));
        use Continuity::{Hole, Repeated, Whole};
        assert_eq!(told, [Whole, Whole, Whole, Repeated, Hole, Whole, Whole]);
    }

    #[test]
    fn publishers_are_bounded() {
        let mut holes = Holes::default();
        for n in 0..10_000 {
            holes.hear(Uuid::from_u128(n), 1);
        }
        assert!(holes.last.len() <= MAX_PUBLISHERS);
    }
}
