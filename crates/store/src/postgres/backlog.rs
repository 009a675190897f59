//! What waits, for monitoring.

use tidegate_core::clock::Timestamp;
use tidegate_core::job::Lane;

use crate::postgres::fault::Fault;
use crate::postgres::pool::Session;
use crate::postgres::row;
use crate::{Backlog, LaneBacklog};

/// Counts what waits.
pub(super) async fn backlog(session: &Session<'_>) -> Result<Backlog, Fault> {
    let found = session
        .query_one(
            "select count(*), min(received_at), (select count(*) from dp_outbox),
               (select count(*) from dp_dead where state = 'open')
             from dp_batch where state in ('accepted', 'running')",
            &[],
        )
        .await?;
    let (batches, oldest) = (row::count(&found, 0)?, row::at(&found, 1)?);
    let waiting = LaneBacklog { lane: Lane::Default, waiting: batches, oldest };
    Ok(Backlog {
        batches,
        oldest,
        outbox: row::count(&found, 2)?,
        lanes: lanes(session, waiting).await?,
        dead: row::count(&found, 3)?,
    })
}

/// Counts jobs by lane, added to the batches.
async fn lanes(session: &Session<'_>, batches: LaneBacklog) -> Result<Vec<LaneBacklog>, Fault> {
    let mut lanes = if batches.waiting > 0 { vec![batches] } else { Vec::new() };
    let rows = session
        .query(
            "select lane, count(*), min(enqueued_at) from dp_job
             where state in ('accepted', 'running') and run_at is null group by lane",
            &[],
        )
        .await?;
    for found in rows {
        let (lane, waiting) = (row::lane(&found, 0)?, row::count(&found, 1)?);
        let oldest = Timestamp(found.try_get(2)?);
        match lanes.iter_mut().find(|known| known.lane == lane) {
            Some(known) => {
                known.waiting += waiting;
                known.oldest = known.oldest.map_or(Some(oldest), |at| Some(at.min(oldest)));
            }
            None => lanes.push(LaneBacklog { lane, waiting, oldest: Some(oldest) }),
        }
    }
    lanes.sort_unstable_by_key(|lane| lane.lane);
    Ok(lanes)
}
