//! A long job belongs to one worker at a time, and to nobody who is slow.

use std::time::Duration;

use serde_json::json;
use tidegate_core::job::{Arm, Job};
use tidegate_core::notice::Notice;

use super::support::{LEASE, after, letter, reconcile};
use crate::conformance::{Engine, Fixture, NOW};
use crate::{Begun, DeadFilter, Ending, JobRun, JobState, MAX_CRASHES, Progress, Renewal};

fn done() -> Ending {
    Ending::Done { result: json!({ "drifted": 0 }) }
}

async fn end(fixture: &Fixture, run: &JobRun, ending: Ending) -> bool {
    fixture.store.end(run, ending, NOW).await.unwrap()
}

pub(crate) async fn a_long_job_runs_on_one_worker_at_a_time(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let job = fixture.put(reconcile()).await;
    let run = fixture.run(&job, NOW).await;
    assert_eq!((run.fence, run.attempts, run.crashes, run.generation), (1, 1, 0, 0));
    assert_eq!(fixture.state(job.id).await, JobState::Running);
    assert_eq!(fixture.begin(&job, NOW).await, Begun::Held { until: NOW.after(LEASE) });
    assert!(end(&fixture, &run, done()).await);
    assert_eq!(fixture.take_notices().await, [Notice::JobsFinished { jobs: vec![job.id] }]);
    assert_eq!(fixture.begin(&job, NOW).await, Begun::Finished);
    let status = fixture.status(job.id).await;
    assert_eq!((status.state, status.result), (JobState::Applied, Some(json!({ "drifted": 0 }))));
    assert!(!end(&fixture, &run, done()).await, "it ends once");
    assert_eq!(fixture.begin(&reconcile(), NOW).await, Begun::Finished, "nobody knows it");
}

pub(crate) async fn a_run_that_lost_its_lease_has_no_effect(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let job = fixture.put(reconcile()).await;
    let slow = fixture.run(&job, NOW).await;
    let owner = fixture.run(&job, NOW.after(LEASE)).await;
    assert_eq!((owner.fence, owner.attempts, owner.crashes), (2, 2, 1));
    let renewed = fixture.store.renew(&slow, &Progress::default(), LEASE, after(31)).await;
    assert_eq!(renewed.unwrap(), Renewal::Lost);
    for ending in [done(), Ending::Failed { reason: "slow".to_owned() }, Ending::GivenBack] {
        assert!(!end(&fixture, &slow, ending).await);
    }
    assert_eq!(fixture.state(job.id).await, JobState::Running);
    assert!(end(&fixture, &owner, done()).await);
    assert_eq!(fixture.status(job.id).await.error, None);
}

pub(crate) async fn a_run_goes_on_where_the_last_one_stopped(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let canary = Job { release: Some("r2".to_owned()), arm: Arm::Canary, ..reconcile() };
    let job = fixture.put(canary).await;
    let run = fixture.run(&job, NOW).await;
    assert_eq!(run.progress, None);
    let half = Progress { percent: 50, message: "half".to_owned(), cursor: Some(json!([3, "x"])) };
    assert_eq!(fixture.store.renew(&run, &half, LEASE, after(20)).await.unwrap(), Renewal::Held);
    assert_eq!(fixture.begin(&job, after(31)).await, Begun::Held { until: after(50) });
    assert_eq!(fixture.status(job.id).await.progress, Some(half.clone()));
    let retry = Ending::Retry { reason: "busy".to_owned(), at: after(60) };
    assert!(end(&fixture, &run, retry).await);
    let status = fixture.status(job.id).await;
    assert_eq!((status.state, status.run_at), (JobState::Accepted, Some(after(60))));
    assert_eq!(status.error.as_deref(), Some("busy"));
    assert!(fixture.take_outbox().await.is_empty());
    fixture.store.sweep(NOW, after(60)).await.unwrap();
    let again = fixture.take_jobs().await.pop().unwrap();
    // What failed on a canary is tried on stable.
    assert_eq!((again.attempt, again.arm), (1, Arm::Stable));
    let next = fixture.run(&again, after(60)).await;
    assert_eq!((next.progress, next.attempts, next.crashes), (Some(half), 2, 0));
}

