//! What a dataset's table holds, and whether a new contract contradicts it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tidegate_product::contract::{ColumnKind, Dataset};

/// What a dataset's table holds, over all contracts so far.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    pub(crate) columns: BTreeMap<String, String>,
    pub(crate) key: Vec<String>,
    pub(crate) time: String,
}

/// Names what the cells of a column mean: a stored number keeps its meaning or is lost.
pub(crate) fn kind_name(kind: ColumnKind) -> String {
    match kind {
        ColumnKind::String | ColumnKind::Enum | ColumnKind::Uuid => "text".to_owned(),
        ColumnKind::Int => "int".to_owned(),
        ColumnKind::Decimal { scale } => format!("decimal with {scale} digits after the point"),
        ColumnKind::Timestamp => "timestamp".to_owned(),
        ColumnKind::Bool => "bool".to_owned(),
        ColumnKind::Float => "float".to_owned(),
    }
}

// === impl Shape ===

impl Shape {
    pub(crate) fn of(dataset: &Dataset) -> Self {
        let name = |&column: &usize| dataset.columns[column].name.clone();
        Self {
            columns: dataset
                .columns
                .iter()
                .map(|column| (column.name.clone(), kind_name(column.kind)))
                .collect(),
            key: dataset.key.iter().map(name).collect(),
            time: name(&dataset.time),
        }
    }

    /// Says what of a wanted shape contradicts this one.
    pub(crate) fn differs(&self, wanted: &Self, dataset: &str) -> Option<String> {
        if self.key != wanted.key {
            return Some(format!(
                "the key of dataset '{dataset}' is stored as ({}) and can't become ({})",
                self.key.join(", "),
                wanted.key.join(", ")
            ));
        }
        if self.time != wanted.time {
            return Some(format!(
                "the time of dataset '{dataset}' is stored as '{}' and can't become '{}'",
                self.time, wanted.time
            ));
        }
        self.columns.iter().find_map(|(name, stored)| {
            let kind = wanted.columns.get(name).filter(|kind| *kind != stored)?;
            Some(format!(
                "column '{name}' of dataset '{dataset}' is stored as {stored} and can't become \
                 {kind}"
            ))
        })
    }
}
