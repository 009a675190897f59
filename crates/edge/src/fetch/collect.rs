//! Collects a body that is to be stored, up to a limit, while there is room for it.

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::body::Body;
use crate::cache::storable::NotStorable;
use crate::edge::Edge;
use crate::error::RequestError;

/// Bytes of one permit for collecting.
const UNIT_BYTES: usize = 64 * 1024;

/// What became of a body.
pub(super) enum Collected {
    Whole(Bytes),
    /// What was read and the rest as it comes, and why it was not collected to the end.
    Partly(Body, NotStorable),
}

/// Bounds the memory of all bodies that are being collected: large ones for many keys at once
/// would otherwise need as much as there are connections.
pub(crate) struct Room(Semaphore);

/// A share of the room, given back on drop.
struct Share<'a> {
    room: &'a Room,
    permit: Option<SemaphorePermit<'a>>,
    bytes: usize,
}

/// Reads the whole body, or as much of it as may be stored.
pub(super) async fn collect(edge: &Edge, mut body: Incoming) -> Result<Collected, RequestError> {
    let (limit, idle) = (edge.settings.max_object_bytes, edge.limits.body_idle);
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        let body = Body::relay(Vec::new(), body, idle);
        return Ok(Collected::Partly(body, NotStorable::TooLarge));
    }
    let mut share = edge.room.none();
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut length = 0;
    loop {
        let frame = tokio::time::timeout(idle, body.frame());
        let frame = match frame.await.map_err(|_| RequestError::TimedOut)? {
            None => return Ok(Collected::Whole(join(&pieces, length))),
            // The length differs from what was announced, or the connection broke: nothing was
            // sent to the client yet, so it gets one clear answer instead of half a body.
            Some(Err(_)) => return Err(RequestError::Closed),
            Some(Ok(frame)) => frame,
        };
        let Ok(piece) = frame.into_data() else { continue };
        length += piece.len();
        pieces.push(piece);
        if length > limit {
            return Ok(Collected::Partly(Body::relay(pieces, body, idle), NotStorable::TooLarge));
        }
        if !share.grow_to(length) {
            return Ok(Collected::Partly(Body::relay(pieces, body, idle), NotStorable::Busy));
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

// === impl Room ===

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Semaphore::new((bytes / UNIT_BYTES + 1).min(Semaphore::MAX_PERMITS)))
    }

    fn none(&self) -> Share<'_> {
        Share { room: self, permit: None, bytes: 0 }
    }
}

// === impl Share ===

impl Share<'_> {
    /// Takes as many units as `bytes` need; `false` if there are too few.
    fn grow_to(&mut self, bytes: usize) -> bool {
        if bytes <= self.bytes {
            return true;
        }
        let units = (bytes - self.bytes).div_ceil(UNIT_BYTES);
        let Ok(count) = u32::try_from(units) else { return false };
        let Ok(permit) = self.room.0.try_acquire_many(count) else { return false };
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
        self.bytes += units * UNIT_BYTES;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_in_units_and_given_back() {
        let room = Room::new(2 * UNIT_BYTES);
        let mut first = room.none();
        assert!(first.grow_to(1) && first.grow_to(UNIT_BYTES) && first.grow_to(UNIT_BYTES + 1));
        let mut second = room.none();
        assert!(second.grow_to(1));
        assert!(!second.grow_to(UNIT_BYTES + 1));
        drop(first);
        assert!(second.grow_to(3 * UNIT_BYTES));
    }
}