pub(crate) async fn a_run_that_is_given_back_does_not_count(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let job = fixture.put(reconcile()).await;
    let run = fixture.run(&job, NOW).await;
    assert!(end(&fixture, &run, Ending::GivenBack).await);
    let again = fixture.take_jobs().await;
    assert_eq!(again, std::slice::from_ref(&job), "at once");
    let run = fixture.run(&job, NOW).await;
    assert_eq!((run.fence, run.attempts, run.crashes), (2, 1, 0));
}

pub(crate) async fn a_lease_that_ran_out_is_taken_back(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let job = fixture.put(reconcile()).await;
    let dead = fixture.run(&job, NOW).await;
    let expired = async |seconds| fixture.store.sweep(NOW, after(seconds)).await.unwrap().expired;
    assert_eq!(expired(29).await, 0);
    assert_eq!(expired(30).await, 1);
    assert_eq!(expired(31).await, 0);
    assert_eq!(fixture.state(job.id).await, JobState::Accepted);
    assert_eq!(fixture.take_jobs().await.len(), 1);
    assert!(!end(&fixture, &dead, done()).await);
    let renewed = fixture.store.renew(&dead, &Progress::default(), LEASE, after(31)).await;
    assert_eq!(renewed.unwrap(), Renewal::Lost);
    assert_eq!(fixture.run(&job, after(31)).await.crashes, 1);
}

pub(crate) async fn a_job_that_kills_its_workers_is_given_up(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let job = fixture.put(reconcile()).await;
    let mut now = NOW;
    for crashes in 0..=MAX_CRASHES {
        assert_eq!(fixture.run(&job, now).await.crashes, crashes);
        now = now.after(LEASE + Duration::from_secs(1));
        // A redelivery may come before the sweep, or after it.
        if crashes % 2 == 0 {
            fixture.store.sweep(NOW, now).await.unwrap();
        }
    }
    let given_up = Begun::Crashed { crashes: MAX_CRASHES + 1 };
    assert_eq!(fixture.begin(&job, now).await, given_up);
    assert_eq!(fixture.begin(&job, now).await, given_up, "whoever asks");
    let filed = fixture.store.file(vec![letter(&job, "crashed: six times")], now).await;
    assert_eq!((filed.unwrap(), fixture.state(job.id).await), (1, JobState::Dead));
    assert_eq!(fixture.begin(&job, now).await, Begun::Finished);
    fixture.take_outbox().await;
    fixture.requeue().await;
    let job = fixture.take_jobs().await.pop().unwrap();
    assert_eq!(fixture.run(&job, now).await.crashes, 0);
}

pub(crate) async fn no_more_jobs_of_a_kind_run_than_may(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let other = fixture.other().await;
    let (first, second) = (fixture.put(reconcile()).await, fixture.put(reconcile()).await);
    let begin = async |now| other.begin(&second, "w2", LEASE, Some(1), now).await.unwrap();
    let run = fixture.run(&first, NOW).await;
    assert_eq!(begin(after(20)).await, Begun::Busy);
    assert_eq!(fixture.state(second.id).await, JobState::Accepted);
    assert!(end(&fixture, &run, done()).await);
    // It waits its turn, and its message is not lost.
    let swept = fixture.store.sweep(after(619), after(619)).await.unwrap();
    assert_eq!(swept.requeued, 0);
    assert!(matches!(begin(NOW).await, Begun::Run(_)));
    // A worker that died does not count for ever.
    let third = fixture.put(reconcile()).await;
    let begun = other.begin(&third, "w2", LEASE, Some(1), NOW.after(LEASE)).await.unwrap();
    assert!(matches!(begun, Begun::Run(_)), "{begun:?}");
}

pub(crate) async fn a_run_that_needs_a_person_files_its_letter(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let job = fixture.put(reconcile()).await;
    let run = fixture.run(&job, NOW).await;
    let dead = Ending::Dead {
        reason: "permanent: the view is gone".to_owned(),
        error_chain: vec!["gone".to_owned()],
    };
    assert!(end(&fixture, &run, dead).await);
    assert_eq!(fixture.state(job.id).await, JobState::Dead);
    let letters = fixture.letters(DeadFilter::default()).await;
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((letter.job, letter.code.as_str(), letter.attempts), (Some(job.id), "permanent", 1));
    assert_eq!((&letter.payload, &letter.error_chain), (&job.body, &vec!["gone".to_owned()]));
    assert_eq!(fixture.requeue().await, 1);
    let job = fixture.take_jobs().await.pop().unwrap();
    assert_eq!(fixture.run(&job, NOW).await.generation, 1);
}
