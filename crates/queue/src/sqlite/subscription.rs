//! Reads notices by position.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::Shared;
use super::notice::{self, After};
use super::wake::Topic;
use crate::{Heard, QueueError, Subscription};

/// Notices read at once.
const BATCH: usize = 256;

/// A position in the broadcast.
pub(super) struct SqliteSubscription {
    shared: Arc<Shared>,
    position: i64,
    rung: watch::Receiver<()>,
}

// === impl SqliteSubscription ===

impl SqliteSubscription {
    /// Starts after the newest notice.
    pub(super) fn start(shared: Arc<Shared>) -> Result<Self, QueueError> {
        let rung = shared.bell.hear(Topic::Notices);
        let position = shared.database.read(notice::newest)?;
        Ok(Self { shared, position, rung })
    }

    fn read(&mut self) -> Result<Option<Heard>, QueueError> {
        let position = self.position;
        let after = self.shared.database.read(|sql| notice::after(sql, position, BATCH))?;
        let (bodies, position) = match after {
            After::Notices(bodies, _) if bodies.is_empty() => return Ok(None),
            After::Notices(bodies, position) => (bodies, position),
            After::Gap(newest) => {
                self.position = newest;
                return Ok(Some(Heard::Missed));
            }
        };
        self.position = position;
        let notices = bodies.iter().map(|body| serde_json::from_str(body)).collect();
        Ok(Some(match notices {
            Ok(notices) => Heard::Notices(notices),
            // Of a newer release. What it says is unknown, so it may concern anything.
            Err(error) => {
                tracing::warn!(error = %error, "Notice could not be read.");
                Heard::Missed
            }
        }))
    }
}

#[async_trait]
impl Subscription for SqliteSubscription {
    async fn next(&mut self) -> Result<Heard, QueueError> {
        loop {
            // Before reading: a notice that comes while reading is not slept through.
            self.rung.borrow_and_update();
            if let Some(heard) = self.read()? {
                return Ok(heard);
            }
            // Either way there may be something to read.
            tokio::time::timeout(self.shared.options.poll, self.rung.changed()).await.ok();
        }
    }
}
