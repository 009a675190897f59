//! Jobs that somebody wants to end early.

use serde_json::json;
use tidegate_core::notice::Notice;
use uuid::Uuid;

use super::support::{LEASE, after, letter, probe, reconcile};
use crate::conformance::{Engine, Fixture, NOW, TENANT, row};
use crate::{Begun, Cancel, Completed, DeadFilter, DeadState, Ending, JobState, Progress, Renewal};

async fn cancel(fixture: &Fixture, id: Uuid) -> Cancel {
    fixture.store.cancel(TENANT, id, NOW).await.unwrap()
}

pub(crate) async fn a_job_that_waits_ends_at_once_and_a_running_one_is_asked_to(
    engine: &dyn Engine,
) {
    let fixture = Fixture::new(engine).await;
    let waiting = fixture.put(reconcile()).await;
    assert_eq!(cancel(&fixture, waiting.id).await, Cancel::Done);
    assert_eq!(fixture.state(waiting.id).await, JobState::Cancelled);
    assert_eq!(fixture.take_notices().await, [Notice::JobsFinished { jobs: vec![waiting.id] }]);
    assert_eq!(fixture.begin(&waiting, NOW).await, Begun::Cancelled);

    let short = fixture.put(probe(Uuid::now_v7(), 0)).await;
    assert_eq!(cancel(&fixture, short.id).await, Cancel::Done);
    assert_eq!(fixture.complete(&short).await, Completed::Duplicate, "it came too late");

    fixture.take_outbox().await;
    let running = fixture.put(reconcile()).await;
    let run = fixture.run(&running, NOW).await;
    assert_eq!(cancel(&fixture, running.id).await, Cancel::Requested);
    assert_eq!(fixture.take_notices().await, [Notice::JobsCancelled { jobs: vec![running.id] }]);
    let renewed = fixture.store.renew(&run, &Progress::default(), LEASE, NOW).await.unwrap();
    assert_eq!(renewed, Renewal::CancelRequested);
    assert!(fixture.store.end(&run, Ending::Cancelled, NOW).await.unwrap());
    assert_eq!(fixture.state(running.id).await, JobState::Cancelled);
}

pub(crate) async fn a_batch_or_a_job_that_ended_is_too_late_to_cancel(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let batch = fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    assert_eq!(cancel(&fixture, batch).await, Cancel::TooLate);
    fixture.take_outbox().await;
    let job = fixture.put(reconcile()).await;
    let run = fixture.run(&job, NOW).await;
    fixture.store.end(&run, Ending::Done { result: json!(1) }, NOW).await.unwrap();
    assert_eq!(cancel(&fixture, job.id).await, Cancel::TooLate);
    assert_eq!(cancel(&fixture, Uuid::now_v7()).await, Cancel::Unknown);
    let other = fixture.store.cancel("zeta", job.id, NOW).await.unwrap();
    assert_eq!(other, Cancel::Unknown, "it is another tenant's");
}

pub(crate) async fn a_dead_job_that_is_cancelled_needs_no_decision(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let job = fixture.put(reconcile()).await;
    fixture.store.file(vec![letter(&job, "permanent: x")], NOW).await.unwrap();
    assert_eq!(cancel(&fixture, job.id).await, Cancel::Done);
    assert_eq!(fixture.state(job.id).await, JobState::Cancelled);
    assert_eq!(fixture.requeue().await, 0);
    let discarded = DeadFilter { state: DeadState::Discarded, ..DeadFilter::default() };
    assert_eq!(fixture.letters(discarded).await.len(), 1);
}

pub(crate) async fn a_run_that_should_have_ended_is_not_repeated(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let (crashed, swept) = (fixture.put(reconcile()).await, fixture.put(reconcile()).await);
    let retried = fixture.put(reconcile()).await;
    let run = fixture.run(&retried, NOW).await;
    fixture.run(&crashed, NOW).await;
    fixture.run(&swept, NOW).await;
    for job in [&crashed, &swept, &retried] {
        assert_eq!(cancel(&fixture, job.id).await, Cancel::Requested);
    }
    let retry = Ending::Retry { reason: "busy".to_owned(), at: after(60) };
    assert!(fixture.store.end(&run, retry, NOW).await.unwrap());
    assert_eq!(fixture.begin(&crashed, NOW.after(LEASE)).await, Begun::Cancelled);
    fixture.store.sweep(NOW, NOW.after(LEASE)).await.unwrap();
    for job in [&crashed, &swept, &retried] {
        assert_eq!(fixture.state(job.id).await, JobState::Cancelled);
    }
    fixture.store.sweep(NOW, after(60)).await.unwrap();
    assert!(fixture.take_jobs().await.is_empty());
}
