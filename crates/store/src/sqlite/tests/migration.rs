//! Files of older builds.

use std::path::Path;

use tidegate_core::outbox::{OutboxMessage, OutboxSource as _};

use crate::conformance::NOW;
use crate::{SqliteStore, Store as _, StoreError};

/// Returns tables with their columns, and indexes with their text, in an order that does not depend
/// on when they were made.
fn shape(store: &SqliteStore) -> Vec<String> {
    let columns = "select tables.name || '.' || columns.name || ' ' || columns.type || ' '
        || columns.\"notnull\" || ' ' || ifnull(columns.dflt_value, '')
      from sqlite_schema as tables join pragma_table_info(tables.name) as columns
      where tables.type = 'table'
      union all
      select replace(replace(sql, char(10), ' '), '  ', ' ') from sqlite_schema
      where type = 'index' and sql is not null
      order by 1";
    let shape = store.database.read(|sql| {
        let mut select = sql.prepare(columns)?;
        let rows = select.query_map((), |row| row.get(0))?.collect::<Result<Vec<_>, _>>()?;
        Ok::<_, StoreError>(rows)
    });
    shape.unwrap()
}

fn first_version(path: &Path) -> SqliteStore {
    let sql = rusqlite::Connection::open(path).unwrap();
    sql.execute_batch(include_str!("version_1.sql")).unwrap();
    drop(sql);
    SqliteStore::open(path).unwrap()
}

#[tokio::test]
async fn a_file_of_the_first_version_gets_the_shape_of_a_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let old = first_version(&dir.path().join("old.db"));
    let new = SqliteStore::open(&dir.path().join("new.db")).unwrap();
    assert_eq!(shape(&old), shape(&new));
    // Opened once more it is of this version.
    let again = SqliteStore::open(&dir.path().join("old.db")).unwrap();
    assert_eq!(again.incarnation(), "abcdef01");
}

#[tokio::test]
async fn a_batch_of_the_first_version_is_brought_back_and_can_be_dead() {
    let dir = tempfile::tempdir().unwrap();
    let store = first_version(&dir.path().join("store.db"));
    assert_eq!(store.sweep(NOW, NOW).await.unwrap().requeued, 1);
    match store.pending(10).await.unwrap().pop().map(|line| line.message) {
        Some(OutboxMessage::Job(job)) => assert_eq!((job.generation, job.release), (0, None)),
        other => panic!("{other:?}"),
    }
    let written = store
        .database
        .write(|sql| Ok::<_, StoreError>(sql.execute("update dp_batch set state = 'dead'", ())?));
    assert_eq!(written.await.unwrap(), 1);
}
