//! Write-back: after a commit, responses that are asked for often are rendered anew and given to
//! every edge, before a reader asks.
//!
//! A reader waits for none of this: edges heard of the purge already. What comes faster than it can
//! be rendered is merged, and only the newest state is rendered.

mod pending;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tidegate_core::cache_update::{CacheUpdate, Origin, Reader, Resource};
use tidegate_core::clock::Timestamp;
use tidegate_core::hot::HotKey;
use tidegate_core::job::Arm;
use tidegate_core::notice::Notice;
use tidegate_core::seq::{DataSeq, Space};
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::SharedQueue;
use tidegate_store::{RespondError, SharedStore, StoredContract, respond};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use self::pending::Pending;
use crate::metrics::metrics;

/// Responses rendered after one commit.
const MAX_KEYS: usize = 64;

/// Bytes of bodies in one broadcast.
const BROADCAST_BYTES: usize = 256 << 10;

/// How long a look-up, a response or a broadcast may take: later, the next reader has fetched it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest rest after a round.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Tells the writer-back what was purged. Without an arrow to the edges it tells nobody.
#[derive(Clone, Default)]
pub(crate) struct Purged(Option<Arc<Shared>>);

struct Shared {
    pending: Mutex<Pending>,
    come: Notify,
}

/// Renders and broadcasts.
pub(crate) struct WriteBack {
    shared: Arc<Shared>,
    store: SharedStore,
    queue: SharedQueue,
    release: Option<String>,
    arm: Arm,
}

/// Who may read a resource, and by which names it is asked for.
type Wanted = BTreeMap<Resource, (Reader, Vec<Origin>)>;

// === impl Purged ===

impl Purged {
    /// Tells what a commit purged. Never waits.
    pub(crate) fn offer(&self, purges: Vec<(DataSeq, Vec<String>)>) {
        let Some(shared) = &self.0 else { return };
        if purges.is_empty() {
            return;
        }
        let mut pending = shared.pending.lock();
        let dropped: usize = purges.into_iter().map(|(seq, tags)| pending.add(seq, tags)).sum();
        drop(pending);
        if dropped > 0 {
            metrics().write_back("dropped", dropped);
        }
        shared.come.notify_one();
    }
}

// === impl WriteBack ===

impl WriteBack {
    pub(crate) fn new(
        store: SharedStore,
        queue: SharedQueue,
        release: Option<String>,
        arm: Arm,
    ) -> (Purged, Self) {
        let shared = Arc::new(Shared { pending: Mutex::default(), come: Notify::new() });
        (Purged(Some(Arc::clone(&shared))), Self { shared, store, queue, release, arm })
    }

    /// Writes back until `shutdown`.
    pub(crate) async fn run(self, shutdown: Shutdown) {
        let until = shutdown.clone();
        until.run_until_cancelled(self.forever()).await;
    }

    async fn forever(&self) {
        loop {
            let next = self.shared.pending.lock().pop();
            match next {
                Some((space, tags)) => {
                    let started = Instant::now();
                    self.write_back(&space, &tags).await;
                    // Half of the time at most: applying is worth more than rendering.
                    sleep(started.elapsed().min(LONGEST_REST)).await;
                }
                None => self.shared.come.notified().await,
            }
        }
    }

    /// Renders what is asked for most among the responses with any of `tags`.
    async fn write_back(&self, space: &Space, tags: &[String]) {
        let Some((contract, keys)) = self.look_up(space, tags).await else { return };
        let (mut notices, mut bytes) = (Vec::new(), 0);
        for (resource, (reader, origins)) in wanted(keys) {
            let Some(update) = self.render(&contract, resource, &reader, origins).await else {
                continue;
            };
            bytes += update.body.len();
            notices.push(Notice::Update(Box::new(update)));
            if bytes >= BROADCAST_BYTES {
                self.broadcast(std::mem::take(&mut notices)).await;
                bytes = 0;
            }
        }
        self.broadcast(notices).await;
    }

    async fn look_up(
        &self,
        space: &Space,
        tags: &[String],
    ) -> Option<(Arc<StoredContract>, Vec<HotKey>)> {
        let look_up = async {
            let keys = self.store.hot(&space.tenant, &space.product, tags, MAX_KEYS).await?;
            Ok::<_, tidegate_store::StoreError>((self.store.contracts().await?, keys))
        };
        let (contracts, keys) = match timeout(PATIENCE, look_up).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                tracing::debug!(error = %error, "Hot responses could not be looked up.");
                return None;
            }
            Err(_) => return None,
        };
        let contract = contracts.into_iter().find(|stored| stored.contract.name == space.product);
        contract.filter(|_| !keys.is_empty()).map(|contract| (contract, keys))
    }

    async fn render(
        &self,
        contract: &Arc<StoredContract>,
        resource: Resource,
        reader: &Reader,
        origins: Vec<Origin>,
    ) -> Option<CacheUpdate> {
        let now = Timestamp::now();
        let rendering = respond(self.store.as_ref(), contract, &resource, reader, now);
        let rendered = match timeout(PATIENCE, rendering).await {
            Ok(Ok(rendered)) => rendered,
            Ok(Err(error)) => {
                metrics().write_back(reason(&error), 1);
                return None;
            }
            Err(_) => {
                metrics().write_back("timed_out", 1);
                return None;
            }
        };
        let (seq, fields, body) = (rendered.seq, rendered.fields, rendered.body);
        let (release, arm) = (self.release.clone(), self.arm);
        Some(CacheUpdate { resource, origins, seq, fields, body, rendered_at: now, release, arm })
    }

    async fn broadcast(&self, notices: Vec<Notice>) {
        if notices.is_empty() {
            return;
        }
        match timeout(PATIENCE, self.queue.broadcast(&notices)).await {
            Ok(Ok(())) => metrics().write_back("sent", notices.len()),
            Ok(Err(_)) | Err(_) => metrics().write_back("not_sent", notices.len()),
        }
    }
}

/// Puts the names of each resource together.
fn wanted(keys: Vec<HotKey>) -> Wanted {
    let mut wanted = Wanted::new();
    for HotKey { resource, origin, reader, .. } in keys {
        let (_, origins) = wanted.entry(resource).or_insert_with(|| (reader, Vec::new()));
        if !origins.contains(&origin) {
            origins.push(origin);
        }
    }
    wanted
}

/// Returns the label that metrics count a response under that was not rendered.
fn reason(error: &RespondError) -> &'static str {
    match error {
        RespondError::Gone => "gone",
        RespondError::Forbidden => "forbidden",
        RespondError::NotShared => "not_shared",
        RespondError::Param(_) | RespondError::Finish(_) => "refused",
        RespondError::TooLarge(_) => "too_large",
        RespondError::Store(_) => "failed",
    }
}
