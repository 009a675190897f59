//! Puts jobs.

use std::collections::HashSet;

use tidegate_core::clock::Timestamp;
use tidegate_core::job::Job;
use uuid::Uuid;

use crate::postgres::WRITE;
use crate::postgres::bind::storable;
use crate::postgres::fault::Fault;
use crate::postgres::outbox;
use crate::postgres::pool::{Param, Pool, Session};
use crate::transform::job::Prepared;
use crate::transform::message::Body;
use crate::{Enqueued, Probe};

const INSERT: &str = "
insert into dp_job(id, tenant, product, kind, schema, lane, release, arm, cohort, traceparent,
  idem_key, state, generation, body, enqueued_at, touched_at, run_at, deadline)
select id, tenant, product, kind, schema, lane, release, arm, cohort, traceparent, idem_key,
  'accepted', generation, body, enqueued_at, $1, run_at, deadline
from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[],
  $9::text[], $10::bigint[], $11::text[], $12::text[], $13::bigint[], $14::text[], $15::bigint[],
  $16::bigint[], $17::bigint[])
  with ordinality as job(id, tenant, product, kind, schema, lane, release, arm, cohort,
    traceparent, idem_key, generation, body, enqueued_at, run_at, deadline, no)
order by no
on conflict do nothing returning id";

/// Puts jobs, each unless it was put before.
pub(super) async fn enqueue(
    pool: &Pool,
    prepared: &[Prepared],
    now: Timestamp,
) -> Result<Vec<Enqueued>, Fault> {
    let session = pool.begin(WRITE).await?;
    let enqueued = put(&session, prepared, now).await?;
    session.commit().await?;
    Ok(enqueued)
}

/// As [`enqueue`], within a transaction.
pub(super) async fn put<P: std::borrow::Borrow<Prepared>>(
    session: &Session<'_>,
    prepared: &[P],
    now: Timestamp,
) -> Result<Vec<Enqueued>, Fault> {
    let prepared: Vec<&Prepared> = prepared.iter().map(std::borrow::Borrow::borrow).collect();
    if prepared.is_empty() {
        return Ok(Vec::new());
    }
    let mut inserted = insert(session, &prepared, now).await?;
    // Given twice in one call, a job is new the first time.
    let new: Vec<bool> = prepared.iter().map(|it| inserted.remove(&it.job.id)).collect();
    let put: Vec<&Prepared> =
        prepared.iter().zip(&new).filter(|(_, new)| **new).map(|(it, _)| *it).collect();
    keep_bodies(session, &put).await?;
    count_trials(session, &put, now).await?;
    outbox::put_all(session, put.iter().filter_map(|it| it.line.as_ref())).await?;
    let mut enqueued = Vec::with_capacity(prepared.len());
    for (it, new) in prepared.iter().zip(new) {
        enqueued.push(if new { Enqueued::New } else { existing(session, it).await? });
    }
    Ok(enqueued)
}

/// Returns the ids of those that are new.
async fn insert(
    session: &Session<'_>,
    prepared: &[&Prepared],
    now: Timestamp,
) -> Result<HashSet<Uuid>, Fault> {
    fn texts<'a>(
        prepared: &[&'a Prepared],
        text: impl Fn(&'a Prepared) -> Option<&'a str>,
    ) -> Vec<Option<std::borrow::Cow<'a, str>>> {
        prepared.iter().map(|it| text(it).map(storable)).collect()
    }
    let numbers = |number: fn(&Job) -> Option<i64>| -> Vec<Option<i64>> {
        prepared.iter().map(|it| number(&it.job)).collect()
    };
    let ids: Vec<Uuid> = prepared.iter().map(|it| it.job.id).collect();
    let run_at: Vec<Option<i64>> = prepared.iter().map(|it| it.run_at.map(|at| at.0)).collect();
    let inline = texts(prepared, |it| match &it.body {
        Body::Inline(text) => Some(text),
        Body::Kept(_) => None,
    });
    let params: [Param<'_>; 17] = [
        &now.0,
        &ids,
        &texts(prepared, |it| Some(&it.job.tenant)),
        &texts(prepared, |it| Some(&it.job.product)),
        &texts(prepared, |it| Some(&it.job.kind)),
        &numbers(|job| Some(job.schema.into())),
        &texts(prepared, |it| Some(it.job.lane.as_str())),
        &texts(prepared, |it| it.job.release.as_deref()),
        &texts(prepared, |it| Some(it.job.arm.as_str())),
        &numbers(|job| job.cohort.map(i64::from)),
        &texts(prepared, |it| it.job.traceparent.as_deref()),
        &texts(prepared, |it| it.key.as_deref()),
        &numbers(|job| Some(job.generation.into())),
        &inline,
        &numbers(|job| Some(job.enqueued_at.0)),
        &run_at,
        &numbers(|job| job.deadline.map(|at| at.0)),
    ];
    let rows = session.query(INSERT, &params).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

async fn keep_bodies(session: &Session<'_>, put: &[&Prepared]) -> Result<(), Fault> {
    for it in put {
        if let Body::Kept(body) = &it.body {
            let insert = "insert into dp_job_body(job, body) values($1, $2)";
            session.execute(insert, &[&it.job.id, body]).await?;
        }
    }
    Ok(())
}

async fn count_trials(
    session: &Session<'_>,
    put: &[&Prepared],
    now: Timestamp,
) -> Result<(), Fault> {
    let probes: Vec<Probe> = put.iter().filter_map(|it| it.probe).collect();
    if probes.is_empty() {
        return Ok(());
    }
    let runs: Vec<Uuid> = probes.iter().map(|probe| probe.run).collect();
    let numbers: Vec<i64> = probes.iter().map(|probe| i64::from(probe.n)).collect();
    session
        .execute(
            "insert into dp_probe(run, n, at)
             select run, n, $3 from unnest($1::uuid[], $2::bigint[]) as probe(run, n)
             order by run, n
             on conflict do nothing",
            &[&runs, &numbers, &now.0],
        )
        .await?;
    Ok(())
}

async fn existing(session: &Session<'_>, prepared: &Prepared) -> Result<Enqueued, Fault> {
    let job = &prepared.job;
    let known = session
        .query_opt(
            "select id from dp_job
             where tenant = $1 and product = $2 and kind = $3 and idem_key = $4",
            &[&job.tenant, &job.product, &job.kind, &prepared.key],
        )
        .await?;
    Ok(Enqueued::Existing(known.map(|row| row.try_get(0)).transpose()?.unwrap_or(job.id)))
}
