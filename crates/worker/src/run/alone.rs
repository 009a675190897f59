//! Runs short jobs so that one that ends its worker takes few others with it.
//!
//! A job that was handed out before may be why its worker went away. That it runs is noted in the
//! store first; noted twice, it runs with nothing beside it; noted too often, it runs no more.

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use tidegate_queue::Delivery;
use tidegate_store::SharedStore;
use tokio::sync::RwLock;

use super::step::within;
use crate::settle::Outcome;

/// Noted so often, a job runs alone.
const ALONE: u32 = 2;

/// Noted more often, a job is kept aside.
const MOST: u32 = 3;

/// What is done with deliveries that may run together.
#[async_trait]
pub(super) trait Work: Sync {
    /// Does it; returns how each ended, in their order.
    async fn work(&self, deliveries: &[&Delivery]) -> Vec<Outcome>;
}

/// How a redelivered job may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Suspicion {
    Together,
    Alone,
    Never,
}

/// Does `work` on `deliveries`. `gate` is held by everything that runs in the same lane.
pub(super) async fn run(
    store: &SharedStore,
    gate: &RwLock<()>,
    deliveries: &[Delivery],
    work: &dyn Work,
) -> Vec<Outcome> {
    let (mut ended, mut together) = (vec![None; deliveries.len()], Vec::new());
    for (place, delivery) in deliveries.iter().enumerate() {
        match suspicion(store, delivery).await {
            Ok(Suspicion::Together) => together.push(place),
            // Before the next one is noted: whoever is noted must be about to run.
            Ok(Suspicion::Alone) => {
                let _alone = gate.write().await;
                ended[place] = work.work(&[delivery]).await.pop();
                acquit(store, [delivery]).await;
            }
            Ok(Suspicion::Never) => {
                let reason = format!("more than {MOST} workers that ran the job have died");
                ended[place] = Some(Outcome::Crashed(reason));
            }
            Err(outcome) => ended[place] = Some(outcome),
        }
    }
    if !together.is_empty() {
        let _beside = gate.read().await;
        let chosen: Vec<&Delivery> = together.iter().map(|place| &deliveries[*place]).collect();
        for (place, outcome) in together.iter().zip(work.work(&chosen).await) {
            ended[*place] = Some(outcome);
        }
        acquit(store, chosen).await;
    }
    ended.into_iter().map(|outcome| outcome.unwrap_or(Outcome::NotBegun)).collect()
}

async fn suspicion(store: &SharedStore, delivery: &Delivery) -> Result<Suspicion, Outcome> {
    if !delivery.redelivered {
        return Ok(Suspicion::Together);
    }
    let job = &delivery.job;
    let noted = within(store.suspect(job.id, job.generation, Timestamp::now())).await;
    Ok(weigh(noted.map_err(|error| Outcome::from(&error))?))
}

fn weigh(noted: u32) -> Suspicion {
    match noted {
        0..ALONE => Suspicion::Together,
        ALONE..=MOST => Suspicion::Alone,
        _ => Suspicion::Never,
    }
}

/// Forgets suspicions of jobs that ended, in whatever way: they let their worker live.
async fn acquit(store: &SharedStore, ended: impl IntoIterator<Item = &Delivery>) {
    let noted = ended.into_iter().filter(|delivery| delivery.redelivered);
    let jobs: Vec<_> = noted.map(|held| (held.job.id, held.job.generation)).collect();
    if jobs.is_empty() {
        return;
    }
    if let Err(error) = within(store.acquit(&jobs)).await {
        tracing::debug!(error = error.chain(), jobs = jobs.len(), "Suspicions were not dropped.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(noted: u32, expected: Suspicion) {
        assert_eq!(weigh(noted), expected, "{noted}");
    }

    #[test]
    fn a_job_that_workers_died_of_runs_alone_and_then_no_more() {
        check(1, Suspicion::Together);
        check(2, Suspicion::Alone);
        check(3, Suspicion::Alone);
        check(4, Suspicion::Never);
        check(u32::MAX, Suspicion::Never);
    }
}
