//! Refusals as problem documents (RFC 9457).

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};
use serde::Serialize;

use crate::error::{Kind, Refusal, RowProblem, row_problems};

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: String,
    instance: &'a str,
    code: &'static str,
    request_id: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<RowProblem<'a>>,
}

/// Writes a refusal into `response`, which keeps the fields it has.
pub(crate) fn write(response: &mut Response, refusal: &Refusal, instance: &str, request_id: &str) {
    let (Kind { code, title }, status) = (refusal.kind(), refusal.status());
    let retry_after_s = refusal.retry_after_s();
    let document = Document {
        kind: format!("urn:tidegate:problem:{code}"),
        title,
        status: status.as_u16(),
        detail: refusal.detail(),
        instance,
        code,
        request_id,
        retryable: retry_after_s.is_some(),
        errors: row_problems(refusal.rejected()),
    };
    let body = serde_json::to_vec(&document).expect("a problem must serialize: it is plain data");
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    headers.insert(header::CONTENT_LENGTH, body.len().into());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after_s {
        headers.insert(header::RETRY_AFTER, seconds.into());
    }
    if let Some((name, value)) = refusal.field() {
        headers.insert(name, value);
    }
    *response.body_mut() = Body::from(body);
}
