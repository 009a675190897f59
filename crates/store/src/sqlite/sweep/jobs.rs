//! Jobs other than batches whose time has come, or whose run or message is gone.

use std::time::Duration;

use rusqlite::Connection;
use tidegate_core::clock::Timestamp;

use super::{MAX_JOBS, numbers};
use crate::StoreError;
use crate::sqlite::job::cancel;
use crate::sqlite::{outbox, row};

/// A job that nobody has touched for so long may have lost its message. Lanes other than that of
/// batches may be behind for long: each of their messages that is put twice makes that worse.
const LOST_AFTER: Duration = Duration::from_secs(600);

/// Puts jobs whose time has come; returns how many.
pub(in crate::sqlite) fn put_due(sql: &Connection, now: Timestamp) -> Result<usize, StoreError> {
    let mut select = sql.prepare_cached(
        "select no from dp_job where run_at <= ?1 and state = 'accepted' order by run_at limit ?2",
    )?;
    let due = numbers(&mut select, (now.0, MAX_JOBS))?;
    let mut touch =
        sql.prepare_cached("update dp_job set run_at = null, touched_at = ?2 where no = ?1")?;
    for no in &due {
        touch.execute((no, now.0))?;
        put(sql, *no)?;
    }
    Ok(due.len())
}

/// Takes jobs from workers that have not renewed their lease, and puts them once more; returns how
/// many.
pub(in crate::sqlite) fn take_back(sql: &Connection, now: Timestamp) -> Result<usize, StoreError> {
    let mut select = sql.prepare_cached(
        "select no from dp_job where state = 'running' and lease_until <= ?1
         order by lease_until limit ?2",
    )?;
    let expired = numbers(&mut select, (now.0, MAX_JOBS))?;
    let mut wanted = sql.prepare_cached("select id from dp_job where no = ?1 and cancel = 1")?;
    let mut update = sql.prepare_cached(
        "update dp_job set state = 'accepted', crashes = crashes + 1, arm = 'stable',
           worker = null, lease_until = null, touched_at = ?2
         where no = ?1",
    )?;
    for no in &expired {
        let mut rows = wanted.query((no,))?;
        if let Some(found) = rows.next()? {
            let id = row::id(found, 0)?;
            drop(rows);
            cancel::end(sql, (*no, id), now)?;
        } else {
            drop(rows);
            update.execute((no, now.0))?;
            put(sql, *no)?;
        }
    }
    Ok(expired.len())
}

/// Puts jobs whose message may be lost once more; returns how many it looked after.
///
/// Those that nobody wants any more end here: their message was dropped unread.
pub(in crate::sqlite) fn put_lost(
    sql: &Connection,
    untouched_since: Timestamp,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let since = untouched_since.min(now.before(LOST_AFTER));
    let mut select = sql.prepare_cached(
        "select no from dp_job as job
         where state = 'accepted' and run_at is null and touched_at < ?1
           and not exists(select 1 from dp_outbox where dp_outbox.batch = job.id)
         order by touched_at limit ?2",
    )?;
    let lost = numbers(&mut select, (since.0, MAX_JOBS))?;
    let mut expire = sql.prepare_cached(
        "update dp_job set state = 'failed', error = 'expired: nobody wanted it any more',
           finished_at = ?2
         where no = ?1 and deadline < ?2",
    )?;
    let mut touch = sql.prepare_cached("update dp_job set touched_at = ?2 where no = ?1")?;
    for no in &lost {
        if expire.execute((no, now.0))? == 0 {
            touch.execute((no, now.0))?;
            put(sql, *no)?;
        }
    }
    Ok(lost.len())
}

fn put(sql: &Connection, no: i64) -> Result<(), StoreError> {
    match row::job(sql, no)? {
        Some(job) => outbox::put_job(sql, job),
        None => Ok(()),
    }
}
