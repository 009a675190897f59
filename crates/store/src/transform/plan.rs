//! From a read plan to a statement, in the words of each engine.

use tidegate_product::contract::{Contract, Formula, GroupPart, View};
use tidegate_product::fold::Value;
use tidegate_product::read::{GroupsPlan, Order, RowsPlan};

use crate::GroupsPage;
use crate::transform::effects::storage_order;
use crate::transform::names::{
    dataset_table, fitted, key_columns, part_column, parts, quoted, stored_column, view_table,
};

/// The column that counts a group's rows.
const ROWS: &str = "_rows";

/// How an engine wants statements to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// Parameters are `?1`; the planner is told what to expect.
    Sqlite,
    /// Parameters are `$1`.
    Postgres,
}

/// A statement with the values of its parameters.
#[derive(Debug)]
pub(crate) struct Query {
    dialect: Dialect,
    pub(crate) text: String,
    pub(crate) values: Vec<Value>,
    /// Columns of a result row.
    pub(crate) width: usize,
}

/// Returns the statement that reads groups of a view, buckets as they are stored.
pub(crate) fn groups(
    dialect: Dialect,
    contract: &Contract,
    tenant: &str,
    plan: &GroupsPlan,
) -> Query {
    let view = &contract.views[plan.view];
    let columns = Columns { contract, view };
    let mut query = columns.select(dialect, tenant);
    for (part, value) in &plan.equals {
        let value = query.value(value.clone());
        let condition = dialect.selective(&format!("{} = {value}", columns.part(*part)));
        query.push(&format!(" and {condition}"));
    }
    if let Some((from, to)) = plan.range {
        let (from, to) = (query.value(Value::Int(from)), query.value(Value::Int(to)));
        query.push(&format!(" and _bucket >= {from} and _bucket < {to}"));
    }
    let mut order = Vec::new();
    if let Order::Top(measure) = plan.order {
        order.push(format!("{} desc nulls last", columns.measure(view.measures[measure].formula)));
    }
    let bucket = view.bucket.map(|_| GroupPart::Bucket);
    let dims = (0..view.group_by.len()).map(GroupPart::Dim);
    // Parts that are fixed order nothing; without them an index that begins with them is the order.
    let fixed = |part: &GroupPart| plan.equals.iter().any(|(equal, _)| equal == part);
    let free = bucket.into_iter().chain(dims).filter(|part| !fixed(part));
    order.extend(free.map(|part| columns.part(part)));
    query.finish(&order, plan.limit)
}

/// Returns the statement that reads a page of a view's groups in the order of its primary key.
pub(crate) fn page(dialect: Dialect, page: &GroupsPage) -> Query {
    let contract = &page.contract.contract;
    let view = &contract.views[page.view];
    let columns = Columns { contract, view };
    let order = storage_order(view);
    let names: Vec<String> = order.iter().map(|part| columns.part(*part)).collect();
    let mut query = columns.select(dialect, &page.tenant);
    if let Some(after) = &page.after {
        let values = order.iter().map(|part| after[view.position_of(*part)].clone());
        let values: Vec<String> = values.map(|value| query.value(value)).collect();
        query.push(&format!(" and ({}) > ({})", names.join(", "), values.join(", ")));
    }
    query.finish(&names, page.limit)
}

/// Returns the statement that reads base rows in time order.
pub(crate) fn rows(dialect: Dialect, contract: &Contract, tenant: &str, plan: &RowsPlan) -> Query {
    let dataset = &contract.datasets[plan.dataset];
    let column = |position: usize| quoted(&dataset.columns[position].name);
    let columns: Vec<String> = (0..dataset.columns.len()).map(column).collect();
    let mut query = Query::new(dialect, &columns, &dataset_table(&contract.name, dataset));
    let tenant = query.value(Value::Text(tenant.to_owned()));
    query.push(&format!("_tenant = {tenant}"));
    for (position, value) in &plan.equals {
        let value = query.value(value.clone());
        query.push(&format!(" and {} = {value}", column(*position)));
    }
    let time = column(dataset.time);
    let mut order = vec![time.clone()];
    order.extend(key_columns(dataset));
    match &plan.after {
        // A cursor lies within the range, so the range's start would only be a second search.
        Some((after, key)) => {
            let values = std::iter::once(Value::Int(*after)).chain(key.iter().cloned());
            let values: Vec<String> = values.map(|value| query.value(value)).collect();
            query.push(&format!(" and ({}) > ({})", order.join(", "), values.join(", ")));
        }
        None => {
            if let Some((from, _)) = plan.range {
                let from = query.value(Value::Int(from));
                query.push(&format!(" and {time} >= {from}"));
            }
        }
    }
    if let Some((_, to)) = plan.range {
        let to = query.value(Value::Int(to));
        query.push(&format!(" and {time} < {to}"));
    }
    query.finish(&order, plan.limit)
}

/// Which part of a view is looked at: one bucket, given by its start, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// One bucket.
    Bucket(i64),
    /// All groups.
    Whole,
}

/// Returns the statement that reads all groups of a part, in the order of the primary key.
pub(crate) fn groups_of(
    dialect: Dialect,
    contract: &Contract,
    tenant: &str,
    view: &View,
    part: Part,
) -> Query {
    let columns = Columns { contract, view };
    let mut query = columns.select(dialect, tenant);
    if let Part::Bucket(bucket) = part {
        let bucket = query.value(Value::Int(bucket));
        query.push(&format!(" and _bucket = {bucket}"));
    }
    let order: Vec<String> =
        storage_order(view).into_iter().map(|part| columns.part(part)).collect();
    query.ordered(&order)
}

