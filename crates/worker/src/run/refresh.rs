//! Refresh jobs: an edge served a response stale and wants it looked at anew.
//!
//! The worker asks the api, many orders in one request; the api looks and tells the edges.

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_core::cache_update::{REFRESH_PATH, RefreshOrder, RefreshOutcome};
use tidegate_core::shutdown::Shutdown;
use tidegate_queue::Delivery;
use tidegate_store::SharedStore;

use super::alone::{self, Work};
use crate::api::Api;
use crate::consume::Run;
use crate::error::JobError;
use crate::settle::Outcome;

/// Runs refresh jobs.
pub(crate) struct Refresh {
    store: SharedStore,
    /// Set in projects in which workers ask the api.
    api: Option<Api>,
    stop: Shutdown,
}

// === impl Refresh ===

impl Refresh {
    pub(crate) fn new(store: SharedStore, api: Option<Api>, stop: Shutdown) -> Self {
        Self { store, api, stop }
    }

    pub(crate) async fn run(&self, run: Run) -> Vec<Outcome> {
        alone::run(&self.store, &run.gate, &run.deliveries, self).await
    }

    async fn ask(
        &self,
        api: &Api,
        orders: &[RefreshOrder],
    ) -> Result<Vec<RefreshOutcome>, JobError> {
        let document = serde_json::to_vec(orders).map_err(JobError::Malformed)?;
        let answer = api.post(REFRESH_PATH, Bytes::from(document)).await?;
        let outcomes: Vec<RefreshOutcome> = serde_json::from_slice(&answer)
            .map_err(|error| JobError::Unavailable(format!("the api's answer: {error}")))?;
        if outcomes.len() == orders.len() {
            Ok(outcomes)
        } else {
            let (orders, answers) = (orders.len(), outcomes.len());
            Err(JobError::Unavailable(format!("{answers} answers of the api to {orders} orders")))
        }
    }

    async fn answers(&self, orders: &[RefreshOrder]) -> Vec<Outcome> {
        if orders.is_empty() {
            return Vec::new();
        }
        let Some(api) = &self.api else {
            let error = JobError::Impossible("this project has no arrow from worker to api".into());
            return vec![Outcome::from(&error); orders.len()];
        };
        match self.ask(api, orders).await {
            Ok(outcomes) => outcomes.into_iter().map(Outcome::from).collect(),
            Err(error) => vec![Outcome::from(&error); orders.len()],
        }
    }
}

#[async_trait]
impl Work for Refresh {
    async fn work(&self, deliveries: &[&Delivery]) -> Vec<Outcome> {
        if self.stop.is_cancelled() {
            return vec![Outcome::NotBegun; deliveries.len()];
        }
        let mut orders = Vec::with_capacity(deliveries.len());
        let mut unreadable = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            match serde_json::from_value(delivery.job.body.clone()) {
                Ok(order) => {
                    orders.push(order);
                    unreadable.push(None);
                }
                Err(error) => unreadable.push(Some(Outcome::from(&JobError::Malformed(error)))),
            }
        }
        let mut answers = self.answers(&orders).await.into_iter();
        let next = |unreadable: Option<Outcome>| unreadable.or_else(|| answers.next());
        unreadable.into_iter().map(next).map(|end| end.unwrap_or(Outcome::NotBegun)).collect()
    }
}

impl From<RefreshOutcome> for Outcome {
    fn from(outcome: RefreshOutcome) -> Self {
        match outcome {
            RefreshOutcome::Unchanged | RefreshOutcome::Changed => Self::Applied,
            // The contract has changed since, or the reader may no longer read it: nobody wants it.
            RefreshOutcome::Gone => Self::Finished,
            RefreshOutcome::Failed => {
                Self::from(&JobError::Unavailable("the api could not look at it".to_owned()))
            }
        }
    }
}
