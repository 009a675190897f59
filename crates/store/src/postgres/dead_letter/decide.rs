//! What people decide about letters.

use tidegate_core::clock::Timestamp;
use tidegate_core::job::Job;
use uuid::Uuid;

use super::list;
use crate::DeadFilter;
use crate::postgres::bind::storable;
use crate::postgres::fault::Fault;
use crate::postgres::pool::{Pool, Session};
use crate::postgres::{WRITE, outbox};
use crate::transform::letter::Redo;
use crate::transform::retention::REGRET;

/// Returns the numbers of the letters that fit, and what to put for those that are jobs.
pub(super) async fn redos(
    session: &Session<'_>,
    filter: &DeadFilter,
) -> Result<(Vec<i64>, Vec<Redo>), Fault> {
    let (mut numbers, mut redos) = (Vec::new(), Vec::new());
    for found in list::select(session, filter, "no, raw, job is not null").await? {
        let no = found.try_get(0)?;
        numbers.push(no);
        if found.try_get(2)?
            && let Ok(job) = serde_json::from_slice::<Job>(found.try_get(1)?)
        {
            redos.push(Redo::of(no, job)?);
        }
    }
    Ok((numbers, redos))
}

/// Puts the jobs of open letters once more; returns how many that can be done for.
pub(super) async fn requeue_all(
    pool: &Pool,
    redos: &[Redo],
    by: &str,
    now: Timestamp,
) -> Result<u64, Fault> {
    let session = pool.begin(WRITE).await?;
    let mut done = 0;
    for redo in redos {
        done += u64::from(requeue(&session, redo, by, now).await?);
    }
    session.commit().await?;
    Ok(done)
}

async fn requeue(
    session: &Session<'_>,
    redo: &Redo,
    by: &str,
    now: Timestamp,
) -> Result<bool, Fault> {
    let open = "select from dp_dead where no = $1 and state = 'open' for update";
    if session.query_opt(open, &[&redo.no]).await?.is_none() || !revive(session, redo, now).await? {
        return Ok(false);
    }
    settle(session, redo.no, "requeued", by, now).await?;
    outbox::put_all(session, [&redo.line]).await?;
    Ok(true)
}

/// Lets the job wait again; `false` if it is not dead, or its rows are gone.
async fn revive(session: &Session<'_>, redo: &Redo, now: Timestamp) -> Result<bool, Fault> {
    let generation = i64::from(redo.generation);
    let next = i64::from(redo.generation.saturating_add(1));
    let update = if redo.is_batch {
        "update dp_batch set state = 'accepted', generation = $3, unfinished = 0, error = null,
           finished_at = null, touched_at = $4
         where id = $1 and generation = $2 and state = 'dead'
           and exists(select from dp_payload where batch = dp_batch.id)"
    } else {
        "update dp_job set state = 'accepted', generation = $3, attempts = 0, crashes = 0,
           cancel = false, error = null, finished_at = null, deadline = null, arm = 'stable',
           touched_at = $4
         where id = $1 and generation = $2 and state = 'dead'"
    };
    let revived = session.execute(update, &[&redo.job, &generation, &next, &now.0]).await?;
    if revived == 1 || redo.is_batch {
        return Ok(revived == 1);
    }
    // Without a record, as an edge puts them, it is nothing but its message.
    let known = "select exists(select from dp_job where id = $1)";
    let known: bool = session.query_one(known, &[&redo.job]).await?.try_get(0)?;
    Ok(!known)
}

/// Gives open letters up; returns how many were open.
pub(super) async fn discard_all(
    pool: &Pool,
    numbers: &[i64],
    by: &str,
    now: Timestamp,
) -> Result<u64, Fault> {
    let session = pool.begin(WRITE).await?;
    let mut done = 0;
    for no in numbers {
        done += u64::from(discard(&session, *no, by, now).await?);
    }
    session.commit().await?;
    Ok(done)
}

async fn discard(session: &Session<'_>, no: i64, by: &str, now: Timestamp) -> Result<bool, Fault> {
    let open = "select job, generation from dp_dead where no = $1 and state = 'open' for update";
    let Some(letter) = session.query_opt(open, &[&no]).await? else { return Ok(false) };
    settle(session, no, "discarded", by, now).await?;
    let Some(job) = letter.try_get::<_, Option<Uuid>>(0)? else { return Ok(true) };
    let generation: i64 = letter.try_get(1)?;
    session
        .execute(
            "update dp_job set state = 'failed', finished_at = $3
             where id = $1 and generation = $2 and state = 'dead'",
            &[&job, &generation, &now.0],
        )
        .await?;
    session
        .execute(
            "update dp_batch set state = 'failed', finished_at = $3, payload_until = $4
             where id = $1 and generation = $2 and state = 'dead'",
            &[&job, &generation, &now.0, &now.after(REGRET).0],
        )
        .await?;
    Ok(true)
}

/// Gives up the open letters of a job that was ended otherwise.
pub(in crate::postgres) async fn discard_job(
    session: &Session<'_>,
    job: Uuid,
    by: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    session
        .execute(
            "update dp_dead set state = 'discarded', decided_at = $3, decided_by = $2
             where job = $1 and state = 'open'",
            &[&job, &storable(by), &now.0],
        )
        .await?;
    Ok(())
}

async fn settle(
    session: &Session<'_>,
    no: i64,
    state: &str,
    by: &str,
    now: Timestamp,
) -> Result<(), Fault> {
    session
        .execute(
            "update dp_dead set state = $2, decided_at = $4, decided_by = $3 where no = $1",
            &[&no, &state, &storable(by), &now.0],
        )
        .await?;
    Ok(())
}
