//! Says regularly that this worker lives, how busy it is, and how long jobs take.

use std::sync::Arc;

use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, Lane};
use tidegate_core::shutdown::Shutdown;
use tidegate_store::{BEAT_EVERY, LaneBeat, SharedStore, WorkerBeat};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::ledger::Ledger;
use crate::slots::Slots;

/// What a heartbeat tells.
pub(crate) struct Heart {
    pub(crate) id: String,
    pub(crate) arm: Arm,
    pub(crate) release: Option<String>,
    pub(crate) started_at: Timestamp,
    pub(crate) slots: Arc<Slots>,
    pub(crate) ledger: Arc<Ledger>,
    /// Cancelled once the worker takes no more jobs.
    pub(crate) stop: Shutdown,
}

// === impl Heart ===

impl Heart {
    /// Beats until `shutdown`, and at once when the worker stops taking jobs.
    pub(crate) async fn run(self, store: SharedStore, shutdown: Shutdown) {
        let mut ticks = interval(BEAT_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut failing, mut told) = (false, false);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.stop.cancelled(), if !told => {}
                _ = ticks.tick() => {}
            }
            let beat = self.beat();
            told = beat.draining;
            let problem = match timeout(BEAT_EVERY, store.beat(&beat, Timestamp::now())).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("it took too long".to_owned()),
            };
            if let (Some(problem), false) = (&problem, failing) {
                tracing::warn!(error = problem, "Heartbeat could not be written.");
            }
            failing = problem.is_some();
        }
    }

    fn beat(&self) -> WorkerBeat {
        let lanes = Lane::ALL.map(|lane| LaneBeat {
            lane,
            busy: self.slots.busy(lane),
            p50_us: u64::try_from(self.ledger.p50(lane).as_micros()).unwrap_or(u64::MAX),
        });
        WorkerBeat {
            id: self.id.clone(),
            arm: self.arm,
            release: self.release.clone(),
            started_at: self.started_at,
            slots: self.slots.total(),
            busy: lanes.iter().map(|lane| lane.busy).sum(),
            lanes: lanes.to_vec(),
            draining: self.stop.is_cancelled(),
        }
    }
}
