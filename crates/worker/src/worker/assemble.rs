//! Which parts a worker has.

use std::sync::Arc;

use tidegate_core::backend::StoreBackend;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::Lane;
use tidegate_core::outbox::OutboxSource;
use tidegate_core::shutdown::{Shutdown, TaskTracker};
use tidegate_ops::Check;
use tidegate_queue::SharedQueue;
use tidegate_store::SharedStore;
use uuid::Uuid;

use super::{Parts, checks, named};
use crate::api::Api;
use crate::canary::{self, Revocations};
use crate::config::Config;
use crate::consume::{Connections, Shared, consume};
use crate::heartbeat::Heart;
use crate::kinds::Kind;
use crate::ledger::Ledger;
use crate::notices::Notices;
use crate::run::{Cancellations, Dispatch, Ingest, Probe, Reconcile, Refresh};
use crate::schedule::Template;
use crate::slots::{Plan, Slots};
use crate::write_back::{Purged, WriteBack};
use crate::{backlog, dead_letters, schedule, sweep};

/// All that the parts of a worker are made of.
pub(super) struct Assembly {
    config: Config,
    /// Unique among all processes.
    id: Arc<str>,
    store: SharedStore,
    queue: SharedQueue,
    lanes: Shared,
    purged: Purged,
    write_back: Option<WriteBack>,
    cancellations: Cancellations,
    revocations: Revocations,
    shutdown: Shutdown,
}

// === impl Assembly ===

impl Assembly {
    pub(super) fn new(
        config: Config,
        store: SharedStore,
        queue: SharedQueue,
        shutdown: &Shutdown,
    ) -> Self {
        let plan = Plan::new(config.consume.slots, config.consume.long_slots.get(), &config.kinds);
        let release = config.release.id.clone();
        let lanes = Shared {
            queue: Arc::clone(&queue),
            slots: Slots::new(plan),
            kinds: Arc::new(config.kinds.clone()),
            ledger: Arc::new(Ledger::new()),
            connections: Connections::default(),
            // Ends with the process, or before it when a canary's release is revoked.
            stop: shutdown.child_token(),
            canary: config.release.canary().map(|canary| canary.release),
            release: release.clone(),
        };
        let (purged, write_back) = if config.arrows.worker_to_edge {
            let arm = config.release.arm;
            let (purged, write_back) =
                WriteBack::new(Arc::clone(&store), Arc::clone(&queue), release, arm);
            (purged, Some(write_back))
        } else {
            (Purged::default(), None)
        };
        Self {
            config,
            id: Uuid::now_v7().to_string().into(),
            store,
            queue,
            lanes,
            purged,
            write_back,
            cancellations: Cancellations::default(),
            revocations: Revocations::default(),
            shutdown: shutdown.clone(),
        }
    }

    /// Starts a consumer for each lane; returns the tracker of jobs that go on without one.
    pub(super) fn start_lanes(&self, parts: &mut Parts) -> TaskTracker {
        let tracker = TaskTracker::new();
        let runner = Arc::new(self.dispatch(tracker.clone()));
        for lane in Lane::ALL {
            let prefetch = match lane {
                Lane::High | Lane::Default | Lane::Low => self.config.consume.prefetch.get().into(),
                // What can't be begun at once is better begun elsewhere.
                Lane::Long => 1,
            };
            let consuming = consume(self.lanes.clone(), lane, prefetch, Arc::clone(&runner));
            let shutdown = self.shutdown.clone();
            parts.spawn(named("consumer", async move {
                consuming.await;
                // A canary that was revoked has no consumers, and stays.
                shutdown.cancelled().await;
            }));
        }
        tracker
    }

