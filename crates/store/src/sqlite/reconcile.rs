//! Views against their recomputation.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Row};
use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;
use tidegate_core::seq::DataSeq;
use tidegate_product::contract::View;
use tidegate_product::fold::{self, Delta};
use tidegate_product::rows::Cell;

use crate::sqlite::bind::{bind_values, value};
use crate::sqlite::{SqliteStore, commit, outbox, stopped};
use crate::transform::effects::storage_order;
use crate::transform::names::{
    part_column, parts, path_columns, quoted, stored_column, view_table,
};
use crate::transform::plan::{self, Dialect, Part, Query};
use crate::transform::recompute::{self, Difference, Ends, Recomputation, differences, is_stepped};
use crate::transform::space::Space;
use crate::{Reconcile, ReconcileRequest, ReconcileStep, StoreError};

/// The longest a comparison may take.
const LIMIT: Duration = Duration::from_secs(120);

#[async_trait]
impl Reconcile for SqliteStore {
    async fn reconcile(
        &self,
        request: &ReconcileRequest,
        now: Timestamp,
    ) -> Result<ReconcileStep, StoreError> {
        let permit = tokio::time::timeout(LIMIT, self.long_reads.acquire()).await;
        let _permit = permit.map_err(|_| StoreError::Deadline)?.map_err(|_| stopped())?;
        let (database, of) = (self.database.clone(), request.clone());
        let compared = tokio::task::spawn_blocking(move || {
            database.read_within(LIMIT, |sql| compare(sql, &of))
        });
        let Compared { part, mut step, differ } = compared.await.map_err(|_| stopped())??;
        if let (Some(part), true, true) = (part, differ, request.repair) {
            let incarnation = self.identity.incarnation.clone();
            let of = request.clone();
            let repaired =
                self.database.write(move |sql| repair(sql, &incarnation, &of, part, now));
            step.seq = repaired.await?;
            self.committed.notify_one();
        }
        Ok(step)
    }

    async fn tenants(&self, product: &str) -> Result<Vec<String>, StoreError> {
        let product = product.to_owned();
        self.database
            .read_blocking(move |sql| {
                let mut select = sql.prepare_cached(
                    "select tenant from dp_seq where product = ?1 order by tenant",
                )?;
                let tenants = select.query_map((product,), |row| row.get(0))?;
                Ok(tenants.collect::<Result<_, _>>()?)
            })
            .await
    }
}

/// A step before anything is put right.
struct Compared {
    /// What was looked at, if anything was left.
    part: Option<Part>,
    step: ReconcileStep,
    differ: bool,
}

/// Compares the next part, in the snapshot of `sql`.
fn compare(sql: &Connection, request: &ReconcileRequest) -> Result<Compared, StoreError> {
    let contract = &request.contract.contract;
    let view = &contract.views[request.view];
    let found = match is_stepped(contract, view) {
        true => Some(ends(sql, request, request.from.unwrap_or(i64::MIN))?),
        false => None,
    };
    let newest = found.and_then(|ends| ends.newest);
    let Some(part) = recompute::part(found) else {
        let step = ReconcileStep { newest, ..ReconcileStep::default() };
        return Ok(Compared { part: None, step, differ: false });
    };
    let (stored, computed) = (stored(sql, request, part)?, computed(sql, request, part)?);
    let groups = stored.len().max(computed.len()) as u64;
    let found = differences(view, stored, computed);
    let step = ReconcileStep {
        groups,
        drifted: found.iter().map(|difference| difference.drift(contract, view)).collect(),
        seq: None,
        next: match recompute::after(view, part) {
            Some(from) => ends(sql, request, from)?.first,
            None => None,
        },
        newest,
    };
    Ok(Compared { part: Some(part), step, differ: !found.is_empty() })
}

fn ends(sql: &Connection, request: &ReconcileRequest, from: i64) -> Result<Ends, StoreError> {
    let contract = &request.contract.contract;
    let view = &contract.views[request.view];
    let query = plan::ends(Dialect::Sqlite, contract, &request.tenant, view, from);
    let mut found = Vec::new();
    each(sql, &query, |row| {
        for column in 0..query.width {
            found.push(value(row, column)?);
        }
        Ok(())
    })?;
    Ok(Ends::of(view, &found))
}

