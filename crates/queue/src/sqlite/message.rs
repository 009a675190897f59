//! Statements about messages and the consumers that hold them.

use std::sync::Arc;

use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Job, Lane};
use tidegate_sqlite::Error;
use tidegate_sqlite::rusqlite::{Connection, Row};

use crate::{DeliveryTag, MAX_MESSAGE, QueueError, Settlement, Source};

/// Delayed messages made ready by one claim.
const PROMOTED: i64 = 1_000;

/// Where a consumer takes messages from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) lane: Lane,
    /// The release whose messages are meant; none for those of stable workers.
    pub(super) canary: Option<Arc<str>>,
}

/// A job on its way in.
#[derive(Clone, Debug)]
pub(super) struct NewMessage {
    lane: Lane,
    kind: String,
    attempt: u32,
    canary: Option<String>,
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

// === impl Place ===

impl Place {
    pub(super) fn of(source: Source<'_>) -> Self {
        Self { lane: source.lane, canary: source.canary.map(Arc::from) }
    }
}

// === impl NewMessage ===

impl NewMessage {
    pub(super) fn of(job: &Job) -> Result<Self, QueueError> {
        let body = serde_json::to_string(job)?;
        if body.len() > MAX_MESSAGE {
            return Err(QueueError::TooLarge { job: job.id, bytes: body.len() });
        }
        let canary = job.canary().map(str::to_owned);
        Ok(Self { lane: job.lane, kind: job.kind.clone(), attempt: job.attempt, canary, body })
    }
}

pub(super) fn insert(
    sql: &Connection,
    messages: &[NewMessage],
    now: Timestamp,
) -> Result<(), Error> {
    // A canary without workers has no queue of its own: its jobs go to stable workers.
    let mut insert = sql.prepare_cached(
        "insert into message(lane, kind, body, published_at, attempt, canary)
            values (?1, ?2, ?3, ?4, ?5, (select release from canary where release = ?6))",
    )?;
    for NewMessage { lane, kind, attempt, canary, body } in messages {
        insert.execute((lane.as_str(), kind, body, now.0, attempt, canary))?;
    }
    Ok(())
}

/// Returns what the consumer `owner` of `place` can expect.
pub(super) fn look(
    sql: &Connection,
    owner: i64,
    place: &Place,
    now: Timestamp,
) -> Result<Look, Error> {
    if !is_registered(sql, owner)? {
        return Ok(Look::NotRegistered);
    }
    let (lane, canary) = (place.lane.as_str(), place.canary.as_deref());
    let mut ready = sql.prepare_cached(
        "select 1 from message where lane = ?1 and canary is ?2 and owner is null and ready_at = 0
            limit 1",
    )?;
    if ready.exists((lane, canary))? {
        return Ok(Look::Ready);
    }
    let due: Option<i64> = sql
        .prepare_cached(
            "select min(ready_at) from message where lane = ?1 and canary is ?2 and ready_at > 0",
        )?
        .query_row((lane, canary), |row| row.get(0))?;
    Ok(match due {
        Some(due) if due <= now.0 => Look::Ready,
        Some(due) => Look::NotBefore(Timestamp(due)),
        None => Look::Empty,
    })
}

/// Hands up to `room` messages to `owner`, in the order of publishing. Raises their fences.
pub(super) fn claim(
    sql: &Connection,
    owner: i64,
    place: &Place,
    room: usize,
    now: Timestamp,
) -> Result<Claim, Error> {
    // A message whose owner is not registered would never be given back.
    if !is_registered(sql, owner)? {
        return Ok(Claim::NotRegistered);
    }
    let (lane, canary) = (place.lane.as_str(), place.canary.as_deref());
    sql.prepare_cached(
        "update message set ready_at = 0 where id in (select id from message
            where lane = ?1 and canary is ?2 and ready_at > 0 and ready_at <= ?3
            order by ready_at limit ?4)",
    )?
    .execute((lane, canary, now.0, PROMOTED))?;
    let mut take = sql.prepare_cached(
        "update message set owner = ?1, fence = fence + 1 where id in (select id from message
            where lane = ?2 and canary is ?3 and owner is null and ready_at = 0
            order by id limit ?4)
            returning id, fence, attempt, redelivered, body",
    )?;
    let room = i64::try_from(room).unwrap_or(i64::MAX);
    let rows = take.query_map((owner, lane, canary, room), read_claimed)?;
    let mut claimed = rows.collect::<Result<Vec<_>, _>>()?;
    // `returning` promises no order.
    claimed.sort_unstable_by_key(|claimed| claimed.tag.message);
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
                    "update message set owner = null, canary = (select release from canary
                        where release = message.canary)
                        where id = ?1 and fence = ?2 and owner = ?3",
                )?
                .execute(held)?,
            Settlement::Retry { after } => delay(sql, held, 1, now.after(*after))?,
            Settlement::Defer { after } => delay(sql, held, 0, now.after(*after))?,
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

fn delay(
    sql: &Connection,
    (message, fence, owner): (&i64, &i64, i64),
    failures: u32,
    until: Timestamp,
) -> Result<usize, Error> {
    let mut delay = sql.prepare_cached(
        "update message set owner = null, ready_at = ?4, attempt = attempt + ?5,
            redelivered = 0, canary = null
            where id = ?1 and fence = ?2 and owner = ?3",
    )?;
    Ok(delay.execute((message, fence, owner, until.0.max(1), failures))?)
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
        .prepare_cached(
            "update message set owner = null, redelivered = 1, canary = (select release from canary
                where release = message.canary) where owner = ?1",
        )?
        .execute((owner,))?;
    sql.prepare_cached("delete from consumer where id = ?1")?.execute((owner,))?;
    Ok(given_back)
}
