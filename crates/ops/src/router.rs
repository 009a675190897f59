//! `/livez`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::{Router, routing::get};
use serde_json::{Value, json};
use tidegate_core::telemetry;

use crate::Check;
use crate::check::Weight;

/// Builds the routes of a private listener; a tier merges its own into them.
pub fn router(checks: Vec<Check>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "live\n" }))
        .route("/metrics", get(metrics))
        .merge(Router::new().route("/readyz", get(ready)).with_state(Arc::new(checks)))
}

async fn metrics() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, telemetry::METRICS_CONTENT_TYPE)], telemetry::metrics_text())
}

async fn ready(State(checks): State<Arc<Vec<Check>>>) -> Response {
    let answers = futures_util::future::join_all(checks.iter().map(Check::failed)).await;
    let (mut failed, mut degraded) = (Vec::new(), Vec::new());
    for (check, answer) in checks.iter().zip(answers) {
        let Some(answer) = answer else { continue };
        let list = match check.weight {
            Weight::Required => &mut failed,
            Weight::Degrading => &mut degraded,
        };
        list.push(json!({"check": answer.check, "reason": answer.reason}));
    }
    let ready = failed.is_empty();
    let mut body = json!({"ready": ready});
    for (name, list) in [("failed", failed), ("degraded", degraded)] {
        if !list.is_empty() {
            body[name] = Value::Array(list);
        }
    }
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::{BodyExt, Limited};
    use tidegate_core::shutdown::Shutdown;
    use tower::ServiceExt;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "limited")]
    async fn get(router: Router, path: &str) -> (StatusCode, Vec<u8>) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        let status = response.status();
        let body = Limited::new(response.into_body(), 1 << 20).collect().await.unwrap();
        (status, body.to_bytes().to_vec())
    }

    #[tokio::test]
    async fn a_process_without_failed_checks_is_ready() {
        let checks = vec![Check::new("store", || async { Ok(()) })];
        let (status, body) = get(router(checks), "/readyz").await;
        assert_eq!((status, body.as_slice()), (StatusCode::OK, br#"{"ready":true}"#.as_slice()));
    }

    #[tokio::test]
    async fn every_failed_check_is_named_with_its_reason() {
        let shutdown = Shutdown::new();
        shutdown.cancel();
        let checks = vec![
            Check::new("store", || async { Err("locked".to_owned()) }),
            Check::new("queue", || async { Ok(()) }),
            Check::accepting(&shutdown),
        ];
        let (status, body) = get(router(checks), "/readyz").await;
        let failed = json!([
            {"check": "store", "reason": "locked"},
            {"check": "accepting", "reason": "the process is draining"},
        ]);
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body, json!({"ready": false, "failed": failed}));
    }

    #[tokio::test]
    async fn a_process_that_does_its_work_less_well_stays_ready_and_says_so() {
        let queue = || Check::new("queue", || async { Err("away".to_owned()) }).degrading();
        let (status, body) = get(router(vec![queue()]), "/readyz").await;
        let degraded = json!([{"check": "queue", "reason": "away"}]);
        assert_eq!(status, StatusCode::OK);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body, json!({"ready": true, "degraded": degraded}));

        let store = Check::new("store", || async { Err("locked".to_owned()) });
        let (status, body) = get(router(vec![queue(), store]), "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        let body: Value = serde_json::from_slice(&body).unwrap();
        let failed = json!([{"check": "store", "reason": "locked"}]);
        assert_eq!(body, json!({"ready": false, "failed": failed, "degraded": degraded}));
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_has_failed() {
        let checks = vec![Check::new("store", std::future::pending)];
        let (status, body) = get(router(checks), "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(String::from_utf8(body).unwrap().contains("no answer within 2 s"));
    }

    #[tokio::test]
    async fn the_process_is_live_and_shows_its_metrics() {
        assert_eq!(get(router(vec![]), "/livez").await.0, StatusCode::OK);
        assert_eq!(get(router(vec![]), "/metrics").await.0, StatusCode::OK);
    }
}
