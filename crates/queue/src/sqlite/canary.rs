//! Statements about the releases that have canary workers.

use tidegate_sqlite::Error;
use tidegate_sqlite::rusqlite::Connection;

/// Lets messages of the canary `release` wait for its own workers from now on.
pub(super) fn bind(sql: &Connection, release: &str) -> Result<(), Error> {
    sql.prepare_cached("insert or ignore into canary(release) values (?1)")?.execute((release,))?;
    Ok(())
}

/// Lets messages of the canary `release` go to stable workers from now on.
pub(super) fn unbind(sql: &Connection, release: &str) -> Result<(), Error> {
    sql.prepare_cached("delete from canary where release = ?1")?.execute((release,))?;
    Ok(())
}

/// Gives up to `limit` messages that wait for the canary `release` to stable workers; returns how
/// many.
pub(super) fn move_waiting(sql: &Connection, release: &str, limit: usize) -> Result<usize, Error> {
    let mut moved = sql.prepare_cached(
        "update message set canary = null where id in (select id from message
            where lane in ('high', 'default', 'low', 'long') and canary = ?1
            and owner is null and ready_at = 0 limit ?2)",
    )?;
    Ok(moved.execute((release, i64::try_from(limit).unwrap_or(i64::MAX)))?)
}

pub(super) fn releases(sql: &Connection) -> Result<Vec<String>, Error> {
    let mut releases = sql.prepare_cached("select release from canary order by release")?;
    let rows = releases.query_map((), |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
