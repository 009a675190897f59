//! T2: all effects of claimed batches in one transaction.
//!
//! For each batch: is the claim still good, which rows are new. Then, for batches of one tenant and
//! contract together: fold and merge. Last: sequence, tags, notices, and the batches' state.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;
use tidegate_core::tag;
use tidegate_product::contract::View;
use tidegate_product::fold;

use crate::sqlite::claim;
use crate::sqlite::commit::{self, Ended};
use crate::sqlite::insert::insert_rows;
use crate::sqlite::merge::{Refused, merge};
use crate::sqlite::outbox;
use crate::transform::effects::{self, NewRows};
use crate::transform::space::Space;
use crate::transform::work::{Attempt, Work};
use crate::{Applied, Changes, Claim, StoreError};

/// Applies all batches whose claim is still good.
pub(super) fn apply(
    sql: &Connection,
    incarnation: &str,
    works: &[Work],
    now: Timestamp,
) -> Result<Changes, StoreError> {
    let mut applied = Vec::with_capacity(works.len());
    let mut held = Vec::with_capacity(works.len());
    for work in works {
        if is_held(sql, &work.claim)? {
            held.push(work);
        } else {
            claim::release(sql, work.claim.hold())?;
            applied.push(Applied::Overtaken(work.claim.id));
        }
    }
    let mut done = Attempt::default();
    match in_savepoint(sql, || attempt(sql, &held)) {
        Ok(attempt) => done = attempt,
        Err(Refused::Store(error)) => return Err(error),
        // Rare, so the cost of finding the batch that does it does not matter.
        Err(Refused::Overflow(_)) => {
            for work in &held {
                match in_savepoint(sql, || attempt(sql, &[*work])) {
                    Ok(attempt) => done.extend(attempt),
                    Err(Refused::Store(error)) => return Err(error),
                    Err(Refused::Overflow(overflow)) => {
                        let reason = overflow.to_string();
                        commit::mark_failed(sql, &Ended::of(&work.claim, now), &reason)?;
                        applied.push(Applied::Failed(work.claim.id, reason));
                    }
                }
            }
        }
    }
    let mut changes = commit::finish(sql, incarnation, done, now)?;
    applied.append(&mut changes.applied);
    let jobs: Vec<_> = applied.iter().filter_map(finished).collect();
    if !jobs.is_empty() {
        outbox::put_notice(sql, Notice::JobsFinished { jobs })?;
    }
    Ok(Changes { applied, ..changes })
}

fn finished(applied: &Applied) -> Option<uuid::Uuid> {
    match applied {
        Applied::Done(id, _) | Applied::Failed(id, _) => Some(*id),
        Applied::Overtaken(_) => None,
    }
}

/// Returns whether nobody has claimed or finished the batch since: without this, a worker that was
/// slow would apply what another has applied already.
fn is_held(sql: &Connection, claim: &Claim) -> Result<bool, StoreError> {
    Ok(sql
        .prepare_cached(
            "select exists(select 1 from dp_batch
                           where id = ?1 and state = 'running' and fence = ?2)",
        )?
        .query_row((claim.id.as_bytes(), claim.fence), |row| row.get(0))?)
}

/// Batches whose new rows are folded together: same space, contract and dataset.
type Shares<'a, 'b> = BTreeMap<(Space<'a>, i64, usize), (&'a Work, Vec<NewRows<'b>>)>;

/// Inserts rows and merges groups of all batches.
fn attempt<'a>(sql: &Connection, works: &[&'a Work]) -> Result<Attempt<'a>, Refused> {
    let mut attempt = Attempt::default();
    for work in works {
        attempt.outcomes.push((*work, insert_rows(sql, work)?));
    }
    let mut shares = Shares::new();
    for (work, outcome) in &attempt.outcomes {
        if !outcome.new.is_empty() {
            let share = (work.space(), work.claim.contract.version, work.claim.dataset);
            let (_, new) = shares.entry(share).or_insert_with(|| (*work, Vec::new()));
            new.push(NewRows { rows: &work.claim.rows, new: &outcome.new });
        }
    }
    for ((space, ..), (work, new)) in &shares {
        let tags = attempt.tags.entry(*space).or_default();
        tags.insert(tag::dataset(space.tenant, space.product, &work.dataset().name));
        for view in views_of(work) {
            if merge_view(sql, work, view, new, tags)? {
                attempt.views.insert((*space, view.name.as_str(), view.build.as_str()));
            }
        }
    }
    Ok(attempt)
}

/// Merges new rows into one view; returns whether any of them counts there.
fn merge_view(
    sql: &Connection,
    work: &Work,
    view: &View,
    new: &[NewRows<'_>],
    tags: &mut BTreeSet<String>,
) -> Result<bool, Refused> {
    let contract = &work.claim.contract.contract;
    let tenant = &work.claim.tenant;
    let deltas = effects::deltas(contract, view, new)?;
    if deltas.is_empty() {
        return Ok(false);
    }
    // The writer lock is held until the commit, so the next number is known before it is taken.
    let seq = commit::next_seq(sql, work.space())?;
    merge(sql, contract, view, tenant, &deltas, seq)?;
    tags.extend(fold::touched_tags(contract, view, tenant, &deltas));
    Ok(true)
}

fn views_of(work: &Work) -> impl Iterator<Item = &View> {
    let claim = &work.claim;
    claim.contract.contract.views.iter().filter(|view| view.dataset == claim.dataset)
}

/// Runs `work`, and undoes what it did if a sum overflowed.
fn in_savepoint<T>(
    sql: &Connection,
    work: impl FnOnce() -> Result<T, Refused>,
) -> Result<T, Refused> {
    sql.prepare_cached("savepoint attempt")?.execute(())?;
    let result = work();
    match &result {
        Ok(_) => {}
        Err(Refused::Overflow(_)) => {
            sql.prepare_cached("rollback to attempt")?.execute(())?;
        }
        // The transaction ends anyway; a full disk has ended it already.
        Err(Refused::Store(_)) => return result,
    }
    sql.prepare_cached("release attempt")?.execute(())?;
    result
}
