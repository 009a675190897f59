//! Jobs, completions and endings, with all that can be made of them before the transaction.

use serde_json::Value;
use tidegate_core::clock::Timestamp;
use tidegate_core::job::{Job, PROBE};
use uuid::Uuid;

use crate::transform::message::{Body, Line, check_in};
use crate::{Completion, Effect, Ending, JobRun, JobState, NewJob, Probe, StoreError};

/// A job with all that can be made of it before the transaction.
pub(crate) struct Prepared {
    /// As its message carries it.
    pub(crate) job: Job,
    pub(crate) body: Body,
    /// If it is due.
    pub(crate) line: Option<Line>,
    pub(crate) run_at: Option<Timestamp>,
    pub(crate) key: Option<String>,
    pub(crate) probe: Option<Probe>,
}

/// A completion with all that can be made of it before the transaction.
pub(crate) struct Ready {
    pub(crate) job: Uuid,
    pub(crate) generation: u32,
    /// Deliveries, this one included.
    pub(crate) attempts: u32,
    pub(crate) effect: Option<Effect>,
    pub(crate) result: Option<String>,
    pub(crate) notices: Vec<Line>,
    pub(crate) follow_up: Vec<Prepared>,
}

/// What an ending writes.
pub(crate) struct Update {
    pub(crate) job: Uuid,
    pub(crate) fence: i64,
    pub(crate) state: JobState,
    pub(crate) result: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) run_at: Option<Timestamp>,
    /// Whether this run counts.
    pub(crate) counts: bool,
    /// Of a job that needs a person.
    pub(crate) error_chain: Option<Vec<String>>,
}

// === impl Prepared ===

impl Prepared {
    pub(crate) fn of(new: NewJob, now: Timestamp) -> Result<Self, StoreError> {
        let NewJob { mut job, run_at, idempotency_key: key } = new;
        let probe = match job.kind.as_str() {
            PROBE => serde_json::from_value(job.body.clone()).ok(),
            _ => None,
        };
        let body = check_in(&mut job);
        let run_at = run_at.filter(|at| *at > now);
        let line = match run_at {
            Some(_) => None,
            None => Some(Line::job(job.clone())?),
        };
        Ok(Self { job, body, line, run_at, key, probe })
    }
}

// === impl Ready ===

impl Ready {
    pub(crate) fn of(completion: Completion, now: Timestamp) -> Result<Self, StoreError> {
        let Completion { job, effect, result, notices, follow_up } = completion;
        Ok(Self {
            job: job.id,
            generation: job.generation,
            attempts: job.attempt.saturating_add(1),
            effect,
            result: (result != Value::Null).then(|| result.to_string()),
            notices: notices.into_iter().map(Line::notice).collect::<Result<_, _>>()?,
            follow_up: follow_up
                .into_iter()
                .map(|new| Prepared::of(new, now))
                .collect::<Result<_, _>>()?,
        })
    }
}

// === impl Update ===

impl Update {
    pub(crate) fn of(run: &JobRun, ending: Ending, now: Timestamp) -> Result<Self, StoreError> {
        let plain = Self {
            job: run.job,
            fence: run.fence,
            state: JobState::Accepted,
            result: None,
            error: None,
            run_at: None,
            counts: true,
            error_chain: None,
        };
        Ok(match ending {
            Ending::Done { result } => {
                Self { state: JobState::Applied, result: Some(result.to_string()), ..plain }
            }
            Ending::Retry { reason, at } => {
                Self { error: Some(reason), run_at: Some(at).filter(|at| *at > now), ..plain }
            }
            Ending::GivenBack => Self { counts: false, ..plain },
            Ending::Failed { reason } => {
                Self { state: JobState::Failed, error: Some(reason), ..plain }
            }
            Ending::Dead { reason, error_chain } => Self {
                state: JobState::Dead,
                error: Some(reason),
                error_chain: Some(error_chain),
                ..plain
            },
            Ending::Cancelled => Self { state: JobState::Cancelled, ..plain },
        })
    }
}
