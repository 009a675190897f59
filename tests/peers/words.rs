//! The words of the command line; `make bench-peers` says them.

use std::path::PathBuf;

use tidegate_core::backend::{QueueBackend, StoreBackend};

/// Where everything is, and how much is measured.
#[derive(Clone, Debug)]
pub(crate) struct Words {
    /// The broker, as URL.
    pub(crate) amqp: String,
    /// Where our jobs leave their marks.
    pub(crate) store: String,
    /// Port of a Redis on loopback.
    pub(crate) redis: u16,
    /// The worker's program.
    pub(crate) worker: PathBuf,
    /// A Python that has Celery.
    pub(crate) python: PathBuf,
    /// Directory of the peers' programs.
    pub(crate) peers: PathBuf,
    /// Directory of a `node_modules` that has `BullMQ`.
    pub(crate) modules: PathBuf,
    /// Turns of each.
    pub(crate) rounds: u32,
    /// Jobs of a peer's turn.
    pub(crate) tasks: u32,
    /// Jobs of one of our turns.
    pub(crate) jobs: u32,
}

// === impl Words ===

impl Words {
    /// Reads the words.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self {
            amqp: String::new(),
            store: String::new(),
            redis: 0,
            worker: PathBuf::new(),
            python: "python3".into(),
            peers: PathBuf::new(),
            modules: PathBuf::new(),
            rounds: 3,
            tasks: 3_000,
            jobs: 40_000,
        };
        while let Some(word) = words.next() {
            let value = words.next().ok_or(format!("{word} needs a value"))?;
            match word.as_str() {
                "--amqp" => parsed.amqp = value,
                "--store" => parsed.store = value,
                "--redis" => parsed.redis = number(&word, &value)?,
                "--worker" => parsed.worker = value.into(),
                "--python" => parsed.python = value.into(),
                "--peers" => parsed.peers = value.into(),
                "--modules" => parsed.modules = value.into(),
                "--rounds" => parsed.rounds = number(&word, &value)?,
                "--tasks" => parsed.tasks = number(&word, &value)?,
                "--jobs" => parsed.jobs = number(&word, &value)?,
                _ => return Err(format!("'{word}' is not known")),
            }
        }
        parsed.backends()?;
        if parsed.rounds == 0 || parsed.tasks < 100 || parsed.jobs < 100 {
            return Err("--rounds must be 1 or more, --tasks and --jobs 100 or more".to_owned());
        }
        Ok(parsed)
    }

    /// Returns what our side uses.
    pub(crate) fn backends(&self) -> Result<(QueueBackend, StoreBackend), String> {
        let queue = self.amqp.parse().map_err(|problem| format!("--amqp: {problem}"))?;
        let store = self.store.parse().map_err(|problem| format!("--store: {problem}"))?;
        Ok((queue, store))
    }
}

fn number<T: std::str::FromStr>(word: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{word}: '{text}' is no such number"))
}
