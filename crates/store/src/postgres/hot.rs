//! Hot keys.

use std::collections::HashMap;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use tidegate_core::clock::Timestamp;
use tidegate_core::hot::{HotKey, HotReport, MAX_KEYS};

use crate::postgres::bind::storable;
use crate::postgres::fault::{Fault, retried};
use crate::postgres::pool::{Pool, Session};
use crate::postgres::{PostgresStore, WRITE};
use crate::transform::heat::{self, Report};
use crate::{HotKeys, StoreError};

/// Keys written in one transaction.
const STEP: usize = 250;

#[async_trait]
impl HotKeys for PostgresStore {
    async fn record_hot(
        &self,
        product: &str,
        report: &HotReport,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        // In the order in which every reporter locks them, each once.
        let mut reports: Vec<Report> = Vec::new();
        let mut all = heat::reports(report)?;
        all.sort_by(|left, right| left.key.cmp(&right.key));
        for report in all {
            match reports.last_mut() {
                Some(last) if last.key == report.key => last.requests += report.requests,
                _ => reports.push(report),
            }
        }
        for step in reports.chunks(STEP) {
            retried(|| record(&self.writes, product, step, now)).await?;
        }
        retried(|| async { bound(&self.write().await?, product, now).await }).await
    }

    async fn hot(
        &self,
        tenant: &str,
        product: &str,
        tags: &[String],
        limit: usize,
    ) -> Result<Vec<HotKey>, StoreError> {
        let limit = limit.min(MAX_KEYS) as i64;
        retried(|| async move { select(&self.page().await?, (tenant, product), tags, limit).await })
            .await
    }
}

/// Adds to keys. What is kept is a logarithm; the sum is made where the row is locked.
async fn record(
    pool: &Pool,
    product: &str,
    reports: &[Report],
    now: Timestamp,
) -> Result<(), Fault> {
    let session = pool.begin(WRITE).await?;
    let keys: Vec<&str> = reports.iter().map(|report| report.key.as_str()).collect();
    let tenants: Vec<_> = reports.iter().map(|report| storable(&report.tenant)).collect();
    let documents: Vec<&str> = reports.iter().map(|report| report.document.as_str()).collect();
    let tags: Vec<&str> = reports.iter().map(|report| report.tags.as_str()).collect();
    let heats: Vec<f64> =
        reports.iter().map(|report| heat::add(None, report.requests, now)).collect();
    let digests: Vec<Vec<u8>> = keys.iter().map(|key| Sha256::digest(key).to_vec()).collect();
    // One request now.
    let one = heat::add(None, 1, now);
    let rows = session
        .query(
            "with known as (
               select digest, tags from dp_hot where product = $1 and digest = any($9)
             ), kept as (
               insert into dp_hot(product, key, digest, tenant, document, tags, heat, reported_at)
               select $1, key, digest, tenant, document, tags, heat, $7
               from unnest($2::text[], $9::bytea[], $3::text[], $4::text[], $5::text[],
                   $6::float8[])
                 with ordinality as report(key, digest, tenant, document, tags, heat, no)
               order by no
               on conflict(product, digest) do update
                 set heat = $8::float8 + ln(power(2::float8, greatest(dp_hot.heat - $8, -1000))
                       + power(2::float8, greatest(excluded.heat - $8, -1000))) / ln(2::float8),
                   document = excluded.document, tags = excluded.tags,
                   reported_at = excluded.reported_at
               returning no, key, digest, tags
             )
             select kept.no, kept.key from kept left join known on known.digest = kept.digest
             where known.tags is distinct from kept.tags",
            &[&product, &keys, &tenants, &documents, &tags, &heats, &now.0, &one, &digests],
        )
        .await?;
    let mut changed = HashMap::new();
    for row in &rows {
        changed.insert(row.try_get::<_, &str>(1)?, row.try_get::<_, i64>(0)?);
    }
    tag(&session, reports, &changed).await?;
    session.commit().await
}

/// Writes the tags of keys that are new or have others than before.
async fn tag(
    session: &Session<'_>,
    reports: &[Report],
    changed: &HashMap<&str, i64>,
) -> Result<(), Fault> {
    let (mut tags, mut keys): (Vec<String>, Vec<i64>) = Default::default();
    for report in reports {
        let Some(no) = changed.get(report.key.as_str()) else { continue };
        for tag in serde_json::from_str::<Vec<String>>(&report.tags)? {
            tags.push(storable(&tag).into_owned());
            keys.push(*no);
        }
    }
    let all: Vec<i64> = changed.values().copied().collect();
    if all.is_empty() {
        return Ok(());
    }
    session.execute("delete from dp_hot_tag where hot = any($1)", &[&all]).await?;
    session
        .execute(
            "insert into dp_hot_tag(tag, hot) select * from unnest($1::text[], $2::bigint[])
             on conflict do nothing",
            &[&tags, &keys],
        )
        .await?;
    Ok(())
}

/// Drops keys beyond the most that are kept, and those that nobody asks for any more.
async fn bound(session: &Session<'_>, product: &str, now: Timestamp) -> Result<(), Fault> {
    session
        .execute(
            "delete from dp_hot where no in (
               select no from dp_hot where product = $1 and (heat < $2 or no not in (
                 select no from dp_hot where product = $1 order by heat desc limit $3))
               for update skip locked)",
            &[&product, &heat::cold(now), &(MAX_KEYS as i64)],
        )
        .await?;
    Ok(())
}

/// Returns the hottest keys that carry any of `tags`.
async fn select(
    session: &Session<'_>,
    (tenant, product): (&str, &str),
    tags: &[String],
    limit: i64,
) -> Result<Vec<HotKey>, Fault> {
    let rows = session
        .query(
            "select document, heat, (select max(reported_at) from dp_hot where product = $1)
             from dp_hot
             where product = $1 and tenant in ($2, '') and no in (
               select hot from dp_hot_tag where tag = any($3))
             order by heat desc limit $4",
            &[&product, &tenant, &tags, &limit],
        )
        .await?;
    let mut keys = Vec::with_capacity(rows.len());
    for row in rows {
        let key: HotKey = serde_json::from_str(row.try_get(0)?)?;
        let requests = heat::requests(row.try_get(1)?, Timestamp(row.try_get(2)?));
        keys.push(HotKey { requests, ..key });
    }
    Ok(keys)
}
