//! What people decide about dead letters.

use tidegate_core::job::{Arm, Job};
use uuid::Uuid;

use super::support::{after, at_once, letter, probe};
use crate::conformance::{Engine, Fixture, NOW};
use crate::{Completed, DeadFilter, DeadState, JobState, ProbeTally};

pub(crate) async fn a_requeued_job_passes_the_inbox_as_a_later_generation(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let run = Uuid::now_v7();
    let canary = Job {
        release: Some("r2".to_owned()),
        arm: Arm::Canary,
        deadline: Some(after(5)),
        ..probe(run, 0)
    };
    let dead = Job { attempt: 5, ..fixture.put(canary).await };
    fixture.store.file(vec![letter(&dead, "exhausted: x")], NOW).await.unwrap();
    fixture.take_outbox().await;
    assert_eq!(fixture.requeue().await, 1);
    let again = fixture.take_jobs().await.pop().unwrap();
    let expected =
        Job { generation: 1, attempt: 0, arm: Arm::Stable, deadline: None, ..dead.clone() };
    assert_eq!(again, expected);
    assert_eq!(fixture.state(dead.id).await, JobState::Accepted);
    assert_eq!(fixture.complete(&dead).await, Completed::Duplicate, "the old message");
    assert_eq!(fixture.complete(&again).await, Completed::New);
    assert_eq!(fixture.complete(&again).await, Completed::Duplicate);
    let status = fixture.status(dead.id).await;
    assert_eq!((status.state, status.error), (JobState::Applied, None));
    let tally = fixture.store.probe_tally(run).await.unwrap();
    assert_eq!(tally, ProbeTally { expected: 1, done: 1, duplicated: 0 });
    let requeued = DeadFilter { state: DeadState::Requeued, ..DeadFilter::default() };
    let letter = fixture.letters(requeued).await.pop().unwrap();
    assert_eq!((letter.decided_at, letter.decided_by.as_deref()), (Some(NOW), Some("ada")));
}

pub(crate) async fn a_requeued_job_without_a_record_is_its_message(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let run = Uuid::now_v7();
    let job = probe(run, 0);
    // It dies, is brought back, and dies again.
    for generation in 0..2 {
        let job = Job { generation, ..job.clone() };
        fixture.store.file(vec![letter(&job, "exhausted: x")], NOW).await.unwrap();
        fixture.take_outbox().await;
        assert_eq!(fixture.requeue().await, 1);
        let next = fixture.take_jobs().await;
        assert_eq!(next, [Job { generation: generation + 1, ..job }]);
    }
    assert_eq!(fixture.complete(&Job { generation: 2, ..job.clone() }).await, Completed::New);
    assert_eq!(fixture.complete(&Job { generation: 1, ..job }).await, Completed::Duplicate);
    assert_eq!(fixture.store.probe_tally(run).await.unwrap().duplicated, 0);
}

pub(crate) async fn a_letter_is_decided_about_once(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let (one, two) =
        (fixture.put(probe(Uuid::now_v7(), 0)).await, fixture.put(probe(Uuid::now_v7(), 1)).await);
    let new = vec![letter(&one, "exhausted: x"), letter(&two, "exhausted: x")];
    fixture.store.file(new, NOW).await.unwrap();
    let numbers: Vec<i64> =
        fixture.letters(DeadFilter::default()).await.iter().map(|letter| letter.no).collect();
    let only = |at: usize| DeadFilter { numbers: vec![numbers[at]], ..DeadFilter::default() };
    let discard = async |filter| fixture.store.discard_dead(&filter, "ada", after(1)).await;
    assert_eq!(discard(only(0)).await.unwrap(), 1);
    assert_eq!(discard(only(0)).await.unwrap(), 0);
    assert_eq!(
        (fixture.state(one.id).await, fixture.state(two.id).await),
        (JobState::Failed, JobState::Dead)
    );
    fixture.take_outbox().await;
    assert_eq!((fixture.requeue().await, fixture.requeue().await), (1, 0));
    assert_eq!(fixture.take_jobs().await.len(), 1);
    assert_eq!(discard(DeadFilter::default()).await.unwrap(), 0);
    assert_eq!(fixture.state(two.id).await, JobState::Accepted);
}

pub(crate) async fn a_decision_reaches_no_further_than_its_limit(engine: &dyn Engine) {
    const LETTERS: u32 = 150;
    let fixture = Fixture::new(engine).await;
    let jobs: Vec<Job> = (0..LETTERS).map(|n| probe(Uuid::now_v7(), n)).collect();
    let new = jobs.iter().cloned().map(at_once).collect();
    fixture.store.enqueue(new, NOW).await.unwrap();
    let letters = jobs.iter().map(|job| letter(job, "exhausted: x")).collect();
    assert_eq!(fixture.store.file(letters, NOW).await.unwrap(), jobs.len());
    fixture.take_outbox().await;
    let most = |limit| DeadFilter { limit, ..DeadFilter::default() };
    let store = &fixture.store;
    assert_eq!(store.requeue_dead(&most(100), "ada", NOW).await.unwrap(), 100);
    assert_eq!(store.discard_dead(&most(30), "ada", NOW).await.unwrap(), 30);
    assert_eq!(store.count_dead(&most(1)).await.unwrap(), 20);
    assert_eq!(store.requeue_dead(&most(0), "ada", NOW).await.unwrap(), 0);
    assert_eq!(store.requeue_dead(&most(1_000), "ada", NOW).await.unwrap(), 20);
    assert_eq!(fixture.take_jobs().await.len(), 120);
}
