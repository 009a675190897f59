//! Views against their recomputation.

pub(super) mod repair;

use std::time::Duration;

use async_trait::async_trait;
use tidegate_core::clock::Timestamp;
use tidegate_product::fold::Delta;
use tokio::time::Instant;

use crate::postgres::PostgresStore;
use crate::postgres::bind::{ValueParam, cell, value};
use crate::postgres::fault::{Fault, retried};
use crate::postgres::pool::{Param, Session};
use crate::transform::plan::{self, Dialect, Part, Query};
use crate::transform::recompute::{self, Ends, Recomputation, differences, is_stepped};
use crate::{Reconcile, ReconcileRequest, ReconcileStep, StoreError};

/// The longest that comparing, or putting right, may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Base rows of a bucket are many, and are read in any order.
const SETTINGS: &str = "set local statement_timeout = '120s'; set local enable_seqscan = on";

#[async_trait]
impl Reconcile for PostgresStore {
    async fn reconcile(
        &self,
        request: &ReconcileRequest,
        now: Timestamp,
    ) -> Result<ReconcileStep, StoreError> {
        let (part, mut step) = retried(|| async move {
            let session = self.reads.session(Instant::now() + LIMIT).await?;
            compare(session, request).await
        })
        .await?;
        if let (Some(part), false, true) = (part, step.drifted.is_empty(), request.repair) {
            let incarnation = &self.identity.incarnation;
            let repaired =
                retried(|| repair::repair(&self.writes, incarnation, request, part, now));
            step.seq = repaired.await?;
            self.committed.notify_one();
        }
        Ok(step)
    }

    async fn tenants(&self, product: &str) -> Result<Vec<String>, StoreError> {
        retried(|| async move {
            let select = "select tenant from dp_seq where product = $1 order by tenant";
            let rows = self.look().await?.query(select, &[&product]).await?;
            rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
        })
        .await
    }
}

/// Compares the next part, in one snapshot.
async fn compare(
    session: Session<'_>,
    request: &ReconcileRequest,
) -> Result<(Option<Part>, ReconcileStep), Fault> {
    let contract = &request.contract.contract;
    let view = &contract.views[request.view];
    session.begin_snapshot().await?;
    session.batch(SETTINGS).await?;
    let found = match is_stepped(contract, view) {
        true => Some(ends(&session, request, request.from.unwrap_or(i64::MIN)).await?),
        false => None,
    };
    let newest = found.and_then(|ends| ends.newest);
    let Some(part) = recompute::part(found) else {
        session.commit().await?;
        return Ok((None, ReconcileStep { newest, ..ReconcileStep::default() }));
    };
    let stored = stored(&session, request, part).await?;
    let computed = computed(&session, request, part).await?;
    let groups = stored.len().max(computed.len()) as u64;
    let found = differences(view, stored, computed);
    let next = match recompute::after(view, part) {
        Some(from) => ends(&session, request, from).await?.first,
        None => None,
    };
    session.commit().await?;
    let drifted = found.iter().map(|difference| difference.drift(contract, view)).collect();
    Ok((Some(part), ReconcileStep { groups, drifted, seq: None, next, newest }))
}

async fn ends(session: &Session<'_>, request: &ReconcileRequest, from: i64) -> Result<Ends, Fault> {
    let contract = &request.contract.contract;
    let view = &contract.views[request.view];
    let query = plan::ends(Dialect::Postgres, contract, &request.tenant, view, from);
    let values: Vec<ValueParam<'_>> = query.values.iter().map(ValueParam).collect();
    let params: Vec<Param<'_>> = values.iter().map(|value| value as Param<'_>).collect();
    let row = session.query_one(&query.text, &params).await?;
    let found = (0..query.width).map(|column| value(&row, column));
    Ok(Ends::of(view, &found.collect::<Result<Vec<_>, _>>()?))
}

async fn each(
    session: &Session<'_>,
    query: &Query,
    take: impl FnMut(tokio_postgres::Row) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let values: Vec<ValueParam<'_>> = query.values.iter().map(ValueParam).collect();
    let params: Vec<Param<'_>> = values.iter().map(|value| value as Param<'_>).collect();
    session.each(&query.text, &params, take).await
}

async fn stored(
    session: &Session<'_>,
    request: &ReconcileRequest,
    part: Part,
) -> Result<Vec<Delta>, Fault> {
    let contract = &request.contract.contract;
    let view = &contract.views[request.view];
    let query = plan::groups_of(Dialect::Postgres, contract, &request.tenant, view, part);
    let mut groups = Vec::new();
    each(session, &query, |row| {
        let values = (0..query.width).map(|column| value(&row, column));
        groups.push(recompute::group(view, values.collect::<Result<_, _>>()?));
        Ok(())
    })
    .await?;
    Ok(groups)
}

async fn computed(
    session: &Session<'_>,
    request: &ReconcileRequest,
    part: Part,
) -> Result<Vec<Delta>, Fault> {
    let contract = &request.contract.contract;
    let view = &contract.views[request.view];
    let query = plan::rows_of(Dialect::Postgres, contract, &request.tenant, view, part);
    let mut recomputation = Recomputation::new(contract, view);
    each(session, &query, |row| {
        let cells = (0..query.width).map(|column| cell(&row, column));
        let cells = cells.collect::<Result<Vec<_>, _>>()?;
        Ok(recomputation.push(cells)?)
    })
    .await?;
    Ok(recomputation.finish()?)
}
