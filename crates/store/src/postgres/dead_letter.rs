//! Dead letters.

mod decide;
mod file;
mod list;

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;

pub(super) use self::decide::discard_job;
pub(super) use self::file::file_own;
use crate::postgres::PostgresStore;
use crate::postgres::fault::retried;
use crate::transform::letter::{Letter, Steps};
use crate::{DeadFilter, DeadLetter, DeadLetters, NewDeadLetter, StoreError};

#[async_trait]
impl DeadLetters for PostgresStore {
    async fn file(&self, letters: Vec<NewDeadLetter>, now: Timestamp) -> Result<usize, StoreError> {
        let letters = letters.into_iter().map(Letter::of).collect::<Result<Vec<_>, _>>()?;
        let filed = retried(|| file::file_all(&self.writes, &letters, now)).await?;
        self.committed.notify_one();
        Ok(filed)
    }

    async fn dead_letters(&self, filter: &DeadFilter) -> Result<Vec<DeadLetter>, StoreError> {
        retried(|| async { list::list(&self.page().await?, filter).await }).await
    }

    async fn count_dead(&self, filter: &DeadFilter) -> Result<u64, StoreError> {
        retried(|| async { list::count(&self.page().await?, filter).await }).await
    }

    async fn requeue_dead(
        &self,
        filter: &DeadFilter,
        by: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut steps = Steps::of(filter);
        while let Some(filter) = steps.next() {
            let filter = &filter;
            let (found, redos) =
                retried(|| async move { decide::redos(&self.page().await?, filter).await }).await?;
            let done = retried(|| decide::requeue_all(&self.writes, &redos, by, now)).await?;
            self.committed.notify_one();
            steps.took(found, done);
        }
        Ok(steps.done)
    }

    async fn discard_dead(
        &self,
        filter: &DeadFilter,
        by: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut steps = Steps::of(filter);
        while let Some(filter) = steps.next() {
            let filter = &filter;
            let found =
                retried(|| async move { list::numbers(&self.page().await?, filter).await }).await?;
            let done = retried(|| decide::discard_all(&self.writes, &found, by, now)).await?;
            steps.took(found, done);
        }
        Ok(steps.done)
    }
}
