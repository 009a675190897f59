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
    let columns = Columns { contract, view };
    let rows: Vec<i64> = deltas.iter().map(|delta| delta.rows).collect();
    let groups = columns.groups(deltas);
    let stored = columns.stored(deltas);
    let mut params: Vec<Param<'_>> = vec![&tenant, &rows];
    params.extend(groups.iter().chain(&stored).map(Array::param));
    session.execute(&columns.merge_text(), &params).await?;
    Ok(())
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
    let groups = columns.groups(deltas);
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
struct Columns<'a> {
    contract: &'a Contract,
    view: &'a View,
}

// === impl Columns ===

impl Columns<'_> {
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

    fn groups<'d>(&self, deltas: &'d [Delta]) -> Vec<Array<'d>> {
        let array = |(position, part)| {
            let mut array = Array::of(self.part_kind(part), deltas.len());
            deltas.iter().for_each(|delta| array.push_value(&delta.group[position]));
            array
        };
        parts(self.view).into_iter().enumerate().map(array).collect()
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

    /// Returns the statement that merges deltas.
    fn merge_text(&self) -> String {
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
             on conflict({}) do update set _rows = kept._rows + excluded._rows",
            view_name(self.contract, self.view),
            path_columns(self.contract, self.view, &storage_order(self.view)),
        );
        for &stored in &self.view.stored {
            let column = self.stored_column(stored);
            match stored {
                Stored::Count(_) | Stored::Sum(_) => {
                    write!(text, ", {column} = kept.{column} + excluded.{column}")
                }
                // These pass over null: a group that had no value takes the new one.
                Stored::Min(_) => {
                    write!(text, ", {column} = least(kept.{column}, excluded.{column})")
                }
                Stored::Max(_) => {
                    write!(text, ", {column} = greatest(kept.{column}, excluded.{column})")
                }
            }
            .ok();
        }
        text
    }

    /// Returns the statement that finds the groups of deltas as they are stored.
    fn found_text(&self) -> String {
        let mut columns = String::new();
        let mut arrays = String::new();
        let mut condition = String::new();
        for (position, part) in parts(self.view).into_iter().enumerate() {
            let (name, comma) = (self.part(part), if position == 0 { "" } else { ", " });
            write!(columns, "{name}, ").ok();
            write!(arrays, "{comma}${}::{}[]", position + 2, cell_type(self.part_kind(part))).ok();
            write!(condition, " and kept.{name} = delta.{name}").ok();
        }
        let mut stored = String::new();
        for &aggregate in &self.view.stored {
            write!(stored, ", kept.{}", self.stored_column(aggregate)).ok();
        }
        format!(
            "select _no, kept._rows{stored}
             from unnest({arrays}) with ordinality as delta({columns}_no)
             join {} as kept on kept._tenant = $1{condition}",
            view_name(self.contract, self.view)
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
