//! T2: all effects of claimed batches in one transaction.
//!
//! Locks are taken in one order by every writer: batches by id, rows by key, groups by name, and
//! last the product's sequence. So none waits for one that waits for it.

use std::collections::BTreeMap;
use std::time::Duration;

use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;
use tidegate_core::tag;
use tidegate_product::contract::View;
use tidegate_product::error::Overflow;
use tidegate_product::fold::{self, Delta};
use uuid::Uuid;

use crate::postgres::claim;
use crate::postgres::commit::{self, Ended};
use crate::postgres::fault::Fault;
use crate::postgres::insert::insert_rows;
use crate::postgres::merge::{find_overflow, merge};
use crate::postgres::outbox;
use crate::postgres::pool::{Pool, Session};
use crate::transform::effects::{self, NewRows};
use crate::transform::space::Space;
use crate::transform::work::{Attempt, Work};
use crate::{Applied, Changes, Counts};

/// The longest that a transaction may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Why batches could not be applied.
enum Refused<'a> {
    /// A sum leaves the range of 64 bits: the batch is at fault.
    Overflow(Overflow),
    /// The database says the same of a view, and not of which group.
    Range { work: &'a Work, view: &'a View, deltas: Vec<Delta> },
    /// The database could not do it.
    Fault(Fault),
}

/// Applies all batches whose claim is still good.
pub(super) async fn apply(
    pool: &Pool,
    incarnation: &str,
    works: &[Work],
    now: Timestamp,
) -> Result<Changes, Fault> {
    let session = pool.begin(LIMIT).await?;
    let (held, mut applied) = hold(&session, works).await?;
    match attempt(&session, &held).await {
        Ok(attempt) => {
            let mut changes = commit::finish(&session, incarnation, attempt, now).await?;
            applied.append(&mut changes.applied);
            finish(session, Changes { applied, ..changes }).await
        }
        Err(Refused::Fault(fault)) if !matches!(fault, Fault::Data(_)) => Err(fault),
        // Rare, so the cost of finding the batch that does it does not matter.
        Err(_) => {
            drop(session);
            apply_one_by_one(pool, incarnation, works, now).await
        }
    }
}

/// Applies batches in one transaction, each undone by itself if it is at fault.
async fn apply_one_by_one(
    pool: &Pool,
    incarnation: &str,
    works: &[Work],
    now: Timestamp,
) -> Result<Changes, Fault> {
    let session = pool.begin(LIMIT).await?;
    let (held, mut applied) = hold(&session, works).await?;
    let mut done = Attempt::default();
    for work in held {
        session.batch("savepoint attempt").await?;
        match attempt(&session, &[work]).await {
            Ok(attempt) => {
                session.batch("release attempt").await?;
                done.extend(attempt);
            }
            Err(refused) => {
                session.batch("rollback to attempt; release attempt").await?;
                let reason = reason(&session, refused).await?;
                commit::mark_failed(&session, &Ended::of(&work.claim, now), &reason).await?;
                applied.push(Applied::Failed(work.claim.id, reason));
            }
        }
    }
    let mut changes = commit::finish(&session, incarnation, done, now).await?;
    applied.append(&mut changes.applied);
    finish(session, Changes { applied, ..changes }).await
}

async fn finish(session: Session<'_>, changes: Changes) -> Result<Changes, Fault> {
    let jobs: Vec<_> = changes.applied.iter().filter_map(finished).collect();
    if !jobs.is_empty() {
        outbox::put_notice(&session, Notice::JobsFinished { jobs }).await?;
    }
    session.commit().await?;
    Ok(changes)
}

fn finished(applied: &Applied) -> Option<Uuid> {
    match applied {
        Applied::Done(id, _) | Applied::Failed(id, _) => Some(*id),
        Applied::Overtaken(_) => None,
    }
}

/// Says why a batch can't be applied; a fault that is not the batch's goes on.
async fn reason(session: &Session<'_>, refused: Refused<'_>) -> Result<String, Fault> {
    match refused {
        Refused::Overflow(overflow) => Ok(overflow.to_string()),
        Refused::Range { work, view, deltas } => {
            let contract = &work.claim.contract.contract;
            let tenant = &work.claim.tenant;
            let found = find_overflow(session, contract, view, tenant, &deltas).await?;
            Ok(found.unwrap_or_else(|| fold::overflow(view, &[])).to_string())
        }
        Refused::Fault(Fault::Data(reason)) => Ok(reason),
        Refused::Fault(fault) => Err(fault),
    }
}

