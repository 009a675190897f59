//! Dead letters.

mod decide;
mod file;
mod list;

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;

pub(super) use self::decide::discard_job;
pub(super) use self::file::file_own;
use crate::sqlite::SqliteStore;
use crate::transform::letter::Letter;
use crate::{
    DeadFilter, DeadLetter, DeadLetters, DeadState, MAX_LETTERS, NewDeadLetter, StoreError,
};

/// Letters decided about in one transaction.
const STEP: usize = 64;

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

/// A decision about many letters, in transactions that stay short.
struct Steps {
    filter: DeadFilter,
    left: u64,
    done: u64,
    over: bool,
}

// === impl Steps ===

impl Steps {
    fn of(filter: &DeadFilter) -> Self {
        let filter = DeadFilter { state: DeadState::Open, ..filter.clone() };
        Self { left: filter.limit.min(MAX_LETTERS) as u64, filter, done: 0, over: false }
    }

    /// Returns which letters are next.
    fn next(&self) -> Option<DeadFilter> {
        let limit = usize::try_from(self.left).unwrap_or(STEP).min(STEP);
        let more = !self.over && limit > 0;
        more.then(|| DeadFilter { limit, ..self.filter.clone() })
    }

    /// Goes on after the letters that were found, of which some could be decided about.
    fn took(&mut self, found: Vec<i64>, done: u64) {
        self.over = found.is_empty();
        self.filter.after = found.last().copied().or(self.filter.after);
        self.left = self.left.saturating_sub(done);
        self.done += done;
    }
}
