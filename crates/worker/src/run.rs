//! Does the work of each kind of job.

mod alone;
mod ingest;
mod probe;
mod refresh;
mod step;

use async_trait::async_trait;

#[cfg(test)]
pub(crate) use self::ingest::Batches;
pub(crate) use self::ingest::Ingest;
pub(crate) use self::probe::Probe;
pub(crate) use self::refresh::Refresh;
use crate::consume::{Run, Runner};
use crate::kinds::{Kind, Unreadable};
use crate::settle::Outcome;

/// Hands each run to the code of its kind.
pub(crate) struct Dispatch {
    pub(crate) ingest: Ingest<dyn tidegate_store::Store>,
    pub(crate) refresh: Refresh,
    pub(crate) probe: Probe,
}

#[async_trait]
impl Runner for Dispatch {
    async fn run(&self, run: Run) -> Vec<Outcome> {
        match run.permit.kind() {
            Kind::Ingest => self.ingest.run(run).await,
            Kind::Refresh => self.refresh.run(run).await,
            Kind::Probe => self.probe.run(run).await,
            Kind::Reconcile => {
                let reason = "views are not reconciled by this release".to_owned();
                let parked = Outcome::Unreadable(Unreadable::Parked(reason));
                vec![parked; run.deliveries.len()]
            }
        }
    }
}