/// Locks the batches whose claim is still good: those that nobody has claimed or finished since.
/// Without this, a worker that was slow would apply what another has applied already.
///
/// What this claim itself has applied is no news but done: its commit came about although the
/// answer was lost.
async fn hold<'a>(
    session: &Session<'_>,
    works: &'a [Work],
) -> Result<(Vec<&'a Work>, Vec<Applied>), Fault> {
    let ids: Vec<Uuid> = works.iter().map(|work| work.claim.id).collect();
    let rows = session
        .query(
            "select id, state, fence, rows_new, rows_duplicate, rows_late, rows_rejected
             from dp_batch where id = any($1) order by id for update",
            &[&ids],
        )
        .await?;
    let mut found = BTreeMap::new();
    for row in &rows {
        let count = |column: usize| row.try_get::<_, i64>(column).map(i64::unsigned_abs);
        let (state, fence): (&str, i64) = (row.try_get(1)?, row.try_get(2)?);
        let counts =
            Counts { new: count(3)?, duplicate: count(4)?, late: count(5)?, rejected: count(6)? };
        found.insert(row.try_get::<_, Uuid>(0)?, (state, fence, counts));
    }
    let (mut held, mut applied) = (Vec::with_capacity(works.len()), Vec::new());
    let mut overtaken = Vec::new();
    for work in works {
        let id = work.claim.id;
        match found.get(&id) {
            Some(("running", fence, _)) if *fence == work.claim.fence => held.push(work),
            Some(("applied", fence, counts)) if *fence == work.claim.fence => {
                applied.push(Applied::Done(id, *counts));
            }
            _ => {
                overtaken.push(work.claim.hold());
                applied.push(Applied::Overtaken(id));
            }
        }
    }
    if !overtaken.is_empty() {
        claim::release(session, &overtaken).await?;
    }
    Ok((held, applied))
}

/// Batches whose new rows are folded together: same space, contract and dataset.
type Shares<'a> = BTreeMap<(Space<'a>, &'a str, i64), Vec<&'a Work>>;

/// Inserts rows of all batches, and then merges groups of all.
async fn attempt<'a>(
    session: &Session<'_>,
    works: &[&'a Work],
) -> Result<Attempt<'a>, Refused<'a>> {
    let mut shares = Shares::new();
    for &work in works {
        let share = (work.space(), work.dataset().name.as_str(), work.claim.contract.version);
        shares.entry(share).or_default().push(work);
    }
    let mut attempt = Attempt::default();
    let mut ends = Vec::with_capacity(shares.len());
    for works in shares.values() {
        let outcomes = insert_rows(session, works).await?;
        attempt.outcomes.extend(works.iter().copied().zip(outcomes));
        ends.push(attempt.outcomes.len());
    }
    let mut begin = 0;
    for ((space, ..), end) in shares.keys().zip(ends) {
        let outcomes = &attempt.outcomes[std::mem::replace(&mut begin, end)..end];
        let Some((work, _)) = outcomes.first() else { continue };
        let new: Vec<NewRows<'_>> = outcomes
            .iter()
            .filter(|(_, outcome)| !outcome.new.is_empty())
            .map(|(work, outcome)| NewRows { rows: &work.claim.rows, new: &outcome.new })
            .collect();
        if new.is_empty() {
            continue;
        }
        let tags = attempt.tags.entry(*space).or_default();
        tags.insert(tag::dataset(space.tenant, space.product, &work.dataset().name));
        for view in views_of(work) {
            let touched = merge_view(session, work, view, &new).await?;
            if !touched.is_empty() {
                tags.extend(touched);
                attempt.views.insert((*space, view.name.as_str(), view.build.as_str()));
            }
        }
    }
    Ok(attempt)
}

/// Merges new rows into one view; returns the tags of what they touch there.
async fn merge_view<'a>(
    session: &Session<'_>,
    work: &'a Work,
    view: &'a View,
    new: &[NewRows<'_>],
) -> Result<Vec<String>, Refused<'a>> {
    let contract = &work.claim.contract.contract;
    let tenant = &work.claim.tenant;
    let deltas = effects::deltas(contract, view, new)?;
    if deltas.is_empty() {
        return Ok(Vec::new());
    }
    match merge(session, contract, view, tenant, &deltas).await {
        Ok(()) => Ok(fold::touched_tags(contract, view, tenant, &deltas)),
        Err(Fault::Data(_)) => Err(Refused::Range { work, view, deltas }),
        Err(fault) => Err(fault.into()),
    }
}

fn views_of(work: &Work) -> impl Iterator<Item = &View> {
    let claim = &work.claim;
    claim.contract.contract.views.iter().filter(|view| view.dataset == claim.dataset)
}

// === impl Refused ===

impl From<Overflow> for Refused<'_> {
    fn from(overflow: Overflow) -> Self {
        Self::Overflow(overflow)
    }
}

impl From<Fault> for Refused<'_> {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}
