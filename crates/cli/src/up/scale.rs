//! Follows the backlog: asks the api how many workers the load asks for, and runs as many.

use std::net::SocketAddr;
use std::time::Duration;

use tidegate_core::scale::Signal;
use tidegate_core::shutdown::Shutdown;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::args::Workers;
use crate::up::fetch;
use crate::up::supervise::{Spec, Supervisor};
use crate::up::tier::Tier;

/// How often to look.
const EVERY: Duration = Duration::from_secs(2);

/// Fewer workers must have been enough for this long before one is stopped: a backlog that comes in
/// waves would else start and stop workers all the time.
const STEADY: Duration = Duration::from_secs(20);

/// Most workers that follow the backlog: more than cores only take turns.
const MOST: u32 = 16;

/// Keeps as many workers as are wanted.
pub(crate) struct Scaler<'a> {
    pub(crate) workers: Workers,
    pub(crate) api: SocketAddr,
    /// Makes the `n`th worker, counted from 1; the first one runs always.
    pub(crate) spec: &'a dyn Fn(u32) -> anyhow::Result<Spec>,
}

// === impl Scaler ===

impl Scaler<'_> {
    /// Starts and stops workers until `stop`.
    pub(crate) async fn follow(
        &self,
        supervisor: &mut Supervisor,
        stop: &Shutdown,
    ) -> anyhow::Result<()> {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut steady = Steady::default();
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let Some(signal) = fetch::json::<Signal>(self.api, tidegate_core::scale::PATH).await
            else {
                // The api starts again, or is busy: nothing is known, so nothing changes.
                continue;
            };
            let most = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
            let wanted = signal.desired.clamp(1, (most * 2).min(MOST));
            let running = supervisor.count(Tier::Worker);
            if wanted > running {
                self.grow(supervisor, running, wanted)?;
            } else if steady.allows(wanted, running, Instant::now()) {
                tracing::info!(workers.running = running - 1, "A worker is stopped.");
                supervisor.stop_last(Tier::Worker);
            }
        }
        Ok(())
    }

    /// Starts what is missing.
    pub(crate) fn start(&self, supervisor: &mut Supervisor) -> anyhow::Result<()> {
        match self.workers {
            Workers::Fixed(count) => self.grow(supervisor, 1, count),
            Workers::Auto => Ok(()),
        }
    }

    fn grow(&self, supervisor: &mut Supervisor, running: u32, wanted: u32) -> anyhow::Result<()> {
        for number in running + 1..=wanted {
            tracing::info!(workers.running = number, "A worker is started.");
            supervisor.add((self.spec)(number)?);
        }
        Ok(())
    }
}

/// Since when fewer workers have been enough.
#[derive(Debug, Default)]
struct Steady {
    since: Option<Instant>,
}

// === impl Steady ===

impl Steady {
    /// Says whether one worker may be stopped now; each needs its own time.
    fn allows(&mut self, wanted: u32, running: u32, now: Instant) -> bool {
        if wanted >= running {
            self.since = None;
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let allowed = now.duration_since(since) >= STEADY;
        if allowed {
            self.since = None;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_stopped_only_after_fewer_were_enough_for_a_while() {
        let (mut steady, start) = (Steady::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(!steady.allows(1, 3, at(0)));
        assert!(!steady.allows(1, 3, at(19)));
        assert!(!steady.allows(3, 3, at(20)), "a wave begins the wait anew");
        assert!(!steady.allows(1, 3, at(21)));
        assert!(steady.allows(1, 3, at(41)));
        assert!(!steady.allows(1, 2, at(42)), "the next one has its own wait");
    }
}
