//! Canary releases: what is theirs, and that it goes to stable.

use tidegate_core::job::{Arm, Job};
use tidegate_core::notice::Notice;

use super::support::{after, at_once, reconcile};
use crate::conformance::{Engine, Fixture, NOW, row};
use crate::{Accepted, NewBatch, NewJob};

pub(crate) async fn a_release_is_revoked_by_a_newer_epoch_only(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let revoke = async |release, epoch| fixture.store.revoke_canary(release, epoch, NOW).await;
    assert!(revoke("r2", 7).await.unwrap());
    let told = Notice::CanaryRevoked { release: "r2".to_owned(), epoch: 7 };
    assert_eq!(fixture.take_notices().await, [told]);
    assert!(!revoke("r2", 7).await.unwrap());
    assert!(!revoke("r2", 6).await.unwrap());
    assert!(fixture.take_notices().await.is_empty());
    assert!(revoke("r2", 8).await.unwrap());
    assert!(revoke("r1", 1).await.unwrap());
    let known = fixture.other().await.revoked_canaries().await.unwrap();
    assert_eq!(known, [("r1".to_owned(), 1), ("r2".to_owned(), 8)]);
}

pub(crate) async fn a_batch_goes_to_its_canary_first_and_then_to_stable(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let batch = NewBatch {
        release: Some("r2".to_owned()),
        arm: Arm::Canary,
        cohort: Some(42),
        ..fixture.batch(&[row(1, "oslo", 1, 100)])
    };
    assert_eq!(fixture.store.accept(batch, NOW).await.unwrap(), Accepted::New);
    let first = fixture.take_jobs().await.pop().unwrap();
    assert_eq!((first.canary(), first.cohort), (Some("r2"), Some(42)));
    let later = after(31);
    fixture.store.sweep(later, later).await.unwrap();
    let again = fixture.take_jobs().await.pop().unwrap();
    assert_eq!(again, Job { arm: Arm::Stable, enqueued_at: later, ..first });
}

pub(crate) async fn a_scheduled_job_of_a_revoked_canary_goes_to_stable(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let of = |release: &str| NewJob {
        run_at: Some(after(60)),
        ..at_once(Job { release: Some(release.to_owned()), arm: Arm::Canary, ..reconcile() })
    };
    fixture.store.enqueue(vec![of("r2"), of("r3")], NOW).await.unwrap();
    fixture.store.revoke_canary("r2", 1, NOW).await.unwrap();
    fixture.store.sweep(NOW, after(60)).await.unwrap();
    let jobs = fixture.take_jobs().await;
    let canaries: Vec<Option<&str>> = jobs.iter().map(Job::canary).collect();
    assert_eq!(canaries, [None, Some("r3")]);
}
