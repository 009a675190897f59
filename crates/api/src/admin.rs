//! What administrators of a product do: reconcile views, try the queue, decide on dead letters.

pub(crate) mod dead_letters;
pub(crate) mod probes;
pub(crate) mod reconcile;

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::response::{IntoResponse, Json, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Arm, Job, Lane};
use tidegate_store::{Enqueued, NewJob};
use tokio::time::Instant;
use uuid::Uuid;

use crate::app::App;
use crate::authenticate::Principal;
use crate::authorize::{self, ADMIN};
use crate::catalog::Product;
use crate::error::Refusal;
use crate::faults;
use crate::fields::{Stamp, idempotency_key, traceparent};

/// An administrator of a product, and the request's other fields.
pub(crate) struct Admin<'a> {
    pub(crate) principal: Arc<Principal>,
    pub(crate) product: Arc<Product>,
    headers: &'a HeaderMap,
}

/// What a job is made from, beside who asks for it.
pub(crate) struct Work {
    pub(crate) id: Uuid,
    pub(crate) kind: &'static str,
    pub(crate) lane: Lane,
    pub(crate) body: Value,
}

/// The answer to a job that waits.
#[derive(Serialize)]
struct Receipt {
    job: Uuid,
    state: &'static str,
}

// === impl Admin ===

impl<'a> Admin<'a> {
    /// Lets an administrator in.
    pub(crate) async fn enter(
        app: &App,
        product: &str,
        headers: &'a HeaderMap,
    ) -> Result<Self, Refusal> {
        let principal = app.credentials.authenticate(headers, Instant::now()).await?;
        let product = app.catalog.load().find(product, &principal)?;
        authorize::check(&principal, ADMIN, &product.contract().name)?;
        Ok(Self { principal, product, headers })
    }

    /// Makes a job of the first version of its kind's body.
    pub(crate) fn job(&self, app: &App, work: Work, now: Timestamp) -> Job {
        let Stamp { release, cohort } = Stamp::of(self.headers);
        let whose = (&*self.principal.tenant, &*self.product.contract().name);
        Job {
            id: work.id,
            arm: app.release.arm_of(release.as_deref()),
            release,
            cohort,
            traceparent: traceparent(self.headers),
            ..Job::new(work.kind, work.lane, whose, work.body, now)
        }
    }

    /// Puts one job, once for each idempotency key, and says where to follow it.
    pub(crate) async fn put(&self, app: &App, work: Work) -> Result<Response, Refusal> {
        let now = Timestamp::now();
        let job = self.job(app, work, now);
        let (mut id, idempotency_key) = (job.id, idempotency_key(self.headers)?);
        let put = app.store.enqueue(vec![NewJob { job, run_at: None, idempotency_key }], now);
        let put = put.await?;
        faults::point(faults::AFTER_OUTBOX_INSERT);
        if let Some(Enqueued::Existing(earlier)) = put.first() {
            id = *earlier;
        }
        Ok(accepted(id))
    }
}

/// Returns the answer that names a job.
pub(crate) fn accepted(job: Uuid) -> Response {
    let location = HeaderValue::try_from(format!("/v1/jobs/{job}"));
    let location = location.expect("a job's id must be a field value: it is ASCII");
    let receipt = Receipt { job, state: "accepted" };
    (StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(receipt)).into_response()
}

/// Returns a document that is about the present moment.
pub(crate) fn document(value: impl Serialize) -> Response {
    let fields = [(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (fields, Json(value)).into_response()
}

/// Takes a JSON body; the reader's own words say what is wrong with it, and where.
pub(crate) fn body<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Refusal> {
    match body {
        Ok(Json(value)) => Ok(value),
        Err(JsonRejection::MissingJsonContentType(_)) => Err(Refusal::MediaType),
        Err(rejection) => Err(Refusal::MalformedBody(rejection.body_text())),
    }
}

/// Which release an api is: whose workers take what it accepts.
#[derive(Clone, Debug, Default)]
pub struct Release {
    /// Digest of its artifact.
    pub id: Option<String>,
    /// Whether it is the canary.
    pub arm: Arm,
}

// === impl Release ===

impl Release {
    /// Returns the arm of a request: a canary's workers take only what the canary's api accepted of
    /// the requests that the edge gave to that release.
    pub(crate) fn arm_of(&self, stamped: Option<&str>) -> Arm {
        match self.arm {
            Arm::Canary if stamped.is_some() && stamped == self.id.as_deref() => Arm::Canary,
            _ => Arm::Stable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_canary_s_own_requests_are_work_for_its_workers() {
        let release = |arm| Release { id: Some("sha256:aa".to_owned()), arm };
        assert_eq!(release(Arm::Canary).arm_of(Some("sha256:aa")), Arm::Canary);
        assert_eq!(release(Arm::Canary).arm_of(Some("sha256:bb")), Arm::Stable);
        assert_eq!(release(Arm::Canary).arm_of(None), Arm::Stable);
        assert_eq!(release(Arm::Stable).arm_of(Some("sha256:aa")), Arm::Stable);
        assert_eq!(Release::default().arm_of(None), Arm::Stable);
    }
}
