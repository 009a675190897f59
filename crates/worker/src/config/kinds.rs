//! `[kinds.<kind>]`: what an operator may set for a kind of job.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::kinds::{Kind, KindSpec, Kinds, Timeout};

/// One section as written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawKind {
    /// Runs at a time in one worker.
    concurrency: Option<u32>,
    /// Time after which a run is cut; asked to end is a leased one after half of it.
    timeout_ms: Option<u64>,
    /// Attempts before a job is kept aside.
    max_attempts: Option<u32>,
}

/// Lays what is written over the defaults.
pub(super) fn check(raw: BTreeMap<String, RawKind>, problems: &mut Vec<String>) -> Kinds {
    let mut kinds = Kinds::default();
    for (name, raw) in raw {
        let Some(kind) = Kind::named(&name) else {
            let known = Kind::ALL.map(Kind::as_str).join(", ");
            problems.push(format!("kinds.{name}: not known; there are {known}"));
            continue;
        };
        let set = kinds.of_mut(kind);
        raw.lay_over(set, &mut |key, problem| {
            problems.push(format!("kinds.{name}.{key}: {problem}"))
        });
    }
    kinds
}

// === impl RawKind ===

impl RawKind {
    fn lay_over(&self, spec: &mut KindSpec, problem: &mut dyn FnMut(&str, &str)) {
        match self.concurrency {
            Some(0) => problem("concurrency", "must be 1 or more"),
            Some(concurrency) => spec.concurrency = concurrency,
            None => {}
        }
        match self.timeout_ms {
            Some(0) => problem("timeout_ms", "must be 1 or more"),
            Some(timeout_ms) => {
                let hard = Duration::from_millis(timeout_ms);
                spec.timeout = Timeout { soft: hard / 2, hard };
            }
            None => {}
        }
        match (self.max_attempts, spec.retry.max_attempts) {
            (Some(0), _) => problem("max_attempts", "must be 1 or more"),
            (Some(_), None) => {
                problem("max_attempts", "what was accepted is tried without end");
            }
            (Some(max), Some(_)) => spec.retry.max_attempts = Some(max),
            (None, _) => {}
        }
    }
}
