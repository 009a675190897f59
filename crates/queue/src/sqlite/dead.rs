//! Statements about messages that were kept aside.

use tidegate_core::clock::Timestamp;
use tidegate_core::job::Job;
use tidegate_sqlite::Error;
use tidegate_sqlite::rusqlite::{Connection, Row};

use crate::{DeadDelivery, DeliveryTag};

/// Returns up to `limit` letters, the oldest message first.
pub(super) fn read(sql: &Connection, limit: usize) -> Result<Vec<DeadDelivery>, Error> {
    let mut read = sql.prepare_cached(
        "select id, lane, kind, body, published_at, attempt, reason, died_at from dead
            order by id limit ?1",
    )?;
    let rows = read.query_map((i64::try_from(limit).unwrap_or(i64::MAX),), letter)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn letter(row: &Row<'_>) -> Result<DeadDelivery, tidegate_sqlite::rusqlite::Error> {
    let (lane, kind, body): (String, String, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
    let attempts = row.get(5)?;
    let job: Option<Job> = serde_json::from_str(&body).ok();
    Ok(DeadDelivery {
        tag: DeliveryTag { message: row.get(0)?, fence: 0 },
        body: body.into_bytes(),
        job: job.map(|job| Job { attempt: attempts, ..job }),
        lane: lane.parse().ok(),
        reason: row.get(6)?,
        attempts,
        headers: serde_json::json!({ "kind": kind, "lane": lane }),
        died_at: Timestamp(row.get(7)?),
        published_at: Some(Timestamp(row.get(4)?)),
    })
}

/// Forgets letters.
pub(super) fn forget(sql: &Connection, tags: &[DeliveryTag]) -> Result<(), Error> {
    let mut forget = sql.prepare_cached("delete from dead where id = ?1")?;
    for tag in tags {
        forget.execute((tag.message,))?;
    }
    Ok(())
}
