//! Files letters.

use tidegate_core::clock::Timestamp;
use tidegate_core::job::Job;
use tidegate_core::notice::Notice;

use crate::postgres::bind::storable;
use crate::postgres::fault::Fault;
use crate::postgres::pool::{Pool, Session};
use crate::postgres::{WRITE, outbox, row, worker};
use crate::transform::letter::{Letter, Named};
use crate::{JobState, NewDeadLetter};

/// Files letters and tells those who wait for their jobs; returns how many are new.
pub(super) async fn file_all(
    pool: &Pool,
    letters: &[Letter],
    now: Timestamp,
) -> Result<usize, Fault> {
    let session = pool.begin(WRITE).await?;
    let mut filed = 0;
    let mut jobs = Vec::new();
    for letter in letters {
        if file(&session, letter, now).await? {
            filed += 1;
            jobs.extend(letter.job.as_ref().map(|job| job.id));
        }
    }
    if !jobs.is_empty() {
        outbox::put_notice(&session, Notice::JobsFinished { jobs }).await?;
    }
    session.commit().await?;
    Ok(filed)
}

/// Files a letter; `false` if it is filed already, or its job has ended otherwise.
async fn file(session: &Session<'_>, letter: &Letter, now: Timestamp) -> Result<bool, Fault> {
    let Some(job) = &letter.job else { return insert(session, letter, now).await };
    worker::acquit(session, &[(job.id, job.generation)]).await?;
    let dies = match find(session, job).await? {
        Record::In { table, state, generation } => {
            generation == job.generation
                && kill(session, table, job, state, &letter.reason, now).await?
        }
        // Its mark keeps later deliveries of this generation from running.
        Record::None => mark(session, job, now).await? || is_filed(session, letter).await?,
    };
    Ok(dies && insert(session, letter, now).await?)
}

/// Files the letter of a job that died in the hands of a worker, without its message.
pub(in crate::postgres) async fn file_own(
    session: &Session<'_>,
    job: Job,
    reason: &str,
    error_chain: Vec<String>,
    now: Timestamp,
) -> Result<bool, Fault> {
    let letter = NewDeadLetter {
        lane: Some(job.lane),
        attempts: job.attempt,
        job: Some(job),
        raw: Vec::new(),
        reason: reason.to_owned(),
        headers: serde_json::Value::Null,
        error_chain,
        died_at: now,
    };
    file(session, &Letter::of(letter)?, now).await
}

/// What the store knows of a letter's job.
enum Record {
    In { table: Table, state: JobState, generation: u32 },
    None,
}

/// Where a job's record is.
#[derive(Clone, Copy)]
enum Table {
    Jobs,
    Batches,
}

async fn find(session: &Session<'_>, job: &Named) -> Result<Record, Fault> {
    for (table, select) in [
        (Table::Jobs, "select state, generation from dp_job where id = $1 for update"),
        (Table::Batches, "select state, generation from dp_batch where id = $1 for update"),
    ] {
        if let Some(found) = session.query_opt(select, &[&job.id]).await? {
            let (state, generation) = (row::state(&found, 0)?, row::small(&found, 1)?);
            return Ok(Record::In { table, state, generation });
        }
    }
    Ok(Record::None)
}

/// Ends a job that has not ended; returns whether it is dead now. The payload of a batch is kept as
/// long as it is dead.
async fn kill(
    session: &Session<'_>,
    table: Table,
    job: &Named,
    state: JobState,
    reason: &str,
    now: Timestamp,
) -> Result<bool, Fault> {
    // The fence: a run that goes on must not end it once more.
    let update = match table {
        Table::Jobs => {
            "update dp_job set state = 'dead', fence = fence + 1, error = $2, finished_at = $3,
               run_at = null, lease_until = null, worker = null
             where id = $1"
        }
        Table::Batches => {
            "update dp_batch set state = 'dead', fence = fence + 1, error = $2, finished_at = $3
             where id = $1"
        }
    };
    if !state.is_final() {
        session.execute(update, &[&job.id, &storable(reason), &now.0]).await?;
    }
    Ok(!state.is_final() || state == JobState::Dead)
}

/// Marks a job without a record as ended; `false` if it was.
async fn mark(session: &Session<'_>, job: &Named, now: Timestamp) -> Result<bool, Fault> {
    let marked = session
        .execute(
            "insert into dp_inbox(job, generation, at) values($1, $2, $3) on conflict do nothing",
            &[&job.id, &i64::from(job.generation), &now.0],
        )
        .await?;
    Ok(marked == 1)
}

async fn is_filed(session: &Session<'_>, letter: &Letter) -> Result<bool, Fault> {
    let select = "select exists(select from dp_dead where key = $1)";
    Ok(session.query_one(select, &[&letter.key]).await?.try_get(0)?)
}

/// A message that can't be read has no generation: the same one that dies after its letter was
/// discarded opens the letter again.
async fn insert(session: &Session<'_>, letter: &Letter, now: Timestamp) -> Result<bool, Fault> {
    let job = letter.job.as_ref();
    let inserted = session
        .execute(
            "insert into dp_dead(key, job, generation, kind, lane, tenant, product, release,
               reason, code, error_chain, attempts, headers, raw, died_at, filed_at)
             values($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
             on conflict(key) do update set state = 'open', decided_at = null, decided_by = null,
               died_at = excluded.died_at, reason = excluded.reason, code = excluded.code
             where dp_dead.job is null and dp_dead.state = 'discarded'",
            &[
                &letter.key,
                &job.map(|job| job.id),
                &job.map_or(0, |job| i64::from(job.generation)),
                &job.map(|job| storable(&job.kind)),
                &letter.lane,
                &job.map(|job| storable(&job.tenant)),
                &job.map(|job| storable(&job.product)),
                &job.and_then(|job| job.release.as_deref()).map(storable),
                &storable(&letter.reason),
                &letter.code,
                &letter.error_chain,
                &i64::from(letter.attempts),
                &letter.headers,
                &letter.raw,
                &letter.died_at.0,
                &now.0,
            ],
        )
        .await?;
    Ok(inserted == 1)
}
