//! What was purged and is not yet written back: bounded, and merged by space.

use std::collections::{BTreeSet, VecDeque};

use tidegate_core::seq::{DataSeq, Space};

/// Spaces that may wait.
const MAX_SPACES: usize = 256;

/// Tags kept for a space: by these its hot responses are found.
const MAX_TAGS: usize = 256;

/// Purged tags by space, the space that waited longest first. No sequence is kept: what is rendered
/// later is rendered from what is newest then.
#[derive(Debug, Default)]
pub(super) struct Pending(VecDeque<(Space, BTreeSet<String>)>);

// === impl Pending ===

impl Pending {
    /// Adds a purge; returns how many spaces were dropped for it, the oldest first.
    pub(super) fn add(&mut self, seq: DataSeq, tags: Vec<String>) -> usize {
        let space = seq.space;
        if let Some((_, waiting)) = self.0.iter_mut().find(|(other, _)| *other == space) {
            let room = MAX_TAGS.saturating_sub(waiting.len());
            waiting.extend(tags.into_iter().take(room));
            return 0;
        }
        let dropped = usize::from(self.0.len() == MAX_SPACES);
        if dropped > 0 {
            self.0.pop_front();
        }
        self.0.push_back((space, tags.into_iter().take(MAX_TAGS).collect()));
        dropped
    }

    /// Takes the space that waited longest.
    pub(super) fn pop(&mut self) -> Option<(Space, Vec<String>)> {
        let (space, tags) = self.0.pop_front()?;
        Some((space, tags.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seq(tenant: &str, seq: u64) -> DataSeq {
        let (incarnation, product) = ("k3".to_owned(), "air".to_owned());
        DataSeq { space: Space { incarnation, tenant: tenant.to_owned(), product }, seq }
    }

    fn popped(pending: &mut Pending) -> Option<(String, Vec<String>)> {
        pending.pop().map(|(space, tags)| (space.tenant, tags))
    }

    fn tags(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn purges_of_a_space_are_merged_and_spaces_take_turns() {
        let mut pending = Pending::default();
        pending.add(seq("a", 1), tags(&["x", "y"]));
        pending.add(seq("b", 1), tags(&["z"]));
        pending.add(seq("a", 2), tags(&["y", "w"]));
        assert_eq!(popped(&mut pending), Some(("a".to_owned(), tags(&["w", "x", "y"]))));
        assert_eq!(popped(&mut pending), Some(("b".to_owned(), tags(&["z"]))));
        assert_eq!(popped(&mut pending), None);
    }

    #[test]
    fn a_writer_that_is_behind_drops_what_is_oldest() {
        let mut pending = Pending::default();
        let many: Vec<String> = (0..MAX_TAGS * 2).map(|tag| tag.to_string()).collect();
        let dropped: usize = (0..=MAX_SPACES)
            .map(|tenant| pending.add(seq(&tenant.to_string(), 1), many.clone()))
            .sum();
        assert_eq!(dropped, 1);
        let (tenant, tags) = popped(&mut pending).unwrap();
        assert_eq!((tenant.as_str(), tags.len()), ("1", MAX_TAGS));
        pending.add(seq("2", 2), vec!["more".to_owned()]);
        assert_eq!(popped(&mut pending).unwrap().1.len(), MAX_TAGS);
    }
}
