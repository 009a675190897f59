//! Which store and queue the tiers use: files of the data directory, unless servers are named.

use tidegate_core::backend::{QueueBackend, StoreBackend};

use crate::args::Up;
use crate::up::data::DataDir;

/// A store and a queue, with the text by which a tier's configuration names each.
#[derive(Clone, Debug)]
pub(crate) struct Backends {
    pub(crate) store: StoreBackend,
    pub(crate) store_text: String,
    pub(crate) queue_text: String,
}

// === impl Backends ===

impl Backends {
    /// Reads the words; every problem at once.
    pub(crate) fn choose(args: &Up, data: &DataDir) -> anyhow::Result<Self> {
        // The data directory's name was checked to be UTF-8.
        let file = |path: std::path::PathBuf| format!("sqlite:{}", path.display());
        let store_text = args.store.clone().unwrap_or_else(|| file(data.store()));
        let queue_text = args.queue.clone().unwrap_or_else(|| file(data.queue()));
        match (store_text.parse(), queue_text.parse::<QueueBackend>()) {
            (Ok(store), Ok(_)) => Ok(Self { store, store_text, queue_text }),
            (store, queue) => {
                let problems = [
                    store.err().map(|problem: String| format!("--store: {problem}")),
                    queue.err().map(|problem: String| format!("--queue: {problem}")),
                ];
                anyhow::bail!("{}", problems.into_iter().flatten().collect::<Vec<_>>().join("\n"))
            }
        }
    }
}
