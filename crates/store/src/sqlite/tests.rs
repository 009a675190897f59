//! The conformance claims on SQLite, and what only a file does.

mod access;
mod file;
mod migration;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;
use tidegate_product::fold::Value;

use crate::conformance::{Engine, Place, TENANT, job_conformance, store_conformance};
use crate::sqlite::bind::value;
use crate::sqlite::{insert, merge};
use crate::transform::effects::{self, NewRows};
use crate::transform::prepare::prepare;
use crate::transform::work::Work;
use crate::{Claim, SharedStore, SqliteStore, StoreError};

struct Files;

/// A file of its own.
struct File {
    dir: TempDir,
    /// For what is done behind the stores' back.
    store: Arc<SqliteStore>,
}

// === impl Files ===

#[async_trait]
impl Engine for Files {
    async fn create(&self) -> Box<dyn Place> {
        Box::new(File::new())
    }

    fn scenarios(&self) -> u32 {
        48
    }
}

// === impl File ===

impl File {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&dir.path().join("store.db")).unwrap();
        Self { dir, store: Arc::new(store) }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("store.db")
    }
}

#[async_trait]
impl Place for File {
    async fn open(&self) -> SharedStore {
        Arc::new(SqliteStore::open(&self.path()).unwrap())
    }

    async fn rows(&self, statement: &str) -> Vec<Vec<Value>> {
        let rows = self.store.database.read(|sql| {
            let mut select = sql.prepare(statement)?;
            let width = select.column_count();
            let rows = select.query_map((), |row| {
                (0..width).map(|column| value(row, column)).collect::<rusqlite::Result<Vec<_>>>()
            })?;
            Ok::<_, StoreError>(rows.collect::<rusqlite::Result<Vec<_>>>()?)
        });
        rows.unwrap()
    }

    async fn run(&self, statements: &str) {
        let statements = statements.to_owned();
        let written = self
            .store
            .database
            .write(move |sql| Ok::<_, StoreError>(sql.execute_batch(&statements)?));
        written.await.unwrap();
    }

    async fn apply_naively(&self, claim: Claim) {
        let written = self.store.database.write(move |sql| {
            let contract = Arc::clone(&claim.contract);
            let dataset = &contract.contract.datasets[0];
            let all: Vec<u32> = (0..u32::try_from(claim.rows.len()).unwrap()).collect();
            let work = Work { prepared: prepare(dataset, &claim.rows), claim };
            insert::insert_rows(sql, &work)?;
            for view in &contract.contract.views {
                let new = [NewRows { rows: &work.claim.rows, new: &all }];
                let deltas = effects::deltas(&contract.contract, view, &new).unwrap();
                merge::merge(sql, &contract.contract, view, TENANT, &deltas, 1).unwrap();
            }
            Ok::<_, StoreError>(())
        });
        written.await.unwrap();
    }
}

store_conformance!(Files);
job_conformance!(Files);
