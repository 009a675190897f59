//! Canary workers, and what becomes of their jobs.

use super::*;

const CANARY: &str = "[release]\nid = \"r3\"\narm = \"canary\"\n";

/// Makes probes of one run that are for workers of the canary release `r3`.
fn probes_for_canary(run: Uuid, count: usize) -> Vec<Job> {
    let probe = |n: usize| Job {
        release: Some("r3".to_owned()),
        arm: Arm::Canary,
        body: serde_json::json!({ "run": run, "n": n }),
        ..crate::fixture::job(PROBE)
    };
    (0..count).map(probe).collect()
}

/// Waits until a canary worker takes jobs.
async fn at_work(stack: &Stack) {
    stack
        .until("a canary takes jobs", async || {
            let workers = stack.store.workers(Timestamp::now()).await.unwrap();
            workers.iter().any(|beat| beat.arm == Arm::Canary && !beat.draining)
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_a_revoked_canary_go_to_stable_workers() {
    let stack = Stack::new().await;
    let canary = stack.start_worker_with(CANARY);
    at_work(&stack).await;
    stack.store.revoke_canary("r3", 1, Timestamp::now()).await.unwrap();
    stack
        .until("the canary stops", async || {
            let workers = stack.store.workers(Timestamp::now()).await.unwrap();
            workers.iter().any(|beat| beat.arm == Arm::Canary && beat.draining)
        })
        .await;
    // It stays, and says that it drains.
    assert!(!canary.is_finished());
    let run = Uuid::now_v7();
    stack.queue.publish(&probes_for_canary(run, 20)).await.unwrap();
    let stable = stack.start_worker();
    stack.tallied(run, 20).await;
    stack.stop([canary, stable]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_that_was_deployed_again_heeds_only_later_revocations() {
    let stack = Stack::new().await;
    stack.store.revoke_canary("r3", 1, Timestamp::now()).await.unwrap();
    let canary = stack.start_worker_with(&format!("{CANARY}epoch = 1\n"));
    at_work(&stack).await;
    let stable = stack.start_worker();
    let run = Uuid::now_v7();
    stack.queue.publish(&probes_for_canary(run, 5)).await.unwrap();
    stack.tallied(run, 5).await;
    at_work(&stack).await;
    stack.stop([canary, stable]).await;
}
