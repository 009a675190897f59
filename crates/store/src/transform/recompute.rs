//! What a view should hold, and where what it holds differs.

use std::cmp::Ordering;

use serde_json::json;
use tidegate_core::clock::Timestamp;
use tidegate_product::contract::{ColumnKind, Contract, GroupPart, Stored, View};
use tidegate_product::error::Overflow;
use tidegate_product::fold::{self, Delta, Value};
use tidegate_product::rows::{Cell, Rows};

use crate::transform::effects::{compare_groups, merged};
use crate::transform::names::parts;
use crate::transform::plan::Part;
use crate::{Drift, StoreError};

/// Rows folded at once: memory is bounded by the number of groups.
const CHUNK: usize = 50_000;

/// Part by which two sums of the same floats may differ: they were added in another order.
const TOLERANCE: f64 = 1e-9;

/// Groups as they follow from the base rows, which are given one by one.
pub(crate) struct Recomputation<'a> {
    contract: &'a Contract,
    view: &'a View,
    rows: Rows,
    groups: Vec<Delta>,
}

/// A group that is not what it should be. One of the two is there.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) stored: Option<Delta>,
    pub(crate) computed: Option<Delta>,
}

/// Buckets of a view, and where they end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The first bucket from where it was asked, whether of groups or of rows.
    pub(crate) first: Option<i64>,
    /// The last of all.
    pub(crate) newest: Option<i64>,
}

// === impl Recomputation ===

impl<'a> Recomputation<'a> {
    pub(crate) fn new(contract: &'a Contract, view: &'a View) -> Self {
        let rows = Rows::of(contract.dataset_of(view));
        Self { contract, view, rows, groups: Vec::new() }
    }

    /// Adds a row, given by its cells.
    pub(crate) fn push<'c>(
        &mut self,
        cells: impl IntoIterator<Item = Cell<'c>>,
    ) -> Result<(), StoreError> {
        self.rows.push_row(cells);
        if self.rows.len() >= CHUNK { self.fold() } else { Ok(()) }
    }

    /// Returns the groups in the order in which they are stored.
    pub(crate) fn finish(mut self) -> Result<Vec<Delta>, StoreError> {
        self.fold()?;
        Ok(self.groups)
    }

    fn fold(&mut self) -> Result<(), StoreError> {
        let dataset = self.contract.dataset_of(self.view);
        let rows = std::mem::replace(&mut self.rows, Rows::of(dataset));
        let mut folded = std::mem::take(&mut self.groups);
        folded
            .append(&mut fold::fold(self.view, dataset, &rows, 0..rows.len()).map_err(too_large)?);
        self.groups = merged(self.view, folded).map_err(too_large)?;
        Ok(())
    }
}

/// No view can hold such rows: they were not counted when they came.
fn too_large(overflow: Overflow) -> StoreError {
    StoreError::Corrupt { what: "view", reason: overflow.to_string() }
}

/// Returns a group from its values as they are stored: its name, number of rows, aggregates.
pub(crate) fn group(view: &View, mut values: Vec<Value>) -> Delta {
    let stored = values.split_off((view.group_width() + 1).min(values.len()));
    let rows = match values.pop() {
        Some(Value::Int(rows)) => rows,
        _ => 0,
    };
    Delta { group: values, rows, stored }
}

/// Returns where what is stored differs from what was computed, both in the order in which groups
/// are stored.
pub(crate) fn differences(
    view: &View,
    stored: Vec<Delta>,
    computed: Vec<Delta>,
) -> Vec<Difference> {
    let mut differences = Vec::new();
    let (mut stored, mut computed) =
        (stored.into_iter().peekable(), computed.into_iter().peekable());
    loop {
        let order = match (stored.peek(), computed.peek()) {
            (None, None) => return differences,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(stored), Some(computed)) => compare_groups(view, &stored.group, &computed.group),
        };
        let stored = if order.is_le() { stored.next() } else { None };
        let computed = if order.is_ge() { computed.next() } else { None };
        let equal = match (&stored, &computed) {
            (Some(stored), Some(computed)) => is_equal(view, stored, computed),
            _ => false,
        };
        if !equal {
            differences.push(Difference { stored, computed });
        }
    }
}

