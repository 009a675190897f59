//! Heartbeats and suspects.

use async_trait::async_trait;
use rusqlite::Connection;
use tidegate_core::clock::Timestamp;
use uuid::Uuid;

use crate::sqlite::{SqliteStore, row};
use crate::{DEAD_AFTER, StoreError, WorkerBeat, Workers};

#[async_trait]
impl Workers for SqliteStore {
    async fn beat(&self, beat: &WorkerBeat, now: Timestamp) -> Result<(), StoreError> {
        let (id, text) = (beat.id.clone(), serde_json::to_string(beat)?);
        self.database
            .write(move |sql| {
                sql.prepare_cached(
                    "insert into dp_worker(id, beat, seen_at) values(?1, ?2, ?3)
                     on conflict do update set beat = excluded.beat, seen_at = excluded.seen_at",
                )?
                .execute((id, text, now.0))?;
                Ok(())
            })
            .await
    }

    async fn workers(&self, now: Timestamp) -> Result<Vec<WorkerBeat>, StoreError> {
        self.database.read_blocking(move |sql| alive(sql, now)).await
    }

    async fn suspect(&self, job: Uuid, generation: u32, now: Timestamp) -> Result<u32, StoreError> {
        self.database
            .write(move |sql| {
                let mut upsert = sql.prepare_cached(
                    "insert into dp_suspect(job, generation, times, at) values(?1, ?2, 1, ?3)
                     on conflict do update set times = times + 1, at = excluded.at
                     returning times",
                )?;
                let suspected = (job.as_bytes(), generation, now.0);
                Ok(upsert.query_row(suspected, |row| row.get(0))?)
            })
            .await
    }

    async fn acquit(&self, jobs: &[(Uuid, u32)]) -> Result<(), StoreError> {
        let jobs = jobs.to_vec();
        self.database
            .write(move |sql| {
                let mut delete = sql
                    .prepare_cached("delete from dp_suspect where job = ?1 and generation = ?2")?;
                for (job, generation) in jobs {
                    delete.execute((job.as_bytes(), generation))?;
                }
                Ok(())
            })
            .await
    }
}

/// A beat that this build can't read is one of a newer release: it counts for those.
fn alive(sql: &Connection, now: Timestamp) -> Result<Vec<WorkerBeat>, StoreError> {
    let mut select =
        sql.prepare_cached("select id, beat from dp_worker where seen_at > ?1 order by id")?;
    let mut rows = select.query((now.before(DEAD_AFTER).0,))?;
    let mut beats = Vec::new();
    while let Some(found) = rows.next()? {
        match row::json(found, 1) {
            Ok(beat) => beats.extend(beat),
            Err(error) => {
                let worker = row::text(found, 0)?;
                tracing::debug!(worker.id = worker, error = %error, "Heartbeat was skipped.");
            }
        }
    }
    Ok(beats)
}
