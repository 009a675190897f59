//! Bodies that pass through the edge: bytes of its own, or a stream with bounded patience.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

use crate::upstream::headers;

/// A response or request body.
pub(crate) enum Body {
    /// Bytes in memory; `None` once they are taken.
    Full(Option<Bytes>),
    /// A stream.
    Stream(Box<Stream>),
}

/// A body that is read from one connection and written to another.
pub(crate) struct Stream {
    /// What was read before it was decided to stream.
    head: VecDeque<Bytes>,
    rest: Incoming,
    /// Longest wait for the next frame.
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    upload: Option<Upload>,
}

/// What the waiting side knows of a request body that is being sent.
#[derive(Clone)]
pub(crate) struct Upload {
    progress: Arc<Mutex<Progress>>,
    limit_bytes: u64,
}

/// How far an upload has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    pub(crate) bytes: u64,
    pub(crate) last: Instant,
    pub(crate) state: UploadState,
}

/// What became of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UploadState {
    Running,
    Done,
    Failed(BodyError),
}

/// Why a stream broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("no data came in time")]
    Idle,
    #[error("the body is longer than allowed")]
    TooLarge,
    #[error("the peer broke the body off")]
    Broken,
}

// === impl Body ===

impl Body {
    pub(crate) fn empty() -> Self {
        Self::Full(None)
    }

    pub(crate) fn full(bytes: Bytes) -> Self {
        Self::Full((!bytes.is_empty()).then_some(bytes))
    }

    /// A body that begins with `head` and goes on with what the origin sends.
    pub(crate) fn relay(head: Vec<Bytes>, rest: Incoming, idle: Duration) -> Self {
        let head = head.into();
        Self::Stream(Box::new(Stream { head, rest, idle, timer: None, upload: None }))
    }

    /// A client's body on its way to the origin.
    pub(crate) fn upload(rest: Incoming, idle: Duration, limit_bytes: u64) -> (Self, Upload) {
        let progress = Progress { bytes: 0, last: Instant::now(), state: UploadState::Running };
        let upload = Upload { progress: Arc::new(Mutex::new(progress)), limit_bytes };
        let head = VecDeque::new();
        let stream = Stream { head, rest, idle, timer: None, upload: Some(upload.clone()) };
        (Self::Stream(Box::new(stream)), upload)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(stream) => stream.poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Stream(stream) => stream.head.is_empty() && stream.rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, length)),
            Self::Stream(stream) => {
                let head: u64 = stream.head.iter().map(length).sum();
                let rest = stream.rest.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(head.saturating_add(rest.lower()));
                if let Some(upper) = rest.upper() {
                    hint.set_upper(head.saturating_add(upper));
                }
                hint
            }
        }
    }
}

// === impl Stream ===

impl Stream {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(bytes) = self.head.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let frame = match Pin::new(&mut self.rest).poll_frame(context) {
            Poll::Ready(frame) => frame.map(|frame| frame.map_err(|_| BodyError::Broken)),
            Poll::Pending => {
                // A timer exists only while a peer keeps us waiting.
                let idle = self.idle;
                let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
                ready!(timer.as_mut().poll(context));
                Some(Err(BodyError::Idle))
            }
        };
        self.timer = None;
        Poll::Ready(match &self.upload {
            Some(upload) => upload.observe(frame),
            None => frame,
        })
    }
}

// === impl Upload ===

impl Upload {
    /// Returns how far the upload has come.
    pub(crate) fn progress(&self) -> Progress {
        *self.progress.lock()
    }

    fn observe(
        &self,
        frame: Option<Result<Frame<Bytes>, BodyError>>,
    ) -> Option<Result<Frame<Bytes>, BodyError>> {
        let mut progress = self.progress.lock();
        progress.last = Instant::now();
        let frame = match frame {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    headers::strip_internal(trailers);
                }
                progress.bytes += frame.data_ref().map_or(0, length);
                if progress.bytes > self.limit_bytes {
                    Some(Err(BodyError::TooLarge))
                } else {
                    Some(Ok(frame))
                }
            }
            other => other,
        };
        match &frame {
            None => progress.state = UploadState::Done,
            Some(Err(error)) => progress.state = UploadState::Failed(*error),
            Some(Ok(_)) => {}
        }
        frame
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
