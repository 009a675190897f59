//! From what the store found to what is answered: merged, ordered, cut.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{GroupsPlan, Order, ReadPlan, RowsPlan, Table, cursor};
use crate::contract::{Contract, Endpoint, View, align_down};
use crate::error::FinishError;
use crate::fold::{Delta, Value, merge};
use crate::measure;

/// What is answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The rows, laid out as the store's.
    pub table: Table,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// Merges buckets to the step, puts groups in order, and cuts to what may be answered.
///
/// This is the authority on order and number, whatever the store did.
///
/// # Errors
/// There are more groups than the endpoint answers with, or merged sums overflow.
pub fn finish(
    contract: &Contract,
    endpoint: &Endpoint,
    plan: &ReadPlan,
    table: Table,
) -> Result<Answer, FinishError> {
    match plan {
        ReadPlan::Groups(plan) => {
            let table = finish_groups(contract, endpoint, plan, table)?;
            Ok(Answer { table, next: None })
        }
        ReadPlan::Rows(plan) => Ok(finish_rows(contract, endpoint, plan, table)),
    }
}

fn finish_groups(
    contract: &Contract,
    endpoint: &Endpoint,
    plan: &GroupsPlan,
    table: Table,
) -> Result<Table, FinishError> {
    let view = &contract.views[plan.view];
    let stepped = match plan.step_us {
        Some(step_us) => merge_buckets(view, step_us, table)?,
        None => table,
    };
    let by_group = |a: &[Value], b: &[Value]| group_order(view, a, b);
    match plan.order {
        Order::Group => {
            if stepped.rows().len() > endpoint.max_rows {
                return Err(FinishError::TooManyRows { max: endpoint.max_rows });
            }
            Ok(sorted(stepped, by_group, usize::MAX))
        }
        Order::Top(position) => {
            let dataset = contract.dataset_of(view);
            let by = &view.measures[position];
            let value = |row: &[Value]| measure::quantity(view, dataset, by, row);
            let order =
                |a: &[Value], b: &[Value]| value(b).order(&value(a)).then_with(|| by_group(a, b));
            Ok(sorted(stepped, order, plan.limit))
        }
    }
}

fn finish_rows(
    contract: &Contract,
    endpoint: &Endpoint,
    plan: &RowsPlan,
    mut table: Table,
) -> Answer {
    let dataset = &contract.datasets[plan.dataset];
    let page = plan.limit.saturating_sub(1);
    let more = table.rows().len() > page;
    table.values.truncate(page.saturating_mul(table.width));
    let last = table.rows().last().filter(|_| more);
    let next = last.map(|row| cursor::after_row(dataset, endpoint, &plan.equals, row));
    Answer { table, next }
}

/// By bucket, then by dimensions.
fn group_order(view: &View, a: &[Value], b: &[Value]) -> Ordering {
    let dims = view.group_by.len();
    let bucket = view.bucket.map(|_| dims);
    let mut parts = bucket.into_iter().chain(0..dims).map(|part| a[part].order(&b[part]));
    parts.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn sorted(table: Table, order: impl Fn(&[Value], &[Value]) -> Ordering, limit: usize) -> Table {
    let rows: Vec<&[Value]> = table.rows().collect();
    if rows.is_sorted_by(|a, b| order(a, b).is_le()) {
        let mut table = table;
        table.values.truncate(limit.saturating_mul(table.width));
        return table;
    }
    let mut rows = rows;
    rows.sort_by(|a, b| order(a, b));
    let values = rows.into_iter().take(limit).flatten().cloned().collect();
    Table { width: table.width, values }
}

/// Merges groups whose buckets fall into one step.
fn merge_buckets(view: &View, step_us: i64, table: Table) -> Result<Table, FinishError> {
    let width = view.group_width();
    let mut merged: BTreeMap<GroupName, Delta> = BTreeMap::new();
    for row in table.rows() {
        let Some(delta) = delta(view, step_us, row) else { continue };
        match merged.entry(GroupName(delta.group.clone())) {
            Entry::Vacant(entry) => {
                entry.insert(delta);
            }
            Entry::Occupied(mut entry) => merge(view, entry.get_mut(), &delta)?,
        }
    }
    let mut values = Vec::with_capacity(merged.len() * table.width);
    for delta in merged.into_values() {
        values.extend(delta.group.into_iter().take(width));
        values.push(Value::Int(delta.rows));
        values.extend(delta.stored);
    }
    Ok(Table { width: table.width, values })
}

fn delta(view: &View, step_us: i64, row: &[Value]) -> Option<Delta> {
    let (group, rest) = row.split_at_checked(view.group_width())?;
    let (Value::Int(rows), stored) = rest.split_first()? else { return None };
    let mut group = group.to_vec();
    if let Some(Value::Int(bucket)) = group.get_mut(view.group_by.len()) {
        *bucket = align_down(*bucket, step_us);
    }
    Some(Delta { group, rows: *rows, stored: stored.to_vec() })
}

/// A group's name as a key of an ordered map.
#[derive(PartialEq)]
struct GroupName(Vec<Value>);

impl Eq for GroupName {}

impl PartialOrd for GroupName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for GroupName {
    fn cmp(&self, other: &Self) -> Ordering {
        let pairs = self.0.iter().zip(&other.0);
        let order = pairs.map(|(a, b)| a.order(b)).find(|order| order.is_ne());
        order.unwrap_or(self.0.len().cmp(&other.0.len()))
    }
}
