//! What the new rows of several batches change: one delta for each group, and the tags they touch.

use std::cmp::Ordering;

use tidegate_product::contract::{Contract, GroupPart, View};
use tidegate_product::error::Overflow;
use tidegate_product::fold::{self, Delta};
use tidegate_product::rows::Rows;

/// New rows of one batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRows<'a> {
    pub(crate) rows: &'a Rows,
    /// Positions of those that are new.
    pub(crate) new: &'a [u32],
}

/// Folds the new rows of batches of one tenant and contract into one delta for each group, in the
/// order in which every writer merges: a group that several batches touch is written once.
pub(crate) fn deltas(
    contract: &Contract,
    view: &View,
    batches: &[NewRows<'_>],
) -> Result<Vec<Delta>, Overflow> {
    let dataset = contract.dataset_of(view);
    let mut folded = Vec::with_capacity(batches.len());
    for batch in batches {
        let selected = batch.new.iter().map(|&row| row as usize);
        folded.push(fold::fold(view, dataset, batch.rows, selected)?);
    }
    // Pairs of neighbours, so that a delta is moved as often as the number of batches has digits.
    while folded.len() > 1 {
        let mut merged = Vec::with_capacity(folded.len().div_ceil(2));
        let mut lists = folded.into_iter();
        while let Some(left) = lists.next() {
            merged.push(match lists.next() {
                Some(right) => merge(view, left, right)?,
                None => left,
            });
        }
        folded = merged;
    }
    Ok(folded.pop().unwrap_or_default())
}

/// Merges two lists that are in the order of the view's primary key.
fn merge(view: &View, left: Vec<Delta>, right: Vec<Delta>) -> Result<Vec<Delta>, Overflow> {
    let order = primary_order(view);
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(first), Some(second)) = (left.peek(), right.peek()) {
        match compare(&order, first, second) {
            Ordering::Less => merged.extend(left.next()),
            Ordering::Greater => merged.extend(right.next()),
            Ordering::Equal => {
                if let (Some(mut delta), Some(other)) = (left.next(), right.next()) {
                    fold::merge(view, &mut delta, &other)?;
                    merged.push(delta);
                }
            }
        }
    }
    merged.extend(left);
    merged.extend(right);
    Ok(merged)
}

fn primary_order(view: &View) -> Vec<usize> {
    let parts: &[GroupPart] = view.access_paths.first().map_or(&[], Vec::as_slice);
    parts.iter().map(|part| view.position_of(*part)).collect()
}

fn compare(order: &[usize], left: &Delta, right: &Delta) -> Ordering {
    let mut parts = order.iter().map(|&part| left.group[part].order(&right.group[part]));
    parts.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}
