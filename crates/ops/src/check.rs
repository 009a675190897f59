//! Readiness checks: named questions with a bounded wait.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tidegate_core::shutdown::Shutdown;

/// A check that has not answered by then has failed.
const TIMEOUT: Duration = Duration::from_secs(2);

type Ask = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// A named question about what the process needs.
pub struct Check {
    name: &'static str,
    ask: Ask,
    pub(crate) weight: Weight,
}

/// What it means that a check fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The process is not ready: others should take its work.
    Required,
    /// The process does its work, only less well. Taking it out of service would make things worse.
    Degrading,
}

/// A check that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) check: &'static str,
    pub(crate) reason: String,
}

// === impl Check ===

impl Check {
    /// Makes a check; `ask` returns the reason if the process is not ready.
    pub fn new<F, A>(name: &'static str, ask: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<(), String>> + Send + 'static,
    {
        Self { name, ask: Box::new(move || ask().boxed()), weight: Weight::Required }
    }

    /// Lets the process stay ready while the check fails; it says that it is degraded.
    #[must_use]
    pub fn degrading(self) -> Self {
        Self { weight: Weight::Degrading, ..self }
    }

    /// Makes a check that fails once `shutdown` began, so that no new work is sent here.
    pub fn accepting(shutdown: &Shutdown) -> Self {
        let shutdown = shutdown.clone();
        Self::new("accepting", move || {
            let draining = shutdown.is_cancelled();
            async move { if draining { Err("the process is draining".to_owned()) } else { Ok(()) } }
        })
    }

    pub(crate) async fn failed(&self) -> Option<Failed> {
        let reason = match tokio::time::timeout(TIMEOUT, (self.ask)()).await {
            Ok(Ok(())) => return None,
            Ok(Err(reason)) => reason,
            Err(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
        };
        Some(Failed { check: self.name, reason })
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}
