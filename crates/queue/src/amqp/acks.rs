//! How few frames acknowledge a set of deliveries.

use std::collections::BTreeSet;

/// One acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ack {
    /// The delivery.
    pub(super) tag: u64,
    /// All unsettled deliveries before it too.
    pub(super) multiple: bool,
}

/// Returns what acknowledges `done`, given all `unsettled` deliveries in ascending order: one frame
/// for those that no other delivery stands before, and one for each of the rest.
pub(super) fn acks(unsettled: impl Iterator<Item = u64>, done: &BTreeSet<u64>) -> Vec<Ack> {
    let first: Vec<u64> = unsettled.take_while(|tag| done.contains(tag)).collect();
    let mut acks = Vec::new();
    if let Some(&tag) = first.last() {
        acks.push(Ack { tag, multiple: first.len() > 1 });
    }
    let rest = done.iter().filter(|tag| first.binary_search(tag).is_err());
    acks.extend(rest.map(|&tag| Ack { tag, multiple: false }));
    acks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(unsettled: &[u64], done: &[u64], expected: &[(u64, bool)]) {
        let acks = acks(unsettled.iter().copied(), &done.iter().copied().collect());
        let told: Vec<_> = acks.iter().map(|ack| (ack.tag, ack.multiple)).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn only_what_nothing_unsettled_stands_before_is_acknowledged_together() {
        check(&[1, 2, 3, 4], &[1, 2, 3, 4], &[(4, true)]);
        check(&[1, 2, 3, 4], &[1, 2, 4], &[(2, true), (4, false)]);
        check(&[3, 5, 9], &[3, 5], &[(5, true)]);
        check(&[3, 5, 9], &[5, 9], &[(5, false), (9, false)]);
        check(&[3], &[3], &[(3, false)]);
        check(&[], &[], &[]);
    }
}
