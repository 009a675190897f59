//! What a client is told: idempotency, counts that add up, reasons.

use tidegate_core::job::INGEST;
use tidegate_core::outbox::OutboxMessage;
use uuid::Uuid;

use super::{Engine, Fixture, NOW, TENANT, row};
use crate::{Accepted, Applied, JobState, NewBatch};

fn keyed(fixture: &Fixture, key: &str, fingerprint: u8) -> NewBatch {
    NewBatch {
        idempotency_key: Some(key.to_owned()),
        fingerprint: [fingerprint; 32],
        ..fixture.batch(&[row(1, "oslo", 1, 100)])
    }
}

pub(crate) async fn a_request_with_a_used_key_is_the_first_one_or_refused(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let first = keyed(&fixture, "k", 1);
    let id = first.id;
    assert_eq!(fixture.store.accept(first, NOW).await.unwrap(), Accepted::New);
    let again = fixture.store.accept(keyed(&fixture, "k", 1), NOW).await.unwrap();
    assert_eq!(again, Accepted::Replayed(id));
    let other = fixture.store.accept(keyed(&fixture, "k", 2), NOW).await.unwrap();
    assert_eq!(other, Accepted::KeyReused);
    let tenant = NewBatch { tenant: "zeta".to_owned(), ..keyed(&fixture, "k", 2) };
    assert_eq!(fixture.store.accept(tenant, NOW).await.unwrap(), Accepted::New);
    assert_eq!(fixture.number("select count(*) from dp_batch").await, 2);
}

pub(crate) async fn requests_without_a_key_are_all_new(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let ids = [fixture.accept(&[row(1, "oslo", 1, 1)]).await, fixture.accept(&[]).await];
    assert_ne!(ids[0], ids[1]);
}

pub(crate) async fn an_accepted_batch_leaves_one_job_in_the_outbox(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    let batch = NewBatch { traceparent, ..fixture.batch(&[row(1, "oslo", 1, 1)]) };
    let (id, traceparent) = (batch.id, batch.traceparent.clone());
    fixture.store.accept(batch, NOW).await.unwrap();
    match fixture.take_outbox().await.as_slice() {
        [OutboxMessage::Job(job)] => {
            assert_eq!((job.id, job.kind.as_str()), (id, INGEST));
            assert_eq!((&job.tenant, &job.product), (&TENANT.to_owned(), &"air".to_owned()));
            assert_eq!(job.traceparent, traceparent);
            assert_eq!(job.body, serde_json::json!({ "batch": id }));
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn rows_that_do_not_pass_are_kept_with_their_line_and_reasons(
    engine: &dyn Engine,
) {
    let fixture = Fixture::new(engine).await;
    fixture.ingest(&[row(1, "oslo", 1, 100)]).await;
    // Line 1 does not pass, line 3 contradicts what is stored, line 4 comes a second time.
    let rows =
        [row(0, "", 0, 0), row(2, "oslo", 1, 5), row(1, "oslo", 1, 101), row(2, "oslo", 1, 5)];
    let id = fixture.accept(&rows).await;
    let job = fixture.store.job(TENANT, id).await.unwrap().unwrap();
    assert_eq!((job.state, job.rows, job.counts.rejected), (JobState::Accepted, 4, 1));
    let claim = fixture.claim(id).await;
    let applied = fixture.store.apply(vec![claim], NOW).await.unwrap().applied;
    let job = fixture.store.job(TENANT, id).await.unwrap().unwrap();
    let counts = job.counts;
    assert_eq!(
        (job.state, counts.new, counts.duplicate, counts.rejected),
        (JobState::Applied, 1, 1, 2)
    );
    assert_eq!(counts.new + counts.duplicate + counts.late + counts.rejected, job.rows);
    assert_eq!(applied, [Applied::Done(id, counts)]);
    let lines: Vec<u32> = job.rejected.iter().map(|row| row.line).collect();
    assert_eq!(lines, [1, 3]);
    let conflict = &job.rejected[1];
    assert_eq!(
        (conflict.errors[0].code.as_str(), conflict.errors[0].pointer.as_str()),
        ("key_conflict", "/id")
    );
    assert_eq!(
        conflict.raw,
        r#"{"city":"oslo","id":"1","kind":"no2","ts":"2026-11-22T11:00:00Z","value":"1.01"}"#
    );
    assert_eq!(fixture.drift().await, 0);
}

pub(crate) async fn a_job_is_seen_by_its_tenant_only(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    assert!(fixture.store.job("zeta", id).await.unwrap().is_none());
    assert!(fixture.store.job(TENANT, Uuid::now_v7()).await.unwrap().is_none());
    assert!(fixture.store.job(TENANT, id).await.unwrap().is_some());
}

pub(crate) async fn a_failed_job_says_why_and_is_over(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    let claim = fixture.claim(id).await;
    fixture.store.fail(&claim, "gave up", NOW).await.unwrap();
    let job = fixture.store.job(TENANT, id).await.unwrap().unwrap();
    assert_eq!((job.state, job.error.as_deref()), (JobState::Failed, Some("gave up")));
    assert_eq!(job.finished_at, Some(NOW));
    assert!(fixture.store.claim(&[id], NOW).await.unwrap().is_empty());
}

pub(crate) async fn monitoring_sees_what_waits(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    assert_eq!(fixture.store.backlog().await.unwrap(), crate::Backlog::default());
    fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    let backlog = fixture.store.backlog().await.unwrap();
    assert_eq!((backlog.batches, backlog.oldest, backlog.outbox), (1, Some(NOW), 1));
}
