//! Statements that count messages.

use tidegate_core::clock::Timestamp;
use tidegate_core::job::Lane;
use tidegate_sqlite::Error;
use tidegate_sqlite::rusqlite::{Connection, OptionalExtension};

use super::canary;
use crate::{Depth, Depths};

pub(super) fn depths(sql: &Connection) -> Result<Depths, Error> {
    let mut lanes = Vec::new();
    for lane in Lane::ALL {
        lanes.push(depth_of(sql, lane, None)?);
    }
    for release in canary::releases(sql)? {
        for lane in Lane::ALL {
            lanes.push(depth_of(sql, lane, Some(release.clone()))?);
        }
    }
    let unfiled: i64 = sql
        .prepare_cached("select count(*) from dead indexed by dead_lane where lane > ''")?
        .query_row((), |row| row.get(0))?;
    Ok(Depths { lanes, unfiled: unfiled.unsigned_abs(), unrouted: 0 })
}

fn depth_of(sql: &Connection, lane: Lane, canary: Option<String>) -> Result<Depth, Error> {
    let place = (lane.as_str(), canary.as_deref());
    let count = |statement: &str| -> Result<u64, Error> {
        let count: i64 = sql.prepare_cached(statement)?.query_row(place, |row| row.get(0))?;
        Ok(count.unsigned_abs())
    };
    let time = |statement: &str| -> Result<Option<Timestamp>, Error> {
        let time: Option<Option<i64>> =
            sql.prepare_cached(statement)?.query_row(place, |row| row.get(0)).optional()?;
        Ok(time.flatten().map(Timestamp))
    };
    // One statement for each state, so that each reads its own index and no message bodies.
    let ready = count(
        "select count(*) from message
            where lane = ?1 and canary is ?2 and owner is null and ready_at = 0",
    )?;
    let delayed =
        count("select count(*) from message where lane = ?1 and canary is ?2 and ready_at > 0")?;
    let unacked = count(
        "select count(*) from message where owner is not null and lane = ?1 and canary is ?2",
    )?;
    let next = time(
        "select published_at from message
            where lane = ?1 and canary is ?2 and owner is null and ready_at = 0
            order by id limit 1",
    )?;
    let oldest = [
        next,
        time(
            "select min(published_at) from message
                where lane = ?1 and canary is ?2 and ready_at > 0",
        )?,
        time(
            "select min(published_at) from message
                where owner is not null and lane = ?1 and canary is ?2",
        )?,
    ];
    let oldest = oldest.into_iter().flatten().min();
    Ok(Depth { lane, canary, ready: ready + delayed, unacked, oldest, next })
}
