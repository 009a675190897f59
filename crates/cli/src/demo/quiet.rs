//! Waits until nothing that was sent before is still being applied: it would be taken for the run's.

use std::time::Duration;

use anyhow::anyhow;
use tokio::time::{Instant, sleep};

use super::groups::{self, View};
use super::patience::Patience;
use super::verify::Baseline;
use crate::client::Client;
use crate::failure::Failure;

/// The product's sequence must stand still for this long. A worker needs less between two batches,
/// unless its machine is very busy.
const QUIET: Duration = Duration::from_secs(1);

/// Longest wait for that.
const LIMIT: Duration = Duration::from_secs(60);

/// What the product held before the run.
pub(crate) struct Before {
    /// What each view held.
    pub(crate) views: Vec<Baseline>,
    /// The sequence of the last batch that had changed it.
    pub(crate) sequence: Option<String>,
}

/// Reads what each view holds while nothing changes it.
///
/// # Errors
/// A view can't be read, or rows are applied without a pause.
pub(crate) async fn before(client: &Client, patience: &Patience) -> Result<Before, Failure> {
    let look = async || groups::sequence(client, patience).await;
    let read = async || {
        let mut baselines = Vec::new();
        for view in View::ALL {
            baselines.push(Baseline::read(client, view, patience).await?);
        }
        Ok(baselines)
    };
    let (sequence, views) = settled(look, read).await?;
    Ok(Before { views, sequence })
}

/// Reads until what `look` returns is the same before and after.
async fn settled<S: PartialEq, T>(
    look: impl AsyncFn() -> Result<S, Failure>,
    read: impl AsyncFn() -> Result<T, Failure>,
) -> Result<(S, T), Failure> {
    let deadline = Instant::now() + LIMIT;
    let mut before = look().await?;
    loop {
        let found = read().await?;
        sleep(QUIET).await;
        let after = look().await?;
        if after == before {
            return Ok((after, found));
        }
        if Instant::now() >= deadline {
            return Err(Failure::unverified(anyhow!(
                "other rows have been applied for {} s without a pause; run the demo while nothing \
                 else sends to the product",
                LIMIT.as_secs()
            )));
        }
        before = after;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::failure::Exit;

    /// The sequence moves with each of the first `moves` looks.
    async fn run(moves: u32) -> Result<(u32, u32), Failure> {
        let (looks, reads) = (Cell::new(0), Cell::new(0));
        let look = async || {
            looks.set(looks.get() + 1);
            Ok(looks.get().min(moves))
        };
        let read = async || {
            reads.set(reads.get() + 1);
            Ok(reads.get())
        };
        settled(look, read).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_changes_while_it_is_read_is_read_again() {
        assert_eq!(run(0).await.unwrap(), (0, 1));
        assert_eq!(run(3).await.unwrap(), (3, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_for_quiet_ends() {
        assert_eq!(run(u32::MAX).await.unwrap_err().exit, Exit::Unverified);
    }
}