fn each(
    sql: &Connection,
    query: &Query,
    mut take: impl FnMut(&Row<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut select = sql.prepare_cached(&query.text)?;
    bind_values(&mut select, 1, &query.values)?;
    let mut rows = select.raw_query();
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}

fn stored(
    sql: &Connection,
    request: &ReconcileRequest,
    part: Part,
) -> Result<Vec<Delta>, StoreError> {
    let contract = &request.contract.contract;
    let view = &contract.views[request.view];
    let query = plan::groups_of(Dialect::Sqlite, contract, &request.tenant, view, part);
    let mut groups = Vec::new();
    each(sql, &query, |row| {
        let values = (0..query.width).map(|column| value(row, column));
        groups.push(recompute::group(view, values.collect::<Result<_, _>>()?));
        Ok(())
    })?;
    Ok(groups)
}

fn computed(
    sql: &Connection,
    request: &ReconcileRequest,
    part: Part,
) -> Result<Vec<Delta>, StoreError> {
    let contract = &request.contract.contract;
    let view = &contract.views[request.view];
    let query = plan::rows_of(Dialect::Sqlite, contract, &request.tenant, view, part);
    let mut recomputation = Recomputation::new(contract, view);
    each(sql, &query, |row| {
        let cells = (0..query.width).map(|column| cell(row, column));
        let cells = cells.collect::<Result<Vec<_>, _>>()?;
        recomputation.push(cells)
    })?;
    recomputation.finish()
}

fn cell<'a>(row: &'a Row<'_>, column: usize) -> Result<Cell<'a>, StoreError> {
    use rusqlite::types::ValueRef;

    Ok(match row.get_ref(column)? {
        ValueRef::Text(_) => {
            Cell::Text(row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)?)
        }
        ValueRef::Integer(value) => Cell::Int(value),
        ValueRef::Real(value) => Cell::Float(value),
        ValueRef::Null | ValueRef::Blob(_) => Cell::Null,
    })
}

/// Puts a part right. It is compared anew: since the snapshot rows may have come, and somebody else
/// may have put it right.
fn repair(
    sql: &Connection,
    incarnation: &str,
    request: &ReconcileRequest,
    part: Part,
    now: Timestamp,
) -> Result<Option<DataSeq>, StoreError> {
    let contract = &request.contract.contract;
    let view = &contract.views[request.view];
    let found = differences(view, stored(sql, request, part)?, computed(sql, request, part)?);
    if found.is_empty() {
        return Ok(None);
    }
    let space = Space { tenant: &request.tenant, product: &contract.name };
    let seq = commit::take_seq(sql, space, now)?;
    for difference in &found {
        overwrite(sql, request, view, difference, seq)?;
    }
    let tags: BTreeSet<String> =
        fold::touched_tags(contract, view, &request.tenant, &recompute::deltas(&found))
            .into_iter()
            .collect();
    commit::touch(sql, &tags, seq)?;
    let seq = space.at(incarnation, seq);
    let purge = Notice::Purge { seq: seq.clone(), tags: tags.into_iter().collect() };
    outbox::put_notice(sql, purge)?;
    Ok(Some(seq))
}

fn overwrite(
    sql: &Connection,
    request: &ReconcileRequest,
    view: &View,
    difference: &Difference,
    seq: i64,
) -> Result<(), StoreError> {
    let contract = &request.contract.contract;
    let table = quoted(&view_table(&contract.name, view));
    let names: Vec<String> =
        parts(view).into_iter().map(|part| part_column(contract, view, part)).collect();
    let Some(computed) = &difference.computed else {
        let mut text = format!("delete from {table} where _tenant = ?1");
        for (position, name) in names.iter().enumerate() {
            // Writing to a string does not fail.
            write!(text, " and {name} = ?{}", position + 2).ok();
        }
        let mut delete = sql.prepare_cached(&text)?;
        delete.raw_bind_parameter(1, &request.tenant)?;
        bind_values(&mut delete, 2, difference.group())?;
        delete.raw_execute()?;
        return Ok(());
    };
    let stored = view.stored.iter().map(|&stored| stored_column(contract, view, stored));
    let stored: Vec<String> = stored.collect();
    let mut text = format!("insert into {table}(_tenant, _ver, _rows");
    for name in names.iter().chain(&stored) {
        write!(text, ", {name}").ok();
    }
    let width = 3 + names.len() + stored.len();
    let values: Vec<String> = (1..=width).map(|parameter| format!("?{parameter}")).collect();
    write!(
        text,
        ") values({}) on conflict({}) do update set _ver = excluded._ver, _rows = excluded._rows",
        values.join(", "),
        path_columns(contract, view, &storage_order(view)),
    )
    .ok();
    for name in &stored {
        write!(text, ", {name} = excluded.{name}").ok();
    }
    let mut upsert = sql.prepare_cached(&text)?;
    upsert.raw_bind_parameter(1, &request.tenant)?;
    upsert.raw_bind_parameter(2, seq)?;
    upsert.raw_bind_parameter(3, computed.rows)?;
    let next = bind_values(&mut upsert, 4, &computed.group)?;
    bind_values(&mut upsert, next, &computed.stored)?;
    upsert.raw_execute()?;
    Ok(())
}
