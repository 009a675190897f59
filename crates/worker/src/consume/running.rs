//! Runs that have begun.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_queue::Delivery;
use tokio::sync::RwLock;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, timeout};

use super::{Run, Runner};
use crate::error::JobError;
use crate::kinds::{Kind, Kinds};
use crate::settle::Outcome;
use crate::slots::Permit;

/// Runs of one lane, each a task of its own: one that panics takes no other with it.
pub(super) struct Running<R> {
    runner: Arc<R>,
    kinds: Arc<Kinds>,
    gate: Arc<RwLock<()>>,
    tasks: JoinSet<Vec<Outcome>>,
    held: HashMap<Id, Held>,
}

/// What a run works on.
struct Held {
    kind: Kind,
    deliveries: Arc<[Delivery]>,
    started: Instant,
    /// Its deliveries belong to a consumer that is gone.
    disowned: bool,
}

/// A run that ended.
pub(super) struct Ended {
    pub(super) kind: Kind,
    pub(super) deliveries: Arc<[Delivery]>,
    /// One for each delivery.
    pub(super) outcomes: Vec<Outcome>,
    pub(super) elapsed: Duration,
}

// === impl Running ===

impl<R: Runner> Running<R> {
    pub(super) fn new(runner: Arc<R>, kinds: Arc<Kinds>) -> Self {
        let gate = Arc::default();
        Self { runner, kinds, gate, tasks: JoinSet::new(), held: HashMap::new() }
    }

    /// Starts a run, which is cut when it takes too long.
    pub(super) fn start(&mut self, permit: Permit, deliveries: Vec<Delivery>) {
        let kind = permit.kind();
        let deliveries: Arc<[Delivery]> = deliveries.into();
        let (runner, limit) = (Arc::clone(&self.runner), self.kinds.of(kind).timeout.hard);
        let gate = Arc::clone(&self.gate);
        let run = Run { permit, deliveries: Arc::clone(&deliveries), gate };
        let task = self.tasks.spawn(async move {
            let count = run.deliveries.len();
            timeout(limit, runner.run(run))
                .await
                .unwrap_or_else(|_| vec![Outcome::from(&JobError::TimedOut(limit)); count])
        });
        let held = Held { kind, deliveries, started: Instant::now(), disowned: false };
        self.held.insert(task.id(), held);
    }

    /// Waits until runs have ended; `None` if there are none. Cancel safe.
    pub(super) async fn ended(&mut self) -> Option<Vec<Ended>> {
        let mut joined = Some(self.tasks.join_next_with_id().await?);
        let mut ended = Vec::new();
        while let Some(result) = joined {
            ended.extend(self.end(result));
            joined = self.tasks.try_join_next_with_id();
        }
        Some(ended)
    }

    /// Forgets whose the deliveries are: the runs end, and nothing is settled.
    pub(super) fn disown(&mut self) {
        self.held.values_mut().for_each(|held| held.disowned = true);
    }

    fn end(&mut self, result: Result<(Id, Vec<Outcome>), JoinError>) -> Option<Ended> {
        let (id, outcomes) = match result {
            Ok((id, outcomes)) => (id, Ok(outcomes)),
            Err(error) => (error.id(), Err(JobError::from(error))),
        };
        let Held { kind, deliveries, started, disowned } = self.held.remove(&id)?;
        let outcomes =
            outcomes.unwrap_or_else(|error| vec![Outcome::from(&error); deliveries.len()]);
        let elapsed = started.elapsed();
        (!disowned).then_some(Ended { kind, deliveries, outcomes, elapsed })
    }
}
