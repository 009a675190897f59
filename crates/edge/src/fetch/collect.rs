//! Collects a body that is to be stored, up to a limit.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::body::Body;
use crate::error::RequestError;

/// What became of a body.
pub(super) enum Collected {
    Whole(Bytes),
    /// It is longer than the limit: what was read, and the rest as it comes.
    TooLarge(Body),
}

/// Reads the whole body, or as much of it as may be stored.
pub(super) async fn collect(
    mut body: Incoming,
    limit_bytes: usize,
    idle: Duration,
) -> Result<Collected, RequestError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit_bytes {
        return Ok(Collected::TooLarge(Body::relay(Vec::new(), body, idle)));
    }
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut length = 0;
    loop {
        let frame = tokio::time::timeout(idle, body.frame());
        match frame.await.map_err(|_| RequestError::TimedOut)? {
            None => return Ok(Collected::Whole(join(&pieces, length))),
            // The length differs from what was announced, or the connection broke: nothing was
            // sent to the client yet, so it gets one clear answer instead of half a body.
            Some(Err(_)) => return Err(RequestError::Closed),
            Some(Ok(frame)) => {
                let Ok(piece) = frame.into_data() else { continue };
                length += piece.len();
                pieces.push(piece);
                if length > limit_bytes {
                    return Ok(Collected::TooLarge(Body::relay(pieces, body, idle)));
                }
            }
        }
    }
}

/// Copies, so that a stored body holds on to no read buffer that is larger than itself.
fn join(pieces: &[Bytes], length: usize) -> Bytes {
    let mut whole = BytesMut::with_capacity(length);
    for piece in pieces {
        whole.extend_from_slice(piece);
    }
    whole.freeze()
}
