//! Listens to the broadcast of purges and revocations, and invalidates whatever may have been
//! missed of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::backoff::Backoff;
use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;
use tidegate_core::seq::Space;
use tidegate_core::shutdown::Shutdown;
use tidegate_core::watermark::{Continuity, Watermark};
use tidegate_queue::{Heard, QueueError, SharedQueue, Subscription};
use tokio::sync::watch;

use crate::edge::Edge;
use crate::metrics::metrics;

/// For the queue to accept a subscription.
const SUBSCRIBE_PATIENCE: Duration = Duration::from_secs(5);

/// How often holes in a sequence are looked at.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// Most spaces whose sequence is followed; beyond it all are followed anew.
const MAX_SPACES: usize = 65_536;

const BACKOFF: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(2) };

/// Turns notices into invalidations.
pub(crate) struct Listener {
    edge: Arc<Edge>,
    queue: SharedQueue,
    watermarks: HashMap<Space, Watermark>,
    /// Set once the first subscription stands: before it, an edge is not ready.
    first: watch::Sender<bool>,
}

// === impl Listener ===

impl Listener {
    /// Makes a listener and what tells that it has subscribed once.
    pub(crate) fn new(edge: Arc<Edge>, queue: SharedQueue) -> (Self, watch::Receiver<bool>) {
        let (first, subscribed) = watch::channel(false);
        (Self { edge, queue, watermarks: HashMap::new(), first }, subscribed)
    }

    /// Listens until shutdown, subscribing again whenever the subscription ends.
    pub(crate) async fn listen(mut self, shutdown: Shutdown) {
        let mut failures = 0;
        while !shutdown.is_cancelled() {
            let subscribed = tokio::select! {
                subscribed = tokio::time::timeout(SUBSCRIBE_PATIENCE, self.queue.subscribe()) => subscribed,
                () = shutdown.cancelled() => return,
            };
            match subscribed {
                Ok(Ok(subscription)) => {
                    failures = 0;
                    self.connected();
                    let ended = self.hear(subscription, &shutdown).await;
                    self.disconnected();
                    let Err(error) = ended else { return };
                    tracing::warn!(error = &error as &dyn std::error::Error, "Subscription ended.");
                }
                Ok(Err(error)) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "Notices could not be subscribed to."
                ),
                Err(_) => tracing::warn!("Queue did not accept the subscription in time."),
            }
            let wait = BACKOFF.jittered(failures);
            failures = failures.saturating_add(1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn hear(
        &mut self,
        mut subscription: Box<dyn Subscription>,
        shutdown: &Shutdown,
    ) -> Result<(), QueueError> {
        let mut check = tokio::time::interval(CHECK_EVERY);
        loop {
            tokio::select! {
                heard = subscription.next() => match heard? {
                    Heard::Notices(notices) => {
                        for notice in notices {
                            self.take(notice, Timestamp::now());
                        }
                    }
                    Heard::Missed => self.missed(),
                },
                _ = check.tick() => self.check(Timestamp::now()),
                () = shutdown.cancelled() => return Ok(()),
            }
        }
    }

    fn take(&mut self, notice: Notice, now: Timestamp) {
        match notice {
            Notice::Purge { seq, tags } => {
                self.edge.cache.tags.purge(&seq, &tags);
                metrics().purged_tags.inc_by(u64::try_from(tags.len()).unwrap_or(u64::MAX));
                if self.watermarks.len() >= MAX_SPACES && !self.watermarks.contains_key(&seq.space)
                {
                    self.missed();
                }
                let watermark = self.watermarks.entry(seq.space.clone()).or_default();
                if watermark.observe(seq.seq, now) == Continuity::Gap {
                    self.gap(&seq.space);
                }
            }
            Notice::Revoked { credential } => self.edge.scopes.revoke(&credential),
            Notice::JobsFinished { .. }
            | Notice::JobsCancelled { .. }
            | Notice::CanaryRevoked { .. }
            | Notice::Update(_)
            | Notice::Refreshed(_) => {}
        }
    }

    fn check(&mut self, now: Timestamp) {
        let overdue: Vec<Space> = self
            .watermarks
            .iter_mut()
            .filter_map(|(space, watermark)| {
                (watermark.check(now) == Continuity::Gap).then(|| space.clone())
            })
            .collect();
        for space in overdue {
            self.gap(&space);
        }
    }

    /// A purge was lost, and perhaps a revocation with it.
    fn gap(&self, space: &Space) {
        tracing::warn!(
            product.name = space.product,
            "Purges were missed; the product was invalidated."
        );
        metrics().notices_missed.inc();
        self.edge.cache.tags.invalidate_product(space);
        self.edge.scopes.clear();
    }

    fn connected(&mut self) {
        tracing::info!("Notices were subscribed to.");
        metrics().subscribed.set(1);
        // Whatever was broadcast before this moment was not heard.
        self.missed();
        self.edge.scopes.set_connected(true);
        self.first.send_replace(true);
    }

    fn disconnected(&self) {
        self.edge.scopes.set_connected(false);
        metrics().subscribed.set(0);
    }

    fn missed(&mut self) {
        metrics().notices_missed.inc();
        self.watermarks.clear();
        self.edge.cache.tags.invalidate_all();
        self.edge.scopes.clear();
    }
}
