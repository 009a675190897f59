//! Small questions to the private listeners of the stack's own tiers.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

/// A question that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(3);

/// Largest answer that is read.
const MAX_ANSWER: usize = 64 * 1024;

/// Asks once; the answer of whatever status.
///
/// # Errors
/// Says what happened instead of an answer.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Result<(StatusCode, Bytes), String> {
    let uri = http::Uri::try_from(format!("http://{address}{path}"))
        .map_err(|error| error.to_string())?;
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let answer = tokio::time::timeout(PATIENCE, async {
        let response = client.get(uri).await.map_err(|_| "it does not answer".to_owned())?;
        let status = response.status();
        let body = read(response.into_body()).await?;
        Ok::<_, String>((status, body))
    });
    answer.await.map_err(|_| "it does not answer in time".to_owned()).flatten()
}

/// Asks once for a document; none if there is no good answer.
pub(crate) async fn json<T: DeserializeOwned>(address: SocketAddr, path: &str) -> Option<T> {
    match get(address, path).await {
        Ok((StatusCode::OK, body)) => serde_json::from_slice(&body).ok(),
        _ => None,
    }
}

#[expect(clippy::disallowed_methods, reason = "limited")]
async fn read(body: hyper::body::Incoming) -> Result<Bytes, String> {
    match Limited::new(body, MAX_ANSWER).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) => Err(format!("its answer broke off: {error}")),
    }
}
