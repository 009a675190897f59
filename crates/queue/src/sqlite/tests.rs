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

    async fn end(&self) {}
}

conformance!(File::new());

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

#[tokio::test]
async fn depth_names_the_oldest_job_and_the_one_that_is_handed_out_next() {
    let file = File::new();
    let queue = file.open(NO_POLLING);
    let depth = async || queue.depth().await.unwrap().stable(Lane::Default).unwrap().clone();
    queue.publish(&jobs(Lane::Default, 0..2)).await.unwrap();
    let first = depth().await;
    assert!(first.oldest.is_some() && first.next == first.oldest);
    let mut consumer = consumer(&queue, Lane::Default, 2).await;
    let held = take(&mut *consumer, 2).await;
    assert_eq!((depth().await.oldest, depth().await.next), (first.oldest, None), "both are held");
    let retry = Settlement::Retry { after: Duration::from_secs(3_600) };
    let settlements = vec![(held[0].tag, retry), (held[1].tag, Settlement::Release)];
    consumer.settle(settlements).await.unwrap();
    // One waits for its retry, the other was given back.
    assert_eq!((depth().await.oldest, depth().await.next), (first.oldest, first.next));
    assert_eq!((depth().await.ready, depth().await.unacked), (2, 0));
}

#[tokio::test]
async fn a_file_of_the_release_before_canaries_is_brought_up_to_date() {
    let file = File::new();
    let database = Database::open(&file.path(), 1).unwrap();
    let created = database.write(|sql| {
        sql.execute_batch(schema::TABLES_OF_LAYOUT_1)?;
        sql.pragma_update(None, "user_version", 1)?;
        sql.execute(
            "insert into message(lane, kind, body, published_at, attempt)
                values ('default', 'ingest', ?1, 5, 0)",
            (serde_json::to_string(&job(Lane::Default, 7)).unwrap(),),
        )?;
        Ok::<_, tidegate_sqlite::Error>(())
    });
    created.await.unwrap();
    drop(database);
    let queue = file.open(NO_POLLING);
    let mut consumer = consumer(&queue, Lane::Default, 1).await;
    assert_eq!(take(&mut *consumer, 1).await[0].job.body, 7);
}
