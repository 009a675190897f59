//! What consuming promises, on a real queue: with ingest on a store whose failures are chosen, and
//! with work that ends as the test says.

mod ingest;
mod scripted;

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidegate_core::job::{INGEST, Job, Lane};
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::{Depth, SharedQueue, SqliteQueue};
use tokio::task::JoinHandle;

use crate::consume::{Connections, Runner, Shared, consume};
use crate::fixture::job;
use crate::kinds::Kinds;
use crate::ledger::Ledger;
use crate::slots::{Plan, Slots};

/// Longer than any step takes; reached only by what never happens.
const NEVER: Duration = Duration::from_secs(20);

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(2);

/// One lane's consumer on a queue of its own.
struct Worker<R> {
    directory: TempDir,
    queue: SharedQueue,
    runner: Arc<R>,
    stop: Shutdown,
    consuming: JoinHandle<()>,
}

/// How a test's worker differs from others.
#[derive(Clone)]
struct Setting {
    lane: Lane,
    prefetch: usize,
    kinds: Kinds,
    release: Option<&'static str>,
    canary: bool,
}

// === impl Setting ===

impl Default for Setting {
    fn default() -> Self {
        let (release, canary) = (None, false);
        Self { lane: Lane::Default, prefetch: 64, kinds: Kinds::default(), release, canary }
    }
}

// === impl Worker ===

impl<R: Runner> Worker<R> {
    /// Starts a consumer on a new queue that holds `jobs`.
    async fn start(runner: R, stop: Shutdown, jobs: &[Job], setting: Setting) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let queue = SqliteQueue::open(&directory.path().join("queue.db")).unwrap();
        let queue: SharedQueue = Arc::new(queue);
        let release = setting.release.map(str::to_owned);
        let shared = Shared {
            queue: Arc::clone(&queue),
            slots: Slots::new(Plan::new(8, 1, &setting.kinds)),
            kinds: Arc::new(setting.kinds),
            ledger: Arc::new(Ledger::new()),
            connections: Connections::default(),
            stop: stop.clone(),
            canary: release.clone().filter(|_| setting.canary),
            release,
        };
        let runner = Arc::new(runner);
        let consuming = consume(shared, setting.lane, setting.prefetch, Arc::clone(&runner));
        if setting.canary {
            // Jobs of a canary wait for it once it has consumed.
            let source = tidegate_queue::Source { lane: setting.lane, canary: setting.release };
            drop(queue.consume(source, 1).await.unwrap());
        }
        queue.publish(jobs).await.unwrap();
        Self { directory, queue, runner, stop, consuming: tokio::spawn(consuming) }
    }

    /// Returns how many jobs are ready, held and kept aside in the lane of ingest.
    async fn depth(&self) -> (u64, u64, u64) {
        let depths = self.queue.depth().await.unwrap();
        let Depth { ready, unacked, .. } = depths.stable(Lane::Default).unwrap();
        (*ready, *unacked, depths.unfiled)
    }

    /// Waits until the queue holds so many ready, unacked and dead jobs.
    #[track_caller]
    fn settled(&self, expected: (u64, u64, u64)) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        async move {
            let reached = async {
                while self.depth().await != expected {
                    tokio::time::sleep(LOOK).await;
                }
            };
            if tokio::time::timeout(NEVER, reached).await.is_err() {
                panic!("{:?} instead of {expected:?} at {caller}", self.depth().await);
            }
        }
    }

    async fn stop(self) -> Stopped<R> {
        self.stop.cancel();
        tokio::time::timeout(NEVER, self.consuming).await.unwrap().unwrap();
        Stopped { _directory: self.directory, queue: self.queue, runner: self.runner }
    }
}

/// A worker that was stopped, and what it left.
struct Stopped<R> {
    _directory: TempDir,
    queue: SharedQueue,
    runner: Arc<R>,
}

fn jobs(count: usize) -> Vec<Job> {
    (0..count).map(|_| job(INGEST)).collect()
}
