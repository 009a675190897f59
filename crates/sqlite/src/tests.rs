//! What the database promises its callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

fn open(dir: &Path) -> Database {
    Database::open(&dir.join("test.db"), 2).unwrap()
}

async fn create(database: &Database) {
    database
        .write(|sql| {
            sql.execute_batch(
                "create table if not exists t(id integer primary key, v text) strict",
            )?;
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
}

async fn insert(database: &Database, id: i64) -> Result<(), Error> {
    database
        .write(move |sql| {
            sql.prepare_cached("insert into t values(?1, 'x')")?.execute((id,))?;
            Ok(())
        })
        .await
}

fn count(database: &Database) -> i64 {
    database
        .read(|sql| Ok::<_, Error>(sql.query_row("select count(*) from t", (), |row| row.get(0))?))
        .unwrap()
}

#[tokio::test]
async fn failed_work_undoes_its_own_changes_only() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path());
    create(&database).await;
    let mut tasks = tokio::task::JoinSet::new();
    for id in 0..100i64 {
        let database = database.clone();
        tasks.spawn(async move {
            database
                .write(move |sql| {
                    sql.execute("insert into t values(?1, 'x')", (id,))?;
                    // Fails for odd ids, after a change was made.
                    if id % 2 == 1 { Err(Error::Stopped) } else { Ok(()) }
                })
                .await
                .is_ok()
        });
    }
    let kept = tasks.join_all().await.into_iter().filter(|kept| *kept).count();
    assert_eq!((kept, count(&database)), (50, 50));
}

#[tokio::test]
async fn two_handles_on_one_file_take_turns_without_busy_errors() {
    let dir = tempfile::tempdir().unwrap();
    let databases = [Arc::new(open(dir.path())), Arc::new(open(dir.path()))];
    create(&databases[0]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for id in 0..400i64 {
        let database = Arc::clone(&databases[usize::from(id % 2 == 0)]);
        tasks.spawn(async move { insert(&database, id).await });
    }
    for result in tasks.join_all().await {
        result.unwrap();
    }
    assert_eq!(count(&databases[0]), 400);
}

#[tokio::test]
async fn a_constraint_error_reaches_its_caller() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path());
    create(&database).await;
    insert(&database, 1).await.unwrap();
    assert!(matches!(insert(&database, 1).await, Err(Error::Statement(_))));
    assert_eq!(count(&database), 1);
}

#[tokio::test]
async fn a_panicking_read_gives_its_connection_back() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path());
    create(&database).await;
    for _ in 0..4 {
        let panicking = database.clone();
        let result = panicking.read_blocking::<(), Error>(|_| panic!("on purpose")).await;
        assert!(matches!(result, Err(Error::Stopped)));
    }
    assert_eq!(count(&database), 0);
}

#[tokio::test]
async fn a_read_ends_at_its_limit_and_the_next_one_is_not_harmed() {
    let dir = tempfile::tempdir().unwrap();
    let database = Database::open(&dir.path().join("test.db"), 1).unwrap();
    create(&database).await;
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n)
                   select count(*) from n";
    let result = database.read_within(Duration::from_millis(20), |sql| {
        Ok::<i64, Error>(sql.query_row(endless, (), |row| row.get(0))?)
    });
    assert!(matches!(result, Err(Error::Deadline)), "{result:?}");
    assert_eq!(count(&database), 0);
}

#[test]
fn a_set_up_that_fails_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    let failed = Database::open_with(&path, 1, |sql| {
        sql.execute_batch("create table half(id integer primary key)").map_err(Error::from)?;
        Err(Error::Stopped)
    });
    assert!(failed.is_err());
    let tables: i64 = Database::open(&path, 1)
        .unwrap()
        .read(|sql| {
            Ok::<_, Error>(sql.query_row("select count(*) from sqlite_schema", (), |r| r.get(0))?)
        })
        .unwrap();
    assert_eq!(tables, 0);
}

#[tokio::test]
async fn a_panic_in_a_transaction_does_not_end_the_writer() {
    let dir = tempfile::tempdir().unwrap();
    let database = open(dir.path());
    create(&database).await;
    let result = database.write::<(), Error>(|_| panic!("on purpose")).await;
    assert!(matches!(result, Err(Error::Stopped)));
    insert(&database, 1).await.unwrap();
    assert_eq!(count(&database), 1);
}

#[test]
fn a_directory_that_can_not_be_written_is_named() {
    let error = Database::open(Path::new("/proc/nowhere/test.db"), 1).unwrap_err();
    assert!(error.to_string().contains("/proc/nowhere/test.db.lock"), "{error}");
}

#[test]
fn a_log_that_is_too_long_begins_anew_although_reads_never_pause() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("test.db");
    let connection = connect(&path, true).unwrap();
    connection.execute_batch("create table t(v blob not null)").unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 16).unwrap();
    let lock = FileLock::open(&path.with_extension("db.lock")).unwrap();
    let writer = Writer::start(connection, lock, Log::of(&path, 200_000)).unwrap();

    // One read begins before the other ends.
    let mut readers = [(); 2].map(|()| connect(&path, false).unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let reading = std::thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            readers[0].execute_batch("begin; select count(*) from t").unwrap();
            if !readers[1].is_autocommit() {
                readers[1].execute_batch("rollback").unwrap();
            }
            readers.swap(0, 1);
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut longest = 0;
    // SQLite itself never makes the file shorter.
    let shortened = (0..20_000).any(|_| {
        let written = writer.run(|sql| {
            sql.execute("insert into t values(zeroblob(4000))", ())?;
            Ok::<_, Error>(())
        });
        runtime.block_on(written).unwrap();
        let length = std::fs::metadata(dir.path().join("test.db-wal")).unwrap().len();
        longest = longest.max(length);
        length < longest
    });
    stop.store(true, Ordering::Relaxed);
    reading.join().unwrap();
    assert!(shortened, "{longest}");
}
