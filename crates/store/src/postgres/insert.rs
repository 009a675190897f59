//! Base rows: which rows of batches are new.

use std::fmt::Write as _;

use tidegate_product::contract::Dataset;
use tidegate_product::validate::line_of;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::StoreError;
use crate::postgres::bind::{self, Array};
use crate::postgres::fault::Fault;
use crate::postgres::pool::{Param, Session};
use crate::postgres::tables::{cell_type, dataset_name};
use crate::transform::names::{key_columns, quoted};
use crate::transform::outcome::{Outcome, key_conflict};
use crate::transform::prepare::compare_keys;
use crate::transform::work::Work;

/// A row on its way to the server.
#[derive(Clone, Copy)]
struct Sent {
    /// Position of its batch among those sent.
    batch: usize,
    row: usize,
    hash: i64,
}

/// Inserts the rows of batches of one tenant, contract and dataset in the order of their keys; the
/// database says which are new.
///
/// All in one statement: were each batch sorted for itself, two transactions of several batches
/// could wait for each other.
pub(super) async fn insert_rows(
    session: &Session<'_>,
    works: &[&Work],
) -> Result<Vec<Outcome>, Fault> {
    let Some(first) = works.first() else { return Ok(Vec::new()) };
    let dataset = first.dataset();
    let (sent, firsts) = in_order(dataset, works);
    let is_new = insert(session, works, &sent, &firsts).await?;
    let lost: Vec<usize> = (0..firsts.len()).filter(|&at| !is_new[at]).collect();
    let stored = stored_hashes(session, works, &sent, &firsts, &lost).await?;
    let mut outcomes: Vec<Outcome> = works.iter().map(|_| Outcome::default()).collect();
    for (at, &begin) in firsts.iter().enumerate() {
        let end = firsts.get(at + 1).copied().unwrap_or(sent.len());
        let (winner, others) =
            if is_new[at] { (Some(begin), begin + 1..end) } else { (None, begin..end) };
        if let Some(winner) = winner {
            let Sent { batch, row, .. } = sent[winner];
            outcomes[batch].new.push(position(row));
        }
        let known = winner.map_or(stored[at], |winner| Some(sent[winner].hash));
        for other in others {
            let Sent { batch, row, hash } = sent[other];
            if known == Some(hash) {
                outcomes[batch].duplicate += 1;
            } else {
                let claim = &works[batch].claim;
                let line = line_of(&claim.lines, row);
                outcomes[batch].conflicts.push(key_conflict(dataset, &claim.rows, row, line));
            }
        }
    }
    settle_time(session, works, &mut outcomes).await?;
    Ok(outcomes)
}

fn position(row: usize) -> u32 {
    u32::try_from(row).expect("a batch must have fewer than 2^32 rows")
}

/// Returns all rows in the order of keys, and where in it each key begins. Of equal keys the one of
/// the earlier batch comes first, and within it the one that was sent first.
fn in_order(dataset: &Dataset, works: &[&Work]) -> (Vec<Sent>, Vec<usize>) {
    let mut sent = Vec::with_capacity(works.iter().map(|work| work.prepared.rows.len()).sum());
    for (batch, work) in works.iter().enumerate() {
        let rows = work.prepared.rows.iter();
        sent.extend(rows.map(|&(row, hash)| Sent { batch, row: row as usize, hash }));
    }
    let compare = |left: &Sent, right: &Sent| {
        let rows = |sent: &Sent| &works[sent.batch].claim.rows;
        compare_keys(dataset, (rows(left), left.row), (rows(right), right.row))
    };
    if works.len() > 1 {
        sent.sort_by(compare);
    }
    let begins = |at: &usize| *at == 0 || compare(&sent[at - 1], &sent[*at]).is_ne();
    let firsts = (0..sent.len()).filter(begins).collect();
    (sent, firsts)
}

/// Returns of each key whether its first row was inserted.
async fn insert(
    session: &Session<'_>,
    works: &[&Work],
    sent: &[Sent],
    firsts: &[usize],
) -> Result<Vec<bool>, Fault> {
    let dataset = works[0].dataset();
    let product = &works[0].claim.contract.contract.name;
    let batches: Vec<Uuid> = firsts.iter().map(|&at| works[sent[at].batch].claim.id).collect();
    let hashes: Vec<i64> = firsts.iter().map(|&at| sent[at].hash).collect();
    let columns: Vec<usize> = (0..dataset.columns.len()).collect();
    let cells = arrays(works, sent, firsts.iter().copied(), &columns);
    let mut params: Vec<Param<'_>> = vec![&works[0].claim.tenant, &batches, &hashes];
    params.extend(cells.iter().map(Array::param));
    let inserted = session.query(&insert_text(product, dataset), &params).await?;
    let mut is_new = vec![false; firsts.len()];
    let mut at = 0;
    for row in &inserted {
        // What comes back comes in the order in which it was sent.
        while !is_key(row, works, sent[*firsts.get(at).ok_or_else(unasked)?])? {
            at += 1;
        }
        is_new[at] = true;
        at += 1;
    }
    Ok(is_new)
}

