//! The worker's configuration: `worker.toml`.

use std::net::SocketAddr;
use std::num::NonZeroU16;

use serde::Deserialize;
use tidegate_core::backend::{QueueBackend, StoreBackend};
use tidegate_core::config::{Checked, address, keep};
use tidegate_core::telemetry::LogConfig;

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where batches and views are kept.
    pub store: StoreBackend,
    /// Where jobs wait.
    pub queue: QueueBackend,
    /// Where operators look; must not be reachable by clients.
    pub private: SocketAddr,
    /// Deliveries held at a time, those being applied included. Default: 64.
    pub prefetch: NonZeroU16,
    /// Logs.
    pub log: LogConfig,
    /// End when standard input closes.
    pub supervised: bool,
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
}

// === impl Config ===

impl Checked for Config {
    type Raw = RawConfig;

    fn check(raw: RawConfig) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let store = keep("store", raw.store.parse::<StoreBackend>(), &mut problems);
        let queue = keep("queue", raw.queue.parse::<QueueBackend>(), &mut problems);
        let private = keep("listen.private", address(&raw.listen.private), &mut problems);
        let prefetch =
            NonZeroU16::new(raw.consume.prefetch).ok_or_else(|| "must be 1 or more".to_owned());
        let prefetch = keep("consume.prefetch", prefetch, &mut problems);
        match (store, queue, private, prefetch) {
            (Some(store), Some(queue), Some(private), Some(prefetch)) => {
                let RawConfig { log, supervised, .. } = raw;
                Ok(Self { store, queue, private, prefetch, log, supervised })
            }
            _ => Err(problems),
        }
    }
}

// === impl RawConsume ===

impl Default for RawConsume {
    fn default() -> Self {
        Self { prefetch: 64 }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::config::parse;

    use super::*;

    #[test]
    fn what_is_left_out_has_a_default() {
        let text = "store = \"sqlite:s.db\"\nqueue = \"sqlite:q.db\"\n\
            [listen]\nprivate = \"127.0.0.1:0\"";
        let config: Config = parse("worker.toml", text, []).unwrap();
        assert_eq!((config.prefetch.get(), config.supervised), (64, false));
    }

    #[test]
    fn every_wrong_value_is_named() {
        let text = "store = \"redis://h\"\nqueue = \"sqlite:\"\n\
            [listen]\nprivate = \"here\"\n[consume]\nprefetch = 0";
        let problems = parse::<Config>("worker.toml", text, []).unwrap_err().0;
        let expected = [
            "worker.toml: store: backend 'redis:…' is not known; write sqlite:PATH or postgres://USER@HOST/DATABASE",
            "worker.toml: queue: backend 'sqlite:…' is not known; write sqlite:PATH or amqp://USER@HOST/VHOST",
            "worker.toml: listen.private: 'here' is no address; write IP:PORT",
            "worker.toml: consume.prefetch: must be 1 or more",
        ];
        assert_eq!(problems, expected);
    }
}
