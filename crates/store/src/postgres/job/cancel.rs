//! Ends jobs early.

use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;
use uuid::Uuid;

use crate::postgres::fault::Fault;
use crate::postgres::pool::{Pool, Session};
use crate::postgres::{WRITE, dead_letter, outbox, row};
use crate::{Cancel, JobState};

/// Ends a job of the tenant, or asks its worker to.
pub(super) async fn cancel(
    pool: &Pool,
    tenant: &str,
    id: Uuid,
    now: Timestamp,
) -> Result<Cancel, Fault> {
    let session = pool.begin(WRITE).await?;
    let select = "select state from dp_job where id = $1 and tenant = $2 for update";
    let Some(found) = session.query_opt(select, &[&id, &tenant]).await? else {
        return batch(&session, tenant, id).await;
    };
    let cancel = match row::state(&found, 0)? {
        JobState::Accepted => {
            end(&session, id, now).await?;
            Cancel::Done
        }
        JobState::Dead => {
            end(&session, id, now).await?;
            dead_letter::discard_job(&session, id, tenant, now).await?;
            Cancel::Done
        }
        JobState::Running => {
            session.execute("update dp_job set cancel = true where id = $1", &[&id]).await?;
            outbox::put_notice(&session, Notice::JobsCancelled { jobs: vec![id] }).await?;
            Cancel::Requested
        }
        JobState::Applied | JobState::Failed | JobState::Cancelled => Cancel::TooLate,
    };
    session.commit().await?;
    Ok(cancel)
}

/// Rows that were accepted are applied, whatever anyone wants.
async fn batch(session: &Session<'_>, tenant: &str, id: Uuid) -> Result<Cancel, Fault> {
    let select = "select exists(select from dp_batch where id = $1 and tenant = $2)";
    let exists = session.query_one(select, &[&id, &tenant]).await?.try_get(0)?;
    Ok(if exists { Cancel::TooLate } else { Cancel::Unknown })
}

/// Ends a job that does not run.
pub(in crate::postgres) async fn end(
    session: &Session<'_>,
    id: Uuid,
    now: Timestamp,
) -> Result<(), Fault> {
    session
        .execute(
            "update dp_job set state = 'cancelled', run_at = null, lease_until = null,
               worker = null, finished_at = $2
             where id = $1",
            &[&id, &now.0],
        )
        .await?;
    outbox::put_notice(session, Notice::JobsFinished { jobs: vec![id] }).await
}
