//! Listens to the broadcast of purges and revocations, and invalidates whatever may have been
//! missed of it.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
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
use crate::write_back;

/// For the queue to accept a subscription.
const SUBSCRIBE_PATIENCE: Duration = Duration::from_secs(5);

/// How often holes in a sequence are looked at.
const CHECK_EVERY: Duration = Duration::from_millis(250);

/// Most spaces whose sequence is followed; beyond it all are followed anew.
const MAX_SPACES: usize = 65_536;

const BACKOFF: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(2) };

/// Tells whether notices were subscribed to at least once, and if not, why.
pub(crate) type Subscribed = watch::Receiver<Result<(), String>>;

/// Turns notices into invalidations.
pub(crate) struct Listener {
    edge: Arc<Edge>,
    queue: SharedQueue,
    watermarks: HashMap<Space, Watermark>,
    /// Well once the first subscription stands: before it, an edge answers, but is degraded.
    first: watch::Sender<Result<(), String>>,
}

// === impl Listener ===

impl Listener {
    /// Makes a listener and what tells that it has subscribed once, or why not.
    pub(crate) fn new(edge: Arc<Edge>, queue: SharedQueue) -> (Self, Subscribed) {
        let (first, subscribed) = watch::channel(Err("not subscribed yet".to_owned()));
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
                    tracing::warn!(error = &error as &dyn Error, "Subscription ended.");
                }
                Ok(Err(error)) => {
                    // Once for each outage, however long it lasts.
                    if failures == 0 {
                        tracing::warn!(
                            error = &error as &dyn Error,
                            "Notices could not be subscribed to."
                        );
                    }
                    self.not_yet(&error);
                }
                Err(_) if failures == 0 => {
                    tracing::warn!("Queue did not accept the subscription in time.");
                }
                Err(_) => {}
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
                    self.gap(&seq.space, now);
                }
            }
            Notice::Update(update) => write_back::update(&self.edge, *update, now),
            Notice::Refreshed(refreshed) => write_back::refreshed(&self.edge, &refreshed, now),
            Notice::Revoked { credential } => self.edge.scopes.revoke(&credential),
            Notice::JobsFinished { .. }
            | Notice::JobsCancelled { .. }
            | Notice::CanaryRevoked { .. } => {}
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
            self.gap(&space, now);
        }
    }

    /// A purge was lost, and perhaps a revocation with it.
    fn gap(&self, space: &Space, now: Timestamp) {
        tracing::warn!(
            product.name = space.product,
            "Purges were missed; the product was invalidated."
        );
        metrics().notices_missed.inc();
        self.edge.cache.tags.invalidate_product(space, now);
        self.edge.scopes.clear();
    }

    fn connected(&mut self) {
        tracing::info!("Notices were subscribed to.");
        metrics().subscribed.set(1);
        // Whatever was broadcast before this moment was not heard.
        self.missed();
        self.edge.scopes.set_connected(true);
        self.first.send_modify(|first| *first = Ok(()));
    }

    /// Says why the first subscription is still to come.
    fn not_yet(&self, error: &QueueError) {
        self.first.send_if_modified(|first| {
            let Err(reason) = first else { return false };
            *reason = format!("not subscribed yet: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                // Writing to a string does not fail.
                write!(reason, ": {error}").ok();
                cause = error.source();
            }
            true
        });
    }

    fn disconnected(&self) {
        self.edge.scopes.set_connected(false);
        metrics().subscribed.set(0);
    }

    fn missed(&mut self) {
        metrics().notices_missed.inc();
        self.watermarks.clear();
        self.edge.cache.tags.invalidate_all(Timestamp::now());
        self.edge.scopes.clear();
    }
}
