//! In which order a view's groups are stored, so that what is read lies together.

use crate::contract::{Binding, Contract, Endpoint, GroupPart, Source, View, is_always_given};

/// Chooses the order of each view's primary key, and further indexes.
///
/// A read is a range of buckets within some equal dimensions. So a path is: the dimensions that the
/// endpoint binds, the bucket, the remaining dimensions. The first endpoint in the file shapes the
/// primary key; each further one that no path serves adds an index, which costs every write.
pub(super) fn add_paths(contract: &mut Contract) {
    let endpoints = &contract.endpoints;
    for (position, view) in contract.views.iter_mut().enumerate() {
        let readers = endpoints.iter().filter(|read| read.source == Source::View(position));
        let mut paths: Vec<Vec<GroupPart>> = Vec::new();
        for bound in readers.map(bound_dims) {
            if !paths.iter().any(|path| serves(path, &bound, view)) {
                paths.push(path(&bound, view));
            }
        }
        if paths.is_empty() {
            // Nobody reads it by equality: led by the bucket, the groups that new rows touch are
            // neighbours, and a merge writes few pages.
            paths.push(path(&[], view));
        }
        view.access_paths = paths;
    }
}

/// The dimensions that have one value in every request, in the order of `group_by`.
fn bound_dims(endpoint: &Endpoint) -> Vec<usize> {
    let params = endpoint.params.iter().zip(&endpoint.bindings);
    let mut dims: Vec<usize> = params
        .filter(|(param, _)| is_always_given(param))
        .filter_map(|(_, binding)| match binding {
            Binding::Part(GroupPart::Dim(dim)) => Some(*dim),
            _ => None,
        })
        .collect();
    dims.sort_unstable();
    dims
}

/// Returns whether a path begins with these dimensions, in any order, and then the bucket.
fn serves(path: &[GroupPart], bound: &[usize], view: &View) -> bool {
    let Some((head, tail)) = path.split_at_checked(bound.len()) else { return false };
    let dims = bound.iter().all(|dim| head.contains(&GroupPart::Dim(*dim)));
    dims && (view.bucket.is_none() || tail.first() == Some(&GroupPart::Bucket))
}

fn path(bound: &[usize], view: &View) -> Vec<GroupPart> {
    let rest = (0..view.group_by.len()).filter(|dim| !bound.contains(dim));
    let bound = bound.iter().copied().map(GroupPart::Dim);
    let bucket = view.bucket.map(|_| GroupPart::Bucket);
    bound.chain(bucket).chain(rest.map(GroupPart::Dim)).collect()
}
