//! The tables.

use tidegate_sqlite::Error;
use tidegate_sqlite::rusqlite::Connection;

use crate::QueueError;

/// Layout of the file, kept in its `user_version`.
const LAYOUT: i64 = 2;

/// Ids are never used twice (`autoincrement`): a settlement that names an old message must not
/// meet a new one.
///
/// A message is in one of three states, each with its own small index: held (`owner` is set),
/// delayed (`ready_at` is the time of its retry) or ready (`ready_at` is 0). Ready is not a
/// comparison with the clock, so a clock that steps delays retries only.
///
/// `canary` is set while the message waits for the workers of that release; `canary(release)` holds
/// the releases that have such workers.
const TABLES: &str = "
create table message(
    id integer primary key autoincrement,
    lane text not null,
    kind text not null,
    body text not null,
    published_at integer not null,
    ready_at integer not null default 0,
    owner integer,
    fence integer not null default 0,
    attempt integer not null,
    redelivered integer not null default 0,
    canary text
) strict;
create index message_ready on message(lane, canary, id) where owner is null and ready_at = 0;
create index message_delayed on message(lane, canary, ready_at) where ready_at > 0;
create index message_held on message(owner, lane, canary) where owner is not null;
create table canary(release text primary key) strict, without rowid;
create table dead(
    id integer primary key,
    lane text not null,
    kind text not null,
    body text not null,
    published_at integer not null,
    attempt integer not null,
    reason text not null,
    died_at integer not null
) strict;
create index dead_lane on dead(lane);
create table consumer(
    id integer primary key autoincrement,
    lock_file text not null,
    started_at integer not null
) strict;
create table broadcast(
    seq integer primary key autoincrement,
    body text not null,
    at integer not null
) strict;
";

/// From layout 1, which knew no canaries.
const CANARIES: &str = "
alter table message add column canary text;
drop index message_ready;
drop index message_delayed;
drop index message_held;
create index message_ready on message(lane, canary, id) where owner is null and ready_at = 0;
create index message_delayed on message(lane, canary, ready_at) where ready_at > 0;
create index message_held on message(owner, lane, canary) where owner is not null;
create table canary(release text primary key) strict, without rowid;
";

/// Creates the tables in a new file, or changes those of an older release.
pub(super) fn create(sql: &Connection) -> Result<(), QueueError> {
    let found: i64 =
        sql.query_row("pragma user_version", (), |row| row.get(0)).map_err(Error::from)?;
    if found > LAYOUT {
        return Err(QueueError::Newer { found, known: LAYOUT });
    }
    let changes = match found {
        0 => TABLES,
        1 => CANARIES,
        _ => return Ok(()),
    };
    sql.execute_batch(changes).map_err(Error::from)?;
    sql.pragma_update(None, "user_version", LAYOUT).map_err(Error::from)?;
    Ok(())
}

/// As the first release created them.
#[cfg(test)]
pub(super) const TABLES_OF_LAYOUT_1: &str = "
create table message(
    id integer primary key autoincrement,
    lane text not null,
    kind text not null,
    body text not null,
    published_at integer not null,
    ready_at integer not null default 0,
    owner integer,
    fence integer not null default 0,
    attempt integer not null,
    redelivered integer not null default 0
) strict;
create index message_ready on message(lane, id) where owner is null and ready_at = 0;
create index message_delayed on message(lane, ready_at) where ready_at > 0;
create index message_held on message(owner, lane) where owner is not null;
create table dead(
    id integer primary key,
    lane text not null,
    kind text not null,
    body text not null,
    published_at integer not null,
    attempt integer not null,
    reason text not null,
    died_at integer not null
) strict;
create index dead_lane on dead(lane);
create table consumer(
    id integer primary key autoincrement,
    lock_file text not null,
    started_at integer not null
) strict;
create table broadcast(
    seq integer primary key autoincrement,
    body text not null,
    at integer not null
) strict;
";
