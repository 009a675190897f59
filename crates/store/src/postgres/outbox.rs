//! The outbox: messages that leave in the transaction that gave rise to them.
//!
//! Each process has a relay, and all of them see all lines. A relay takes the lines of its own
//! process, and adopts those that another has let lie: a line is on its way through one relay at a
//! time, unless that one is slower than [`LEFT_S`].

use std::borrow::Borrow;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::job::Job;
use tidegate_core::notice::Notice;
use tidegate_core::outbox::OutboxEntry;
use tokio::time::Instant;
use uuid::Uuid;

use crate::postgres::fault::Fault;
use crate::postgres::pool::Session;
use crate::transform::message::Line;

/// How long a line may lie before others take it for left behind, in seconds of the server's
/// clock: longer than a publish takes that ends at all.
const LEFT_S: f64 = 10.0;

/// How often a relay looks for such lines.
const LOOK: Duration = Duration::from_secs(1);

/// Tells when to look for lines that others left behind.
pub(super) struct Strays {
    next: Mutex<Instant>,
}

/// Names this process among all that use the store, on whatever machine.
pub(super) fn origin() -> i64 {
    static ORIGIN: OnceLock<i64> = OnceLock::new();
    // Without randomness two processes share their lines, and publish some twice.
    *ORIGIN.get_or_init(|| getrandom::u64().map_or(1, |random| (random >> 1).cast_signed()))
}

/// Puts lines.
pub(super) async fn put_all<L: Borrow<Line>>(
    session: &Session<'_>,
    lines: impl IntoIterator<Item = L>,
) -> Result<(), Fault> {
    let lines: Vec<L> = lines.into_iter().collect();
    if lines.is_empty() {
        return Ok(());
    }
    let lines = || lines.iter().map(Borrow::borrow);
    let kinds: Vec<&str> = lines().map(|line| line.kind).collect();
    let jobs: Vec<Option<Uuid>> = lines().map(|line| line.job).collect();
    let bodies: Vec<&str> = lines().map(|line| line.body.as_str()).collect();
    session
        .execute(
            "insert into dp_outbox(kind, batch, body, origin)
             select *, $4 from unnest($1::text[], $2::uuid[], $3::text[])",
            &[&kinds, &jobs, &bodies, &origin()],
        )
        .await?;
    Ok(())
}

/// Puts a job.
pub(super) async fn put_job(session: &Session<'_>, job: Job) -> Result<(), Fault> {
    put_all(session, [Line::job(job)?]).await
}

/// Puts a notice.
pub(super) async fn put_notice(session: &Session<'_>, notice: Notice) -> Result<(), Fault> {
    put_all(session, [Line::notice(notice)?]).await
}

// === impl Strays ===

impl Strays {
    /// The first look is at once: the process before this one may have been killed.
    pub(super) fn new(now: Instant) -> Self {
        Self { next: Mutex::new(now) }
    }

    fn is_time(&self, now: Instant) -> bool {
        let mut next = self.next.lock();
        let due = *next <= now;
        if due {
            *next = now + LOOK;
        }
        due
    }
}

/// Returns the oldest lines of this process, and those that others left behind.
///
/// A line that this build can't read stays for one that can: after a release has begun, an older
/// process may meet messages of a newer one.
pub(super) async fn pending(
    session: &Session<'_>,
    strays: &Strays,
    limit: usize,
    now: Instant,
) -> Result<Vec<OutboxEntry>, Fault> {
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    if strays.is_time(now) {
        adopt(session, most).await?;
    }
    let mut entries = Vec::new();
    let mut after = 0_i64;
    loop {
        let rows = session
            .query(
                "select id, body from dp_outbox where origin = $1 and id > $2 order by id limit $3",
                &[&origin(), &after, &most],
            )
            .await?;
        for row in &rows {
            after = row.try_get(0)?;
            match serde_json::from_str(row.try_get(1)?) {
                Ok(message) => entries.push(OutboxEntry { id: after, message }),
                Err(error) => {
                    tracing::warn!(outbox.id = after, error = %error, "Outbox line was skipped.");
                }
            }
        }
        if entries.len() >= limit || rows.len() < limit {
            entries.truncate(limit);
            return Ok(entries);
        }
    }
}

/// Takes lines over that their process has let lie. One relay gets each.
async fn adopt(session: &Session<'_>, most: i64) -> Result<(), Fault> {
    session
        .execute(
            "update dp_outbox set origin = $1, put_at = now()
             where id in (select id from dp_outbox
                          where put_at < now() - make_interval(secs => $2) and origin <> $1
                          order by put_at limit $3 for update skip locked)",
            &[&origin(), &LEFT_S, &most],
        )
        .await?;
    Ok(())
}

/// Deletes lines that were published.
pub(super) async fn mark_sent(session: &Session<'_>, ids: &[i64]) -> Result<(), Fault> {
    session.execute("delete from dp_outbox where id = any($1)", &[&ids]).await?;
    Ok(())
}
