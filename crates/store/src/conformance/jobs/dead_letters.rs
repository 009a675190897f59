//! What is filed, and what of it is shown.

use serde_json::{Value, json};
use tidegate_core::job::Job;
use tidegate_core::notice::Notice;
use uuid::Uuid;

use super::support::{after, job, letter, probe, reconcile};
use crate::conformance::{Engine, Fixture, NOW, TENANT};
use crate::{Completed, DeadFilter, DeadState, JobState, MAX_SHOWN_BYTES, NewDeadLetter};

pub(crate) async fn a_message_is_filed_once_and_its_job_is_dead(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let job = fixture.put(Job { release: Some("r2".to_owned()), ..reconcile() }).await;
    let new = letter(&job, "permanent: the view is gone");
    let file = async || fixture.store.file(vec![new.clone(), new.clone()], NOW).await.unwrap();
    assert_eq!(file().await, 1);
    assert_eq!(fixture.take_notices().await, [Notice::JobsFinished { jobs: vec![job.id] }]);
    assert_eq!(file().await, 0, "the message came once more");
    assert!(fixture.take_notices().await.is_empty());
    let status = fixture.status(job.id).await;
    assert_eq!((status.state, status.finished_at), (JobState::Dead, Some(NOW)));
    assert_eq!(status.error.as_deref(), Some("permanent: the view is gone"));
    let letters = fixture.letters(DeadFilter::default()).await;
    let [filed] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!((filed.job, filed.generation, filed.lane), (Some(job.id), 0, Some(job.lane)));
    assert_eq!((filed.tenant.as_deref(), filed.product.as_deref()), (Some(TENANT), Some("air")));
    assert_eq!(
        (filed.kind.as_ref(), filed.release.as_ref()),
        (Some(&job.kind), job.release.as_ref())
    );
    assert_eq!((filed.code.as_str(), filed.attempts), ("permanent", 5));
    assert_eq!((&filed.reason, &filed.error_chain), (&new.reason, &new.error_chain));
    assert_eq!((&filed.headers, &filed.payload), (&new.headers, &job.body));
    assert_eq!((filed.state, filed.died_at), (DeadState::Open, NOW));
    assert_eq!((filed.decided_at, filed.decided_by.as_ref()), (None, None));
}

pub(crate) async fn what_can_not_be_read_is_filed_by_its_content(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let unreadable = |raw: &[u8]| NewDeadLetter {
        job: None,
        raw: raw.to_vec(),
        ..letter(&reconcile(), "malformed: no JSON")
    };
    let file = async |raw| fixture.store.file(vec![unreadable(raw)], NOW).await.unwrap();
    assert_eq!((file(b"{").await, file(b"{").await, file(b"\xff{").await), (1, 0, 1));
    let letters = fixture.letters(DeadFilter::default()).await;
    let shown: Vec<&Value> = letters.iter().map(|letter| &letter.payload).collect();
    assert_eq!(shown, [&json!("{"), &json!("\u{fffd}{")]);
    assert_eq!((letters[0].job, letters[0].kind.as_ref()), (None, None));
    assert_eq!(fixture.requeue().await, 0, "it is no job");
    let first = DeadFilter { numbers: vec![letters[0].no], ..DeadFilter::default() };
    assert_eq!(fixture.store.discard_dead(&first, "ada", NOW).await.unwrap(), 1);
    assert_eq!(fixture.letters(first.clone()).await.len(), 0);
    assert_eq!(file(b"{").await, 1, "it died once more");
    assert_eq!(fixture.letters(first).await.len(), 1);
}

pub(crate) async fn a_job_that_ended_otherwise_needs_no_letter(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let file = async |job: &Job| fixture.store.file(vec![letter(job, "exhausted: x")], NOW).await;
    // One copy of its message had its effect, another died.
    let (recorded, bare) = (fixture.put(probe(Uuid::now_v7(), 0)).await, probe(Uuid::now_v7(), 1));
    for job in [&recorded, &bare] {
        assert_eq!(fixture.complete(job).await, Completed::New);
        assert_eq!(file(job).await.unwrap(), 0);
    }
    assert_eq!(fixture.state(recorded.id).await, JobState::Applied);
    // And the other way round.
    let (recorded, bare) = (fixture.put(probe(Uuid::now_v7(), 2)).await, probe(Uuid::now_v7(), 3));
    for job in [&recorded, &bare] {
        assert_eq!(file(job).await.unwrap(), 1);
        assert_eq!(fixture.complete(job).await, Completed::Duplicate);
    }
    assert_eq!(fixture.requeue().await, 2);
    for job in [&recorded, &bare] {
        assert_eq!(file(job).await.unwrap(), 0, "a later generation is on its way");
    }
    assert_eq!(fixture.state(recorded.id).await, JobState::Accepted);
}

