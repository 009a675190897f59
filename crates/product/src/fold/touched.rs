//! Which cached responses a change of groups makes out of date.

use std::collections::BTreeSet;

use tidegate_core::tag;

use super::Delta;
use crate::contract::{Contract, View};
use crate::read::dim_text;

/// Returns the tags that a change of these groups purges, for one tenant.
///
/// A response that is narrowed to one value of every tag dimension carries the fine tag of these
/// values and the view's wide tag; any other response made from the view carries the coarse tag
/// (see [`read::tags`](crate::read::tags)). So a change purges
///
/// - the fine tag of every touched combination of tag values, which leaves the narrowed responses
///   about other values alone,
/// - the coarse tag, for responses that may show any group,
/// - and if there are more than [`tag::MAX_FINE_TAGS`] fine tags, in their place the wide tag,
///   which every narrowed response carries.
///
/// No deltas, no tags: nothing changed.
pub fn touched_tags(
    contract: &Contract,
    view: &View,
    tenant: &str,
    deltas: &[Delta],
) -> Vec<String> {
    if deltas.is_empty() {
        return Vec::new();
    }
    let coarse = tag::view(tenant, &contract.name, &view.name);
    if view.tags.is_empty() {
        return vec![coarse];
    }
    let dataset = contract.dataset_of(view);
    let mut fine = BTreeSet::new();
    for delta in deltas {
        let texts: Vec<_> = view
            .tags
            .iter()
            .map(|dim| {
                let column = &dataset.columns[view.group_by[*dim]];
                (column.name.as_str(), dim_text(column.kind, &delta.group[*dim]))
            })
            .collect();
        let dims = texts.iter().map(|(name, text)| (*name, text.as_ref()));
        fine.insert(tag::group(tenant, &contract.name, &view.name, dims));
        if fine.len() > tag::MAX_FINE_TAGS {
            return vec![coarse, tag::view_narrowed(tenant, &contract.name, &view.name)];
        }
    }
    std::iter::once(coarse).chain(fine).collect()
}
