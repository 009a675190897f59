//! The kinds of jobs, as a table: what a worker may assume about each.

use std::ops::RangeInclusive;
use std::time::Duration;

use tidegate_core::backoff::Backoff;
use tidegate_core::job::{INGEST, Job, Lane, PROBE, RECONCILE, REFRESH};

use crate::retry::RetryPolicy;

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// Applies one accepted batch.
    Ingest,
    /// Has one cached response looked at anew.
    Refresh,
    /// Tries the whole path of a job.
    Probe,
    /// Compares a view with its recomputation.
    Reconcile,
}

/// What holds for all jobs of a kind.
#[derive(Clone, Debug)]
pub(crate) struct KindSpec {
    /// Where this worker puts jobs of the kind.
    pub(crate) lane: Lane,
    /// Shapes of the body that it can read.
    pub(crate) schemas: RangeInclusive<u16>,
    /// When and how often a failed job comes again.
    pub(crate) retry: RetryPolicy,
    /// How long one run may take.
    pub(crate) timeout: Timeout,
    /// Most runs at a time in this process.
    pub(crate) concurrency: u32,
    /// Most jobs of one run.
    pub(crate) together: usize,
    /// Most jobs running at a time over all workers; only for kinds under a lease.
    pub(crate) everywhere: Option<u32>,
}

/// Bounds of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timeout {
    /// From here on it is asked to end: a leased job keeps its place and lets others in.
    pub(crate) soft: Duration,
    /// Here it is cut, which counts as a failure.
    pub(crate) hard: Duration,
}

/// Why a job can't even be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// This build has no such kind.
    Kind(String),
    /// This build knows older shapes of the body.
    Schema(Kind, u16),
    /// The job comes from another release, which may know what it is.
    Parked(String),
}

/// The table, as configured.
#[derive(Clone, Debug)]
pub(crate) struct Kinds([KindSpec; Kind::ALL.len()]);

// === impl Kind ===

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Ingest, Self::Refresh, Self::Probe, Self::Reconcile];

    /// Returns the name in jobs, configuration and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => INGEST,
            Self::Refresh => REFRESH,
            Self::Probe => PROBE,
            Self::Reconcile => RECONCILE,
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

// === impl Kinds ===

impl Kinds {
    pub(crate) fn of(&self, kind: Kind) -> &KindSpec {
        &self.0[kind.index()]
    }

    pub(crate) fn of_mut(&mut self, kind: Kind) -> &mut KindSpec {
        &mut self.0[kind.index()]
    }

    /// Returns what `job` is, if this worker, of release `ours`, can run it.
    ///
    /// What is not known here but was made by another release is parked: it is no mistake, it waits
    /// for workers that know it.
    pub(crate) fn read(&self, job: &Job, ours: Option<&str>) -> Result<Kind, Unreadable> {
        let foreign = job.release.is_some() && job.release.as_deref() != ours;
        let Some(kind) = Kind::named(&job.kind) else {
            return Err(if foreign {
                Unreadable::Parked(format!("no release up to this one knows '{}'", job.kind))
            } else {
                Unreadable::Kind(job.kind.clone())
            });
        };
        let known = &self.of(kind).schemas;
        if known.contains(&job.schema) {
            Ok(kind)
        } else if job.schema > *known.end() {
            let (name, schema, newest) = (kind.as_str(), job.schema, known.end());
            let reason = format!("shape {schema} of '{name}' is newer than {newest}, known here");
            Err(Unreadable::Parked(reason))
        } else {
            Err(Unreadable::Schema(kind, job.schema))
        }
    }
}

impl Default for Kinds {
    fn default() -> Self {
        Self([ingest(), refresh(), probe(), reconcile()])
    }
}

const fn backoff(base_ms: u64, cap_ms: u64) -> Backoff {
    Backoff { base: Duration::from_millis(base_ms), cap: Duration::from_millis(cap_ms) }
}

const fn timeout(soft: u64, hard: u64) -> Timeout {
    Timeout { soft: Duration::from_secs(soft), hard: Duration::from_secs(hard) }
}

/// While one group is applied the next is loaded, so that the database always has something to
/// write; what was accepted is tried without end.
fn ingest() -> KindSpec {
    KindSpec {
        lane: Lane::Default,
        schemas: 1..=1,
        retry: RetryPolicy { max_attempts: None, backoff: backoff(200, 60_000) },
        timeout: timeout(60, 120),
        concurrency: 3,
        together: 16,
        everywhere: None,
    }
}

/// A reader asked moments ago: soon it is too late, and the next reader asks again.
fn refresh() -> KindSpec {
    KindSpec {
        lane: Lane::High,
        schemas: 1..=1,
        retry: RetryPolicy { max_attempts: Some(4), backoff: backoff(200, 5_000) },
        timeout: timeout(5, 15),
        concurrency: 4,
        together: 32,
        everywhere: None,
    }
}

/// Few runs at a time, so that many share a transaction.
fn probe() -> KindSpec {
    KindSpec {
        lane: Lane::Default,
        schemas: 1..=1,
        retry: RetryPolicy { max_attempts: Some(3), backoff: backoff(100, 5_000) },
        timeout: timeout(30, 60),
        concurrency: 2,
        together: 64,
        everywhere: None,
    }
}

/// Takes minutes: it runs under a lease in the store, not under its delivery.
fn reconcile() -> KindSpec {
    KindSpec {
        lane: Lane::Long,
        schemas: 1..=1,
        retry: RetryPolicy { max_attempts: Some(10), backoff: backoff(5_000, 600_000) },
        timeout: timeout(30 * 60, 60 * 60),
        concurrency: 1,
        together: 1,
        everywhere: Some(2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::job;

    #[track_caller]
    fn check(job: &Job, expected: Result<Kind, Unreadable>) {
        assert_eq!(Kinds::default().read(job, Some("r2")), expected, "{job:?}");
    }

    #[test]
    fn the_table_is_indexed_by_kind() {
        let kinds = Kinds::default();
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.as_str()), Some(kind));
            assert!(kinds.of(kind).timeout.soft < kinds.of(kind).timeout.hard, "{kind:?}");
        }
    }

    #[test]
    fn what_is_known_is_read() {
        check(&job(INGEST), Ok(Kind::Ingest));
        check(&Job { release: Some("r3".to_owned()), ..job(RECONCILE) }, Ok(Kind::Reconcile));
    }

    #[test]
    fn only_what_another_release_may_know_is_parked() {
        check(&job("dance"), Err(Unreadable::Kind("dance".to_owned())));
        let ours = Job { release: Some("r2".to_owned()), ..job("dance") };
        check(&ours, Err(Unreadable::Kind("dance".to_owned())));
        let theirs = Job { release: Some("r3".to_owned()), ..job("dance") };
        let reason = "no release up to this one knows 'dance'".to_owned();
        check(&theirs, Err(Unreadable::Parked(reason)));
    }

    #[test]
    fn a_newer_shape_is_parked_and_an_older_one_is_no_job() {
        let reason = "shape 2 of 'probe' is newer than 1, known here".to_owned();
        check(&Job { schema: 2, ..job(PROBE) }, Err(Unreadable::Parked(reason)));
        check(&Job { schema: 0, ..job(PROBE) }, Err(Unreadable::Schema(Kind::Probe, 0)));
    }
}
