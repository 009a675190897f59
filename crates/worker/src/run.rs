//! Does the work of each kind of job.

mod alone;
mod ingest;
mod lease;
mod probe;
mod reconcile;
mod refresh;
mod step;

use async_trait::async_trait;

#[cfg(test)]
pub(crate) use self::ingest::Batches;
pub(crate) use self::ingest::Ingest;
pub(crate) use self::probe::Probe;
pub(crate) use self::reconcile::{Cancellations, Reconcile};
pub(crate) use self::refresh::Refresh;
use crate::consume::{Run, Runner};
use crate::kinds::Kind;
use crate::settle::Outcome;

/// Hands each run to the code of its kind.
pub(crate) struct Dispatch {
    pub(crate) ingest: Ingest<dyn tidegate_store::Store>,
    pub(crate) refresh: Refresh,
    pub(crate) probe: Probe,
    pub(crate) reconcile: Reconcile,
}

#[async_trait]
impl Runner for Dispatch {
    async fn run(&self, run: Run) -> Vec<Outcome> {
        match run.permit.kind() {
            Kind::Ingest => self.ingest.run(run).await,
            Kind::Refresh => self.refresh.run(run).await,
            Kind::Probe => self.probe.run(run).await,
            Kind::Reconcile => self.reconcile.run(run).await,
        }
    }
}
