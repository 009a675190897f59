//! Revoked canaries.

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use tidegate_core::notice::Notice;

use crate::postgres::fault::{Fault, retried};
use crate::postgres::pool::{Pool, Session};
use crate::postgres::{PostgresStore, WRITE, outbox};
use crate::{Canaries, StoreError};

#[async_trait]
impl Canaries for PostgresStore {
    async fn revoke_canary(
        &self,
        release: &str,
        epoch: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let newer = retried(|| revoke(&self.writes, release, epoch, now)).await?;
        self.committed.notify_one();
        Ok(newer)
    }

    async fn revoked_canaries(&self) -> Result<Vec<(String, u64)>, StoreError> {
        retried(|| async { revoked(&self.look().await?).await }).await
    }
}

async fn revoke(pool: &Pool, release: &str, epoch: u64, now: Timestamp) -> Result<bool, Fault> {
    let session = pool.begin(WRITE).await?;
    let written = session
        .execute(
            "insert into dp_canary(release, epoch, revoked_at) values($1, $2, $3)
             on conflict(release)
             do update set epoch = excluded.epoch, revoked_at = excluded.revoked_at
             where excluded.epoch > dp_canary.epoch",
            &[&release, &i64::try_from(epoch).unwrap_or(i64::MAX), &now.0],
        )
        .await?;
    if written == 1 {
        let release = release.to_owned();
        outbox::put_notice(&session, Notice::CanaryRevoked { release, epoch }).await?;
    }
    session.commit().await?;
    Ok(written == 1)
}

async fn revoked(session: &Session<'_>) -> Result<Vec<(String, u64)>, Fault> {
    let rows = session.query("select release, epoch from dp_canary order by release", &[]).await?;
    let revoked =
        |row: &tokio_postgres::Row| Ok((row.try_get(0)?, row.try_get::<_, i64>(1)?.unsigned_abs()));
    rows.iter().map(revoked).collect()
}
