//! Why the worker can't run, and why a job failed.

use std::any::Any;
use std::error::Error as StdError;
use std::time::Duration;

use tidegate_queue::QueueError;
use tidegate_store::StoreError;
use tokio::task::JoinError;

use crate::api::ApiError;
use crate::retry::Class;

/// Why the worker can't start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store can't be opened.
    #[error("the store can't be opened")]
    Store(#[source] StoreError),
    /// The queue can't be opened.
    #[error("the queue can't be opened")]
    Queue(#[source] QueueError),
    /// The private listener can't be bound.
    #[error("the private listener can't be bound")]
    Listen(#[source] std::io::Error),
    /// A part of the process that must not end has ended.
    #[error("the {0} ended unexpectedly")]
    Ended(&'static str),
}

/// Why a job, or a run of several, failed. Without effect, as far as is known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    #[error("the store refused")]
    Store(#[from] StoreError),
    #[error("the api could not be asked")]
    Api(#[from] ApiError),
    #[error("the store did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the job took longer than {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("the job panicked: {0}")]
    Panicked(String),
    #[error("the body can't be read")]
    Malformed(#[source] serde_json::Error),
    #[error("{0}")]
    Impossible(String),
    #[error("{0}")]
    Unavailable(String),
}

// === impl JobError ===

impl JobError {
    /// Returns whether trying again may help. Exhaustive on purpose: a new variant must choose.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Store(error) => store_class(error),
            Self::Api(error) => api_class(error),
            // A panic may come from what was around the job, so it is tried again; not often.
            Self::Silent(_) | Self::TimedOut(_) | Self::Panicked(_) | Self::Unavailable(_) => {
                Class::Transient
            }
            Self::Malformed(_) => Class::Malformed,
            Self::Impossible(_) => Class::Permanent,
        }
    }

    /// Returns what went wrong at every level, outermost first.
    pub(crate) fn levels(&self) -> Vec<String> {
        let mut levels = vec![self.to_string()];
        let mut source = self.source();
        while let Some(error) = source {
            levels.push(error.to_string());
            source = error.source();
        }
        levels
    }

    /// Returns all levels in one line, for a person to read.
    pub(crate) fn chain(&self) -> String {
        self.levels().join(": ")
    }

    /// Returns what was said in a panic.
    pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        Self::Panicked(text.unwrap_or_else(|| "no reason was given".to_owned()))
    }
}

impl From<JoinError> for JobError {
    fn from(error: JoinError) -> Self {
        match error.try_into_panic() {
            Ok(panic) => Self::panicked(panic.as_ref()),
            Err(_) => Self::Unavailable("its task was cut".to_owned()),
        }
    }
}

fn store_class(error: &StoreError) -> Class {
    match error {
        // Also what an operator has to put right.
        StoreError::Unavailable(_)
        | StoreError::Full
        | StoreError::Misconfigured(_)
        | StoreError::Newer { .. } => Class::Away,
        StoreError::Deadline => Class::Transient,
        StoreError::Conflict(_) | StoreError::Incompatible(_) | StoreError::Corrupt { .. } => {
            Class::Permanent
        }
    }
}

fn api_class(error: &ApiError) -> Class {
    match error {
        ApiError::Unreachable { .. } => Class::Away,
        ApiError::TimedOut(_) | ApiError::Unreadable(_) => Class::Transient,
        // The api looked at the orders themselves apart: this is about the worker's own request,
        // which another release of the api may take.
        ApiError::Refused { .. } => Class::Transient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_job_did_is_held_against_it() {
        let corrupt = StoreError::Corrupt { what: "payload", reason: "it is cut".to_owned() };
        let full = StoreError::from(tidegate_sqlite::Error::Full);
        for (error, class) in [
            (JobError::Store(full), Class::Away),
            (JobError::Store(StoreError::Unavailable("gone".into())), Class::Away),
            (JobError::Store(StoreError::Deadline), Class::Transient),
            (JobError::Store(corrupt), Class::Permanent),
            (JobError::Silent(Duration::ZERO), Class::Transient),
            (JobError::Panicked("at night".to_owned()), Class::Transient),
            (JobError::Impossible("no arrow".to_owned()), Class::Permanent),
        ] {
            assert_eq!(error.class(), class, "{error}");
        }
    }

    #[test]
    fn every_level_of_an_error_is_told() {
        let corrupt = StoreError::Corrupt { what: "payload", reason: "it is cut".to_owned() };
        let expected = "the store refused: stored payload can't be read: it is cut";
        assert_eq!(JobError::Store(corrupt).chain(), expected);
    }
}
