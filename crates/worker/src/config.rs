//! The worker's configuration: `worker.toml`.

mod kinds;
mod release;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use http::uri::Authority;
use serde::Deserialize;
use tidegate_core::backend::{QueueBackend, StoreBackend};
use tidegate_core::clock::parse_span;
use tidegate_core::config::{Checked, address, keep};
use tidegate_core::profile::Arrows;
use tidegate_core::telemetry::LogConfig;

use self::release::RawRelease;
pub use self::release::ReleaseConfig;
use crate::kinds::Kinds;
use crate::slots::FEWEST;

/// Shortest time between two regular reconcile jobs of a view.
const SHORTEST_ROUND: Duration = Duration::from_secs(1);

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where batches and views are kept.
    pub store: StoreBackend,
    /// Where jobs wait.
    pub queue: QueueBackend,
    /// Where operators look; must not be reachable by clients.
    pub private: SocketAddr,
    /// How much is taken and run at a time.
    pub consume: ConsumeConfig,
    /// What holds for each kind of job.
    pub(crate) kinds: Kinds,
    /// Which release this is.
    pub release: ReleaseConfig,
    /// Which tiers this one hands work to.
    pub arrows: Arrows,
    /// Private listeners of the api, asked in turn. Needed for `arrows.worker_to_api`.
    pub api: Vec<Authority>,
    /// A probe may end this process: for fault tests. Default: false.
    pub probe_may_crash: bool,
    /// How views are reconciled.
    pub reconcile: ReconcileConfig,
    /// Logs.
    pub log: LogConfig,
    /// End when standard input closes.
    pub supervised: bool,
}

/// `[consume]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumeConfig {
    /// Deliveries of each lane of short jobs held at a time, those being run included. Default: 256.
    pub prefetch: NonZeroU16,
    /// Runs of short jobs at a time, at least 3: some are reserved for each lane. Default: 8.
    pub slots: u32,
    /// Long jobs at a time. Default: 2.
    pub long_slots: NonZeroU32,
}

/// `[reconcile]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReconcileConfig {
    /// Time between two regular comparisons of a view. Default: `24h`.
    pub every: Duration,
    /// Part of the time that a reconcile job works, in percent; it rests in between. Default: 25.
    pub share_percent: u32,
}

/// The configuration as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    store: String,
    queue: String,
    listen: RawListen,
    #[serde(default)]
    consume: RawConsume,
    #[serde(default)]
    kinds: BTreeMap<String, kinds::RawKind>,
    #[serde(default)]
    release: RawRelease,
    #[serde(default)]
    arrows: Arrows,
    #[serde(default)]
    api: RawApi,
    #[serde(default)]
    probe: RawProbe,
    #[serde(default)]
    reconcile: RawReconcile,
    #[serde(default)]
    log: LogConfig,
    #[serde(default)]
    supervised: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawListen {
    private: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawConsume {
    prefetch: u16,
    slots: u32,
    long_slots: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawApi {
    internal: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawProbe {
    allow_crash: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawReconcile {
    every: String,
    share_percent: u32,
}

// === impl Config ===

impl Checked for Config {
    type Raw = RawConfig;

    fn check(raw: RawConfig) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let store = keep("store", raw.store.parse::<StoreBackend>(), &mut problems);
        let queue = keep("queue", raw.queue.parse::<QueueBackend>(), &mut problems);
        let private = keep("listen.private", address(&raw.listen.private), &mut problems);
        let consume = raw.consume.check(&mut problems);
        let kinds = kinds::check(raw.kinds, &mut problems);
        let release = keep("release", raw.release.check(), &mut problems);
        let api = raw.api.check(raw.arrows, &mut problems);
        let reconcile = raw.reconcile.check(&mut problems);
        match (store, queue, private, consume, release, reconcile) {
            (
                Some(store),
                Some(queue),
                Some(private),
                Some(consume),
                Some(release),
                Some(reconcile),
            ) if problems.is_empty() => Ok(Self {
                store,
                queue,
                private,
                consume,
                kinds,
                release,
                arrows: raw.arrows,
                api,
                probe_may_crash: raw.probe.allow_crash,
                reconcile,
                log: raw.log,
                supervised: raw.supervised,
            }),
            _ => Err(problems),
        }
    }
}

// === impl RawConsume ===

impl RawConsume {
    fn check(&self, problems: &mut Vec<String>) -> Option<ConsumeConfig> {
        let positive = || "must be 1 or more".to_owned();
        let prefetch = NonZeroU16::new(self.prefetch).ok_or_else(positive);
        let prefetch = keep("consume.prefetch", prefetch, problems);
        let slots = if self.slots < FEWEST {
            Err(format!("must be {FEWEST} or more: each lane needs one"))
        } else {
            Ok(self.slots)
        };
        let slots = keep("consume.slots", slots, problems);
        let long_slots = NonZeroU32::new(self.long_slots).ok_or_else(positive);
        let long_slots = keep("consume.long_slots", long_slots, problems);
        Some(ConsumeConfig { prefetch: prefetch?, slots: slots?, long_slots: long_slots? })
    }
}

impl Default for RawConsume {
    fn default() -> Self {
        Self { prefetch: 256, slots: 8, long_slots: 2 }
    }
}

// === impl RawApi ===

impl RawApi {
    fn check(self, arrows: Arrows, problems: &mut Vec<String>) -> Vec<Authority> {
        let known = problems.len();
        let mut instances = Vec::with_capacity(self.internal.len());
        for text in self.internal {
            let instance = text.parse::<Authority>().ok().filter(|it| it.port_u16().is_some());
            match instance {
                Some(instance) => instances.push(instance),
                None => problems.push(format!("api.internal: '{text}' is not HOST:PORT")),
            }
        }
        if arrows.worker_to_api && instances.is_empty() && problems.len() == known {
            problems.push("api.internal: needed, as arrows.worker_to_api is set".to_owned());
        }
        instances
    }
}

// === impl RawReconcile ===

impl RawReconcile {
    fn check(&self, problems: &mut Vec<String>) -> Option<ReconcileConfig> {
        let every = parse_span(&self.every).filter(|every| *every >= SHORTEST_ROUND);
        let every = every.ok_or_else(|| "write a span of 1s or more, such as 24h".to_owned());
        let every = keep("reconcile.every", every, problems);
        let share = Some(self.share_percent).filter(|share| (1..=100).contains(share));
        let share = share.ok_or_else(|| "must be from 1 to 100".to_owned());
        let share = keep("reconcile.share_percent", share, problems);
        Some(ReconcileConfig { every: every?, share_percent: share? })
    }
}

impl Default for RawReconcile {
    fn default() -> Self {
        Self { every: "24h".to_owned(), share_percent: 25 }
    }
}

#[cfg(test)]
mod tests;
