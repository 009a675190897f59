//! Tells the api which responses this edge serves most.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use tidegate_core::cache_key::CacheKey;
use tidegate_core::cache_update::{Origin, Resource};
use tidegate_core::hot::{HotKey, HotReport, MAX_KEYS, PATH, REPORT_EVERY};
use tidegate_core::shutdown::Shutdown;
use tidegate_core::tag;
use tokio::time::MissedTickBehavior;

use super::Followed;
use crate::cache::storage::Storage;
use crate::edge::Edge;
use crate::internal::{NoAnswer, Question};
use crate::metrics::metrics;
use crate::scope::{Scope, reader};

/// For the api to take a report.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest answer to a report: nothing is expected.
const MAX_ANSWER_BYTES: usize = 4_096;

/// Responses with more tags are left out: any commit changes them, and reports stay small.
const MAX_TAGS: usize = 64;

/// Why a report did not arrive.
#[derive(Debug, thiserror::Error)]
enum NotTold {
    #[error("no routing document yet")]
    NoRouting,
    #[error("the report can't be written as JSON")]
    Unwritable(#[from] serde_json::Error),
    #[error("the api can't be told")]
    NoAnswer(#[from] NoAnswer),
    #[error("the api answered with status {0}")]
    Refused(StatusCode),
}

/// Reports until shutdown. A report that fails is not repeated: the next one tells what is hot then.
pub(crate) async fn report(edge: Arc<Edge>, shutdown: Shutdown) {
    let Some(hot) = &edge.hot else { return };
    let mut ticks = tokio::time::interval(REPORT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        let keys = hottest(hot.take(), &edge.cache.storage);
        if keys.is_empty() {
            continue;
        }
        let told = tokio::select! {
            told = tell(&edge, keys) => told,
            () = shutdown.cancelled() => return,
        };
        // Once for each outage, however long it lasts.
        if let (Err(error), false) = (&told, failing) {
            tracing::debug!(error = error as &dyn std::error::Error, "Hot keys were not reported.");
        }
        failing = told.is_err();
    }
}

async fn tell(edge: &Edge, keys: Vec<HotKey>) -> Result<(), NotTold> {
    let routing = edge.routes.load().ok_or(NotTold::NoRouting)?;
    let number = u64::try_from(keys.len()).unwrap_or(u64::MAX);
    let report = serde_json::to_vec(&HotReport { node: edge.settings.node.clone(), keys })?;
    let question = Question {
        addresses: routing.internal.clone(),
        path: PATH,
        authorization: None,
        patience: PATIENCE,
        max_bytes: MAX_ANSWER_BYTES,
    };
    let (status, _) = edge.internal.post(question, Bytes::from(report)).await?;
    if !status.is_success() {
        return Err(NotTold::Refused(status));
    }
    metrics().workers.hot_keys_reported.inc_by(number);
    Ok(())
}

/// Picks what was asked for most, with what a worker must know to render it.
fn hottest(followed: Vec<Followed>, storage: &Storage) -> Vec<HotKey> {
    let mut by_key: HashMap<CacheKey, (Option<Arc<Scope>>, u64)> = HashMap::new();
    for Followed { key, scope, requests } in followed {
        by_key.entry(key).or_insert((scope, 0)).1 += requests.number();
    }
    let mut keys: Vec<_> = by_key.into_iter().collect();
    keys.sort_unstable_by(|(a, (_, more)), (b, (_, less))| less.cmp(more).then_with(|| a.cmp(b)));
    let named = keys
        .into_iter()
        .filter_map(|(key, (scope, requests))| hot_key(&key, scope.as_deref(), requests, storage));
    named.take(MAX_KEYS).collect()
}

fn hot_key(
    key: &CacheKey,
    scope: Option<&Scope>,
    requests: u64,
    storage: &Storage,
) -> Option<HotKey> {
    let parts = key.parts()?;
    let variants = storage.variants(key);
    let stored = variants.iter().find(|stored| stored.selecting.is_plain())?;
    let lines = stored.headers.get_all(tag::HEADER).iter().filter_map(|line| line.to_str().ok());
    let tags: Vec<String> =
        lines.flat_map(str::split_ascii_whitespace).map(str::to_owned).collect();
    let reader = reader(scope, stored)?;
    (tags.len() <= MAX_TAGS).then(|| HotKey {
        resource: Resource::of(&parts),
        origin: Origin::of(&parts),
        reader,
        tags,
        requests,
    })
}
