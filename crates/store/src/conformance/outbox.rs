//! The outbox keeps a line until somebody says that it is out.

use std::time::Duration;

use tidegate_core::notice::Notice;
use tidegate_core::outbox::OutboxMessage;

use super::{Engine, Fixture, NOW, row};

pub(crate) async fn a_line_is_handed_out_until_it_is_marked_as_sent(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    let other = fixture.other().await;
    fixture.accept(&[row(1, "oslo", 1, 1)]).await;
    let line = fixture.store.pending(10).await.unwrap();
    assert_eq!(line.len(), 1);
    assert_eq!(other.pending(10).await.unwrap(), line);
    other.mark_sent(&[line[0].id]).await.unwrap();
    assert!(fixture.store.pending(10).await.unwrap().is_empty());
    // A relay that was slow marks the same line again, and no newer one.
    fixture.accept(&[row(2, "oslo", 1, 1)]).await;
    fixture.store.mark_sent(&[line[0].id]).await.unwrap();
    assert_eq!(fixture.store.pending(10).await.unwrap().len(), 1);
}

pub(crate) async fn lines_come_oldest_first_and_no_more_than_asked_for(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    for id in 0..5 {
        fixture.accept(&[row(id, "oslo", 1, 1)]).await;
    }
    let lines = fixture.store.pending(3).await.unwrap();
    assert!(lines.is_sorted_by_key(|line| line.id));
    assert_eq!(lines.len(), 3);
}

pub(crate) async fn a_line_of_a_newer_build_stays_and_holds_nothing_up(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.write(r#"insert into dp_outbox(kind, body) values('event', '{"news":1}')"#).await;
    fixture.accept(&[row(1, "oslo", 1, 1)]).await;
    assert_eq!(fixture.take_outbox().await.len(), 1);
    assert_eq!(fixture.number("select count(*) from dp_outbox").await, 1);
}

pub(crate) async fn a_commit_of_this_process_wakes_its_relay_at_once(engine: &dyn Engine) {
    let fixture = Fixture::new(engine).await;
    // What opening and setting up left behind.
    fixture.store.wait_pending().await;
    let started = tokio::time::Instant::now();
    let woken = async { fixture.store.wait_pending().await };
    let rows = [row(1, "oslo", 1, 1)];
    tokio::join!(woken, fixture.accept(&rows));
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
}

pub(crate) async fn one_commit_of_many_batches_sends_one_purge_and_one_notice_of_jobs(
    engine: &dyn Engine,
) {
    let fixture = Fixture::new(engine).await;
    let ids = [
        fixture.accept(&[row(1, "oslo", 1, 1)]).await,
        fixture.accept(&[row(2, "rome", 1, 1)]).await,
    ];
    fixture.take_outbox().await;
    let claims = fixture.store.claim(&ids, NOW).await.unwrap();
    fixture.store.apply(claims, NOW).await.unwrap();
    let messages = fixture.take_outbox().await;
    let [OutboxMessage::Notice(Notice::Purge { seq, tags }), OutboxMessage::Notice(finished)] =
        messages.as_slice()
    else {
        panic!("{messages:?}")
    };
    assert_eq!((seq.seq, seq.space.incarnation.as_str()), (1, fixture.store.incarnation()));
    assert_eq!(finished, &Notice::JobsFinished { jobs: ids.to_vec() });
    assert_eq!(
        tags.as_slice(),
        [
            "acme/air/d:readings",
            "acme/air/v:city_hour",
            "acme/air/v:city_hour:city=oslo",
            "acme/air/v:city_hour:city=rome",
            "acme/air/v:kind_day",
        ]
    );
    let versions =
        async |tag: &str| fixture.store.versions("acme", "air", &[tag.to_owned()]).await.unwrap();
    assert_eq!(versions("acme/air/v:city_hour:city=oslo").await.newest, 1);
    assert_eq!(versions("acme/air/v:city_hour:city=bonn").await.newest, 0);
    assert_eq!(versions("acme/air/v:kind_day").await.applied_at, Some(NOW));
}
