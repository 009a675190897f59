//! How long to try: what may be sent again, when, and when to give up.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::anyhow;
use http::StatusCode;
use tidegate_core::backoff::Backoff;
use tokio::time::Instant;

use crate::client::{ClientError, Remedy, Reply};
use crate::failure::Failure;

/// Longest time in which nothing at all may succeed once rows stream.
const LIMIT: Duration = Duration::from_secs(120);

/// The same for the first request: a stack that is just starting answers sooner, and a person who
/// named the wrong address does not wait long.
const FIRST_LIMIT: Duration = Duration::from_secs(5);

/// Waits between attempts when the server names none.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(2) };

/// Longest wait that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Shared by all requests of a run: one that succeeds gives the others more time, and one that is
/// told to slow down slows them all.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    began: Instant,
    /// Milliseconds since `began` of the last success.
    progress_ms: AtomicU64,
    /// Milliseconds since `began` before which nothing is sent.
    resume_ms: AtomicU64,
    retries: AtomicU64,
}

/// What to do after an attempt.
#[derive(Debug)]
enum Verdict {
    /// The server has decided.
    Answered(Reply),
    /// The same request again, after the named time at the earliest.
    Later { after: Option<Duration>, why: String },
    /// The request can't succeed.
    Never(ClientError),
}

// === impl Patience ===

impl Patience {
    /// Begins now, for a whole run.
    pub(crate) fn new() -> Self {
        Self::of(LIMIT)
    }

    /// Begins now, for the first request.
    pub(crate) fn for_first_request() -> Self {
        Self::of(FIRST_LIMIT)
    }

    fn of(limit: Duration) -> Self {
        Self {
            limit,
            began: Instant::now(),
            progress_ms: AtomicU64::new(0),
            resume_ms: AtomicU64::new(0),
            retries: AtomicU64::new(0),
        }
    }

    /// Something succeeded.
    pub(crate) fn progress(&self) {
        self.progress_ms.store(self.now_ms(), Relaxed);
    }

    /// Returns how many requests were sent again.
    pub(crate) fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Fails when nothing has succeeded for too long; `why` says what was waited for last.
    ///
    /// # Errors
    /// Patience has ended.
    pub(crate) fn check(&self, why: &str) -> Result<(), Failure> {
        let idle_ms = self.now_ms().saturating_sub(self.progress_ms.load(Relaxed));
        if Duration::from_millis(idle_ms) < self.limit {
            return Ok(());
        }
        Err(Failure::unverified(anyhow!(
            "nothing has succeeded for {} s; the last attempt: {why}",
            self.limit.as_secs()
        )))
    }

    /// Sends a request until the server decides about it. The request must be safe to repeat.
    ///
    /// # Errors
    /// It can't succeed, or patience has ended.
    pub(crate) async fn insist<S, A>(&self, mut send: S) -> Result<Reply, Failure>
    where
        S: FnMut() -> A,
        A: Future<Output = Result<Reply, ClientError>>,
    {
        let mut attempt = 0;
        loop {
            self.wait_for_turn().await;
            let (after, why) = match judge(send().await) {
                Verdict::Answered(reply) => return Ok(reply),
                Verdict::Never(error) => return Err(error.into_failure()),
                Verdict::Later { after, why } => (after, why),
            };
            self.check(&why)?;
            self.retries.fetch_add(1, Relaxed);
            if let Some(after) = after {
                self.pause(after.min(LONGEST_PAUSE));
            }
            tokio::time::sleep(BACKOFF.jittered(attempt)).await;
            attempt += 1;
        }
    }

    fn pause(&self, after: Duration) {
        let until = self.now_ms() + u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.resume_ms.fetch_max(until, Relaxed);
    }

    async fn wait_for_turn(&self) {
        let resume = self.began + Duration::from_millis(self.resume_ms.load(Relaxed));
        tokio::time::sleep_until(resume).await;
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn judge(attempt: Result<Reply, ClientError>) -> Verdict {
    let reply = match attempt {
        Ok(reply) => reply,
        // The head of a 202 is a promise, with or without its content: never send that again.
        Err(ClientError::Cut { head, .. }) if head.status == StatusCode::ACCEPTED => *head,
        Err(error) => {
            return match error.remedy() {
                Remedy::Retry => Verdict::Later { after: None, why: error.to_string() },
                Remedy::GiveUp => Verdict::Never(error),
            };
        }
    };
    match reply.status {
        // 409: the first attempt with this Idempotency-Key is still under way.
        StatusCode::REQUEST_TIMEOUT
        | StatusCode::CONFLICT
        | StatusCode::TOO_EARLY
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            Verdict::Later { after: reply.retry_after(), why: reply.problem() }
        }
        _ => Verdict::Answered(reply),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::HeaderMap;
    use std::cell::Cell;

    fn reply(status: u16, retry_after: Option<&'static str>) -> Reply {
        let mut headers = HeaderMap::new();
        if let Some(after) = retry_after {
            headers.insert("retry-after", http::HeaderValue::from_static(after));
        }
        Reply { status: StatusCode::from_u16(status).unwrap(), headers, body: Bytes::new() }
    }

    fn cut(status: u16) -> ClientError {
        let head = Box::new(reply(status, None));
        ClientError::Cut { base: "b".into(), head, reason: "closed".into() }
    }

    #[test]
    fn only_what_may_pass_by_itself_is_sent_again() {
        for status in [408, 409, 425, 429, 502, 503, 504] {
            assert!(matches!(judge(Ok(reply(status, None))), Verdict::Later { .. }), "{status}");
        }
        for status in [200, 202, 400, 401, 403, 413, 422, 500] {
            assert!(matches!(judge(Ok(reply(status, None))), Verdict::Answered(_)), "{status}");
        }
        let silent = ClientError::Silent { base: "b".into() };
        assert!(matches!(judge(Err(silent)), Verdict::Later { .. }));
        assert!(matches!(judge(Err(ClientError::Token)), Verdict::Never(_)));
    }

    #[test]
    fn an_accepted_batch_is_not_sent_again_when_its_answer_is_cut_off() {
        assert!(matches!(judge(Err(cut(202))), Verdict::Answered(_)));
        assert!(matches!(judge(Err(cut(200))), Verdict::Later { .. }));
    }

    #[tokio::test(start_paused = true)]
    async fn the_server_s_wait_is_honoured() {
        let patience = Patience::new();
        let attempts = Cell::new(0);
        let started = Instant::now();
        let send = || {
            attempts.set(attempts.get() + 1);
            let last = attempts.get() == 2;
            async move { Ok(if last { reply(202, None) } else { reply(503, Some("3")) }) }
        };
        patience.insist(send).await.unwrap();
        assert!(started.elapsed() >= Duration::from_secs(3));
        assert_eq!(patience.retries(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_when_nothing_succeeds() {
        let patience = Patience::new();
        let failure =
            patience.insist(|| async { Err(ClientError::Silent { base: "b".into() }) }).await;
        let failure = failure.unwrap_err();
        assert_eq!(failure.exit, crate::failure::Exit::Unverified);
        assert!(failure.error.to_string().contains("for 120 s"), "{}", failure.error);
        assert!(patience.began.elapsed() < LIMIT + Duration::from_secs(5));
    }
}