    fn dispatch(&self, tracker: TaskTracker) -> Dispatch {
        let (config, stop) = (&self.config, &self.lanes.stop);
        // One file has one writer; a server commits several transactions at a time.
        let appliers = match config.store {
            StoreBackend::Sqlite(_) => 1,
            StoreBackend::Postgres(_) => 2,
        };
        let api = config.arrows.worker_to_api.then(|| Api::new(config.api.clone())).flatten();
        let store = || Arc::clone(&self.store);
        Dispatch {
            ingest: Ingest::new(store(), appliers, self.purged.clone(), stop.clone()),
            refresh: Refresh::new(store(), api, stop.clone()),
            probe: Probe::new(store(), config.probe_may_crash, stop.clone()),
            reconcile: Reconcile {
                store: store(),
                worker: Arc::clone(&self.id),
                spec: config.kinds.of(Kind::Reconcile).clone(),
                share_percent: config.reconcile.share_percent,
                cancellations: self.cancellations.clone(),
                stop: stop.clone(),
                tracker,
            },
        }
    }

    /// Starts what ends with the shutdown. What one worker does for all is for stable ones: they
    /// are known to work.
    pub(super) fn start_duties(&self, parts: &mut Parts) {
        let (store, queue) = (|| Arc::clone(&self.store), || Arc::clone(&self.queue));
        let (shutdown, revocations) = (|| self.shutdown.clone(), self.revocations.clone());
        let notices = Notices {
            queue: queue(),
            cancellations: self.cancellations.clone(),
            revocations: self.revocations.clone(),
        };
        parts.spawn(named("subscription", notices.run(shutdown())));
        if let Some(canary) = self.config.release.canary() {
            let (store, stop, shutdown) = (store(), self.lanes.stop.clone(), shutdown());
            parts.spawn(named("canary", async move {
                let revoked = canary::revoked(&canary, &revocations, &store);
                if shutdown.run_until_cancelled(revoked).await.is_some() {
                    tracing::warn!(release.id = canary.release, "Release was revoked.");
                    stop.cancel();
                    shutdown.cancelled().await;
                }
            }));
            return;
        }
        let taking_over = canary::take_over(revocations, store(), queue(), shutdown());
        parts.spawn(named("canary", taking_over));
        parts.spawn(named("sweep", sweep::run(store(), queue(), shutdown())));
        parts.spawn(named("dead letters", dead_letters::run(store(), queue(), shutdown())));
        let template = Template {
            lane: self.config.kinds.of(Kind::Reconcile).lane,
            release: self.config.release.id.clone(),
        };
        let every = self.config.reconcile.every;
        parts.spawn(named("schedule", schedule::run(store(), every, template, shutdown())));
    }

    /// Starts what the last jobs still need.
    pub(super) fn start_support(&mut self, background: &Shutdown, parts: &mut Parts) {
        let outbox: Arc<dyn OutboxSource> = Arc::clone(&self.store) as _;
        let queue = || Arc::clone(&self.queue);
        let relay = tidegate_queue::relay(outbox, queue(), background.clone());
        parts.spawn(named("relay", relay));
        parts.spawn(named("queue gauges", backlog::run(queue(), background.clone())));
        if let Some(write_back) = self.write_back.take() {
            parts.spawn(named("write-back", write_back.run(background.clone())));
        }
        let heart = Heart {
            id: self.id.to_string(),
            arm: self.config.release.arm,
            release: self.config.release.id.clone(),
            started_at: Timestamp::now(),
            slots: Arc::clone(&self.lanes.slots),
            ledger: Arc::clone(&self.lanes.ledger),
            stop: self.lanes.stop.clone(),
        };
        parts.spawn(named("heartbeat", heart.run(Arc::clone(&self.store), background.clone())));
    }

    pub(super) fn checks(&self) -> Vec<Check> {
        let mut all = vec![
            checks::store(&self.store),
            checks::queue(&self.queue),
            checks::consumers(&self.lanes.connections),
            Check::accepting(&self.shutdown),
        ];
        if let Some(canary) = self.config.release.canary() {
            all.push(checks::not_revoked(&canary, &self.lanes.stop, &self.shutdown));
        }
        all
    }
}
