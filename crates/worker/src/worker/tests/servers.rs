//! The same on PostgreSQL and RabbitMQ.

use std::iter::repeat_n;

use tidegate_core::job::RECONCILE;
use tidegate_store::JobFilter;

use super::*;

/// Returns the URL of a server for tests.
#[expect(clippy::disallowed_methods, reason = "how tests are told where the servers are")]
fn server(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run `make test`, or tests/support/servers.sh run CMD…")
    })
}

/// A stack on the servers: the store is shared with earlier runs, the queue is not.
async fn stack() -> Stack {
    let prefix = Uuid::now_v7();
    let queue = format!("{}?prefix=worker-{prefix}", server("TIDEGATE_TEST_AMQP"));
    let places = (server("TIDEGATE_TEST_POSTGRES"), queue);
    Stack::at(tempfile::tempdir().unwrap(), places).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_on_servers_do_what_workers_on_files_do() {
    let stack = stack().await;
    let mut subscription = stack.queue.subscribe().await.unwrap();
    let workers = [stack.start_worker(), stack.start_worker()];

    let batch = stack.accept(usize::try_from(Timestamp::now().0).unwrap(), 30).await;
    finished(&mut *subscription, [batch]).await;
    assert_eq!(stack.counts(batch).await, Counts { new: 30, ..Counts::default() });

    let outcomes = repeat_n("ok", 300).chain(["flaky", "fail", "panic"]);
    let (run, jobs) = stack.put_probes(outcomes).await;
    stack.tallied(run, 301).await;
    for dead in &jobs[301..] {
        stack
            .until("a letter is filed", async || {
                let job = stack.store.job(TENANT, dead.id).await.unwrap().unwrap();
                job.state == JobState::Dead
            })
            .await;
    }

    let reconcile = Job {
        lane: Lane::Long,
        tenant: TENANT.to_owned(),
        body: serde_json::json!({ "view": "city_hour" }),
        ..crate::fixture::job(RECONCILE)
    };
    stack.put(std::slice::from_ref(&reconcile)).await;
    stack
        .until("the view is compared", async || {
            let job = stack.store.job(TENANT, reconcile.id).await.unwrap().unwrap();
            job.state == JobState::Applied && job.result.unwrap()["drifted"] == 0
        })
        .await;
    stack.stop(workers).await;

    // What waits for its time is all that is left.
    let filter = JobFilter {
        tenant: TENANT.to_owned(),
        product: "air".to_owned(),
        state: Some(JobState::Running),
        kind: None,
        before: None,
        limit: 10,
    };
    assert!(stack.store.list_jobs(&filter).await.unwrap().is_empty());
    assert_eq!(stack.store.backlog().await.unwrap().outbox, 0);
}
