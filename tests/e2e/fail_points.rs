//! A process that ends between two steps of the protocol: one test for each of the seven places.

use e2e::{FailPoint, Load, Mix, Servers, Stack, Tally};

/// Lets one more process beside a stack's end itself at a place, and demands that the others do all
/// that it held, once.
async fn others_go_on(point: FailPoint) {
    let servers = Servers::new().await;
    let stack = Stack::start_on(&servers, &[]).await;
    let load = Load::start(&stack, &servers, Mix::Flaky);
    point.reached(&stack).await;
    let tally = Tally::settled(&servers, &load.stop().await).await;
    assert!(tally.is_clean() && tally.done > 0, "{tally:?}");
}

#[tokio::test]
async fn an_api_may_end_after_the_outbox_insert() {
    others_go_on(FailPoint::AfterOutboxInsert).await;
}

#[tokio::test]
async fn a_relay_may_end_after_a_publish_and_before_its_confirm() {
    others_go_on(FailPoint::AfterPublish).await;
}

#[tokio::test]
async fn a_relay_may_end_after_a_confirm_and_before_the_mark() {
    others_go_on(FailPoint::AfterConfirm).await;
}

#[tokio::test]
async fn a_worker_may_end_after_a_claim() {
    others_go_on(FailPoint::AfterClaim).await;
}

#[tokio::test]
async fn a_worker_may_end_after_the_effect_and_before_the_commit() {
    others_go_on(FailPoint::BeforeCommit).await;
}

#[tokio::test]
async fn a_worker_may_end_after_the_commit_and_before_the_acknowledgement() {
    others_go_on(FailPoint::AfterCommit).await;
}

#[tokio::test]
async fn a_worker_may_end_after_the_copy_for_a_retry_and_before_the_acknowledgement() {
    others_go_on(FailPoint::AfterCopy).await;
}
