//! How a command ends: the exit status that scripts rely on, and the words for a person.

use std::process::ExitCode;

use tidegate_core::config::EXIT_USAGE;

/// Exit status of every command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: it failed or was refused.
    Failed,
    /// 2: it could not be verified or reached.
    Unverified,
    /// 64: the words or the configuration are wrong.
    Usage,
}

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub exit: Exit,
    /// What went wrong, where, and what to do next.
    pub error: anyhow::Error,
}

// === impl Exit ===

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::Unverified => Self::from(2),
            Exit::Usage => Self::from(EXIT_USAGE),
        }
    }
}

// === impl Failure ===

impl Failure {
    /// Something failed or was refused.
    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Failed, error: error.into() }
    }

    /// Something could not be verified or reached.
    pub fn unverified(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Unverified, error: error.into() }
    }

    /// The words or a configuration are wrong.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Usage, error: error.into() }
    }
}

// `?` on any error is exit status 1; the other ones are chosen by name.
impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::failed(error)
    }
}
