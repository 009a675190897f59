//! What ends a transaction: sequence, tag versions, purge notices, and the batches' state.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;
use uuid::Uuid;

use crate::postgres::accept::Quarantine;
use crate::postgres::bind::storable;
use crate::postgres::fault::Fault;
use crate::postgres::outbox;
use crate::postgres::pool::Session;
use crate::transform::outcome::Outcome;
use crate::transform::space::Space;
use crate::transform::work::{Attempt, Work};
use crate::{Applied, Changes, Claim};

/// Takes one number for each space that was changed and marks the batches as applied.
///
/// From the first number on, other writers of that space wait for the commit: what is left to do is
/// a few small statements.
pub(super) async fn finish(
    session: &Session<'_>,
    incarnation: &str,
    attempt: Attempt<'_>,
    now: Timestamp,
) -> Result<Changes, Fault> {
    let mut taken = BTreeMap::new();
    let mut purges = Vec::with_capacity(attempt.tags.len());
    // In the order of spaces, as all writers do.
    for &space in attempt.tags.keys() {
        taken.insert(space, take_seq(session, space, now).await?);
    }
    for (space, tags) in attempt.tags {
        let Some(&seq) = taken.get(&space) else { continue };
        touch(session, &tags, seq).await?;
        let (at, tags) = (space.at(incarnation, seq), tags.into_iter().collect::<Vec<_>>());
        let purge = Notice::Purge { seq: at.clone(), tags: tags.clone() };
        outbox::put_notice(session, purge).await?;
        purges.push((at, tags));
    }
    touch_views(session, &attempt.views, &taken, now).await?;
    move_watermarks(session, &attempt.outcomes).await?;
    let mut applied = Vec::with_capacity(attempt.outcomes.len());
    for (work, outcome) in attempt.outcomes {
        let seq = match taken.get(&work.space()) {
            Some(seq) => *seq,
            // Nothing is new: what was sent is visible since some commit before.
            None => current_seq(session, work.space()).await?,
        };
        applied.push(mark_applied(session, work, &outcome, seq, now).await?);
    }
    Ok(Changes { applied, purges })
}

/// Returns the number of the last commit, 0 before the first.
async fn current_seq(session: &Session<'_>, space: Space<'_>) -> Result<i64, Fault> {
    let select = "select seq from dp_seq where tenant = $1 and product = $2";
    let row = session.query_opt(select, &[&space.tenant, &space.product]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.unwrap_or(0))
}

