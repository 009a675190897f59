//! Ends a run of a long job.

use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;

use crate::postgres::bind::storable;
use crate::postgres::fault::Fault;
use crate::postgres::job::cancel;
use crate::postgres::pool::{Pool, Session};
use crate::postgres::{WRITE, dead_letter, outbox, row};
use crate::transform::job::Update;

/// Ends a run; `false` if its lease was lost.
pub(super) async fn end(pool: &Pool, update: &Update, now: Timestamp) -> Result<bool, Fault> {
    let session = pool.begin(WRITE).await?;
    let Some(cancel) = write(&session, update, now).await? else { return Ok(false) };
    match (update.state.is_final(), update.run_at) {
        (false, _) if cancel => cancel::end(&session, update.job, now).await?,
        (true, _) => {
            let jobs = vec![update.job];
            outbox::put_notice(&session, Notice::JobsFinished { jobs }).await?;
        }
        (false, None) => {
            if let Some(job) = row::find_job(&session, update.job).await? {
                outbox::put_job(&session, job).await?;
            }
        }
        // The sweep puts it when its time has come.
        (false, Some(_)) => {}
    }
    if let (Some(error_chain), Some(reason)) = (&update.error_chain, &update.error)
        && let Some(job) = row::find_job(&session, update.job).await?
    {
        dead_letter::file_own(&session, job, reason, error_chain.clone(), now).await?;
    }
    session.commit().await?;
    Ok(true)
}

/// A run that is to be repeated goes to stable workers, whoever failed.
///
/// Returns whether somebody wants the job to end.
async fn write(
    session: &Session<'_>,
    update: &Update,
    now: Timestamp,
) -> Result<Option<bool>, Fault> {
    let written = session
        .query_opt(
            "update dp_job set state = $3, result = $4, error = $5, run_at = $6, finished_at = $7,
               attempts = attempts - $8, touched_at = $9, lease_until = null, worker = null,
               arm = case $3 when 'accepted' then 'stable' else arm end
             where id = $1 and fence = $2 and state = 'running' returning cancel",
            &[
                &update.job,
                &update.fence,
                &update.state.as_str(),
                &update.result,
                &update.error.as_deref().map(storable),
                &update.run_at.map(|at| at.0),
                &update.state.is_final().then_some(now.0),
                &i64::from(!update.counts),
                &now.0,
            ],
        )
        .await?;
    Ok(written.map(|row| row.try_get(0)).transpose()?)
}
