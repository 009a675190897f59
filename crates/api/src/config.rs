//! The api's configuration: `api.toml`.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;
use tidegate_core::backend::{QueueBackend, StoreBackend};
use tidegate_core::config::{Checked, address, keep};
use tidegate_core::job::Arm;
use tidegate_core::scale::Target;
use tidegate_core::telemetry::LogConfig;

pub use crate::admin::Release;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where batches, views and tokens are kept.
    pub store: StoreBackend,
    /// Where jobs wait and notices travel.
    pub queue: QueueBackend,
    /// Listeners.
    pub listen: Listen,
    /// Bounds.
    pub limits: Limits,
    /// Which release this is, and on which arm.
    pub release: Release,
    /// Logs.
    pub log: LogConfig,
    /// End when standard input closes.
    pub supervised: bool,
}

/// Addresses to listen on.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// Serves `/v1/…`.
    pub public: SocketAddr,
    /// Serves edges and operators; must not be reachable by clients.
    pub private: SocketAddr,
}

/// Bounds of what one process takes on at a time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests in flight; more are refused with 503. Default: 512.
    pub in_flight: usize,
    /// Longest time for a whole request. Default: 60 s.
    pub request_timeout: Duration,
    /// Longest pause between two parts of a request's body. Default: 10 s.
    pub body_timeout: Duration,
    /// Bytes of request bodies held in memory. Default: 256 MiB.
    pub body_bytes: usize,
    /// Requests that wait for their job; more are answered at once. Default: 256.
    pub waiting: usize,
    /// Batches accepted and not yet applied; beyond it ingest is refused. Default: 10 000.
    pub backlog_batches: u64,
    /// What the pool of workers is to reach; only reported.
    pub scale: Target,
}

/// The configuration as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawConfig {
    store: String,
    queue: String,
    listen: RawListen,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    scale: Target,
    #[serde(default)]
    release: RawRelease,
    #[serde(default)]
    log: LogConfig,
    #[serde(default)]
    supervised: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawListen {
    public: String,
    private: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRelease {
    id: Option<String>,
    arm: Arm,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
    in_flight: u64,
    request_timeout_ms: u64,
    body_timeout_ms: u64,
    body_bytes: u64,
    waiting: u64,
    backlog_batches: u64,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight: 512,
            request_timeout: Duration::from_secs(60),
            body_timeout: Duration::from_secs(10),
            body_bytes: 256 << 20,
            waiting: 256,
            backlog_batches: 10_000,
            scale: Target::default(),
        }
    }
}

// === impl Config ===

impl Checked for Config {
    type Raw = RawConfig;

    fn check(raw: RawConfig) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let store = keep("store", raw.store.parse::<StoreBackend>(), &mut problems);
        let queue = keep("queue", raw.queue.parse::<QueueBackend>(), &mut problems);
        let public = keep("listen.public", address(&raw.listen.public), &mut problems);
        let private = keep("listen.private", address(&raw.listen.private), &mut problems);
        let mut limits = raw.limits.check(&mut problems);
        limits.scale = raw.scale;
        let release = Release { id: raw.release.id, arm: raw.release.arm };
        if release.arm == Arm::Canary && release.id.is_none() {
            problems.push("release.id: a canary needs the id of its release".to_owned());
        }
        match (store, queue, public, private) {
            (Some(store), Some(queue), Some(public), Some(private)) if problems.is_empty() => {
                let listen = Listen { public, private };
                let RawConfig { log, supervised, .. } = raw;
                Ok(Self { store, queue, listen, limits, release, log, supervised })
            }
            _ => Err(problems),
        }
    }
}

// === impl RawLimits ===

impl RawLimits {
    fn check(&self, problems: &mut Vec<String>) -> Limits {
        let mut positive = |key: &str, value: u64| {
            if value == 0 {
                problems.push(format!("limits.{key}: must be 1 or more"));
            }
            value
        };
        Limits {
            in_flight: size(positive("in_flight", self.in_flight)),
            request_timeout: Duration::from_millis(positive(
                "request_timeout_ms",
                self.request_timeout_ms,
            )),
            body_timeout: Duration::from_millis(positive("body_timeout_ms", self.body_timeout_ms)),
            body_bytes: size(positive("body_bytes", self.body_bytes)),
            waiting: size(self.waiting),
            backlog_batches: positive("backlog_batches", self.backlog_batches),
            scale: Target::default(),
        }
    }
}

impl Default for RawLimits {
    fn default() -> Self {
        let limits = Limits::default();
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let count = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
        Self {
            in_flight: count(limits.in_flight),
            request_timeout_ms: ms(limits.request_timeout),
            body_timeout_ms: ms(limits.body_timeout),
            body_bytes: count(limits.body_bytes),
            waiting: count(limits.waiting),
            backlog_batches: limits.backlog_batches,
        }
    }
}

/// Semaphores take no more permits than this, and nobody needs as many.
fn size(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX).min(tokio::sync::Semaphore::MAX_PERMITS)
}

#[cfg(test)]
mod tests {
    use tidegate_core::config::parse;

    use super::*;

    #[test]
    fn limits_have_defaults_that_a_file_may_change() {
        let text = "store = \"sqlite:s.db\"\nqueue = \"sqlite:q.db\"\n\
            [listen]\npublic = \"127.0.0.1:0\"\nprivate = \"127.0.0.1:0\"\n\
            [limits]\nin_flight = 7";
        let config: Config = parse("api.toml", text, []).unwrap();
        assert_eq!(config.limits.in_flight, 7);
        assert_eq!(config.limits.backlog_batches, 10_000);
    }

    #[test]
    fn every_wrong_value_is_named() {
        let text = "store = \"redis://h\"\nqueue = \"sqlite:\"\n\
            [listen]\npublic = \"here\"\nprivate = \"127.0.0.1\"\n\
            [limits]\nin_flight = 0";
        let problems = parse::<Config>("api.toml", text, []).unwrap_err().0;
        insta::assert_snapshot!(problems.join("\n"), @r"
        api.toml: store: backend 'redis:…' is not known; write sqlite:PATH or postgres://USER@HOST/DATABASE
        api.toml: queue: backend 'sqlite:…' is not known; write sqlite:PATH or amqp://USER@HOST/VHOST
        api.toml: listen.public: 'here' is no address; write IP:PORT
        api.toml: listen.private: '127.0.0.1' is no address; write IP:PORT
        api.toml: limits.in_flight: must be 1 or more
        ");
    }
}
