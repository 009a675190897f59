//! What all requests of one edge share.

use std::sync::Arc;

use tidegate_core::shutdown::TaskTracker;
use tokio::sync::Semaphore;

use crate::cache::EdgeCache;
use crate::cache::control::RequestControl;
use crate::config::{Cache, Config, Limits, Mode};
use crate::fetch::Room;
use crate::hot::HotKeys;
use crate::internal::Internal;
use crate::refresh::Orders;
use crate::route::{Routes, Routing};
use crate::scope::Scopes;
use crate::upstream::Upstreams;

/// Bodies being collected may take a quarter of what stored ones may, but at least one must fit.
const ROOM_PART: u64 = 4;

/// One edge.
pub(crate) struct Edge {
    pub(crate) cache: EdgeCache,
    pub(crate) settings: Cache,
    pub(crate) limits: Limits,
    pub(crate) routes: Arc<Routes>,
    pub(crate) scopes: Scopes,
    pub(crate) upstreams: Upstreams,
    pub(crate) internal: Internal,
    /// Counts which responses are asked for most, where workers write back.
    pub(crate) hot: Option<HotKeys>,
    /// Workers' responses are taken in.
    pub(crate) takes_write_backs: bool,
    /// Hands stale responses to workers, where the deployment does that.
    pub(crate) orders: Option<Orders>,
    /// Bounds bodies that are being collected.
    pub(crate) room: Room,
    /// Bounds validations in the background.
    pub(crate) background: Arc<Semaphore>,
    /// Everything that must end before the process does.
    pub(crate) tracker: TaskTracker,
}

// === impl Edge ===

impl Edge {
    pub(crate) fn new(config: &Config, orders: Option<Orders>) -> Arc<Self> {
        let Limits { connect, response_header, background, .. } = config.limits;
        let upstreams = Upstreams::new(connect, response_header);
        let internal = Internal::new(connect);
        let routes = Arc::new(Routes::none());
        if let Mode::StandAlone { plan, upstreams } = &config.mode {
            routes.store(Routing::stand_alone(plan, upstreams));
        }
        let takes_write_backs = config.arrows().worker_to_edge;
        Arc::new(Self {
            cache: EdgeCache::new(config.cache.capacity_bytes),
            settings: config.cache.clone(),
            limits: config.limits,
            routes,
            scopes: Scopes::new(internal.clone()),
            upstreams,
            internal,
            hot: takes_write_backs.then(HotKeys::new),
            takes_write_backs,
            orders,
            room: Room::new(room_bytes(&config.cache)),
            background: Arc::new(Semaphore::new(background.min(Semaphore::MAX_PERMITS))),
            tracker: TaskTracker::new(),
        })
    }

    /// Says whether a client's wish for the origin's answer is granted.
    pub(crate) fn honours_no_cache(&self, control: RequestControl) -> bool {
        control.revalidate && self.settings.honour_client_no_cache
    }
}

fn room_bytes(cache: &Cache) -> usize {
    let part = usize::try_from(cache.capacity_bytes / ROOM_PART).unwrap_or(usize::MAX);
    part.max(cache.max_object_bytes)
}
