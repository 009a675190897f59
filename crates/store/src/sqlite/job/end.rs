//! Ends a run of a long job.

use rusqlite::{Connection, OptionalExtension as _};
use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;

use crate::StoreError;
use crate::sqlite::job::cancel;
use crate::sqlite::{dead_letter, outbox, row};
use crate::transform::job::Update;

/// Ends a run; `false` if its lease was lost.
pub(super) fn end(sql: &Connection, update: &Update, now: Timestamp) -> Result<bool, StoreError> {
    let Some((no, cancel)) = write(sql, update, now)? else { return Ok(false) };
    match (update.state.is_final(), update.run_at) {
        (false, _) if cancel => cancel::end(sql, (no, update.job), now)?,
        (true, _) => {
            outbox::put_notice(sql, Notice::JobsFinished { jobs: vec![update.job] })?;
        }
        (false, None) => {
            if let Some(job) = row::job(sql, no)? {
                outbox::put_job(sql, job)?;
            }
        }
        // The sweep puts it when its time has come.
        (false, Some(_)) => {}
    }
    if let (Some(error_chain), Some(reason)) = (&update.error_chain, &update.error)
        && let Some(job) = row::job(sql, no)?
    {
        dead_letter::file_own(sql, job, reason, error_chain.clone(), now)?;
    }
    Ok(true)
}

/// A run that is to be repeated goes to stable workers, whoever failed.
///
/// Returns the job's number, and whether somebody wants it to end.
fn write(
    sql: &Connection,
    update: &Update,
    now: Timestamp,
) -> Result<Option<(i64, bool)>, StoreError> {
    let mut statement = sql.prepare_cached(
        "update dp_job set state = ?3, result = ?4, error = ?5, run_at = ?6, finished_at = ?7,
           attempts = attempts - ?8, touched_at = ?9, lease_until = null, worker = null,
           arm = case ?3 when 'accepted' then 'stable' else arm end
         where id = ?1 and fence = ?2 and state = 'running' returning no, cancel",
    )?;
    let parameters = rusqlite::params![
        update.job.as_bytes(),
        update.fence,
        update.state.as_str(),
        update.result,
        update.error,
        update.run_at.map(|at| at.0),
        update.state.is_final().then_some(now.0),
        i64::from(!update.counts),
        now.0,
    ];
    Ok(statement.query_row(parameters, |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}
