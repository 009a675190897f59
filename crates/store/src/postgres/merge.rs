//! Groups of a view: each delta is merged into the group that is stored.

use std::fmt::Write as _;

use tidegate_product::contract::{ColumnKind, Contract, GroupPart, Stored, View};
use tidegate_product::error::Overflow;
use tidegate_product::fold::{self, Delta, Value};
use tokio_postgres::Row;

use crate::postgres::bind::{self, Array};
use crate::postgres::fault::Fault;
use crate::postgres::pool::{Param, Session};
use crate::postgres::tables::{cell_type, part_kind, stored_type, view_name};
use crate::transform::effects::storage_order;
use crate::transform::names::{part_column, parts, path_columns, stored_column};

/// Merges deltas in the order given: that of the primary key, in which every writer locks groups.
///
/// A group does not say which commit changed it last: the number is taken later, and to write it
/// down every group would have to be written twice.
pub(super) async fn merge(
    session: &Session<'_>,
    contract: &Contract,
    view: &View,
    tenant: &str,
    deltas: &[Delta],
) -> Result<(), Fault> {
    Columns { contract, view }.upsert(session, tenant, deltas, Upsert::Add).await
}

/// What becomes of a group that is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upsert {
    /// The delta is added to it.
    Add,
    /// The delta takes its place.
    Overwrite,
    /// It stays as it is.
    Keep,
}

/// Finds the group whose number would leave its range, for the message.
pub(super) async fn find_overflow(
    session: &Session<'_>,
    contract: &Contract,
    view: &View,
    tenant: &str,
    deltas: &[Delta],
) -> Result<Option<Overflow>, Fault> {
    let columns = Columns { contract, view };
    let groups = columns.groups(deltas.iter().map(|delta| delta.group.as_slice()));
    let mut params: Vec<Param<'_>> = vec![&tenant];
    params.extend(groups.iter().map(Array::param));
    for row in session.query(&columns.found_text(), &params).await? {
        let number = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0);
        let Some(delta) = number.checked_sub(1).and_then(|number| deltas.get(number)) else {
            continue;
        };
        let mut merged = columns.delta(&row, delta)?;
        if let Err(overflow) = fold::merge(view, &mut merged, delta) {
            return Ok(Some(overflow));
        }
        let infinite = |value: &Value| matches!(value, Value::Float(sum) if sum.is_infinite());
        if merged.stored.iter().any(infinite) {
            return Ok(Some(fold::overflow(view, &delta.group)));
        }
    }
    Ok(None)
}

/// Columns of a view.
pub(super) struct Columns<'a> {
    pub(super) contract: &'a Contract,
    pub(super) view: &'a View,
}

// === impl Columns ===

