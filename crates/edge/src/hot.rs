//! Which stored responses are asked for most: counted at the cost of one addition for a hit, and
//! told to the api, so that workers write those back first.

mod report;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use tidegate_core::cache_key::CacheKey;
use tidegate_core::hot::MAX_KEYS;

pub(crate) use self::report::report;
use crate::cache::storage::StoredResponse;
use crate::scope::Scope;

/// Most keys followed between two reports. Those that are asked for often come up early, so that
/// they are among the first so many.
const MAX_FOLLOWED: usize = 8 * MAX_KEYS;

/// Counts requests for one stored response since the last report: the window in the upper half, the
/// number in the lower.
#[derive(Debug, Default)]
pub(crate) struct Requests(AtomicU64);

/// Follows keys from one report to the next.
pub(crate) struct HotKeys {
    window: AtomicU32,
    is_full: AtomicBool,
    followed: Mutex<Vec<Followed>>,
}

/// A key that was asked for since the last report.
pub(crate) struct Followed {
    key: CacheKey,
    scope: Option<Arc<Scope>>,
    /// Outlives the response, which may be replaced meanwhile.
    requests: Arc<Requests>,
}

// === impl Requests ===

impl Requests {
    /// Counts one, unless the first of this window is still to come.
    fn count(&self, window: u32) -> bool {
        let is_followed = self.0.load(Ordering::Relaxed) >> 32 == u64::from(window);
        if is_followed {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        is_followed
    }

    fn begin(&self, window: u32) {
        self.0.store((u64::from(window) << 32) | 1, Ordering::Relaxed);
    }

    fn number(&self) -> u64 {
        self.0.load(Ordering::Relaxed) & u64::from(u32::MAX)
    }
}

// === impl HotKeys ===

impl HotKeys {
    pub(crate) fn new() -> Self {
        let followed = Mutex::default();
        // Responses begin in window 0, which is over.
        Self { window: AtomicU32::new(1), is_full: AtomicBool::new(false), followed }
    }

    /// Counts a request that was answered with a stored response.
    pub(crate) fn count(
        &self,
        key: &CacheKey,
        scope: Option<&Arc<Scope>>,
        response: &StoredResponse,
    ) {
        let window = self.window.load(Ordering::Relaxed);
        if !response.requests.count(window) && !self.is_full.load(Ordering::Relaxed) {
            self.follow(key, scope, response);
        }
    }

    fn follow(&self, key: &CacheKey, scope: Option<&Arc<Scope>>, response: &StoredResponse) {
        let mut followed = self.followed.lock();
        let window = self.window.load(Ordering::Relaxed);
        // Another request may have come first.
        if response.requests.count(window) {
            return;
        }
        if followed.len() >= MAX_FOLLOWED {
            self.is_full.store(true, Ordering::Relaxed);
            return;
        }
        response.requests.begin(window);
        let requests = Arc::clone(&response.requests);
        followed.push(Followed { key: key.clone(), scope: scope.cloned(), requests });
    }

    /// Ends the window and returns what was followed in it.
    fn take(&self) -> Vec<Followed> {
        let mut followed = self.followed.lock();
        self.window.fetch_add(1, Ordering::Relaxed);
        self.is_full.store(false, Ordering::Relaxed);
        std::mem::take(&mut followed)
    }
}
