//! Heartbeats and suspects.

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use uuid::Uuid;

use crate::postgres::fault::{Fault, retried};
use crate::postgres::pool::Session;
use crate::postgres::{PostgresStore, row};
use crate::{DEAD_AFTER, StoreError, WorkerBeat, Workers};

#[async_trait]
impl Workers for PostgresStore {
    async fn beat(&self, beat: &WorkerBeat, now: Timestamp) -> Result<(), StoreError> {
        let text = serde_json::to_string(beat)?;
        let text = &text;
        retried(|| async move {
            self.write()
                .await?
                .execute(
                    "insert into dp_worker(id, beat, seen_at) values($1, $2, $3)
                     on conflict(id)
                     do update set beat = excluded.beat, seen_at = excluded.seen_at",
                    &[&beat.id, text, &now.0],
                )
                .await?;
            Ok(())
        })
        .await
    }

    async fn workers(&self, now: Timestamp) -> Result<Vec<WorkerBeat>, StoreError> {
        retried(|| async { alive(&self.look().await?, now).await }).await
    }

    async fn suspect(&self, job: Uuid, generation: u32, now: Timestamp) -> Result<u32, StoreError> {
        retried(|| async move {
            let session = self.write().await?;
            let times = session
                .query_one(
                    "insert into dp_suspect(job, generation, times, at) values($1, $2, 1, $3)
                     on conflict(job, generation)
                     do update set times = dp_suspect.times + 1, at = excluded.at
                     returning times",
                    &[&job, &i64::from(generation), &now.0],
                )
                .await?;
            row::small(&times, 0)
        })
        .await
    }

    async fn acquit(&self, jobs: &[(Uuid, u32)]) -> Result<(), StoreError> {
        retried(|| async { acquit(&self.write().await?, jobs).await }).await
    }
}

/// Forgets suspicions.
pub(super) async fn acquit(session: &Session<'_>, jobs: &[(Uuid, u32)]) -> Result<(), Fault> {
    let ids: Vec<Uuid> = jobs.iter().map(|(job, _)| *job).collect();
    let generations: Vec<i64> = jobs.iter().map(|(_, generation)| i64::from(*generation)).collect();
    session
        .execute(
            "delete from dp_suspect
             where (job, generation) in (select * from unnest($1::uuid[], $2::bigint[]))",
            &[&ids, &generations],
        )
        .await?;
    Ok(())
}

/// A beat that this build can't read is one of a newer release: it counts for those.
async fn alive(session: &Session<'_>, now: Timestamp) -> Result<Vec<WorkerBeat>, Fault> {
    let select = "select id, beat from dp_worker where seen_at > $1 order by id";
    let mut beats = Vec::new();
    for found in session.query(select, &[&now.before(DEAD_AFTER).0]).await? {
        match serde_json::from_str(found.try_get(1)?) {
            Ok(beat) => beats.push(beat),
            Err(error) => {
                let worker: &str = found.try_get(0)?;
                tracing::debug!(worker.id = worker, error = %error, "Heartbeat was skipped.");
            }
        }
    }
    Ok(beats)
}
