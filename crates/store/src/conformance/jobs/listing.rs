//! Jobs as people and monitoring see them.

use tidegate_core::job::{INGEST, Job, Lane, PROBE};
use uuid::Uuid;

use super::support::{after, at_once, letter, probe, reconcile};
use crate::conformance::{Engine, Fixture, NOW, TENANT, row};
use crate::{Backlog, JobFilter, JobState, LaneBacklog, NewJob};

fn any() -> JobFilter {
    JobFilter {
        tenant: TENANT.to_owned(),
        product: "air".to_owned(),
        state: None,
        kind: None,
        before: None,
        limit: 10,
    }
}

pub(crate) async fn jobs_and_batches_are_listed_newest_first(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let first = fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    let second = fixture.put(probe(Uuid::now_v7(), 0)).await.id;
    let third = fixture.accept(&[row(2, "oslo", 1, 100)]).await;
    let fourth = fixture.put(reconcile()).await.id;
    fixture.put(Job { tenant: "zeta".to_owned(), ..reconcile() }).await;
    fixture.put(Job { product: "shop".to_owned(), ..reconcile() }).await;
    let claim = fixture.claim(first).await;
    fixture.store.apply(vec![claim], NOW).await.unwrap();
    let kind = |kind: &str| Some(kind.to_owned());
    for (filter, expected) in [
        (any(), vec![fourth, third, second, first]),
        (JobFilter { limit: 3, ..any() }, vec![fourth, third, second]),
        (JobFilter { before: Some(third), ..any() }, vec![second, first]),
        (JobFilter { kind: kind(INGEST), ..any() }, vec![third, first]),
        (JobFilter { kind: kind(PROBE), ..any() }, vec![second]),
        (JobFilter { state: Some(JobState::Applied), ..any() }, vec![first]),
        (JobFilter { state: Some(JobState::Accepted), limit: 2, ..any() }, vec![fourth, third]),
        (JobFilter { state: Some(JobState::Cancelled), ..any() }, vec![]),
        (JobFilter { tenant: "nobody".to_owned(), ..any() }, vec![]),
    ] {
        let listed = fixture.store.list_jobs(&filter).await.unwrap();
        let ids: Vec<Uuid> = listed.iter().map(|job| job.id).collect();
        assert_eq!(ids, expected, "{filter:?}");
        for job in listed {
            assert_eq!(Some(job.clone()), fixture.store.job(TENANT, job.id).await.unwrap());
        }
    }
}

pub(crate) async fn monitoring_sees_lanes_and_letters(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let backlog = async || fixture.store.backlog().await.unwrap();
    assert_eq!(backlog().await, Backlog::default());
    fixture.accept(&[row(1, "oslo", 1, 100)]).await;
    let old = Job { enqueued_at: NOW.before(std::time::Duration::from_secs(5)), ..reconcile() };
    let on_default = Job { lane: Lane::Default, ..probe(Uuid::now_v7(), 1) };
    let done = probe(Uuid::now_v7(), 2);
    let later = NewJob { run_at: Some(after(60)), ..at_once(probe(Uuid::now_v7(), 3)) };
    let dead = reconcile();
    let mut new: Vec<NewJob> =
        [&old, &on_default, &done, &dead].map(|job| at_once(job.clone())).to_vec();
    new.push(later);
    fixture.store.enqueue(new, NOW).await.unwrap();
    fixture.complete(&done).await;
    fixture.run(&old, NOW).await;
    fixture.store.file(vec![letter(&dead, "permanent: x")], NOW).await.unwrap();
    let lane = |lane, waiting, oldest| LaneBacklog { lane, waiting, oldest: Some(oldest) };
    let seen = backlog().await;
    assert_eq!((seen.batches, seen.dead), (1, 1));
    assert_eq!(seen.lanes, [lane(Lane::Default, 2, NOW), lane(Lane::Long, 1, old.enqueued_at)]);
}