fn unasked() -> Fault {
    let reason = "a row came back that was not sent".to_owned();
    StoreError::Corrupt { what: "answer", reason }.into()
}

fn is_key(row: &Row, works: &[&Work], sent: Sent) -> Result<bool, Fault> {
    let work = works[sent.batch];
    for (column, cell) in work.claim.rows.key(work.dataset(), sent.row).enumerate() {
        if !bind::is(row, column, cell)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn arrays<'a>(
    works: &[&'a Work],
    sent: &[Sent],
    chosen: impl Iterator<Item = usize> + Clone,
    columns: &[usize],
) -> Vec<Array<'a>> {
    let dataset = works[0].dataset();
    let array = |&column: &usize| {
        let mut array = Array::of(dataset.columns[column].kind, chosen.size_hint().0);
        for at in chosen.clone() {
            let Sent { batch, row, .. } = sent[at];
            array.push(works[batch].claim.rows.cell(row, column));
        }
        array
    };
    columns.iter().map(array).collect()
}

fn insert_text(product: &str, dataset: &Dataset) -> String {
    let key = key_columns(dataset).join(", ");
    let mut columns = String::new();
    let mut arrays = String::new();
    for (position, column) in dataset.columns.iter().enumerate() {
        // Writing to a string does not fail.
        write!(columns, ", {}", quoted(&column.name)).ok();
        write!(arrays, ", ${}::{}[]", position + 4, cell_type(column.kind)).ok();
    }
    format!(
        "insert into {}(_tenant, _batch, _hash{columns})
         select $1, _batch, _hash{columns}
         from unnest($2::uuid[], $3::bigint[]{arrays})
           with ordinality as sent(_batch, _hash{columns}, _no)
         order by _no
         on conflict do nothing returning {key}",
        dataset_name(product, dataset)
    )
}

/// Returns the hash of the row that is stored in the place of each lost one. Asked for by a later
/// statement: the one that lost may have waited for the winner's commit.
async fn stored_hashes(
    session: &Session<'_>,
    works: &[&Work],
    sent: &[Sent],
    firsts: &[usize],
    lost: &[usize],
) -> Result<Vec<Option<i64>>, Fault> {
    let mut stored = vec![None; firsts.len()];
    if lost.is_empty() {
        return Ok(stored);
    }
    let dataset = works[0].dataset();
    let chosen = lost.iter().map(|&at| firsts[at]);
    let keys = arrays(works, sent, chosen, &dataset.key);
    let mut params: Vec<Param<'_>> = vec![&works[0].claim.tenant];
    params.extend(keys.iter().map(Array::param));
    let text = stored_text(&works[0].claim.contract.contract.name, dataset);
    for row in session.query(&text, &params).await? {
        let number = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0);
        let at = number.checked_sub(1).and_then(|number| lost.get(number)).ok_or_else(unasked)?;
        stored[*at] = row.try_get(1)?;
    }
    Ok(stored)
}

fn stored_text(product: &str, dataset: &Dataset) -> String {
    let mut arrays = String::new();
    let mut condition = String::new();
    for (position, &column) in dataset.key.iter().enumerate() {
        let comma = if position == 0 { "" } else { ", " };
        let column = &dataset.columns[column];
        let name = quoted(&column.name);
        write!(arrays, "{comma}${}::{}[]", position + 2, cell_type(column.kind)).ok();
        write!(condition, " and d.{name} = sent.{name}").ok();
    }
    format!(
        "select _no, _hash from unnest({arrays}) with ordinality as sent({}, _no)
         cross join lateral
           (select _hash from {} as d where d._tenant = $1{condition}) as stored",
        key_columns(dataset).join(", "),
        dataset_name(product, dataset)
    )
}

/// Counts the rows that are late against the dataset's watermark. It is moved at the end, when the
/// product's sequence is locked: until then writers would only wait for each other.
async fn settle_time(
    session: &Session<'_>,
    works: &[&Work],
    outcomes: &mut [Outcome],
) -> Result<(), Fault> {
    let (space, dataset) = (works[0].space(), works[0].dataset());
    let select =
        "select time from dp_watermark where tenant = $1 and product = $2 and dataset = $3";
    let params: [Param<'_>; 3] = [&space.tenant, &space.product, &dataset.name];
    let known = session.query_opt(select, &params).await?;
    let mut before: Option<i64> = known.map(|row| row.try_get(0)).transpose()?;
    for (work, outcome) in works.iter().zip(outcomes) {
        outcome.settle_time(dataset, &work.claim.rows, before);
        before = outcome.watermark.max(before);
    }
    Ok(())
}
