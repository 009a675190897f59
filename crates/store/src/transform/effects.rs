//! What the new rows of several batches change: one delta for each group.

use std::cmp::Ordering;

use tidegate_product::contract::{Contract, GroupPart, View};
use tidegate_product::error::Overflow;
use tidegate_product::fold::{self, Delta, Value};
use tidegate_product::rows::Rows;

/// New rows of one batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRows<'a> {
    pub(crate) rows: &'a Rows,
    /// Positions of those that are new.
    pub(crate) new: &'a [u32],
}

/// Returns the order in which groups are stored, and in which every writer merges: the bucket
/// leads, then the dimensions.
///
/// New rows touch many groups of few buckets. Led by a dimension, as reads want it, each of these
/// groups lies on a page of its own as soon as it has some history, and a batch rewrites all of
/// these pages: at an hour between readings that cost twice as much at 1 M rows as at 0.1 M. Led
/// by the bucket the groups are neighbours. Reads come over indexes, which only a new group writes.
pub(crate) fn storage_order(view: &View) -> Vec<GroupPart> {
    let dims = (0..view.group_by.len()).map(GroupPart::Dim);
    view.bucket.map(|_| GroupPart::Bucket).into_iter().chain(dims).collect()
}

/// Folds the new rows of batches of one tenant and contract into one delta for each group, in
/// [`storage_order`]: a group that several batches touch is written once.
pub(crate) fn deltas(
    contract: &Contract,
    view: &View,
    batches: &[NewRows<'_>],
) -> Result<Vec<Delta>, Overflow> {
    let dataset = contract.dataset_of(view);
    let mut folded = Vec::new();
    for batch in batches {
        let selected = batch.new.iter().map(|&row| row as usize);
        folded.append(&mut fold::fold(view, dataset, batch.rows, selected)?);
    }
    merged(view, folded)
}

/// Sorts deltas in [`storage_order`], and merges those of one group.
pub(crate) fn merged(view: &View, mut folded: Vec<Delta>) -> Result<Vec<Delta>, Overflow> {
    // Stable, because that is quick where parts are in order already, as those of one bucket are.
    folded.sort_by(|left, right| compare_groups(view, &left.group, &right.group));
    let mut merged: Vec<Delta> = Vec::with_capacity(folded.len());
    for delta in folded {
        match merged.last_mut() {
            Some(last) if last.group == delta.group => fold::merge(view, last, &delta)?,
            _ => merged.push(delta),
        }
    }
    Ok(merged)
}

/// Compares groups of a view in [`storage_order`].
pub(crate) fn compare_groups(view: &View, left: &[Value], right: &[Value]) -> Ordering {
    let parts = storage_order(view).into_iter().map(|part| view.position_of(part));
    let mut parts = parts.map(|part| left[part].order(&right[part]));
    parts.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}
