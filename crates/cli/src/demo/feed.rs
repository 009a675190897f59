//! The generator on a thread of its own, a few batches ahead of the senders.

use anyhow::Context as _;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::air::encode::Encoder;
use super::air::plan::Plan;
use super::air::stream::Stream;
use super::air::totals::Totals;

/// Batches that wait for a sender.
const AHEAD: usize = 4;

/// Bytes of a row, rounded up.
const ROW_BYTES: usize = 160;

/// Rows to send in one request.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// From zero.
    pub(crate) number: u64,
    /// Lines in `body`.
    pub(crate) rows: u32,
    /// NDJSON.
    pub(crate) body: Bytes,
}

/// The running generator.
pub(crate) struct Feed {
    batches: mpsc::Receiver<Batch>,
    generator: JoinHandle<Totals>,
}

// === impl Feed ===

impl Feed {
    /// Returns the next batch, `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<Batch> {
        self.batches.recv().await
    }

    /// Returns the totals of all batches.
    ///
    /// # Errors
    /// The generator failed.
    pub(crate) async fn totals(self) -> anyhow::Result<Totals> {
        // Ends a generator that would wait for a reader.
        drop(self.batches);
        self.generator.await.context("the generator must not panic")
    }
}

/// Starts to generate a plan's rows in batches of `batch_rows`.
pub(crate) fn start(plan: Plan, batch_rows: u32) -> Feed {
    let (sender, batches) = mpsc::channel(AHEAD);
    let generator = tokio::task::spawn_blocking(move || generate(&plan, batch_rows, &sender));
    Feed { batches, generator }
}

fn generate(plan: &Plan, batch_rows: u32, batches: &mpsc::Sender<Batch>) -> Totals {
    let mut stream = Stream::new(plan);
    let mut encoder = Encoder::new(plan);
    let mut totals = Totals::new(plan);
    for number in 0.. {
        let mut body = Vec::with_capacity(batch_rows as usize * ROW_BYTES);
        let mut rows = 0;
        for delivery in stream.by_ref().take(batch_rows as usize) {
            encoder.row(&mut body, &delivery);
            totals.add(&delivery);
            rows += 1;
        }
        // Nobody listens when sending has failed.
        if rows == 0 || batches.blocking_send(Batch { number, rows, body: body.into() }).is_err() {
            break;
        }
    }
    totals
}
