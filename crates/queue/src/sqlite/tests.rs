//! The conformance claims on SQLite, and what only a file can do.

use std::process::{Child, Command, Stdio};

use tempfile::TempDir;
use tidegate_core::notice::Notice;

use tidegate_core::job::Lane;

use super::*;
use crate::conformance::{
    Broker, conformance, consumer, depth, job, jobs, listen, notice, soon, take,
};
use crate::{Heard, Settlement, SharedQueue};

/// Nobody waits that long: whatever arrives was woken.
const NO_POLLING: Options =
    Options { poll: Duration::from_secs(3_600), notices: 100_000, notices_for: DAY };

const DAY: Duration = Duration::from_secs(86_400);

/// Names the queue to the child process of a test.
const CHILD: &str = "TIDEGATE_TEST_QUEUE";

struct File {
    directory: TempDir,
}

// === impl File ===

impl File {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("queue.db")
    }

    fn open(&self, options: Options) -> SqliteQueue {
        SqliteQueue::open_with(&self.path(), options).unwrap()
    }

    fn files(&self, directory: &str) -> usize {
        std::fs::read_dir(self.directory.path().join(directory)).unwrap().count()
    }
}

#[async_trait]
impl Broker for File {
    async fn connect(&self) -> SharedQueue {
        Arc::new(self.open(NO_POLLING))
    }

