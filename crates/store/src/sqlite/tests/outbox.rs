//! The outbox keeps a line until somebody says that it is out.

use std::time::Duration;

use tidegate_core::notice::Notice;
use tidegate_core::outbox::{OutboxMessage, OutboxSource as _};
use tokio::time::Instant;

use super::support::{Fixture, NOW, row};
use crate::Store as _;
use crate::sqlite::outbox::{self, Strays};

#[tokio::test]
async fn a_line_is_handed_out_until_it_is_marked_as_sent() {
    let fixture = Fixture::new().await;
    let other = fixture.other();
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

#[tokio::test]
async fn lines_come_oldest_first_and_no_more_than_asked_for() {
    let fixture = Fixture::new().await;
    for id in 0..5 {
        fixture.accept(&[row(id, "oslo", 1, 1)]).await;
    }
    let lines = fixture.store.pending(3).await.unwrap();
    assert!(lines.is_sorted_by_key(|line| line.id));
    assert_eq!(lines.len(), 3);
}

#[tokio::test]
async fn a_line_of_a_newer_build_stays_and_holds_nothing_up() {
    let fixture = Fixture::new().await;
    fixture.write(r#"insert into dp_outbox(kind, body) values('event', '{"news":1}')"#).await;
    fixture.accept(&[row(1, "oslo", 1, 1)]).await;
    assert_eq!(fixture.take_outbox().await.len(), 1);
    assert_eq!(fixture.number("select count(*) from dp_outbox"), 1);
}

#[tokio::test]
async fn a_commit_of_this_process_wakes_its_relay_at_once() {
    let fixture = Fixture::new().await;
    // What opening and setting up left behind.
    fixture.store.wait_pending().await;
    let started = tokio::time::Instant::now();
    let woken = async { fixture.store.wait_pending().await };
    let rows = [row(1, "oslo", 1, 1)];
    tokio::join!(woken, fixture.accept(&rows));
    assert!(started.elapsed() < Duration::from_millis(900), "{:?}", started.elapsed());
}

#[tokio::test]
async fn one_commit_of_many_batches_sends_one_purge_and_one_notice_of_jobs() {
    let fixture = Fixture::new().await;
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

#[tokio::test]
async fn a_line_of_another_process_is_left_to_its_relay_for_a_while() {
    let fixture = Fixture::new().await;
    let (database, started) = (&fixture.store.database, Instant::now());
    let strays = database.read(|sql| Strays::new(sql, started)).unwrap();
    fixture.accept(&[row(1, "oslo", 1, 1)]).await;
    // No process has the number 0.
    fixture.write("update dp_outbox set origin = 0").await;
    let pending = |seconds: u64| {
        let now = started + Duration::from_secs(seconds);
        database.read(|sql| outbox::pending(sql, &strays, 10, now)).unwrap().len()
    };
    assert_eq!(pending(0), 0);
    assert_eq!(pending(1), 0, "seen for the first time");
    fixture.accept(&[row(2, "oslo", 1, 1)]).await;
    assert_eq!(pending(1), 1, "its own");
    assert_eq!(pending(2), 2, "nobody took it");
    // A process that starts waits for nobody: the one before it may have been killed.
    assert_eq!(fixture.other().pending(10).await.unwrap().len(), 2);
}
