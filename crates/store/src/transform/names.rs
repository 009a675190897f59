//! Names of the tables and columns that a contract brings, the same on every engine.
//!
//! Columns of ours begin with an underscore, which no declared name does.

use sha2::{Digest as _, Sha256};
use tidegate_core::scope::hex;
use tidegate_product::contract::{Contract, Dataset, GroupPart, Stored, View};

/// Longest name that PostgreSQL keeps apart from others: it cuts longer ones.
const MAX_NAME_BYTES: usize = 63;

/// Bytes of a digest that stands for the rest of a long name.
const DIGEST_BYTES: usize = 8;

/// Writes a name so that it can't be taken for a word of the language.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Shortens a name that PostgreSQL would cut, so that it differs from others that begin alike.
pub(crate) fn fitted(name: &str) -> String {
    if name.len() <= MAX_NAME_BYTES {
        return name.to_owned();
    }
    let digest = Sha256::digest(name);
    let kept = name.floor_char_boundary(MAX_NAME_BYTES - 2 * DIGEST_BYTES - 1);
    let (kept, _) = name.split_at(kept);
    let digest: Vec<u8> = digest.iter().take(DIGEST_BYTES).copied().collect();
    format!("{kept}_{}", hex(&digest))
}

/// Returns the name of a dataset's table.
pub(crate) fn dataset_table(product: &str, dataset: &Dataset) -> String {
    format!("d_{product}_{}", dataset.name)
}

/// Returns the name of a view's table.
pub(crate) fn view_table(product: &str, view: &View) -> String {
    format!("v_{product}_{}_{}", view.name, view.build)
}

/// Returns the quoted columns that identify a row.
pub(crate) fn key_columns(dataset: &Dataset) -> Vec<String> {
    dataset.key.iter().map(|&column| quoted(&dataset.columns[column].name)).collect()
}

/// Returns the quoted column of a group's part.
pub(crate) fn part_column(contract: &Contract, view: &View, part: GroupPart) -> String {
    match part {
        GroupPart::Dim(dim) => {
            quoted(&contract.datasets[view.dataset].columns[view.group_by[dim]].name)
        }
        GroupPart::Bucket => "_bucket".to_owned(),
    }
}

/// Returns all parts of a group's name: dimensions in declared order, then the bucket.
pub(crate) fn parts(view: &View) -> Vec<GroupPart> {
    let dims = (0..view.group_by.len()).map(GroupPart::Dim);
    dims.chain(view.bucket.map(|_| GroupPart::Bucket)).collect()
}

/// Returns the quoted column of a stored aggregate.
pub(crate) fn stored_column(contract: &Contract, view: &View, stored: Stored) -> String {
    let column = &contract.datasets[view.dataset].columns[stored.column()];
    quoted(&format!("_{}_{}", stored.word(), column.name))
}

/// Names a path by positions, which a build's name fixes.
pub(crate) fn path_name(path: &[GroupPart]) -> String {
    let part = |part: &GroupPart| match part {
        GroupPart::Dim(dim) => dim.to_string(),
        GroupPart::Bucket => "t".to_owned(),
    };
    path.iter().map(part).collect::<Vec<_>>().join("_")
}

/// Returns the columns of a path, the tenant before them.
pub(crate) fn path_columns(contract: &Contract, view: &View, path: &[GroupPart]) -> String {
    path.iter().fold("_tenant".to_owned(), |mut columns, &part| {
        columns.push_str(", ");
        columns.push_str(&part_column(contract, view, part));
        columns
    })
}
