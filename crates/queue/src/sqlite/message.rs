//! Statements about messages and the consumers that hold them.

use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Job, Lane};
use tidegate_sqlite::Error;
use tidegate_sqlite::rusqlite::{Connection, OptionalExtension, Row};

use crate::{DeliveryTag, Depth, QueueError, Settlement};

/// Delayed messages made ready by one claim.
const PROMOTED: i64 = 1_000;

/// A job on its way in.
#[derive(Clone, Debug)]
pub(super) struct NewMessage {
    lane: Lane,
    kind: String,
    attempt: u32,
    body: String,
}

/// A message as claimed, not yet read as a job.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    pub(super) tag: DeliveryTag,
    pub(super) attempt: u32,
    pub(super) redelivered: bool,
    pub(super) body: String,
}

/// What a claim brought.
#[derive(Clone, Debug)]
pub(super) enum Claim {
    Got(Vec<Claimed>),
    /// The owner is not registered: it was taken for dead.
    NotRegistered,
}

/// What a look at the lanes showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// There may be something to claim.
    Ready,
    /// Nothing before this time.
    NotBefore(Timestamp),
    /// Nothing at all.
    Empty,
    /// The consumer is not registered: it was taken for dead.
    NotRegistered,
}

/// A registered consumer.
#[derive(Clone, Debug)]
pub(super) struct Registered {
    pub(super) owner: i64,
    pub(super) lock_file: String,
}

// === impl NewMessage ===

impl NewMessage {
    pub(super) fn of(job: &Job) -> Result<Self, QueueError> {
        Ok(Self {
            lane: job.lane,
            kind: job.kind.clone(),
            attempt: job.attempt,
            body: serde_json::to_string(job)?,
        })
    }
}

pub(super) fn insert(
    sql: &Connection,
    messages: &[NewMessage],
    now: Timestamp,
) -> Result<(), Error> {
    let mut insert = sql.prepare_cached(
        "insert into message(lane, kind, body, published_at, attempt) values (?1, ?2, ?3, ?4, ?5)",
    )?;
    for NewMessage { lane, kind, attempt, body } in messages {
        insert.execute((lane.as_str(), kind, body, now.0, attempt))?;
    }
    Ok(())
}

/// Returns what the consumer `owner` of `lanes` can expect.
pub(super) fn look(
    sql: &Connection,
    owner: i64,
    lanes: &[Lane],
    now: Timestamp,
) -> Result<Look, Error> {
    if !is_registered(sql, owner)? {
        return Ok(Look::NotRegistered);
    }
    let mut ready = sql.prepare_cached(
        "select 1 from message where lane = ?1 and owner is null and ready_at = 0 limit 1",
    )?;
    let mut delayed =
        sql.prepare_cached("select min(ready_at) from message where lane = ?1 and ready_at > 0")?;
    let mut earliest: Option<i64> = None;
    for lane in lanes {
        if ready.exists((lane.as_str(),))? {
            return Ok(Look::Ready);
        }
        let due: Option<i64> = delayed.query_row((lane.as_str(),), |row| row.get(0))?;
        earliest = match (earliest, due) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
    Ok(match earliest {
        Some(due) if due <= now.0 => Look::Ready,
        Some(due) => Look::NotBefore(Timestamp(due)),
        None => Look::Empty,
    })
}

/// Hands up to `room` messages to `owner`: the most urgent lane first, each lane in the order of
/// publishing. Raises their fences.
pub(super) fn claim(
    sql: &Connection,
    owner: i64,
    lanes: &[Lane],
    room: usize,
    now: Timestamp,
) -> Result<Claim, Error> {
    // A message whose owner is not registered would never be given back.
    if !is_registered(sql, owner)? {
        return Ok(Claim::NotRegistered);
    }
    let mut promote = sql.prepare_cached(
        "update message set ready_at = 0 where id in (select id from message
            where lane = ?1 and ready_at > 0 and ready_at <= ?2 order by ready_at limit ?3)",
    )?;
    let mut take = sql.prepare_cached(
        "update message set owner = ?1, fence = fence + 1 where id in (select id from message
            where lane = ?2 and owner is null and ready_at = 0 order by id limit ?3)
            returning id, fence, attempt, redelivered, body",
    )?;
    let mut claimed: Vec<Claimed> = Vec::new();
    for lane in lanes {
        let room = room.saturating_sub(claimed.len());
        if room == 0 {
            break;
        }
        promote.execute((lane.as_str(), now.0, PROMOTED))?;
        let room = i64::try_from(room).unwrap_or(i64::MAX);
        let first = claimed.len();
        for row in take.query_map((owner, lane.as_str(), room), read_claimed)? {
            claimed.push(row?);
        }
        // `returning` promises no order.
        claimed[first..].sort_unstable_by_key(|claimed| claimed.tag.message);
    }
    Ok(Claim::Got(claimed))
}

