//! Statements about broadcast notices.

use tidegate_core::clock::Timestamp;
use tidegate_sqlite::Error;
use tidegate_sqlite::rusqlite::{Connection, OptionalExtension};

/// Notices that are too old and are dropped at once: trimming must stay short.
const TRIMMED: i64 = 1_000;

/// What lies after a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Bodies with nothing missing before them, and the position after them.
    Notices(Vec<String>, i64),
    /// Something was dropped in between; the newest position.
    Gap(i64),
}

pub(super) fn append(sql: &Connection, bodies: &[String], now: Timestamp) -> Result<(), Error> {
    let mut insert = sql.prepare_cached("insert into broadcast(body, at) values (?1, ?2)")?;
    for body in bodies {
        insert.execute((body, now.0))?;
    }
    Ok(())
}

/// Drops all but the newest `keep`, and some of those from before `oldest`.
pub(super) fn trim(sql: &Connection, keep: u32, oldest: Timestamp) -> Result<(), Error> {
    let surplus = newest(sql)? - i64::from(keep);
    sql.prepare_cached("delete from broadcast where seq <= ?1")?.execute((surplus,))?;
    // From the front, because times grow with positions; no index on times is needed.
    sql.prepare_cached(
        "delete from broadcast where at < ?1 and seq < ?2 + (select min(seq) from broadcast)",
    )?
    .execute((oldest.0, TRIMMED))?;
    Ok(())
}

/// Returns the newest position ever given, also if its notice was dropped since.
pub(super) fn newest(sql: &Connection) -> Result<i64, Error> {
    let newest: Option<i64> = sql
        .prepare_cached("select seq from sqlite_sequence where name = 'broadcast'")?
        .query_row((), |row| row.get(0))
        .optional()?;
    Ok(newest.unwrap_or(0))
}

/// Reads up to `limit` notices after `position`. Positions have no gaps unless some were dropped.
pub(super) fn after(sql: &Connection, position: i64, limit: usize) -> Result<After, Error> {
    let mut read =
        sql.prepare_cached("select seq, body from broadcast where seq > ?1 order by seq limit ?2")?;
    let mut rows = read.query((position, i64::try_from(limit).unwrap_or(i64::MAX)))?;
    let (mut bodies, mut at) = (Vec::new(), position);
    while let Some(row) = rows.next()? {
        let seq: i64 = row.get(0)?;
        if seq != at + 1 {
            return Ok(After::Gap(newest(sql)?));
        }
        at = seq;
        bodies.push(row.get(1)?);
    }
    let newest = newest(sql)?;
    // All of them were dropped, or the file was replaced by an older one.
    let gap = newest < at || (bodies.is_empty() && newest > at);
    Ok(if gap { After::Gap(newest) } else { After::Notices(bodies, at) })
}
