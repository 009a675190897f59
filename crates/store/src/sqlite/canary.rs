//! Revoked canaries.

use async_trait::async_trait;
use rusqlite::Connection;
use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;

use crate::sqlite::{SqliteStore, outbox};
use crate::{Canaries, StoreError};

#[async_trait]
impl Canaries for SqliteStore {
    async fn revoke_canary(
        &self,
        release: &str,
        epoch: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let release = release.to_owned();
        let newer = self.database.write(move |sql| revoke(sql, release, epoch, now)).await?;
        self.committed.notify_one();
        Ok(newer)
    }

    async fn revoked_canaries(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.database.read_blocking(revoked).await
    }
}

fn revoke(
    sql: &Connection,
    release: String,
    epoch: u64,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let written = sql
        .prepare_cached(
            "insert into dp_canary(release, epoch, revoked_at) values(?1, ?2, ?3) on conflict
             do update set epoch = excluded.epoch, revoked_at = excluded.revoked_at
             where excluded.epoch > epoch",
        )?
        .execute((&release, i64::try_from(epoch).unwrap_or(i64::MAX), now.0))?;
    if written == 1 {
        outbox::put_notice(sql, Notice::CanaryRevoked { release, epoch })?;
    }
    Ok(written == 1)
}

fn revoked(sql: &Connection) -> Result<Vec<(String, u64)>, StoreError> {
    let mut select = sql.prepare_cached("select release, epoch from dp_canary order by release")?;
    let mut rows = select.query(())?;
    let mut revoked = Vec::new();
    while let Some(row) = rows.next()? {
        revoked.push((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()));
    }
    Ok(revoked)
}
