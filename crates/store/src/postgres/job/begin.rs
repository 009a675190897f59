//! Lends a long job to one worker at a time.

use tidegate_core::clock::Timestamp;
use uuid::Uuid;

use crate::postgres::fault::Fault;
use crate::postgres::job::cancel;
use crate::postgres::pool::{Pool, Session};
use crate::postgres::{WRITE, contracts, row};
use crate::transform::lease::{Decision, Record, decide};
use crate::{Begun, JobRun, Renewal};

/// Who asks for which job.
pub(super) struct Asked<'a> {
    pub(super) job: Uuid,
    pub(super) generation: u32,
    pub(super) worker: &'a str,
    /// End of the lease.
    pub(super) until: Timestamp,
    /// Most jobs of the kind that run at once.
    pub(super) limit: Option<u32>,
}

/// Takes a job, or says why not.
pub(super) async fn begin(pool: &Pool, asked: &Asked<'_>, now: Timestamp) -> Result<Begun, Fault> {
    let session = pool.begin(WRITE).await?;
    let begun = decide_and_take(&session, asked, now).await?;
    session.commit().await?;
    Ok(begun)
}

async fn decide_and_take(
    session: &Session<'_>,
    asked: &Asked<'_>,
    now: Timestamp,
) -> Result<Begun, Fault> {
    let kind = session.query_opt("select kind from dp_job where id = $1", &[&asked.job]).await?;
    let Some(kind) = kind else { return Ok(Begun::Finished) };
    let kind: &str = kind.try_get(0)?;
    if asked.limit.is_some() {
        // Those who count must not count at the same time.
        session.batch(&contracts::lock_named("kind", kind)).await?;
    }
    let Some(record) = find(session, asked.job).await? else { return Ok(Begun::Finished) };
    match decide(&record, asked.generation, now) {
        Decision::Leave(begun) => Ok(begun),
        Decision::Cancel => {
            cancel::end(session, asked.job, now).await?;
            Ok(Begun::Cancelled)
        }
        Decision::GiveUp { crashes } => {
            session
                .execute(
                    "update dp_job set state = 'accepted', crashes = $2, lease_until = null
                     where id = $1",
                    &[&asked.job, &i64::from(crashes)],
                )
                .await?;
            Ok(Begun::Crashed { crashes })
        }
        Decision::Take { crashes } => {
            if let Some(limit) = asked.limit
                && running(session, kind, now).await? >= i64::from(limit)
            {
                // Its message is at hand: the sweep must not take it for lost.
                session
                    .execute(
                        "update dp_job set touched_at = $2 where id = $1",
                        &[&asked.job, &now.0],
                    )
                    .await?;
                return Ok(Begun::Busy);
            }
            Ok(Begun::Run(take(session, asked, crashes, now).await?))
        }
    }
}

async fn find(session: &Session<'_>, job: Uuid) -> Result<Option<Record>, Fault> {
    let found = session
        .query_opt(
            "select state, generation, crashes, cancel, lease_until, run_at
             from dp_job where id = $1 for update",
            &[&job],
        )
        .await?;
    let Some(found) = found else { return Ok(None) };
    Ok(Some(Record {
        state: row::state(&found, 0)?,
        generation: row::small(&found, 1)?,
        crashes: row::small(&found, 2)?,
        cancel: found.try_get(3)?,
        lease_until: row::at(&found, 4)?,
        run_at: row::at(&found, 5)?,
    }))
}

/// Counts the runs of a kind whose lease is good.
async fn running(session: &Session<'_>, kind: &str, now: Timestamp) -> Result<i64, Fault> {
    let count = session
        .query_one(
            "select count(*) from dp_job
             where state = 'running' and lease_until > $2 and kind = $1",
            &[&kind, &now.0],
        )
        .await?;
    Ok(count.try_get(0)?)
}

async fn take(
    session: &Session<'_>,
    asked: &Asked<'_>,
    crashes: u32,
    now: Timestamp,
) -> Result<JobRun, Fault> {
    let taken = session
        .query_one(
            "update dp_job set state = 'running', fence = fence + 1, attempts = attempts + 1,
               crashes = $2, worker = $3, lease_until = $4, touched_at = $5, run_at = null
             where id = $1
             returning fence, attempts, progress,
               coalesce(body, (select body from dp_job_body where job = dp_job.id))",
            &[&asked.job, &i64::from(crashes), &asked.worker, &asked.until.0, &now.0],
        )
        .await?;
    Ok(JobRun {
        job: asked.job,
        generation: asked.generation,
        fence: taken.try_get(0)?,
        attempts: row::small(&taken, 1)?,
        crashes,
        progress: row::json(&taken, 2)?,
        body: row::json(&taken, 3)?.unwrap_or_default(),
    })
}

/// Keeps a job for longer, given by id and fence.
pub(super) async fn renew(
    session: &Session<'_>,
    (job, fence): (Uuid, i64),
    progress: &str,
    until: Timestamp,
) -> Result<Renewal, Fault> {
    let cancel = session
        .query_opt(
            "update dp_job set lease_until = $3, progress = $4
             where id = $1 and fence = $2 and state = 'running' returning cancel",
            &[&job, &fence, &until.0, &progress],
        )
        .await?;
    Ok(match cancel.map(|row| row.try_get(0)).transpose()? {
        None => Renewal::Lost,
        Some(true) => Renewal::CancelRequested,
        Some(false) => Renewal::Held,
    })
}