fn read_claimed(row: &Row<'_>) -> Result<Claimed, tidegate_sqlite::rusqlite::Error> {
    Ok(Claimed {
        tag: DeliveryTag { message: row.get(0)?, fence: row.get(1)? },
        attempt: row.get(2)?,
        redelivered: row.get(3)?,
        body: row.get(4)?,
    })
}

/// Settles deliveries of `owner`; returns how many it no longer held.
pub(super) fn settle(
    sql: &Connection,
    owner: i64,
    settlements: &[(DeliveryTag, Settlement)],
    now: Timestamp,
) -> Result<usize, Error> {
    let mut lost = 0;
    for (DeliveryTag { message, fence }, settlement) in settlements {
        let held = (message, fence, owner);
        let changed = match settlement {
            Settlement::Ack => delete(sql, held)?,
            Settlement::Release => sql
                .prepare_cached(
                    "update message set owner = null where id = ?1 and fence = ?2 and owner = ?3",
                )?
                .execute(held)?,
            Settlement::Retry { after } => sql
                .prepare_cached(
                    "update message set owner = null, ready_at = ?4, attempt = attempt + 1,
                        redelivered = 0 where id = ?1 and fence = ?2 and owner = ?3",
                )?
                .execute((message, fence, owner, now.after(*after).0.max(1)))?,
            Settlement::DeadLetter { reason } => {
                sql.prepare_cached(
                    "insert into dead(id, lane, kind, body, published_at, attempt, reason, died_at)
                        select id, lane, kind, body, published_at, attempt, ?4, ?5
                        from message where id = ?1 and fence = ?2 and owner = ?3",
                )?
                .execute((message, fence, owner, reason, now.0))?;
                delete(sql, held)?
            }
        };
        lost += usize::from(changed == 0);
    }
    Ok(lost)
}

fn delete(sql: &Connection, held: (&i64, &i64, i64)) -> Result<usize, Error> {
    let mut delete =
        sql.prepare_cached("delete from message where id = ?1 and fence = ?2 and owner = ?3")?;
    Ok(delete.execute(held)?)
}

pub(super) fn register(sql: &Connection, lock_file: &str, now: Timestamp) -> Result<i64, Error> {
    sql.prepare_cached("insert into consumer(lock_file, started_at) values (?1, ?2)")?
        .execute((lock_file, now.0))?;
    Ok(sql.last_insert_rowid())
}

fn is_registered(sql: &Connection, owner: i64) -> Result<bool, Error> {
    Ok(sql.prepare_cached("select 1 from consumer where id = ?1")?.exists((owner,))?)
}

/// Returns the other consumers, of this process and of others.
pub(super) fn others(sql: &Connection, owner: i64) -> Result<Vec<Registered>, Error> {
    let mut others =
        sql.prepare_cached("select id, lock_file from consumer where id <> ?1 order by id")?;
    let rows = others
        .query_map((owner,), |row| Ok(Registered { owner: row.get(0)?, lock_file: row.get(1)? }))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Gives back all that `owner` holds, and forgets it; returns how many messages it held.
pub(super) fn unregister(sql: &Connection, owner: i64) -> Result<usize, Error> {
    let given_back = sql
        .prepare_cached("update message set owner = null, redelivered = 1 where owner = ?1")?
        .execute((owner,))?;
    sql.prepare_cached("delete from consumer where id = ?1")?.execute((owner,))?;
    Ok(given_back)
}

pub(super) fn depth(sql: &Connection) -> Result<Vec<Depth>, Error> {
    Lane::ALL.into_iter().map(|lane| depth_of(sql, lane)).collect()
}

fn depth_of(sql: &Connection, lane: Lane) -> Result<Depth, Error> {
    let count = |statement: &str| -> Result<u64, Error> {
        let count: i64 =
            sql.prepare_cached(statement)?.query_row((lane.as_str(),), |row| row.get(0))?;
        Ok(count.unsigned_abs())
    };
    let time = |statement: &str| -> Result<Option<Timestamp>, Error> {
        let time: Option<Option<i64>> = sql
            .prepare_cached(statement)?
            .query_row((lane.as_str(),), |row| row.get(0))
            .optional()?;
        Ok(time.flatten().map(Timestamp))
    };
    // One statement for each state, so that each reads its own index and no message bodies.
    let ready =
        count("select count(*) from message where lane = ?1 and owner is null and ready_at = 0")?;
    let delayed = count("select count(*) from message where lane = ?1 and ready_at > 0")?;
    let unacked = count("select count(*) from message where owner is not null and lane = ?1")?;
    let dead = count("select count(*) from dead where lane = ?1")?;
    let next = time(
        "select published_at from message where lane = ?1 and owner is null and ready_at = 0
            order by id limit 1",
    )?;
    let oldest = [
        next,
        time("select min(published_at) from message where lane = ?1 and ready_at > 0")?,
        time("select min(published_at) from message where owner is not null and lane = ?1")?,
    ];
    let oldest = oldest.into_iter().flatten().min();
    Ok(Depth { lane, ready: ready + delayed, unacked, dead, oldest, next })
}
