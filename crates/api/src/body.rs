//! Request bodies: read with bounds, decompressed with bounds.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Refusal;

/// Memory is reserved in steps of this many bytes.
const STEP_BYTES: usize = 64 << 10;

/// A gzip body may expand by this factor once it is longer than [`RATIO_FROM_BYTES`]. Rows of
/// measurements expand by 10 to 30.
const MAX_RATIO: usize = 200;

/// Short bodies may expand by any factor: they can do no harm.
const RATIO_FROM_BYTES: usize = 1 << 20;

/// Most bytes of a refused body that are read and thrown away.
const MAX_DISCARDED_BYTES: usize = 32 << 20;

/// Longest time for it.
const MAX_DISCARD: Duration = Duration::from_secs(2);

/// How a body is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    Identity,
    Gzip,
}

/// What one body may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Longest body, before and after decompression.
    pub(crate) max_bytes: usize,
    /// Longest pause between two parts.
    pub(crate) pause: Duration,
}

/// The memory that all bodies share.
#[derive(Clone)]
pub(crate) struct Memory(Arc<Semaphore>);

/// A part of the memory, given back when dropped.
pub(crate) struct Reservation {
    memory: Memory,
    held: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

// === impl Coding ===

impl Coding {
    /// Reads `Content-Encoding`.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut fields = headers.get_all(CONTENT_ENCODING).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else {
            return match headers.contains_key(CONTENT_ENCODING) {
                true => Err(Refusal::Encoding),
                false => Ok(Self::Identity),
            };
        };
        let name = field.to_str().unwrap_or_default().trim();
        if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
            Ok(Self::Gzip)
        } else if name.eq_ignore_ascii_case("identity") {
            Ok(Self::Identity)
        } else {
            Err(Refusal::Encoding)
        }
    }
}

// === impl Memory ===

impl Memory {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes.div_ceil(STEP_BYTES))))
    }

    pub(crate) fn reservation(&self) -> Reservation {
        Reservation { memory: self.clone(), held: None, bytes: 0 }
    }
}

// === impl Reservation ===

impl Reservation {
    /// Makes room for `bytes` in all.
    fn grow_to(&mut self, bytes: usize) -> Result<(), Refusal> {
        if bytes <= self.bytes {
            return Ok(());
        }
        let steps = (bytes - self.bytes).div_ceil(STEP_BYTES);
        let permits = u32::try_from(steps).map_err(|_| Refusal::Overloaded)?;
        let more = Arc::clone(&self.memory.0)
            .try_acquire_many_owned(permits)
            .map_err(|_| Refusal::Overloaded)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        self.bytes += steps * STEP_BYTES;
        Ok(())
    }
}

/// Reads a body as it was sent.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: &mut Body,
    bounds: Bounds,
    reservation: &mut Reservation,
) -> Result<Vec<u8>, Refusal> {
    let announced = announced(headers).unwrap_or(0);
    if announced > bounds.max_bytes {
        return Err(too_large(bounds.max_bytes));
    }
    // Memory is reserved as bytes come: who announces much and sends little takes little.
    let mut bytes = Vec::with_capacity(announced);
    while let Some(part) = next_part(body, bounds.pause).await? {
        let length = bytes.len() + part.len();
        if length > bounds.max_bytes {
            return Err(too_large(bounds.max_bytes));
        }
        reservation.grow_to(length)?;
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// Reads the rest of a refused body and throws it away, within bounds.
///
/// A connection closed while its client still writes is reset, and the reset may overtake the
/// answer. A client that asked for permission to send is not sending.
pub(crate) async fn discard(headers: &HeaderMap, mut body: Body) {
    if headers.contains_key(EXPECT)
        || announced(headers).is_some_and(|bytes| bytes > MAX_DISCARDED_BYTES)
    {
        return;
    }
    let drain = async {
        let mut seen = 0;
        while let Ok(Some(part)) = next_part(&mut body, MAX_DISCARD).await {
            seen += part.len();
            if seen > MAX_DISCARDED_BYTES {
                break;
            }
        }
    };
    // Over or not: the answer is sent now.
    tokio::time::timeout(MAX_DISCARD, drain).await.ok();
}

/// Returns the bytes of a body that was sent in `coding`. Takes milliseconds: not for the runtime.
pub(crate) fn decode(
    coding: Coding,
    sent: Vec<u8>,
    max_bytes: usize,
    reservation: &mut Reservation,
) -> Result<Vec<u8>, Refusal> {
    match coding {
        Coding::Identity => Ok(sent),
        Coding::Gzip => gunzip(&sent, max_bytes, reservation),
    }
}

fn gunzip(
    sent: &[u8],
    max_bytes: usize,
    reservation: &mut Reservation,
) -> Result<Vec<u8>, Refusal> {
    let mut decoder = MultiGzDecoder::new(sent);
    let mut bytes = Vec::new();
    loop {
        reservation.grow_to(sent.len() + bytes.len() + STEP_BYTES)?;
        bytes.reserve(STEP_BYTES);
        let step = u64::try_from(STEP_BYTES).unwrap_or(u64::MAX);
        let read = decoder.by_ref().take(step).read_to_end(&mut bytes);
        if bytes.len() > max_bytes {
            return Err(too_large(max_bytes));
        }
        let consumed = sent.len() - decoder.get_ref().len();
        if bytes.len() > RATIO_FROM_BYTES && bytes.len() / MAX_RATIO > consumed {
            return Err(Refusal::BodyTooLarge(format!(
                "the gzip body expands by a factor of more than {MAX_RATIO}; send it in smaller \
                 parts or without compression (at most {})",
                size(max_bytes)
            )));
        }
        match read {
            Ok(0) => return Ok(bytes),
            Ok(_) => {}
            Err(error) => return Err(Refusal::MalformedBody(gzip_fault(&error, bytes.len()))),
        }
    }
}

fn gzip_fault(error: &io::Error, decoded: usize) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        format!("the gzip body is truncated: it ends within the stream, after {decoded} bytes")
    } else {
        format!("the body is no valid gzip: it is corrupt after {decoded} bytes")
    }
}

async fn next_part(body: &mut Body, pause: Duration) -> Result<Option<Bytes>, Refusal> {
    loop {
        let frame = tokio::time::timeout(pause, body.frame()).await;
        match frame.map_err(|_| Refusal::BodySlow(pause))? {
            None => return Ok(None),
            Some(Err(_)) => return Err(Refusal::BodyAborted),
            Some(Ok(frame)) => {
                // Trailers say nothing that we ask for.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn too_large(max_bytes: usize) -> Refusal {
    Refusal::BodyTooLarge(format!(
        "the body is larger than {}, the limit after decompression; send it in smaller parts",
        size(max_bytes)
    ))
}

/// Writes a number of bytes in the largest unit that divides it.
fn size(bytes: usize) -> String {
    match bytes {
        bytes if bytes % (1 << 20) == 0 => format!("{} MiB", bytes >> 20),
        bytes if bytes % (1 << 10) == 0 => format!("{} KiB", bytes >> 10),
        bytes => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests;