pub(crate) async fn letters_are_found_by_all_that_is_said_of_them(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let shop = Job { product: "shop".to_owned(), ..probe(Uuid::now_v7(), 0) };
    let zeta = Job { tenant: "zeta".to_owned(), ..probe(Uuid::now_v7(), 1) };
    let late = NewDeadLetter { died_at: after(10), ..letter(&reconcile(), "crashed: x") };
    let new = vec![letter(&shop, "permanent: x"), letter(&zeta, "no code"), late];
    assert_eq!(fixture.store.file(new, after(20)).await.unwrap(), 3);
    let all = fixture.letters(DeadFilter::default()).await;
    let numbers: Vec<i64> = all.iter().map(|letter| letter.no).collect();
    assert!(numbers.is_sorted());
    let any = DeadFilter::default;
    let text = |text: &str| Some(text.to_owned());
    for (filter, expected) in [
        (DeadFilter { product: text("shop"), ..any() }, vec![0]),
        (DeadFilter { tenant: text("zeta"), ..any() }, vec![1]),
        (DeadFilter { kind: text("probe"), ..any() }, vec![0, 1]),
        (DeadFilter { kind: text("probe"), tenant: text("acme"), ..any() }, vec![0]),
        (DeadFilter { code: text("crashed"), ..any() }, vec![2]),
        (DeadFilter { code: text("other"), ..any() }, vec![1]),
        (DeadFilter { older_than: Some(after(10)), ..any() }, vec![0, 1]),
        (DeadFilter { newer_than: Some(after(10)), ..any() }, vec![2]),
        (DeadFilter { numbers: vec![numbers[2], numbers[0], 99], ..any() }, vec![0, 2]),
        (DeadFilter { after: Some(numbers[0]), ..any() }, vec![1, 2]),
        (DeadFilter { state: DeadState::Requeued, ..any() }, vec![]),
    ] {
        let found: Vec<i64> =
            fixture.letters(filter.clone()).await.iter().map(|letter| letter.no).collect();
        let expected: Vec<i64> = expected.into_iter().map(|at: usize| numbers[at]).collect();
        assert_eq!(found, expected, "{filter:?}");
        let count = fixture.store.count_dead(&filter).await.unwrap();
        assert_eq!(count, expected.len() as u64, "{filter:?}");
    }
    let two = DeadFilter { limit: 2, ..any() };
    assert_eq!(fixture.letters(two.clone()).await, all[..2]);
    assert_eq!(fixture.store.count_dead(&two).await.unwrap(), 3);
}

pub(crate) async fn people_see_neither_credentials_nor_more_than_they_can_read(
    engine: &dyn Engine,
) {
    let fixture = Fixture::new(engine).await;
    let body = json!({ "api_key": "k", "note": "n".repeat(2 * MAX_SHOWN_BYTES) });
    let large = json!({ "api_key": "k", "note": "n".repeat(20 * MAX_SHOWN_BYTES) });
    let small = fixture.put(job("export", body.clone())).await;
    let kept = fixture.put(job("export", large.clone())).await;
    assert!(kept.body.is_null());
    let headers = json!({ "Authorization": "Bearer x", "n": 1 });
    let new = [&small, &kept]
        .map(|job| NewDeadLetter { headers: headers.clone(), ..letter(job, "permanent: x") });
    fixture.store.file(new.to_vec(), NOW).await.unwrap();
    for letter in fixture.letters(DeadFilter::default()).await {
        assert_eq!(letter.headers, json!({ "Authorization": "[redacted]", "n": 1 }));
        let shown = letter.payload.to_string();
        assert!(shown.len() < MAX_SHOWN_BYTES + 200, "{}", shown.len());
        assert!(shown.contains("[redacted]") && shown.contains("more bytes"), "{shown}");
    }
    // The original is what is put once more.
    fixture.requeue().await;
    let mut bodies = Vec::new();
    for job in fixture.take_jobs().await {
        bodies.push(fixture.run(&job, NOW).await.body);
    }
    assert_eq!(bodies, [body, large]);
}
