//! Probes that fail, dead letters that come back, and draining.

use std::iter::repeat_n;

use tidegate_queue::Source;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_probe_has_its_effect_once_although_it_is_delivered_twice() {
    let stack = Stack::new().await;
    let (run, jobs) = stack.put_probes(repeat_n("ok", 150)).await;
    // Besides the ones that the outbox holds.
    stack.queue.publish(&jobs).await.unwrap();
    let workers = [stack.start_worker(), stack.start_worker()];
    stack.tallied(run, 150).await;
    let job = stack.store.job(TENANT, jobs[0].id).await.unwrap().unwrap();
    assert_eq!((job.state, job.error), (JobState::Applied, None));
    stack.stop(workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_is_filed_with_its_reason_and_ends_no_other() {
    let stack = Stack::new().await;
    let worker = stack.start_worker_with("[kinds.probe]\nmax_attempts = 2\n");
    let (run, jobs) = stack.put_probes(["ok", "fail", "flaky", "poison", "panic", "crash"]).await;
    stack.tallied(run, 2).await;
    let letters = stack.letters(4).await;
    let reason = |n: usize| {
        let letter = letters.iter().find(|letter| letter.job == Some(jobs[n].id)).unwrap();
        (letter.reason.as_str(), letter.attempts)
    };
    assert_eq!(reason(1).0, "permanent: it was to fail");
    assert_eq!(reason(3), ("exhausted: each attempt fails", 1));
    assert_eq!(reason(4).0, "exhausted: the job panicked: it was to panic");
    assert!(reason(5).0.starts_with("permanent: no probe may end this worker"));
    let job = stack.store.job(TENANT, jobs[1].id).await.unwrap().unwrap();
    assert_eq!(job.state, JobState::Dead);
    stack.stop([worker]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_is_requeued_runs_again() {
    let stack = Stack::new().await;
    let worker = stack.start_worker();
    let (_, jobs) = stack.put_probes(["fail"]).await;
    stack.letters(1).await;
    let filter = DeadFilter { limit: 10, ..DeadFilter::default() };
    let requeued = stack.store.requeue_dead(&filter, "test", Timestamp::now()).await.unwrap();
    assert_eq!(requeued, 1);
    let again = stack.letters(1).await;
    assert_eq!((again[0].job, again[0].generation), (Some(jobs[0].id), 1));
    stack.stop([worker]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_too_many_workers_died_of_runs_no_more() {
    let stack = Stack::new().await;
    let run = Uuid::now_v7();
    let jobs = probes(run, ["ok", "ok"]);
    stack.queue.publish(&jobs).await.unwrap();
    // Both are handed to a consumer that goes away; one of them did so before.
    let mut gone = stack.queue.consume(Source::stable(Lane::Default), 10).await.unwrap();
    for _ in &jobs {
        tokio::time::timeout(NEVER, gone.next()).await.unwrap().unwrap();
    }
    drop(gone);
    for _ in 0..3 {
        stack.store.suspect(jobs[0].id, 0, Timestamp::now()).await.unwrap();
    }
    let worker = stack.start_worker();
    let letters = stack.letters(1).await;
    assert_eq!(letters[0].job, Some(jobs[0].id));
    assert!(letters[0].reason.starts_with("crashed: "), "{}", letters[0].reason);
    stack
        .until("the other is done", async || stack.store.probe_tally(run).await.unwrap().done > 0)
        .await;
    // Acquitted: it ended.
    assert_eq!(stack.store.suspect(jobs[1].id, 0, Timestamp::now()).await.unwrap(), 1);
    stack.stop([worker]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_stopped_settles_what_it_has_finished() {
    let stack = Stack::new().await;
    let (run, jobs) = stack.put_probes(repeat_n("ok", 2_000)).await;
    let worker = stack.start_worker();
    stack
        .until("some are done", async || stack.store.probe_tally(run).await.unwrap().done > 100)
        .await;
    stack.stop([worker]).await;

    let done = stack.store.probe_tally(run).await.unwrap().done;
    let waiting = stack.queue.depth().await.unwrap().stable(Lane::Default).unwrap().ready;
    let unsent = stack.store.backlog().await.unwrap().outbox;
    // Every job is done and gone, or still there: none is both.
    assert_eq!(done + waiting + unsent, u64::try_from(jobs.len()).unwrap());
    assert!(done < 2_000, "the worker was stopped too late to show anything");
}
