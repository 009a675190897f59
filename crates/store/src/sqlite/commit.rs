//! What ends a transaction: sequence, tag versions, purge notices, and the batches' state.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _};
use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;
use uuid::Uuid;

use crate::sqlite::accept::quarantine;
use crate::sqlite::outbox;
use crate::transform::outcome::Outcome;
use crate::transform::space::Space;
use crate::transform::work::{Attempt, Work};
use crate::{Applied, Changes, Claim, StoreError};

/// Takes one number for each space that was changed and marks the batches as applied.
pub(super) fn finish(
    sql: &Connection,
    incarnation: &str,
    attempt: Attempt<'_>,
    now: Timestamp,
) -> Result<Changes, StoreError> {
    let mut taken = BTreeMap::new();
    let mut purges = Vec::with_capacity(attempt.tags.len());
    for (space, tags) in attempt.tags {
        let seq = take_seq(sql, space, now)?;
        touch(sql, &tags, seq)?;
        let (at, tags) = (space.at(incarnation, seq), tags.into_iter().collect::<Vec<_>>());
        outbox::put_notice(sql, Notice::Purge { seq: at.clone(), tags: tags.clone() })?;
        purges.push((at, tags));
        taken.insert(space, seq);
    }
    for (space, view, build) in attempt.views {
        let Some(seq) = taken.get(&space) else { continue };
        sql.prepare_cached(
            "insert into dp_view values(?1, ?2, ?3, ?4, ?5, ?6) on conflict
             do update set applied_seq = excluded.applied_seq, applied_at = excluded.applied_at",
        )?
        .execute((space.tenant, space.product, view, build, seq, now.0))?;
    }
    let mut applied = Vec::with_capacity(attempt.outcomes.len());
    for (work, outcome) in attempt.outcomes {
        let seq = match taken.get(&work.space()) {
            Some(seq) => *seq,
            // Nothing is new: what was sent is visible since some commit before.
            None => current_seq(sql, work.space())?,
        };
        applied.push(mark_applied(sql, work, &outcome, seq, now)?);
    }
    Ok(Changes { applied, purges })
}

/// Returns the number of the last commit, 0 before the first.
fn current_seq(sql: &Connection, space: Space<'_>) -> Result<i64, StoreError> {
    let seq = sql
        .prepare_cached("select seq from dp_seq where tenant = ?1 and product = ?2")?
        .query_row((space.tenant, space.product), |row| row.get(0))
        .optional()?;
    Ok(seq.unwrap_or(0))
}

/// Returns the number that [`take_seq`] will take in this transaction.
pub(super) fn next_seq(sql: &Connection, space: Space<'_>) -> Result<i64, StoreError> {
    Ok(current_seq(sql, space)? + 1)
}

pub(super) fn take_seq(
    sql: &Connection,
    space: Space<'_>,
    now: Timestamp,
) -> Result<i64, StoreError> {
    Ok(sql
        .prepare_cached(
            "insert into dp_seq values(?1, ?2, 1, ?3)
             on conflict do update set seq = seq + 1, applied_at = excluded.applied_at
             returning seq",
        )?
        .query_row((space.tenant, space.product, now.0), |row| row.get(0))?)
}

pub(super) fn touch(sql: &Connection, tags: &BTreeSet<String>, seq: i64) -> Result<(), StoreError> {
    let mut upsert = sql.prepare_cached(
        "insert into dp_tag values(?1, ?2) on conflict do update set version = excluded.version",
    )?;
    for tag in tags {
        upsert.execute((tag, seq))?;
    }
    Ok(())
}

fn mark_applied(
    sql: &Connection,
    work: &Work,
    outcome: &Outcome,
    seq: i64,
    now: Timestamp,
) -> Result<Applied, StoreError> {
    let (space, ended) = (work.space(), Ended::of(&work.claim, now));
    quarantine(sql, (space.tenant, space.product, work.claim.id), &outcome.conflicts)?;
    let mut counts = outcome.counts();
    counts.rejected = sql
        .prepare_cached(
            "update dp_batch set state = 'applied', unfinished = 0, error = null, rows_new = ?2,
               rows_duplicate = ?3, rows_late = ?4, rows_rejected = rows_rejected + ?5, finished_at = ?6,
               applied_seq = nullif(?7, 0), payload_until = ?8
             where id = ?1 returning rows_rejected",
        )?
        .query_row(
            (
                work.claim.id.as_bytes(),
                counts.new as i64,
                counts.duplicate as i64,
                counts.late as i64,
                counts.rejected as i64,
                ended.at.0,
                seq,
                ended.payload_until.0,
            ),
            |row| Ok(row.get::<_, i64>(0)?.unsigned_abs()),
        )?;
    Ok(Applied::Done(work.claim.id, counts))
}

/// Marks a batch as failed for good if its claim is still good; returns whether it was.
pub(super) fn mark_failed(
    sql: &Connection,
    ended: &Ended,
    reason: &str,
) -> Result<bool, StoreError> {
    let failed = sql
        .prepare_cached(
            "update dp_batch
             set state = 'failed', unfinished = 0, error = ?3, finished_at = ?4,
               payload_until = ?5
             where id = ?1 and state = 'running' and fence = ?2",
        )?
        .execute((
            ended.batch.as_bytes(),
            ended.fence,
            reason,
            ended.at.0,
            ended.payload_until.0,
        ))?;
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
