//! Runs a statement and takes its result with the versions of the same snapshot.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tidegate_product::read::Table;
use tokio::time::{Instant, timeout};

use crate::sqlite::bind::{bind_values, value};
use crate::sqlite::versions::versions;
use crate::sqlite::{SqliteStore, stopped};
use crate::transform::plan::Query;
use crate::transform::space::Space;
use crate::{ReadAnswer, StoreError};

/// A read is made on the calling thread for this long, and then anew on a blocking thread. Nearly
/// all end before, and a handover costs more than they do.
const QUICK: Duration = Duration::from_millis(2);

/// The longest a listing may take.
pub(super) const PAGE_LIMIT: Duration = Duration::from_secs(10);

/// A read with all that it needs, to be run on one thread or another.
pub(super) struct ReadJob {
    pub(super) incarnation: Arc<str>,
    pub(super) tenant: String,
    pub(super) product: String,
    pub(super) tags: Vec<String>,
    pub(super) query: Query,
}

// === impl ReadJob ===

impl ReadJob {
    fn run(&self, sql: &Connection) -> Result<ReadAnswer, StoreError> {
        let space = Space { tenant: &self.tenant, product: &self.product };
        read(sql, &self.incarnation, space, &self.tags, &self.query)
    }
}

// === impl SqliteStore ===

impl SqliteStore {
    /// Reads on this thread if that ends soon, else on a blocking thread until the deadline.
    pub(super) async fn read_query(
        &self,
        job: ReadJob,
        limit: Duration,
    ) -> Result<ReadAnswer, StoreError> {
        let started = Instant::now();
        if limit.is_zero() {
            return Err(StoreError::Deadline);
        }
        let quick = QUICK.min(limit);
        match self.database.read_within(quick, |sql| job.run(sql)) {
            Err(StoreError::Deadline) if quick < limit => {}
            result => return result,
        }
        let rest = || limit.saturating_sub(started.elapsed());
        let permit = timeout(rest(), self.long_reads.acquire()).await;
        let _permit = permit.map_err(|_| StoreError::Deadline)?.map_err(|_| stopped())?;
        let (database, rest) = (self.database.clone(), rest());
        tokio::task::spawn_blocking(move || database.read_within(rest, |sql| job.run(sql)))
            .await
            .map_err(|_| stopped())?
    }

    /// Reads a page of something on a blocking thread.
    pub(super) async fn read_page<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let permit = timeout(PAGE_LIMIT, self.long_reads.acquire()).await;
        let _permit = permit.map_err(|_| StoreError::Deadline)?.map_err(|_| stopped())?;
        let database = self.database.clone();
        tokio::task::spawn_blocking(move || database.read_within(PAGE_LIMIT, work))
            .await
            .map_err(|_| stopped())?
    }
}

/// Reads what a query finds; the number of rows is bounded by the query's limit.
fn read(
    sql: &Connection,
    incarnation: &str,
    space: Space<'_>,
    tags: &[String],
    query: &Query,
) -> Result<ReadAnswer, StoreError> {
    let versions = versions(sql, incarnation, space, tags)?;
    let mut select = sql.prepare_cached(&query.text)?;
    bind_values(&mut select, 1, &query.values)?;
    let mut rows = select.raw_query();
    let mut values = Vec::new();
    while let Some(row) = rows.next()? {
        for column in 0..query.width {
            values.push(value(row, column)?);
        }
    }
    Ok(ReadAnswer { table: Table { width: query.width, values }, versions })
}
