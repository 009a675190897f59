//! What all requests of one process share.

use std::sync::Arc;
use std::thread::available_parallelism;

use tidegate_queue::SharedQueue;
use tidegate_store::SharedStore;
use tokio::sync::Semaphore;

use crate::admin::Release;
use crate::authenticate::Credentials;
use crate::backlog::Backlog;
use crate::body::Memory;
use crate::catalog::SharedCatalog;
use crate::config::Limits;
use crate::metrics::{Series, metrics};
use crate::request_id::RequestIds;
use crate::waiting::Waiting;

/// What all requests share. **Invariant:** nothing here outlives a restart or differs between
/// instances for longer than a second; the store holds all state.
pub(crate) struct App {
    pub(crate) store: SharedStore,
    pub(crate) queue: SharedQueue,
    pub(crate) release: Release,
    pub(crate) limits: Limits,
    pub(crate) catalog: SharedCatalog,
    pub(crate) credentials: Credentials,
    pub(crate) waiting: Waiting,
    pub(crate) backlog: Backlog,
    pub(crate) request_ids: RequestIds,
    pub(crate) bodies: Memory,
    /// One permit a core: more validations at once would only take turns.
    pub(crate) validating: Arc<Semaphore>,
    pub(crate) series: RouteSeries,
}

/// The series of the router's own routes.
pub(crate) struct RouteSeries {
    pub(crate) ingest: Arc<Series>,
    pub(crate) job: Arc<Series>,
    pub(crate) groups: Arc<Series>,
    pub(crate) admin: Arc<Series>,
}

// === impl App ===

impl App {
    pub(crate) fn new(
        (store, queue): (SharedStore, SharedQueue),
        release: Release,
        catalog: SharedCatalog,
        limits: Limits,
    ) -> Self {
        let cores = available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            catalog,
            credentials: Credentials::new(Arc::clone(&store)),
            waiting: Waiting::new(limits.waiting),
            backlog: Backlog::new(limits.backlog_batches),
            request_ids: RequestIds::new(),
            bodies: Memory::new(limits.body_bytes),
            validating: Arc::new(Semaphore::new(cores)),
            series: RouteSeries {
                ingest: metrics().series("ingest"),
                job: metrics().series("job"),
                groups: metrics().series("groups"),
                admin: metrics().series("admin"),
            },
            store,
            queue,
            release,
            limits,
        }
    }
}
