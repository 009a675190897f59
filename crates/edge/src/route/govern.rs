//! Follows a control: asks for routing documents, believes only newer signed ones, and keeps the
//! last good one for a start without control.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tidegate_core::backoff::Backoff;
use tidegate_core::edge_plan::EdgePlan;
use tidegate_core::keys::Signed;
use tidegate_core::routing::{self, RoutingDocument, RoutingError};
use tidegate_core::shutdown::Shutdown;
use tokio::time::Instant;

use super::disk::Disk;
use super::{Routes, Routing};
use crate::config::{Governed, parse_address};
use crate::internal::{Internal, NoAnswer, Question};
use crate::metrics::metrics;

/// How long control may hold a question that has no news.
const WAIT_SECONDS: u64 = 20;

/// For control's answer beyond that.
const PATIENCE: Duration = Duration::from_secs(WAIT_SECONDS + 5);

/// For the api's answer to the question for a plan.
const PLAN_PATIENCE: Duration = Duration::from_secs(5);

/// An answer without news that comes sooner was not waited for.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

const MAX_DOCUMENT_BYTES: usize = 1 << 20;
const MAX_PLAN_BYTES: usize = 16 << 20;

/// Between questions that fail.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(2) };

/// Follows one control.
pub(crate) struct Follower {
    governed: Governed,
    disk: Disk,
    internal: Internal,
    routes: Arc<Routes>,
    /// The document and plan in use.
    present: Option<(RoutingDocument, EdgePlan)>,
}

/// Why a question brought nothing.
#[derive(Debug, thiserror::Error)]
enum NoNews {
    #[error("control can't be asked")]
    Control(#[source] NoAnswer),
    #[error("control answered with status {0}")]
    Status(StatusCode),
    #[error("control's answer is no signed document")]
    Unreadable(#[source] serde_json::Error),
    #[error("the routing document was refused")]
    Refused(#[source] RoutingError),
    #[error("control answered at once, without news")]
    Hasty,
    #[error("the routing document names no address that can be used")]
    NoAddress,
    #[error("the plan {0} can't be fetched")]
    NoPlan(String),
}

// === impl Follower ===

impl Follower {
    pub(crate) fn new(
        governed: Governed,
        disk: Disk,
        internal: Internal,
        routes: Arc<Routes>,
    ) -> Self {
        Self { governed, disk, internal, routes, present: None }
    }

    /// Starts from the document and plan on disk, if they are good.
    pub(crate) fn resume(&mut self) {
        let Some(signed) = self.disk.document() else { return };
        match self.accept(&signed) {
            Ok(document) => {
                let plan = self.known_plan(&document);
                let routing = plan.clone().and_then(|plan| Routing::governed(&document, plan));
                if let (Some(plan), Some(routing)) = (plan, routing) {
                    tracing::info!(
                        routing.epoch = document.epoch,
                        routing.generation = document.generation,
                        "Routing document was taken from disk."
                    );
                    self.install(routing, document, plan);
                }
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "Routing document on disk was refused."
            ),
        }
    }

    /// Asks for newer documents until shutdown.
    pub(crate) async fn follow(mut self, shutdown: Shutdown) {
        let mut failures = 0;
        loop {
            let asked = tokio::select! {
                asked = self.ask() => asked,
                () = shutdown.cancelled() => return,
            };
            let Err(error) = asked else {
                failures = 0;
                continue;
            };
            // Once for each outage, however long it lasts.
            if failures == 0 {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "Routing could not be brought up to date."
                );
            }
            let wait = BACKOFF.jittered(failures);
            failures = failures.saturating_add(1);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn ask(&mut self) -> Result<(), NoNews> {
        let path = match &self.present {
            Some((document, _)) => {
                let (epoch, generation) = document.version();
                format!("{}?after={epoch}.{generation}&wait={WAIT_SECONDS}", routing::PATH)
            }
            None => format!("{}?wait={WAIT_SECONDS}", routing::PATH),
        };
        let question = Question {
            addresses: vec![self.governed.control.clone()],
            path: &path,
            authorization: None,
            patience: PATIENCE,
            max_bytes: MAX_DOCUMENT_BYTES,
        };
        let asked = Instant::now();
        let (status, body) = self.internal.get(question).await.map_err(NoNews::Control)?;
        match status {
            StatusCode::OK => {}
            // A control that drains does not hold questions.
            StatusCode::NO_CONTENT if asked.elapsed() < SHORTEST_WAIT => {
                return Err(NoNews::Hasty);
            }
            StatusCode::NO_CONTENT => return Ok(()),
            status => return Err(NoNews::Status(status)),
        }
        let signed: Signed = serde_json::from_slice(&body).map_err(NoNews::Unreadable)?;
        let document = self.accept(&signed).map_err(NoNews::Refused)?;
        if self.present.as_ref().is_some_and(|(held, _)| held.version() == document.version()) {
            return Err(NoNews::Hasty);
        }
        let plan = match self.known_plan(&document) {
            Some(plan) => plan,
            None => self.fetch_plan(&document).await?,
        };
        let routing = Routing::governed(&document, plan.clone()).ok_or(NoNews::NoAddress)?;
        if let Err(error) = self.disk.keep(&signed, &plan).await {
            // Routing goes on; only a restart without control would be behind.
            tracing::warn!(error = %error, "Routing document could not be kept on disk.");
        }
        tracing::info!(
            routing.epoch = document.epoch,
            routing.generation = document.generation,
            "Routing document was accepted."
        );
        self.install(routing, document, plan);
        Ok(())
    }

    fn accept(&self, signed: &Signed) -> Result<RoutingDocument, RoutingError> {
        let Governed { public_key, project, .. } = &self.governed;
        let present = self.present.as_ref().map(|(document, _)| document);
        RoutingDocument::accept(signed, public_key, project, present)
    }

    fn known_plan(&self, document: &RoutingDocument) -> Option<EdgePlan> {
        let digest = &document.stable.edge_plan;
        let empty = EdgePlan::empty();
        if empty.digest() == *digest {
            return Some(empty);
        }
        match &self.present {
            Some((present, plan)) if present.stable.edge_plan == *digest => Some(plan.clone()),
            _ => self.disk.plan(digest),
        }
    }

    async fn fetch_plan(&self, document: &RoutingDocument) -> Result<EdgePlan, NoNews> {
        let digest = &document.stable.edge_plan;
        let no_plan = || NoNews::NoPlan(digest.clone());
        let instances = document.stable.internal.iter().filter_map(|text| parse_address(text));
        // One after the other: an instance that just started may not know the plan yet.
        for address in instances {
            let path = format!("{}{digest}", routing::EDGE_PLAN_PATH);
            let question = Question {
                addresses: vec![address],
                path: &path,
                authorization: None,
                patience: PLAN_PATIENCE,
                max_bytes: MAX_PLAN_BYTES,
            };
            let Ok((StatusCode::OK, body)) = self.internal.get(question).await else { continue };
            let plan = serde_json::from_slice::<EdgePlan>(&body).ok();
            // The name is the content's digest, so whoever sent it can't have changed it.
            if let Some(plan) = plan.filter(|plan| plan.digest() == *digest) {
                return Ok(plan);
            }
        }
        Err(no_plan())
    }

    fn install(&mut self, routing: Routing, document: RoutingDocument, plan: EdgePlan) {
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        metrics().routing_epoch.set(gauge(document.epoch));
        metrics().routing_generation.set(gauge(document.generation));
        self.routes.store(routing);
        self.present = Some((document, plan));
    }
}
