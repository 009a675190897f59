//! Jobs other than batches whose time has come, or whose run or message is gone.

use std::time::Duration;

use tidegate_core::clock::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::MAX_JOBS;
use crate::postgres::fault::Fault;
use crate::postgres::job::end_early;
use crate::postgres::pool::{Pool, Session};
use crate::postgres::{WRITE, outbox, row};
use crate::transform::message::Line;

/// A job that nobody has touched for so long may have lost its message. Lanes other than that of
/// batches may be behind for long: each of their messages that is put twice makes that worse.
const LOST_AFTER: Duration = Duration::from_secs(600);

/// Puts jobs whose time has come; returns how many.
pub(in crate::postgres) async fn put_due(pool: &Pool, now: Timestamp) -> Result<usize, Fault> {
    let session = pool.begin(WRITE).await?;
    let text = format!(
        "with due as (
           select id from dp_job where run_at <= $1 and state = 'accepted'
           order by run_at limit $2 for update skip locked
         )
         update dp_job set run_at = null, touched_at = $1 from due where dp_job.id = due.id
         returning {}",
        row::JOB
    );
    let due = session.query(&text, &[&now.0, &MAX_JOBS]).await?;
    put(&session, &due).await?;
    session.commit().await?;
    Ok(due.len())
}

/// Takes jobs from workers that have not renewed their lease, and puts them once more; returns how
/// many.
pub(in crate::postgres) async fn take_back(pool: &Pool, now: Timestamp) -> Result<usize, Fault> {
    let session = pool.begin(WRITE).await?;
    let expired = session
        .query(
            "select id, cancel from dp_job where state = 'running' and lease_until <= $1
             order by lease_until limit $2 for update skip locked",
            &[&now.0, &MAX_JOBS],
        )
        .await?;
    let mut again: Vec<Uuid> = Vec::with_capacity(expired.len());
    for found in &expired {
        if found.try_get(1)? {
            end_early(&session, found.try_get(0)?, now).await?;
        } else {
            again.push(found.try_get(0)?);
        }
    }
    let text = format!(
        "update dp_job set state = 'accepted', crashes = crashes + 1, arm = 'stable',
           worker = null, lease_until = null, touched_at = $2
         where id = any($1) returning {}",
        row::JOB
    );
    put(&session, &session.query(&text, &[&again, &now.0]).await?).await?;
    session.commit().await?;
    Ok(expired.len())
}

/// Puts jobs whose message may be lost once more; returns how many it looked after.
///
/// Those that nobody wants any more end here: their message was dropped unread.
pub(in crate::postgres) async fn put_lost(
    pool: &Pool,
    untouched_since: Timestamp,
    now: Timestamp,
) -> Result<usize, Fault> {
    let since = untouched_since.min(now.before(LOST_AFTER));
    let session = pool.begin(WRITE).await?;
    let lost = session
        .query(
            "select id from dp_job as job
             where state = 'accepted' and run_at is null and touched_at < $1
               and not exists(select from dp_outbox where dp_outbox.batch = job.id)
             order by touched_at limit $2 for update skip locked",
            &[&since.0, &MAX_JOBS],
        )
        .await?;
    let lost: Vec<Uuid> = lost.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    session
        .execute(
            "update dp_job set state = 'failed', error = 'expired: nobody wanted it any more',
               finished_at = $2
             where id = any($1) and deadline < $2",
            &[&lost, &now.0],
        )
        .await?;
    let text = format!(
        "update dp_job set touched_at = $2 where id = any($1) and state = 'accepted'
         returning {}",
        row::JOB
    );
    put(&session, &session.query(&text, &[&lost, &now.0]).await?).await?;
    session.commit().await?;
    Ok(lost.len())
}

async fn put(session: &Session<'_>, rows: &[Row]) -> Result<(), Fault> {
    let mut lines = Vec::with_capacity(rows.len());
    for found in rows {
        lines.push(Line::job(row::job(found)?)?);
    }
    outbox::put_all(session, &lines).await
}