/// Takes the next number of a space: its row is locked until the commit.
pub(super) async fn take_seq(
    session: &Session<'_>,
    space: Space<'_>,
    now: Timestamp,
) -> Result<i64, Fault> {
    let row = session
        .query_one(
            "insert into dp_seq values($1, $2, 1, $3)
         on conflict(tenant, product)
         do update set seq = dp_seq.seq + 1, applied_at = excluded.applied_at
         returning seq",
            &[&space.tenant, &space.product, &now.0],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// Notes the number of the commit that touched tags last.
pub(super) async fn touch(
    session: &Session<'_>,
    tags: &BTreeSet<String>,
    seq: i64,
) -> Result<(), Fault> {
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    session
        .execute(
            "insert into dp_tag select unnest($1::text[]), $2
             on conflict(tag) do update set version = excluded.version",
            &[&tags, &seq],
        )
        .await?;
    Ok(())
}

async fn touch_views(
    session: &Session<'_>,
    views: &BTreeSet<(Space<'_>, &str, &str)>,
    taken: &BTreeMap<Space<'_>, i64>,
    now: Timestamp,
) -> Result<(), Fault> {
    let changed = || {
        views.iter().filter_map(|(space, view, build)| {
            Some((space.tenant, space.product, *view, *build, *taken.get(space)?))
        })
    };
    let tenants: Vec<&str> = changed().map(|(tenant, ..)| tenant).collect();
    if tenants.is_empty() {
        return Ok(());
    }
    let products: Vec<&str> = changed().map(|(_, product, ..)| product).collect();
    let names: Vec<&str> = changed().map(|(_, _, view, ..)| view).collect();
    let builds: Vec<&str> = changed().map(|(_, _, _, build, _)| build).collect();
    let seqs: Vec<i64> = changed().map(|(.., seq)| seq).collect();
    session
        .execute(
            "insert into dp_view
             select *, $6 from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
             on conflict(tenant, product, view, build)
             do update set applied_seq = excluded.applied_seq, applied_at = excluded.applied_at",
            &[&tenants, &products, &names, &builds, &seqs, &now.0],
        )
        .await?;
    Ok(())
}

/// Moves watermarks, never back.
async fn move_watermarks(
    session: &Session<'_>,
    outcomes: &[(&Work, Outcome)],
) -> Result<(), Fault> {
    let mut newest: BTreeMap<(Space<'_>, &str), i64> = BTreeMap::new();
    for (work, outcome) in outcomes {
        let Some(time) = outcome.watermark else { continue };
        let known = newest.entry((work.space(), &work.dataset().name)).or_insert(time);
        *known = time.max(*known);
    }
    for ((space, dataset), time) in newest {
        session
            .execute(
                "insert into dp_watermark values($1, $2, $3, $4)
                 on conflict(tenant, product, dataset)
                 do update set time = greatest(dp_watermark.time, excluded.time)",
                &[&space.tenant, &space.product, &dataset, &time],
            )
            .await?;
    }
    Ok(())
}

async fn mark_applied(
    session: &Session<'_>,
    work: &Work,
    outcome: &Outcome,
    seq: i64,
    now: Timestamp,
) -> Result<Applied, Fault> {
    let (space, ended) = (work.space(), Ended::of(&work.claim, now));
    if !outcome.conflicts.is_empty() {
        let quarantine = Quarantine::of(&outcome.conflicts)?;
        quarantine.put(session, space, work.claim.id).await?;
    }
    let mut counts = outcome.counts();
    let row = session
        .query_one(
            "update dp_batch set state = 'applied', unfinished = 0, error = null, rows_new = $2, rows_duplicate = $3,
           rows_late = $4, rows_rejected = rows_rejected + $5, finished_at = $6,
           applied_seq = nullif($7, 0::bigint), payload_until = $8
         where id = $1 returning rows_rejected",
            &[
                &work.claim.id,
                &counts.new.cast_signed(),
                &counts.duplicate.cast_signed(),
                &counts.late.cast_signed(),
                &counts.rejected.cast_signed(),
                &ended.at.0,
                &seq,
                &ended.payload_until.0,
            ],
        )
        .await?;
    counts.rejected = row.try_get::<_, i64>(0)?.unsigned_abs();
    Ok(Applied::Done(work.claim.id, counts))
}

/// Marks a batch as failed for good if its claim is still good; returns whether it was.
pub(super) async fn mark_failed(
    session: &Session<'_>,
    ended: &Ended,
    reason: &str,
) -> Result<bool, Fault> {
    let failed = session
        .execute(
            "update dp_batch
         set state = 'failed', unfinished = 0, error = $3, finished_at = $4, payload_until = $5
         where id = $1 and state = 'running' and fence = $2",
            &[&ended.batch, &ended.fence, &storable(reason), &ended.at.0, &ended.payload_until.0],
        )
        .await?;
    Ok(failed == 1)
}

/// A claim that ends now.
pub(super) struct Ended {
    pub(super) batch: Uuid,
    fence: i64,
    at: Timestamp,
    /// How long the payload is kept for replay.
    payload_until: Timestamp,
}

// === impl Ended ===

impl Ended {
    pub(super) fn of(claim: &Claim, now: Timestamp) -> Self {
        let replay = claim.contract.contract.datasets[claim.dataset].replay;
        Self { batch: claim.id, fence: claim.fence, at: now, payload_until: now.after(replay) }
    }
}