    async fn presume_dead(&self) {
        // As a careless person would: the locks live on in files that have no name.
        for file in std::fs::read_dir(self.directory.path().join("consumers")).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
}

conformance!(File::new() =>
    jobs_arrive_in_the_order_they_were_published,
    each_lane_has_consumers_of_its_own,
    a_job_arrives_as_it_was_published,
    a_job_published_by_another_process_wakes_a_waiting_consumer,
    prefetch_bounds_unsettled_deliveries,
    a_dropped_call_loses_no_message,
    each_settlement_does_what_it_says,
    a_retry_wakes_a_consumer_when_it_is_due,
    a_dropped_consumer_gives_back_at_once,
    a_settlement_by_a_consumer_taken_for_dead_changes_nothing,
    consumers_share_the_work_and_none_gets_what_another_holds,
    depth_names_the_oldest_job_of_a_lane,
    depth_names_the_job_that_is_handed_out_next,
    jobs_of_a_canary_go_to_its_own_workers,
    jobs_of_a_canary_without_workers_go_to_stable_ones,
    jobs_wait_for_a_canary_whose_workers_are_away,
    a_job_that_failed_on_a_canary_comes_again_to_stable_workers,
    a_revoked_canary_s_jobs_move_to_stable_workers,
    revoking_a_canary_nobody_knows_does_nothing,
    a_dead_letter_says_what_is_known_of_it,
    a_letter_comes_again_until_it_is_filed,
    unfiled_letters_are_counted_and_bounded_by_the_prefetch,
    a_letter_wakes_who_waits_for_it,
    every_subscriber_hears_every_notice_in_order,
    a_notice_of_another_process_wakes_a_waiting_subscriber,
    a_subscription_begins_with_what_comes_after_it,
    a_slow_subscriber_catches_up,
);

/// Runs this test binary as a child that claims what `file` holds and never settles it.
fn start_child(file: &File) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::tests::the_child_claims_and_never_settles"])
        .env(CHILD, file.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The child's part of the next test; without its variable there is nothing to do.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "how the parent tells the child its file")]
async fn the_child_claims_and_never_settles() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let queue = SqliteQueue::open(Path::new(&path)).unwrap();
    let mut consumer = consumer(&queue, Lane::Default, 8).await;
    let ids = take(&mut *consumer, 8).await.iter().map(|delivery| delivery.job.id).collect();
    queue.broadcast(&[Notice::JobsFinished { jobs: ids }]).await.unwrap();
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_process_that_is_killed_gives_its_messages_back() {
    let file = File::new();
    let queue = file.open(Options { poll: Duration::from_millis(50), ..NO_POLLING });
    let mut subscription = queue.subscribe().await.unwrap();
    let published = jobs(Lane::Default, 0..8);
    queue.publish(&published).await.unwrap();
    let mut child = start_child(&file);
    let heard = listen(&mut *subscription, 1).await;
    let ids: Vec<_> = published.iter().map(|job| job.id).collect();
    assert_eq!(heard, [Notice::JobsFinished { jobs: ids }]);

    let mut consumer = consumer(&queue, Lane::Default, 8).await;
    // While the child lives its messages are its own, however long it takes.
    assert_eq!(depth(&queue, Lane::Default).await, (0, 8));
    child.kill().unwrap();
    child.wait().unwrap();
    let taken = take(&mut *consumer, 8).await;
    assert!(taken.iter().all(|delivery| delivery.redelivered));
    assert_eq!(taken.into_iter().map(|delivery| delivery.job).collect::<Vec<_>>(), published);
    // Of lock files and sockets, only the living one's are left.
    queue.publish(&[job(Lane::Low, 0)]).await.unwrap();
    assert_eq!((file.files("consumers"), file.files("wake")), (1, 1));
}

#[tokio::test]
async fn a_consumer_that_starts_takes_over_from_the_dead_without_waiting() {
    let file = File::new();
    let queue = file.open(NO_POLLING);
    let mut subscription = queue.subscribe().await.unwrap();
    queue.publish(&jobs(Lane::Default, 0..8)).await.unwrap();
    let mut child = start_child(&file);
    listen(&mut *subscription, 1).await;
    child.kill().unwrap();
    child.wait().unwrap();
    let mut consumer = consumer(&queue, Lane::Default, 8).await;
    assert!(take(&mut *consumer, 8).await.iter().all(|delivery| delivery.redelivered));
}

#[tokio::test]
async fn a_subscriber_behind_the_trim_hears_that_it_missed_some() {
    let file = File::new();
    let queue = file.open(Options { notices: 10, ..NO_POLLING });
    let mut behind = queue.subscribe().await.unwrap();
    let mut just_in_time = queue.subscribe().await.unwrap();
    queue.broadcast(&[notice(0)]).await.unwrap();
    listen(&mut *just_in_time, 1).await;
    queue.broadcast(&(1..11).map(notice).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(soon(behind.next()).await.unwrap(), Heard::Missed);
    queue.broadcast(&[notice(11)]).await.unwrap();
    assert_eq!(listen(&mut *behind, 1).await, [notice(11)]);
    assert_eq!(soon(just_in_time.next()).await.unwrap(), Heard::Missed);
}

#[tokio::test]
async fn a_subscriber_hears_that_it_missed_notices_that_were_all_dropped_for_their_age() {
    let file = File::new();
    let queue = file.open(NO_POLLING);
    let mut subscription = queue.subscribe().await.unwrap();
    queue.broadcast(&[notice(0), notice(1)]).await.unwrap();
    let later = Timestamp::now().after(DAY);
    let trimmed = queue.shared.database.write(move |sql| notice::trim(sql, 100, later));
    trimmed.await.unwrap();
    assert_eq!(soon(subscription.next()).await.unwrap(), Heard::Missed);
    queue.broadcast(&[notice(2)]).await.unwrap();
    assert_eq!(listen(&mut *subscription, 1).await, [notice(2)]);
}

#[tokio::test]
async fn a_body_nobody_can_read_is_kept_aside_and_holds_up_nothing() {
    let file = File::new();
    let queue = file.open(NO_POLLING);
    queue.publish(&jobs(Lane::Default, 0..2)).await.unwrap();
    let spoil = queue.shared.database.write(|sql| {
        sql.execute("update message set body = '{}' where id = 1", ())?;
        Ok::<_, tidegate_sqlite::Error>(())
    });
    spoil.await.unwrap();
    let mut consumer = consumer(&queue, Lane::Default, 2).await;
    let delivery = take(&mut *consumer, 1).await.remove(0);
    assert_eq!(delivery.tag.message, 2);
    assert_eq!(depth(&queue, Lane::Default).await, (0, 1));
    consumer.settle(vec![(delivery.tag, Settlement::Ack)]).await.unwrap();
}

#[tokio::test]
async fn a_file_of_a_newer_release_is_refused() {
    let file = File::new();
    drop(file.open(NO_POLLING));
    let database = Database::open(&file.path(), 1).unwrap();
    let raised = database.write(|sql| {
        sql.pragma_update(None, "user_version", 99)?;
        Ok::<_, tidegate_sqlite::Error>(())
    });
    raised.await.unwrap();
    let error = SqliteQueue::open(&file.path()).unwrap_err();
    assert!(matches!(error, QueueError::Newer { found: 99, .. }), "{error}");
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_still_wakes() {
    let file = File::new();
    let deep = file.directory.path().join("d".repeat(120));
    std::fs::create_dir(&deep).unwrap();
    let path = deep.join("queue.db");
    let (here, there) = (
        SqliteQueue::open_with(&path, NO_POLLING).unwrap(),
        SqliteQueue::open_with(&path, NO_POLLING).unwrap(),
    );
    let mut consumer = consumer(&here, Lane::Default, 1).await;
    let (delivery, ()) = tokio::join!(biased; soon(consumer.next()), async {
        there.publish(&[job(Lane::Default, 0)]).await.unwrap();
    });
    delivery.unwrap();
    let sockets = wake::place(&deep.canonicalize().unwrap());
    assert!(!sockets.starts_with(&deep));
    drop((consumer, here, there));
    std::fs::remove_dir_all(sockets).unwrap();
}

#[tokio::test]
async fn a_lock_file_nobody_holds_and_nobody_knows_is_removed() {
    let file = File::new();
    let queue = file.open(NO_POLLING);
    std::fs::write(file.directory.path().join("consumers/left-over.lock"), "").unwrap();
    let _consumer = consumer(&queue, Lane::Default, 1).await;
    assert_eq!(file.files("consumers"), 1);
}

#[tokio::test]
async fn a_look_tells_when_the_next_retry_is_due() {
    let file = File::new();
    let queue = file.open(NO_POLLING);
    queue.publish(&jobs(Lane::Default, 0..3)).await.unwrap();
    let mut consumer = consumer(&queue, Lane::Default, 3).await;
    let taken = take(&mut *consumer, 3).await;
    let retries = taken.iter().zip([60, 20, 40]).map(|(delivery, after)| {
        (delivery.tag, Settlement::Retry { after: Duration::from_secs(after) })
    });
    let settled = Timestamp::now();
    consumer.settle(retries.collect()).await.unwrap();
    let place = message::Place::of(Source::stable(Lane::Default));
    let look = |at: Timestamp| {
        // The first consumer of a new file.
        queue.shared.database.read(|sql| message::look(sql, 1, &place, at)).unwrap()
    };
    let message::Look::NotBefore(due) = look(settled) else { panic!("{:?}", look(settled)) };
    assert!(due >= settled.after(Duration::from_secs(20)));
    assert_eq!(look(due), message::Look::Ready);
}
