//! How jobs get in, and that they are not forgotten.

use std::time::Duration;

use serde_json::json;
use tidegate_core::job::{Job, MAX_INLINE_BODY};
use uuid::Uuid;

use super::support::{after, at_once, job, probe, reconcile};
use crate::conformance::{Engine, Fixture, NOW};
use crate::{Begun, Enqueued, JobState, NewJob};

const TEN_MINUTES: u64 = 600;

pub(crate) async fn a_job_that_is_due_leaves_one_line(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let new = Job { release: Some("r1".to_owned()), cohort: Some(7), ..reconcile() };
    let scheduled = NewJob { run_at: Some(NOW), ..at_once(new.clone()) };
    assert_eq!(fixture.store.enqueue(vec![scheduled], NOW).await.unwrap(), [Enqueued::New]);
    assert_eq!(fixture.take_jobs().await, std::slice::from_ref(&new));
    let status = fixture.status(new.id).await;
    assert_eq!((status.state, status.lane, status.run_at), (JobState::Accepted, new.lane, None));
    assert_eq!((status.kind, status.dataset, status.received_at), (new.kind, None, NOW));
}

pub(crate) async fn a_scheduled_job_is_put_when_its_time_has_come(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let new = reconcile();
    let scheduled = NewJob { run_at: Some(after(60)), ..at_once(new.clone()) };
    fixture.store.enqueue(vec![scheduled], NOW).await.unwrap();
    let due = async |seconds| fixture.store.sweep(NOW, after(seconds)).await.unwrap().due;
    assert!(fixture.take_jobs().await.is_empty());
    assert_eq!(due(59).await, 0);
    assert_eq!(fixture.status(new.id).await.run_at, Some(after(60)));
    let early = fixture.begin(&new, after(59)).await;
    assert_eq!(early, Begun::Held { until: after(60) });
    assert_eq!(due(60).await, 1);
    assert_eq!(fixture.take_jobs().await, std::slice::from_ref(&new));
    assert_eq!((due(61).await, fixture.status(new.id).await.run_at), (0, None));
}

pub(crate) async fn a_job_with_a_used_key_is_the_first_one(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let keyed = |job: Job| NewJob { idempotency_key: Some("k".to_owned()), ..at_once(job) };
    let first = probe(Uuid::now_v7(), 0);
    let zeta = Job { tenant: "zeta".to_owned(), ..probe(Uuid::now_v7(), 0) };
    let new = vec![keyed(first.clone()), keyed(probe(Uuid::now_v7(), 1)), keyed(zeta)];
    let enqueued = fixture.store.enqueue(new, NOW).await.unwrap();
    assert_eq!(enqueued, [Enqueued::New, Enqueued::Existing(first.id), Enqueued::New]);
    let again = fixture.store.enqueue(vec![at_once(first.clone())], NOW).await.unwrap();
    assert_eq!(again, [Enqueued::Existing(first.id)], "the same id");
    assert_eq!(fixture.take_jobs().await.len(), 2);
    // The key is free again some time after the job has ended.
    fixture.complete(&first).await;
    let day = Duration::from_secs(86_400);
    fixture.store.sweep(NOW, NOW.after(day)).await.unwrap();
    let enqueue = async || {
        let new = vec![keyed(probe(Uuid::now_v7(), 2))];
        fixture.store.enqueue(new, NOW).await.unwrap()
    };
    assert_eq!(enqueue().await, [Enqueued::Existing(first.id)]);
    fixture.store.sweep(NOW, NOW.after(day + Duration::from_secs(1))).await.unwrap();
    assert_eq!(enqueue().await, [Enqueued::New]);
}

pub(crate) async fn a_large_body_stays_in_the_store(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let body = json!({ "text": "x".repeat(MAX_INLINE_BODY) });
    let message = fixture.put(job("reconcile", body.clone())).await;
    assert!(message.body.is_null());
    assert_eq!(fixture.run(&message, NOW).await.body, body);
    let small = fixture.put(job("reconcile", json!({ "text": "x" }))).await;
    assert_eq!(small.body, json!({ "text": "x" }));
    assert_eq!(fixture.run(&small, NOW).await.body, small.body);
}

pub(crate) async fn a_job_whose_message_was_lost_is_put_once_more(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let new = probe(Uuid::now_v7(), 0);
    fixture.store.enqueue(vec![at_once(new.clone())], NOW).await.unwrap();
    let sweep = async |seconds| {
        let now = after(seconds);
        fixture.store.sweep(now, now).await.unwrap().requeued
    };
    assert_eq!(sweep(TEN_MINUTES + 1).await, 0, "its line is still pending");
    assert_eq!(fixture.take_jobs().await.len(), 1);
    assert_eq!(sweep(TEN_MINUTES).await, 0, "its lane may be behind");
    assert_eq!(sweep(TEN_MINUTES + 1).await, 1);
    assert_eq!(fixture.take_jobs().await, std::slice::from_ref(&new));
    assert_eq!(sweep(TEN_MINUTES + 2).await, 0, "it was put just now");
    fixture.complete(&new).await;
    assert_eq!(sweep(3 * TEN_MINUTES).await, 0);
}

pub(crate) async fn a_lost_job_that_nobody_wants_any_more_has_failed(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let new = Job { deadline: Some(after(5)), ..reconcile() };
    fixture.put(new.clone()).await;
    let later = after(TEN_MINUTES + 1);
    fixture.store.sweep(later, later).await.unwrap();
    assert!(fixture.take_jobs().await.is_empty());
    let status = fixture.status(new.id).await;
    assert_eq!((status.state, status.finished_at), (JobState::Failed, Some(later)));
    assert!(status.error.is_some_and(|error| error.starts_with("expired:")));
}