impl Columns<'_> {
    /// Writes deltas in the order given.
    pub(super) async fn upsert(
        &self,
        session: &Session<'_>,
        tenant: &str,
        deltas: &[Delta],
        upsert: Upsert,
    ) -> Result<(), Fault> {
        let rows: Vec<i64> = deltas.iter().map(|delta| delta.rows).collect();
        let groups = self.groups(deltas.iter().map(|delta| delta.group.as_slice()));
        let stored = self.stored(deltas);
        let mut params: Vec<Param<'_>> = vec![&tenant, &rows];
        params.extend(groups.iter().chain(&stored).map(Array::param));
        session.execute(&self.upsert_text(upsert), &params).await?;
        Ok(())
    }

    fn part(&self, part: GroupPart) -> String {
        part_column(self.contract, self.view, part)
    }

    fn part_kind(&self, part: GroupPart) -> ColumnKind {
        part_kind(self.contract.dataset_of(self.view), self.view, part)
    }

    fn stored_column(&self, stored: Stored) -> String {
        stored_column(self.contract, self.view, stored)
    }

    fn stored_type(&self, stored: Stored) -> &'static str {
        stored_type(self.contract.dataset_of(self.view), stored)
    }

    /// Returns the names of groups as columns.
    pub(super) fn groups<'d>(
        &self,
        groups: impl ExactSizeIterator<Item = &'d [Value]> + Clone,
    ) -> Vec<Array<'d>> {
        let array = |(position, part)| {
            let mut array = Array::of(self.part_kind(part), groups.len());
            groups.clone().for_each(|group| array.push_value(&group[position]));
            array
        };
        parts(self.view).into_iter().enumerate().map(array).collect()
    }

    /// Returns the columns of groups' names, and as many arrays that begin with a parameter.
    pub(super) fn named(&self, first: usize) -> (String, String) {
        let (mut columns, mut arrays) = (String::new(), String::new());
        for (position, part) in parts(self.view).into_iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            let kind = cell_type(self.part_kind(part));
            // Writing to a string does not fail.
            write!(columns, "{comma}{}", self.part(part)).ok();
            write!(arrays, "{comma}${}::{kind}[]", first + position).ok();
        }
        (columns, arrays)
    }

    /// Returns the condition that a group of `kept` is that of `named`, for `and`.
    pub(super) fn same(&self, named: &str) -> String {
        parts(self.view).into_iter().fold(String::new(), |mut text, part| {
            let name = self.part(part);
            write!(text, " and kept.{name} = {named}.{name}").ok();
            text
        })
    }

    fn stored<'d>(&self, deltas: &'d [Delta]) -> Vec<Array<'d>> {
        let array = |(position, &stored): (usize, &Stored)| {
            let kind = match self.stored_type(stored) {
                "double precision" => ColumnKind::Float,
                _ => ColumnKind::Int,
            };
            let mut array = Array::of(kind, deltas.len());
            deltas.iter().for_each(|delta| array.push_value(&delta.stored[position]));
            array
        };
        self.view.stored.iter().enumerate().map(array).collect()
    }

    /// Returns the statement that writes deltas.
    fn upsert_text(&self, upsert: Upsert) -> String {
        let mut columns = String::from("_rows");
        let mut arrays = String::from("$2::bigint[]");
        let mut push = |column: &str, kind: &str, number: usize| {
            // Writing to a string does not fail.
            write!(columns, ", {column}").ok();
            write!(arrays, ", ${number}::{kind}[]").ok();
        };
        let mut number = 2;
        for part in parts(self.view) {
            number += 1;
            push(&self.part(part), cell_type(self.part_kind(part)), number);
        }
        for &stored in &self.view.stored {
            number += 1;
            push(&self.stored_column(stored), self.stored_type(stored), number);
        }
        let mut text = format!(
            "insert into {} as kept(_tenant, {columns})
             select $1, {columns} from unnest({arrays}) with ordinality as delta({columns}, _no)
             order by _no
             on conflict({}) do ",
            view_name(self.contract, self.view),
            path_columns(self.contract, self.view, &storage_order(self.view)),
        );
        if upsert == Upsert::Keep {
            text.push_str("nothing");
            return text;
        }
        let overwrite = upsert == Upsert::Overwrite;
        text.push_str("update set _rows = ");
        text.push_str(if overwrite { "excluded._rows" } else { "kept._rows + excluded._rows" });
        for &stored in &self.view.stored {
            let column = self.stored_column(stored);
            let new = format!("excluded.{column}");
            let value = match stored {
                _ if overwrite => new,
                Stored::Count(_) | Stored::Sum(_) => format!("kept.{column} + {new}"),
                // These pass over null: a group that had no value takes the new one.
                Stored::Min(_) => format!("least(kept.{column}, {new})"),
                Stored::Max(_) => format!("greatest(kept.{column}, {new})"),
            };
            write!(text, ", {column} = {value}").ok();
        }
        text
    }

    /// Returns the statement that finds the groups of deltas as they are stored.
    fn found_text(&self) -> String {
        let (columns, arrays) = self.named(2);
        let mut stored = String::new();
        for &aggregate in &self.view.stored {
            write!(stored, ", kept.{}", self.stored_column(aggregate)).ok();
        }
        format!(
            "select _no, kept._rows{stored}
             from unnest({arrays}) with ordinality as delta({columns}, _no)
             join {} as kept on kept._tenant = $1{}",
            view_name(self.contract, self.view),
            self.same("delta"),
        )
    }

    /// Returns a group that was found as the delta that would make it.
    fn delta(&self, row: &Row, of: &Delta) -> Result<Delta, Fault> {
        let stored = (0..self.view.stored.len()).map(|position| bind::value(row, position + 2));
        Ok(Delta {
            group: of.group.clone(),
            rows: row.try_get(1)?,
            stored: stored.collect::<Result<_, _>>()?,
        })
    }
}
