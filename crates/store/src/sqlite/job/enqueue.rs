//! Puts jobs.

use rusqlite::{Connection, OptionalExtension as _};
use tidegate_core::clock::Timestamp;
use uuid::Uuid;

use crate::sqlite::outbox;
use crate::transform::job::Prepared;
use crate::transform::message::Body;
use crate::{Enqueued, Probe, StoreError};

/// Puts a job, unless it was put before.
pub(in crate::sqlite) fn put(
    sql: &Connection,
    prepared: &Prepared,
    now: Timestamp,
) -> Result<Enqueued, StoreError> {
    let Some(no) = insert(sql, prepared, now)? else { return existing(sql, prepared) };
    if let Body::Kept(body) = &prepared.body {
        sql.prepare_cached("insert into dp_job_body(job, body) values(?1, ?2)")?
            .execute((no, body))?;
    }
    if let Some(Probe { run, n }) = prepared.probe {
        sql.prepare_cached(
            "insert into dp_probe(run, n, at) values(?1, ?2, ?3) on conflict do nothing",
        )?
        .execute((run.as_bytes(), n, now.0))?;
    }
    outbox::put_all(sql, &prepared.line)?;
    Ok(Enqueued::New)
}

/// Returns the job's number, or none if its id or its key was used before.
fn insert(
    sql: &Connection,
    prepared: &Prepared,
    now: Timestamp,
) -> Result<Option<i64>, StoreError> {
    let Prepared { job, body, run_at, key, .. } = prepared;
    let inline = match body {
        Body::Inline(text) => Some(text),
        Body::Kept(_) => None,
    };
    let mut insert = sql.prepare_cached(
        "insert into dp_job(id, tenant, product, kind, schema, lane, release, arm, cohort,
           traceparent, idem_key, state, generation, body, enqueued_at, touched_at, run_at,
           deadline)
         values(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 'accepted', ?12, ?13, ?14, ?15, ?16,
           ?17)
         on conflict do nothing",
    )?;
    let inserted = insert.execute(rusqlite::params![
        job.id.as_bytes(),
        job.tenant,
        job.product,
        job.kind,
        job.schema,
        job.lane.as_str(),
        job.release,
        job.arm.as_str(),
        job.cohort,
        job.traceparent,
        key,
        job.generation,
        inline,
        job.enqueued_at.0,
        now.0,
        run_at.map(|at| at.0),
        job.deadline.map(|at| at.0),
    ])?;
    Ok((inserted == 1).then(|| sql.last_insert_rowid()))
}

fn existing(sql: &Connection, prepared: &Prepared) -> Result<Enqueued, StoreError> {
    let job = &prepared.job;
    let known: Option<[u8; 16]> = sql
        .prepare_cached(
            "select id from dp_job
             where tenant = ?1 and product = ?2 and kind = ?3 and idem_key = ?4",
        )?
        .query_row((&job.tenant, &job.product, &job.kind, &prepared.key), |row| row.get(0))
        .optional()?;
    Ok(Enqueued::Existing(known.map_or(job.id, Uuid::from_bytes)))
}
