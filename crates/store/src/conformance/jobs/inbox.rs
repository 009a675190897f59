//! The effect of a short job and the mark that it happened are one commit.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::json;
use tidegate_core::notice::Notice;
use uuid::Uuid;

use super::support::{at_once, job, probe, ran};
use crate::conformance::{Engine, Fixture, NOW};
use crate::{Completed, Completion, JobState, NewJob, ProbeTally};

pub(crate) async fn a_job_that_is_delivered_twice_has_its_effect_once(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let run = Uuid::now_v7();
    let job = fixture.put(probe(run, 0)).await;
    let tally = async || fixture.store.probe_tally(run).await.unwrap();
    assert_eq!(tally().await, ProbeTally { expected: 1, done: 0, duplicated: 0 });
    assert_eq!(fixture.complete(&job).await, Completed::New);
    assert_eq!(fixture.take_notices().await, [Notice::JobsFinished { jobs: vec![job.id] }]);
    assert_eq!(fixture.complete(&job).await, Completed::Duplicate);
    assert!(fixture.take_notices().await.is_empty());
    assert_eq!(tally().await, ProbeTally { expected: 1, done: 1, duplicated: 0 });
    let status = fixture.status(job.id).await;
    assert_eq!((status.state, status.finished_at), (JobState::Applied, Some(NOW)));
    assert_eq!((status.attempts, status.result), (1, Some(json!({ "ok": true }))));
}

pub(crate) async fn a_job_without_a_record_runs_once_too(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    // As an edge puts it, past the store.
    let run = Uuid::now_v7();
    let job = probe(run, 7);
    assert_eq!(fixture.complete(&job).await, Completed::New);
    assert_eq!(fixture.complete(&job).await, Completed::Duplicate);
    assert_eq!(fixture.store.probe_tally(run).await.unwrap().duplicated, 0);
    assert!(fixture.take_outbox().await.is_empty(), "nobody waits for it");
}

pub(crate) async fn a_group_may_hold_the_same_job_twice(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let run = Uuid::now_v7();
    let (first, second) = (fixture.put(probe(run, 0)).await, fixture.put(probe(run, 1)).await);
    let group = vec![ran(&first), ran(&second), ran(&first)];
    let completed = fixture.store.complete(group, NOW).await.unwrap();
    assert_eq!(completed, [Completed::New, Completed::New, Completed::Duplicate]);
    let tally = fixture.store.probe_tally(run).await.unwrap();
    assert_eq!(tally, ProbeTally { expected: 2, done: 2, duplicated: 0 });
}

pub(crate) async fn workers_that_fight_for_the_same_jobs_have_each_effect_once(
    engine: &dyn Engine,
) {
    const JOBS: u32 = 120;
    let fixture = Fixture::new(engine).await;
    let run = Uuid::now_v7();
    let new = (0..JOBS).map(|n| at_once(probe(run, n))).collect();
    fixture.store.enqueue(new, NOW).await.unwrap();
    let jobs = Arc::new(fixture.take_jobs().await);
    let mut workers = Vec::new();
    for _ in 0..3 {
        let (store, jobs) = (fixture.other().await, Arc::clone(&jobs));
        workers.push(tokio::spawn(async move {
            let mut won = Vec::new();
            for group in jobs.chunks(16) {
                let completions = group.iter().map(ran).collect();
                let completed = store.complete(completions, NOW).await.unwrap();
                let new = group.iter().zip(completed).filter(|(_, it)| *it == Completed::New);
                won.extend(new.map(|(job, _)| job.id));
            }
            won
        }));
    }
    let mut won = Vec::new();
    for worker in workers {
        won.append(&mut worker.await.unwrap());
    }
    assert_eq!(won.len(), jobs.len());
    assert_eq!(won.iter().collect::<HashSet<_>>().len(), jobs.len());
    let tally = fixture.store.probe_tally(run).await.unwrap();
    assert_eq!(tally, ProbeTally { expected: JOBS.into(), done: JOBS.into(), duplicated: 0 });
}

/// The control: what the claims above count is there to be counted.
pub(crate) async fn without_the_inbox_a_job_that_is_delivered_twice_has_its_effect_twice(
    engine: &dyn Engine,
) {
    let fixture = Fixture::new(engine).await;
    let run = Uuid::now_v7();
    let job = fixture.put(probe(run, 0)).await;
    assert_eq!(fixture.complete(&job).await, Completed::New);
    fixture.write("delete from dp_inbox; update dp_job set state = 'accepted'").await;
    assert_eq!(fixture.complete(&job).await, Completed::New);
    let tally = fixture.store.probe_tally(run).await.unwrap();
    assert_eq!(tally, ProbeTally { expected: 1, done: 1, duplicated: 1 });
}

pub(crate) async fn what_a_job_gives_rise_to_comes_with_its_effect(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let first = fixture.put(probe(Uuid::now_v7(), 0)).await;
    let told = Notice::Purge {
        seq: fixture.store.versions("acme", "air", &[]).await.unwrap().seq,
        tags: vec!["acme/air".to_owned()],
    };
    let next = job("refresh", json!(1));
    let completion = || Completion {
        notices: vec![told.clone()],
        follow_up: vec![
            at_once(next.clone()),
            NewJob { idempotency_key: Some("k".to_owned()), ..at_once(job("refresh", json!(2))) },
        ],
        ..ran(&first)
    };
    fixture.store.complete(vec![completion()], NOW).await.unwrap();
    fixture.store.complete(vec![completion()], NOW).await.unwrap();
    let jobs = fixture.number("select count(*) from dp_job").await;
    assert_eq!(jobs, 3);
    let lines = fixture.store.pending(10).await.unwrap();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(fixture.take_notices().await.contains(&told));
}
