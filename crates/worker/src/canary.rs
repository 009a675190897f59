//! Canary releases that are revoked: their own workers stop, stable ones take their jobs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Arm;
use tidegate_core::shutdown::{DRAIN, Shutdown};
use tidegate_queue::SharedQueue;
use tidegate_store::SharedStore;
use tokio::sync::Notify;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

/// How often the store is asked: a notice may be missed.
const EVERY: Duration = Duration::from_secs(1);

/// How long the store may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long jobs are moved after a revocation was heard of: what the canary's workers hold they
/// finish or give back by then.
const MOVING: Duration = Duration::from_secs(DRAIN.as_secs() + 10);

/// What a worker of a canary release is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Canary {
    /// The release whose canary jobs it takes.
    pub(crate) release: String,
    /// Revocations up to this one are older than its deployment.
    pub(crate) epoch: u64,
}

/// Revocations as they become known.
#[derive(Clone, Default)]
pub(crate) struct Revocations(Arc<Shared>);

#[derive(Default)]
struct Shared {
    known: Mutex<BTreeMap<String, Known>>,
    heard: Notify,
}

/// A revocation.
#[derive(Clone, Copy, Debug)]
struct Known {
    epoch: u64,
    /// Jobs are moved until then.
    until: Instant,
    /// It was there when this worker started: the release may have been deployed again since.
    old: bool,
}

// === impl Revocations ===

impl Revocations {
    /// Notes a revocation, unless the same or a later one is known.
    pub(crate) fn heard(&self, release: String, epoch: u64) {
        self.note(release, epoch, false);
    }

    fn note(&self, release: String, epoch: u64, old: bool) {
        let mut known = self.0.known.lock();
        if known.get(&release).is_some_and(|known| known.epoch >= epoch) {
            return;
        }
        known.insert(release, Known { epoch, until: Instant::now() + MOVING, old });
        drop(known);
        self.0.heard.notify_one();
    }

    fn is_revoked(&self, canary: &Canary) -> bool {
        let known = self.0.known.lock();
        known.get(&canary.release).is_some_and(|known| known.epoch > canary.epoch)
    }

    /// Returns the releases whose jobs are to be moved at `now`. `at_work` are those with canary
    /// workers that take jobs: an old revocation is not about them.
    fn to_move(&self, now: Instant, at_work: &[String]) -> Vec<String> {
        let known = self.0.known.lock();
        let is_due = |(release, known): &(&String, &Known)| {
            now < known.until && !(known.old && at_work.contains(release))
        };
        known.iter().filter(is_due).map(|(release, _)| release.clone()).collect()
    }

    /// Waits for the next look at the revocations.
    async fn next(&self, ticks: &mut Interval, store: &SharedStore) {
        tokio::select! {
            () = self.0.heard.notified() => {}
            _ = ticks.tick() => self.look(store, false).await,
        }
    }

    /// Asks the store.
    async fn look(&self, store: &SharedStore, old: bool) {
        match timeout(PATIENCE, store.revoked_canaries()).await {
            Ok(Ok(revoked)) => {
                revoked.into_iter().for_each(|(release, epoch)| self.note(release, epoch, old));
            }
            Ok(Err(error)) => {
                tracing::debug!(error = %error, "Revocations could not be looked up.");
            }
            Err(_) => tracing::debug!("Looking up revocations took too long."),
        }
    }
}

fn ticks() -> Interval {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Watches a canary's own release; returns once it is revoked.
pub(crate) async fn revoked(canary: &Canary, revocations: &Revocations, store: &SharedStore) {
    let mut ticks = ticks();
    while !revocations.is_revoked(canary) {
        revocations.next(&mut ticks, store).await;
    }
}

/// Moves the jobs of revoked canaries to stable workers, until `shutdown`.
pub(crate) async fn take_over(
    revocations: Revocations,
    store: SharedStore,
    queue: SharedQueue,
    shutdown: Shutdown,
) {
    let mut ticks = ticks();
    revocations.look(&store, true).await;
    while shutdown.run_until_cancelled(revocations.next(&mut ticks, &store)).await.is_some() {
        if revocations.to_move(Instant::now(), &[]).is_empty() {
            continue;
        }
        let at_work = at_work(&store).await;
        for release in revocations.to_move(Instant::now(), &at_work) {
            move_jobs(&queue, &release).await;
        }
    }
}

/// Returns the releases with canary workers that take jobs.
async fn at_work(store: &SharedStore) -> Vec<String> {
    let workers = timeout(PATIENCE, store.workers(Timestamp::now())).await;
    let Ok(Ok(workers)) = workers else { return Vec::new() };
    let taking = workers.into_iter().filter(|beat| beat.arm == Arm::Canary && !beat.draining);
    taking.filter_map(|beat| beat.release).collect()
}

async fn move_jobs(queue: &SharedQueue, release: &str) {
    match queue.revoke_canary(release).await {
        Ok(0) => {}
        Ok(jobs) => tracing::info!(release.id = release, jobs, "Canary's jobs moved to stable."),
        Err(error) => {
            tracing::warn!(release.id = release, error = %error, "Canary's jobs were not moved.");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canary(epoch: u64) -> Canary {
        Canary { release: "r3".to_owned(), epoch }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_later_revocation_stops_a_release_that_was_deployed_again() {
        let revocations = Revocations::default();
        assert!(!revocations.is_revoked(&canary(0)));
        revocations.heard("r3".to_owned(), 4);
        revocations.heard("r3".to_owned(), 2);
        for (epoch, revoked) in [(0, true), (3, true), (4, false), (5, false)] {
            assert_eq!(revocations.is_revoked(&canary(epoch)), revoked, "{epoch}");
        }
        let other = Canary { release: "r4".to_owned(), epoch: 0 };
        assert!(!revocations.is_revoked(&other));
    }

    #[tokio::test(start_paused = true)]
    async fn jobs_are_moved_until_the_canary_s_workers_have_given_back_theirs() {
        let (revocations, now) = (Revocations::default(), Instant::now());
        revocations.heard("r3".to_owned(), 1);
        assert_eq!(revocations.to_move(now + DRAIN, &[]), ["r3"]);
        assert!(revocations.to_move(now + MOVING, &[]).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_release_at_work_again_keeps_its_jobs_after_an_old_revocation() {
        let (revocations, now) = (Revocations::default(), Instant::now());
        let at_work = ["r3".to_owned()];
        revocations.note("r3".to_owned(), 1, true);
        assert!(revocations.to_move(now, &at_work).is_empty());
        assert_eq!(revocations.to_move(now, &[]), ["r3"]);
        revocations.heard("r3".to_owned(), 2);
        assert_eq!(revocations.to_move(now, &at_work), ["r3"]);
    }
}
