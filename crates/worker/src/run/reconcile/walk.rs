//! The way through a view: tenant by tenant, bucket by bucket.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{EVERY_TENANT, Job};
use tidegate_store::{JobRun, Progress, ReconcileRequest, ReconcileStep, SharedStore};

use crate::error::JobError;
use crate::metrics::metrics;
use crate::run::step::within;

/// Differing groups that are shown to people.
const EXAMPLES: usize = 20;

/// The body of a reconcile job.
#[derive(Debug, Deserialize)]
struct Body {
    view: String,
    #[serde(default = "yes")]
    repair: bool,
}

/// Where the next step begins, and what was found so far: what another worker goes on from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cursor {
    /// Tenants before this one are done.
    tenant: Option<String>,
    /// The bucket to go on with.
    from: Option<i64>,
    /// The first bucket of the tenant that was seen.
    first: Option<i64>,
    /// Nothing is left but to say so.
    done: bool,
    totals: Totals,
}

/// What was found: the job's result.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Totals {
    groups: u64,
    drifted: u64,
    repaired: u64,
    examples: Vec<Value>,
}

/// A view being walked through.
pub(super) struct Walk {
    /// The next step.
    request: ReconcileRequest,
    name: String,
    /// In order.
    tenants: Vec<String>,
    /// Position of the next.
    at: usize,
    /// Newest bucket of the tenant, as of the last step.
    newest: Option<i64>,
    cursor: Cursor,
}

fn yes() -> bool {
    true
}

// === impl Walk ===

impl Walk {
    /// Begins where the last run ended.
    pub(super) async fn begin(
        store: &SharedStore,
        job: &Job,
        run: &JobRun,
    ) -> Result<Self, JobError> {
        let body: Body = serde_json::from_value(run.body.clone()).map_err(JobError::Malformed)?;
        let contracts = within(store.contracts()).await?;
        let contract = contracts.into_iter().find(|stored| stored.contract.name == job.product);
        let contract = contract.ok_or_else(|| {
            JobError::Impossible(format!("there is no product '{}'", job.product))
        })?;
        let view = contract.contract.views.iter().position(|view| view.name == body.view);
        let view =
            view.ok_or_else(|| JobError::Impossible(format!("there is no view '{}'", body.view)))?;
        let mut tenants = if job.tenant == EVERY_TENANT {
            within(store.tenants(&job.product)).await?
        } else {
            vec![job.tenant.clone()]
        };
        tenants.sort_unstable();
        let cursor = run.progress.as_ref().and_then(|progress| progress.cursor.clone());
        let cursor = cursor.and_then(|cursor| serde_json::from_value::<Cursor>(cursor).ok());
        let cursor = cursor.unwrap_or_default();
        let at = match &cursor.tenant {
            _ if cursor.done => tenants.len(),
            Some(next) => tenants.partition_point(|tenant| tenant < next),
            None => 0,
        };
        let (tenant, repair) = (String::new(), body.repair);
        let request = ReconcileRequest { tenant, contract, view, from: None, repair };
        Ok(Self { request, name: body.view, tenants, at, newest: None, cursor })
    }

    /// Goes one bucket on; `false` at the end.
    pub(super) async fn step(&mut self, store: &SharedStore) -> Result<bool, JobError> {
        let Some(tenant) = self.tenants.get(self.at).cloned() else { return Ok(false) };
        if self.cursor.tenant.as_deref() != Some(&tenant) {
            // New, or gone since the last run: its buckets are not those of another.
            self.cursor.tenant = Some(tenant.clone());
            self.cursor.from = None;
            self.cursor.first = None;
        }
        self.request.tenant.clone_from(&tenant);
        self.request.from = self.cursor.from;
        let step = store.reconcile(&self.request, Timestamp::now()).await?;
        self.note(&tenant, step);
        Ok(self.at < self.tenants.len())
    }

    fn note(&mut self, tenant: &str, step: ReconcileStep) {
        let ReconcileStep { groups, drifted, seq, next, newest } = step;
        let found = u64::try_from(drifted.len()).unwrap_or(u64::MAX);
        metrics().drift(&self.request.contract.contract.name, &self.name, found);
        if found > 0 {
            tracing::error!(
                view.name = self.name,
                view.drifted = found,
                view.repaired = seq.is_some(),
                "View differs from its recomputation.",
            );
        }
        let totals = &mut self.cursor.totals;
        totals.groups += groups;
        totals.drifted += found;
        totals.repaired += if seq.is_some() { found } else { 0 };
        let room = EXAMPLES.saturating_sub(totals.examples.len());
        totals.examples.extend(drifted.into_iter().take(room).map(|drift| {
            let (group, stored, computed) = (drift.group, drift.stored, drift.computed);
            json!({ "tenant": tenant, "group": group, "stored": stored, "computed": computed })
        }));
        self.newest = newest;
        self.cursor.first = self.cursor.first.or(next);
        self.cursor.from = next;
        if next.is_none() {
            self.at += 1;
            self.cursor.tenant = self.tenants.get(self.at).cloned();
            self.cursor.first = None;
            self.cursor.done = self.cursor.tenant.is_none();
        }
    }

    pub(super) fn progress(&self) -> Progress {
        let totals = &self.cursor.totals;
        let message = format!("{} groups compared, {} differ", totals.groups, totals.drifted);
        Progress {
            percent: self.percent(),
            message,
            cursor: serde_json::to_value(&self.cursor).ok(),
        }
    }

    fn percent(&self) -> u8 {
        let tenants = self.tenants.len().max(1) as f64;
        let within = match (self.cursor.first, self.cursor.from, self.newest) {
            (Some(first), Some(from), Some(newest)) if first < newest => {
                ((from as f64 - first as f64) / (newest as f64 - first as f64)).clamp(0.0, 1.0)
            }
            _ => 0.0,
        };
        // A float to integer conversion saturates.
        ((self.at as f64 + within) / tenants * 100.0) as u8
    }

    pub(super) fn totals(&self) -> &Totals {
        &self.cursor.totals
    }
}
