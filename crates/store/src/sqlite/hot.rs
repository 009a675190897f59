//! Hot keys.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _};
use tidegate_core::clock::Timestamp;
use tidegate_core::hot::{HotKey, HotReport, MAX_KEYS};

use crate::sqlite::{SqliteStore, row};
use crate::transform::heat::{self, Report};
use crate::{HotKeys, StoreError};

/// Keys written in one transaction.
const STEP: usize = 250;

#[async_trait]
impl HotKeys for SqliteStore {
    async fn record_hot(
        &self,
        product: &str,
        report: &HotReport,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let reports = heat::reports(report)?;
        for step in reports.chunks(STEP) {
            let (product, step) = (product.to_owned(), step.to_vec());
            self.database
                .write(move |sql| {
                    step.iter().try_for_each(|report| record(sql, &product, report, now))
                })
                .await?;
        }
        let product = product.to_owned();
        self.database.write(move |sql| bound(sql, &product, now)).await
    }

    async fn hot(
        &self,
        tenant: &str,
        product: &str,
        tags: &[String],
        limit: usize,
    ) -> Result<Vec<HotKey>, StoreError> {
        let (tenant, product) = (tenant.to_owned(), product.to_owned());
        let tags = serde_json::to_string(tags)?;
        let limit = limit.min(MAX_KEYS);
        self.read_page(move |sql| select(sql, (&tenant, &product), &tags, limit)).await
    }
}

/// Adds to one key.
fn record(
    sql: &Connection,
    product: &str,
    report: &Report,
    now: Timestamp,
) -> Result<(), StoreError> {
    let known: Option<(i64, f64, bool)> = sql
        .prepare_cached("select no, heat, tags <> ?3 from dp_hot where product = ?1 and key = ?2")?
        .query_row((product, &report.key, &report.tags), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let heat = heat::add(known.map(|(_, heat, _)| heat), report.requests, now);
    let no = match known {
        Some((no, _, changed)) => {
            sql.prepare_cached("update dp_hot set heat = ?2, document = ?3, tags = ?4, reported_at = ?5 where no = ?1")?
                .execute((no, heat, &report.document, &report.tags, now.0))?;
            if !changed {
                return Ok(());
            }
            sql.prepare_cached("delete from dp_hot_tag where hot = ?1")?.execute((no,))?;
            no
        }
        None => {
            sql.prepare_cached(
                "insert into dp_hot(product, key, tenant, document, tags, heat, reported_at)
                 values(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?
            .execute((
                product,
                &report.key,
                &report.tenant,
                &report.document,
                &report.tags,
                heat,
                now.0,
            ))?;
            sql.last_insert_rowid()
        }
    };
    sql.prepare_cached(
        "insert into dp_hot_tag(tag, hot) select value, ?1 from json_each(?2) where true
         on conflict do nothing",
    )?
    .execute((no, &report.tags))?;
    Ok(())
}

/// Drops keys beyond the most that are kept, and those that nobody asks for any more.
fn bound(sql: &Connection, product: &str, now: Timestamp) -> Result<(), StoreError> {
    sql.prepare_cached(
        "delete from dp_hot where product = ?1 and (heat < ?2 or no not in (
           select no from dp_hot where product = ?1 order by heat desc limit ?3))",
    )?
    .execute((product, heat::cold(now), MAX_KEYS as i64))?;
    Ok(())
}

/// Returns the hottest keys that carry any of `tags`, a JSON array.
fn select(
    sql: &Connection,
    (tenant, product): (&str, &str),
    tags: &str,
    limit: usize,
) -> Result<Vec<HotKey>, StoreError> {
    let newest: Option<i64> = sql
        .prepare_cached("select max(reported_at) from dp_hot where product = ?1")?
        .query_row((product,), |row| row.get(0))?;
    let newest = Timestamp(newest.unwrap_or(0));
    let mut select = sql.prepare_cached(
        "select document, heat from dp_hot
         where product = ?1 and tenant in (?2, '') and no in (
           select hot from dp_hot_tag where tag in (select value from json_each(?3)))
         order by heat desc limit ?4",
    )?;
    let mut rows = select.query((product, tenant, tags, limit as i64))?;
    let mut keys = Vec::new();
    while let Some(found) = rows.next()? {
        let Some(key) = row::json::<HotKey>(found, 0)? else { continue };
        let requests = heat::requests(found.get(1)?, newest);
        keys.push(HotKey { requests, ..key });
    }
    Ok(keys)
}