/// Returns the statement that reads all rows that count in a part, filtered or not.
pub(crate) fn rows_of(
    dialect: Dialect,
    contract: &Contract,
    tenant: &str,
    view: &View,
    part: Part,
) -> Query {
    let dataset = contract.dataset_of(view);
    let column = |position: usize| quoted(&dataset.columns[position].name);
    let columns: Vec<String> = (0..dataset.columns.len()).map(column).collect();
    let mut query = Query::new(dialect, &columns, &dataset_table(&contract.name, dataset));
    let tenant = query.value(Value::Text(tenant.to_owned()));
    query.push(&format!("_tenant = {tenant}"));
    if let (Part::Bucket(start), Some(bucket)) = (part, view.bucket) {
        let end = query.value(Value::Int(start.saturating_add(bucket.every_us)));
        let start = query.value(Value::Int(start));
        let time = column(bucket.column);
        query.push(&format!(" and {time} >= {start} and {time} < {end}"));
    }
    query
}

/// Returns the statement that finds the first bucket of a view from a time on, the first row from
/// then on, and the last bucket and row of all.
pub(crate) fn ends(
    dialect: Dialect,
    contract: &Contract,
    tenant: &str,
    view: &View,
    from: i64,
) -> Query {
    let dataset = contract.dataset_of(view);
    let time = quoted(&dataset.columns[dataset.time].name);
    let (tenant_is, from_is) = (dialect.parameter(1), dialect.parameter(2));
    let groups = dialect.table(&view_table(&contract.name, view));
    let rows = dialect.table(&dataset_table(&contract.name, dataset));
    let text = format!(
        "select
           (select min(_bucket) from {groups} where _tenant = {tenant_is} and _bucket >= {from_is}),
           (select min({time}) from {rows} where _tenant = {tenant_is} and {time} >= {from_is}),
           (select max(_bucket) from {groups} where _tenant = {tenant_is}),
           (select max({time}) from {rows} where _tenant = {tenant_is})"
    );
    Query {
        dialect,
        text,
        values: vec![Value::Text(tenant.to_owned()), Value::Int(from)],
        width: 4,
    }
}

/// Columns of a view.
struct Columns<'a> {
    contract: &'a Contract,
    view: &'a View,
}

// === impl Columns ===

impl Columns<'_> {
    fn select(&self, dialect: Dialect, tenant: &str) -> Query {
        let mut columns: Vec<String> =
            parts(self.view).into_iter().map(|part| self.part(part)).collect();
        columns.push(ROWS.to_owned());
        columns.extend((0..self.view.stored.len()).map(|stored| self.stored(stored)));
        let table = view_table(&self.contract.name, self.view);
        let mut query = Query::new(dialect, &columns, &table);
        let tenant = query.value(Value::Text(tenant.to_owned()));
        query.push(&dialect.common(&format!("_tenant = {tenant}")));
        query
    }

    fn part(&self, part: GroupPart) -> String {
        part_column(self.contract, self.view, part)
    }

    fn stored(&self, position: usize) -> String {
        stored_column(self.contract, self.view, self.view.stored[position])
    }

    /// Returns a measure's value for ordering; a ratio as a float, which is near enough to choose
    /// the largest by.
    fn measure(&self, formula: Formula) -> String {
        match formula {
            Formula::Rows => ROWS.to_owned(),
            Formula::Stored(stored) => self.stored(stored),
            Formula::Ratio { sum, count } => {
                let count = count.map_or_else(|| ROWS.to_owned(), |count| self.stored(count));
                format!("cast({} as double precision) / nullif({count}, 0)", self.stored(sum))
            }
        }
    }
}

// === impl Dialect ===

impl Dialect {
    /// Returns the name of a parameter, counted from 1.
    pub(crate) fn parameter(self, number: usize) -> String {
        match self {
            Self::Sqlite => format!("?{number}"),
            Self::Postgres => format!("${number}"),
        }
    }

    /// Writes the name of a table.
    fn table(self, name: &str) -> String {
        match self {
            Self::Sqlite => quoted(name),
            Self::Postgres => quoted(&fitted(name)),
        }
    }

    /// Says that few rows fulfil a condition. Without statistics SQLite believes that the first
    /// column of an index, our tenant, leaves ten rows, and that further ones hardly help: it would
    /// not look at a second index.
    fn selective(self, condition: &str) -> String {
        match self {
            Self::Sqlite => format!("likelihood({condition}, 0.01)"),
            Self::Postgres => condition.to_owned(),
        }
    }

    /// Says that nearly all rows fulfil a condition.
    fn common(self, condition: &str) -> String {
        match self {
            Self::Sqlite => format!("likely({condition})"),
            Self::Postgres => condition.to_owned(),
        }
    }
}

// === impl Query ===

impl Query {
    /// Begins a statement; its first condition is still to come.
    fn new(dialect: Dialect, columns: &[String], table: &str) -> Self {
        let text = format!("select {} from {} where ", columns.join(", "), quoted(table));
        Self { dialect, text, values: Vec::new(), width: columns.len() }
    }

    /// Adds a parameter and returns its name.
    pub(crate) fn value(&mut self, value: Value) -> String {
        self.values.push(value);
        self.dialect.parameter(self.values.len())
    }

    fn push(&mut self, part: &str) {
        self.text.push_str(part);
    }

    fn ordered(mut self, order: &[String]) -> Self {
        if !order.is_empty() {
            self.push(&format!(" order by {}", order.join(", ")));
        }
        self
    }

    fn finish(self, order: &[String], limit: usize) -> Self {
        let mut query = self.ordered(order);
        let limit = query.value(Value::Int(i64::try_from(limit).unwrap_or(i64::MAX)));
        query.push(&format!(" limit {limit}"));
        query
    }
}
