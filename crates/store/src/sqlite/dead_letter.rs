//! Dead letters.

mod decide;
mod file;
mod list;

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;

pub(super) use self::decide::discard_job;
pub(super) use self::file::file_own;
use crate::sqlite::SqliteStore;
use crate::transform::letter::{Letter, Steps};
use crate::{DeadFilter, DeadLetter, DeadLetters, NewDeadLetter, StoreError};

#[async_trait]
impl DeadLetters for SqliteStore {
    async fn file(&self, letters: Vec<NewDeadLetter>, now: Timestamp) -> Result<usize, StoreError> {
        let letters = letters.into_iter().map(Letter::of).collect::<Result<Vec<_>, _>>()?;
        let filed = self.database.write(move |sql| file::file_all(sql, &letters, now)).await?;
        self.committed.notify_one();
        Ok(filed)
    }

    async fn dead_letters(&self, filter: &DeadFilter) -> Result<Vec<DeadLetter>, StoreError> {
        let filter = filter.clone();
        self.read_page(move |sql| list::list(sql, &filter)).await
    }

    async fn count_dead(&self, filter: &DeadFilter) -> Result<u64, StoreError> {
        let filter = filter.clone();
        self.read_page(move |sql| list::count(sql, &filter)).await
    }

    async fn requeue_dead(
        &self,
        filter: &DeadFilter,
        by: &str,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut steps = Steps::of(filter);
        while let Some(filter) = steps.next() {
            let (found, redos) = self.read_page(move |sql| decide::redos(sql, &filter)).await?;
            let by = by.to_owned();
            let done = self
                .database
                .write(move |sql| {
                    let mut done = 0;
                    for redo in &redos {
                        done += u64::from(decide::requeue(sql, redo, &by, now)?);
                    }
                    Ok::<_, StoreError>(done)
                })
                .await?;
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
            let found = self.read_page(move |sql| list::numbers(sql, &filter)).await?;
            let (by, numbers) = (by.to_owned(), found.clone());
            let done = self
                .database
                .write(move |sql| {
                    let mut done = 0;
                    for no in numbers {
                        done += u64::from(decide::discard(sql, no, &by, now)?);
                    }
                    Ok::<_, StoreError>(done)
                })
                .await?;
            steps.took(found, done);
        }
        Ok(steps.done)
    }
}
