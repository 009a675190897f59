//! Who may run a long job.

use tidegate_core::clock::Timestamp;

use crate::{Begun, JobState, MAX_CRASHES};

/// What a job's record says about running it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) state: JobState,
    pub(crate) generation: u32,
    pub(crate) crashes: u32,
    /// Somebody wants it to end.
    pub(crate) cancel: bool,
    pub(crate) lease_until: Option<Timestamp>,
    pub(crate) run_at: Option<Timestamp>,
}

/// What to do with a job that was delivered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decision {
    /// Nothing.
    Leave(Begun),
    /// End it: that was asked for, and the run that should have heard it is gone.
    Cancel,
    /// Note that one more run never ended, and run it no more.
    GiveUp { crashes: u32 },
    /// Run it.
    Take { crashes: u32 },
}

/// Decides from the record of the job that a message of `generation` names.
pub(crate) fn decide(record: &Record, generation: u32, now: Timestamp) -> Decision {
    if record.generation != generation {
        return Decision::Leave(Begun::Finished);
    }
    let crashes = match record.state {
        JobState::Applied | JobState::Failed | JobState::Dead => {
            return Decision::Leave(Begun::Finished);
        }
        JobState::Cancelled => return Decision::Leave(Begun::Cancelled),
        JobState::Accepted => match record.run_at {
            Some(until) if now < until => return Decision::Leave(Begun::Held { until }),
            _ => record.crashes,
        },
        JobState::Running => match record.lease_until {
            Some(until) if now < until => return Decision::Leave(Begun::Held { until }),
            _ => record.crashes.saturating_add(1),
        },
    };
    if record.cancel {
        Decision::Cancel
    } else if crashes > MAX_CRASHES {
        Decision::GiveUp { crashes }
    } else {
        Decision::Take { crashes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(100);

    fn record(state: JobState) -> Record {
        let (lease_until, run_at) = (Some(NOW), None);
        Record { state, generation: 1, crashes: 0, cancel: false, lease_until, run_at }
    }

    #[track_caller]
    fn check(record: Record, expected: Decision) {
        assert_eq!(decide(&record, 1, NOW), expected, "{record:?}");
    }

    #[test]
    fn a_job_runs_once_at_a_time_and_not_after_its_end() {
        let later = Timestamp(101);
        let held = Decision::Leave(Begun::Held { until: later });
        check(record(JobState::Accepted), Decision::Take { crashes: 0 });
        check(Record { run_at: Some(later), ..record(JobState::Accepted) }, held.clone());
        check(
            Record { run_at: Some(NOW), ..record(JobState::Accepted) },
            Decision::Take { crashes: 0 },
        );
        check(Record { lease_until: Some(later), ..record(JobState::Running) }, held);
        for over in [JobState::Applied, JobState::Failed, JobState::Dead] {
            check(record(over), Decision::Leave(Begun::Finished));
        }
        check(record(JobState::Cancelled), Decision::Leave(Begun::Cancelled));
        check(
            Record { generation: 2, ..record(JobState::Accepted) },
            Decision::Leave(Begun::Finished),
        );
    }

    #[test]
    fn a_run_that_never_ended_counts_until_it_is_one_too_many() {
        let crashed = |crashes| Record { crashes, ..record(JobState::Running) };
        check(crashed(0), Decision::Take { crashes: 1 });
        check(crashed(MAX_CRASHES - 1), Decision::Take { crashes: MAX_CRASHES });
        check(crashed(MAX_CRASHES), Decision::GiveUp { crashes: MAX_CRASHES + 1 });
        check(Record { cancel: true, ..crashed(MAX_CRASHES) }, Decision::Cancel);
    }
}