fn is_equal(view: &View, stored: &Delta, computed: &Delta) -> bool {
    let mut values = view.stored.iter().zip(stored.stored.iter().zip(&computed.stored));
    stored.rows == computed.rows
        && values.all(|(kind, (stored, computed))| match (kind, stored, computed) {
            (Stored::Sum(_), Value::Float(stored), Value::Float(computed)) => {
                let size = stored.abs().max(computed.abs()).max(1.0);
                (stored - computed).abs() <= TOLERANCE * size
            }
            (_, stored, computed) => stored == computed,
        })
}

// === impl Difference ===

impl Difference {
    /// Returns the values that name the group.
    pub(crate) fn group(&self) -> &[Value] {
        self.computed.as_ref().or(self.stored.as_ref()).map_or(&[], |delta| &delta.group)
    }

    /// Says it to people.
    pub(crate) fn drift(&self, contract: &Contract, view: &View) -> Drift {
        let shown = |delta: &Delta| shown(contract, view, delta);
        Drift {
            group: group_name(contract, view, self.group()),
            stored: self.stored.as_ref().map(shown),
            computed: self.computed.as_ref().map(shown),
        }
    }
}

fn group_name(contract: &Contract, view: &View, group: &[Value]) -> String {
    let columns = &contract.dataset_of(view).columns;
    let part = |(part, value): (GroupPart, &Value)| {
        let (name, kind) = match part {
            GroupPart::Dim(dim) => {
                let column = &columns[view.group_by[dim]];
                (column.name.as_str(), column.kind)
            }
            GroupPart::Bucket => ("bucket", ColumnKind::Timestamp),
        };
        match (value, kind) {
            (Value::Int(at), ColumnKind::Timestamp) => {
                format!("{name}={}", Timestamp(*at).to_rfc3339())
            }
            (value, _) => format!("{name}={}", plain(value)),
        }
    };
    let named = parts(view).into_iter().zip(group).map(part);
    named.collect::<Vec<_>>().join(", ")
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Text(text) => text.clone(),
        Value::Int(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
    }
}

/// Returns a group's numbers by their names, as they are stored: decimals without their point.
fn shown(contract: &Contract, view: &View, delta: &Delta) -> serde_json::Value {
    let columns = &contract.dataset_of(view).columns;
    let numbers = view.stored.iter().zip(&delta.stored).map(|(stored, value)| {
        let name = format!("{}({})", stored.word(), columns[stored.column()].name);
        let value = match value {
            Value::Null => serde_json::Value::Null,
            Value::Text(text) => json!(text),
            Value::Int(number) => json!(number),
            Value::Float(number) => json!(number),
        };
        (name, value)
    });
    let rows = std::iter::once(("rows".to_owned(), json!(delta.rows)));
    serde_json::Value::Object(rows.chain(numbers).collect())
}

// === impl Ends ===

impl Ends {
    /// Reads what [`ends`](crate::transform::plan::ends) finds.
    pub(crate) fn of(view: &View, found: &[Value]) -> Self {
        let time = |column: usize| match found.get(column) {
            Some(Value::Int(at)) => Some(*at),
            _ => None,
        };
        let start = |at: Option<i64>| Some(view.bucket?.start(at?));
        let least = |a: Option<i64>, b: Option<i64>| a.into_iter().chain(b).min();
        Self { first: least(time(0), start(time(1))), newest: time(2).max(start(time(3))) }
    }
}

/// Returns whether a view is looked at bucket by bucket: its rows are found by their time then.
pub(crate) fn is_stepped(contract: &Contract, view: &View) -> bool {
    view.bucket.is_some_and(|bucket| bucket.column == contract.dataset_of(view).time)
}

/// Returns the part that a step looks at, if there is one left.
pub(crate) fn part(ends: Option<Ends>) -> Option<Part> {
    match ends {
        None => Some(Part::Whole),
        Some(ends) => ends.first.map(Part::Bucket),
    }
}

/// Returns where the parts after one begin.
pub(crate) fn after(view: &View, part: Part) -> Option<i64> {
    match part {
        Part::Bucket(bucket) => bucket.checked_add(view.bucket?.every_us),
        Part::Whole => None,
    }
}

/// Returns the groups that differ, as those who look for their tags want them.
pub(crate) fn deltas(differences: &[Difference]) -> Vec<Delta> {
    let delta = |it: &Difference| it.computed.clone().or_else(|| it.stored.clone());
    differences.iter().filter_map(delta).collect()
}
