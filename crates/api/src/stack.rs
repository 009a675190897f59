//! What every request passes through, outermost first.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::StatusCode;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::app::App;
use crate::error::Refusal;
use crate::metrics::{Series, metrics};
use crate::problem;
use crate::request_id::{self, RequestId};

/// Wraps the routes: request id, count, refusals as documents, shedding, time limit, panics.
pub(crate) fn stack(app: &Arc<App>, routes: Router) -> Router {
    let gate = Gate {
        app: Arc::clone(app),
        // Each listener has its own: edges must get their answers while clients are shed.
        in_flight: Arc::new(Semaphore::new(app.limits.in_flight)),
    };
    routes.layer(from_fn_with_state(gate, enter))
}

/// The way into one listener's routes.
#[derive(Clone)]
struct Gate {
    app: Arc<App>,
    in_flight: Arc<Semaphore>,
}

/// Names the series that an answer is counted in; set by the route that made the answer.
#[derive(Clone)]
struct CountedIn(Arc<Series>);

/// Returns `response` as one of a route.
pub(crate) fn routed(response: impl IntoResponse, series: &Arc<Series>) -> Response {
    let mut response = response.into_response();
    response.extensions_mut().insert(CountedIn(Arc::clone(series)));
    response
}

async fn enter(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = gate.app.request_ids.of(request.headers());
    let uri = request.uri().clone();

    let mut response = admit(&gate, request, next).await;

    let status = response.status();
    if let Some(refusal) = response.extensions_mut().remove::<Arc<Refusal>>() {
        report(&refusal, uri.path(), &id);
        problem::write(&mut response, &refusal, uri.path(), id.as_str());
    }
    response.headers_mut().insert(request_id::HEADER, id.to_header());
    match response.extensions_mut().remove::<CountedIn>() {
        Some(CountedIn(series)) => series.observe(status, started.elapsed()),
        None => metrics().other().observe(status, started.elapsed()),
    }
    response
}

/// Sheds before anything else runs: a refused request must cost nothing.
async fn admit(gate: &Gate, request: Request, next: Next) -> Response {
    let Ok(_permit) = gate.in_flight.try_acquire() else {
        metrics().shed.inc();
        return Refusal::Overloaded.into_response();
    };
    let _counted = InFlight::enter();
    // Inside the time limit, so that a panic is caught where it happens; handlers hold no lock
    // across an await, and what they share is consistent at every await.
    let handler = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(gate.app.limits.request_timeout, handler).await {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            metrics().panics.inc();
            Refusal::Internal(panic_text(panic.as_ref())).into_response()
        }
        Err(_) => Refusal::Timeout.into_response(),
    }
}

/// Our own faults are logged here, once, with what the client is not told.
fn report(refusal: &Refusal, path: &str, id: &RequestId) {
    let status = refusal.status();
    if !status.is_server_error() {
        return;
    }
    let cause = std::error::Error::source(refusal).map(ToString::to_string).unwrap_or_default();
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(
            error = %refusal, error.cause = cause, url.path = path, request.id = id.as_str(),
            "Request failed."
        );
    } else {
        tracing::debug!(
            error = %refusal, error.cause = cause, url.path = path, request.id = id.as_str(),
            "Request refused."
        );
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// Counts a request as long as it lives, however it ends.
struct InFlight;

// === impl InFlight ===

impl InFlight {
    fn enter() -> Self {
        metrics().in_flight.inc();
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics().in_flight.dec();
    }
}
