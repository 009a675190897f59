//! The outbox: messages that leave in the transaction that gave rise to them.

use std::borrow::Borrow;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::Connection;
use tidegate_core::job::Job;
use tidegate_core::notice::Notice;
use tidegate_core::outbox::{OutboxEntry, OutboxError, OutboxSource};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::StoreError;
use crate::sqlite::SqliteStore;
use crate::transform::message::Line;

/// How long lines of other processes' commits wait for this process's relay at most.
const POLL: Duration = Duration::from_secs(1);

/// How long a line is left to the relay of the process that put it, at least.
const COURTESY: Duration = Duration::from_secs(1);

/// Tells which lines of other processes were left behind.
///
/// Each process has a relay, and all of them see all lines. If each published what it saw, most
/// jobs would go out twice, and a worker would load and prepare their rows twice. So a relay takes
/// the lines of its own process at once, and others only when their relay has had its time. Ages
/// are measured by this process's monotonic clock: no step of the wall clock holds a line up.
pub(super) struct Strays {
    seen: Mutex<Seen>,
}

struct Seen {
    at: Instant,
    /// The newest line at that time.
    newest: i64,
    /// Lines up to this one have been seen twice.
    left: i64,
}

/// Puts lines.
pub(super) fn put_all<L: Borrow<Line>>(
    sql: &Connection,
    lines: impl IntoIterator<Item = L>,
) -> Result<(), StoreError> {
    let mut insert = sql.prepare_cached(
        "insert into dp_outbox(kind, batch, body, origin) values(?1, ?2, ?3, ?4)",
    )?;
    for line in lines {
        let Line { kind, job, body } = line.borrow();
        insert.execute((kind, job.as_ref().map(Uuid::as_bytes), body, origin()))?;
    }
    Ok(())
}

/// Puts a job.
pub(super) fn put_job(sql: &Connection, job: Job) -> Result<(), StoreError> {
    put_all(sql, [Line::job(job)?])
}

/// Puts a notice.
pub(super) fn put_notice(sql: &Connection, notice: Notice) -> Result<(), StoreError> {
    put_all(sql, [Line::notice(notice)?])
}

/// Names this process. One that has the number of a process that ended takes its lines over at
/// once, which is no harm.
fn origin() -> u32 {
    std::process::id()
}

// === impl Strays ===

impl Strays {
    /// Takes what is there when the process starts for left behind by those before it.
    pub(super) fn new(sql: &Connection, now: Instant) -> Result<Self, StoreError> {
        let newest = newest(sql)?;
        Ok(Self { seen: Mutex::new(Seen { at: now, newest, left: newest }) })
    }

    /// Returns the newest line that was left behind.
    fn up_to(&self, sql: &Connection, now: Instant) -> Result<i64, StoreError> {
        let mut seen = self.seen.lock();
        if now.saturating_duration_since(seen.at) >= COURTESY {
            *seen = Seen { at: now, newest: newest(sql)?, left: seen.newest };
        }
        Ok(seen.left)
    }
}

fn newest(sql: &Connection) -> Result<i64, StoreError> {
    let newest: Option<i64> =
        sql.prepare_cached("select max(id) from dp_outbox")?.query_row((), |row| row.get(0))?;
    Ok(newest.unwrap_or(0))
}

/// Returns the oldest lines of this process, and those that others left behind.
///
/// A line that this build can't read stays for one that can: after a release has begun, an older
/// process may meet messages of a newer one.
pub(super) fn pending(
    sql: &Connection,
    strays: &Strays,
    limit: usize,
    now: Instant,
) -> Result<Vec<OutboxEntry>, StoreError> {
    let mut entries = Vec::new();
    let mut select = sql.prepare_cached(
        "select id, body from dp_outbox where origin = ?1 or id <= ?2 order by id",
    )?;
    let mut rows = select.query((origin(), strays.up_to(sql, now)?))?;
    while let Some(row) = rows.next()? {
        let (id, body) = (row.get(0)?, row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?);
        match serde_json::from_str(body) {
            Ok(message) => entries.push(OutboxEntry { id, message }),
            Err(error) => {
                tracing::warn!(outbox.id = id, error = %error, "Outbox line was skipped.");
            }
        }
        if entries.len() >= limit {
            break;
        }
    }
    Ok(entries)
}

/// Deletes lines that were published.
pub(super) fn mark_sent(sql: &Connection, ids: &[i64]) -> Result<(), StoreError> {
    let mut delete = sql.prepare_cached("delete from dp_outbox where id = ?1")?;
    for id in ids {
        delete.execute((id,))?;
    }
    Ok(())
}

#[async_trait]
impl OutboxSource for SqliteStore {
    async fn wait_pending(&self) {
        // A time-out says that there may be lines of another process.
        timeout(POLL, self.committed.notified()).await.ok();
    }

    async fn pending(&self, limit: usize) -> Result<Vec<OutboxEntry>, OutboxError> {
        Ok(self.database.read(|sql| pending(sql, &self.strays, limit, Instant::now()))?)
    }

    async fn mark_sent(&self, ids: &[i64]) -> Result<(), OutboxError> {
        let ids = ids.to_vec();
        self.database
            .write(move |sql| mark_sent(sql, &ids))
            .await
            .map_err(|error: StoreError| error.into())
    }
}
