//! The conformance claims on PostgreSQL, and what only a server does.
//!
//! `TIDEGATE_TEST_POSTGRES` is the URL of a server whose user may create databases.

mod access;
mod encryption;
mod faults;
mod lines;
mod protocol;

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_core::backend::{ServerUrl, StoreBackend};
use tidegate_product::fold::Value;
use tokio::time::Instant;
use uuid::Uuid;

use crate::conformance::{Engine, Place, TENANT, job_conformance, store_conformance};
use crate::postgres::bind::value;
use crate::postgres::{Pool, WRITE, insert, merge};
use crate::transform::effects::{self, NewRows};
use crate::transform::prepare::prepare;
use crate::transform::work::Work;
use crate::{Claim, PostgresStore, SharedStore};

/// The server under test.
struct Server;

/// A database of its own, dropped at the end.
struct Database {
    name: String,
    /// For what is done behind the stores' back.
    pool: Pool,
}

/// Returns the URL of a database of the server.
#[expect(clippy::disallowed_methods, reason = "how tests are told where the server is")]
fn url(database: &str) -> ServerUrl {
    let Ok(server) = std::env::var("TIDEGATE_TEST_POSTGRES") else {
        panic!(
            "TIDEGATE_TEST_POSTGRES is not set: run the tests by `make test`, or set it to the URL \
             of a PostgreSQL server whose user may create databases"
        )
    };
    let mut server: url::Url = server.parse().unwrap();
    server.set_path(database);
    match server.as_str().parse() {
        Ok(StoreBackend::Postgres(url)) => url,
        other => panic!("TIDEGATE_TEST_POSTGRES: {other:?}"),
    }
}

fn pool(database: &str) -> Pool {
    Pool::new(&super::address::Address::read(&url(database)).unwrap()).unwrap()
}

/// Runs statements on the server itself, each outside a transaction.
async fn on_server(statements: &[&str]) {
    let server = pool("postgres");
    let session = server.session(Instant::now() + WRITE).await.unwrap();
    for statement in statements {
        session.batch(statement).await.unwrap();
    }
}

// === impl Server ===

#[async_trait]
impl Engine for Server {
    async fn create(&self) -> Box<dyn Place> {
        Box::new(Database::new().await)
    }

    fn scenarios(&self) -> u32 {
        12
    }
}

// === impl Database ===

impl Database {
    async fn new() -> Self {
        let name = format!("t_{}", Uuid::now_v7().simple());
        on_server(&[&format!("create database {name}")]).await;
        Self { pool: pool(&name), name }
    }

    async fn store(&self) -> PostgresStore {
        PostgresStore::open(&url(&self.name)).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = self.name.clone();
        // On a runtime of its own: the test's may be in the midst of a panic.
        let dropped = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(on_server(&[&format!("drop database {name} with (force)")]));
        });
        dropped.join().ok();
    }
}

#[async_trait]
impl Place for Database {
    async fn open(&self) -> SharedStore {
        Arc::new(self.store().await)
    }

    async fn rows(&self, statement: &str) -> Vec<Vec<Value>> {
        let session = self.pool.session(Instant::now() + WRITE).await.unwrap();
        let rows = session.query(statement, &[]).await.unwrap();
        let cells = |row: tokio_postgres::Row| {
            (0..row.len()).map(|column| value(&row, column).unwrap()).collect()
        };
        rows.into_iter().map(cells).collect()
    }

    async fn run(&self, statements: &str) {
        let session = self.pool.session(Instant::now() + WRITE).await.unwrap();
        session.batch(statements).await.unwrap();
    }

    async fn apply_naively(&self, claim: Claim) {
        let session = self.pool.begin(WRITE).await.unwrap();
        let contract = Arc::clone(&claim.contract);
        let dataset = &contract.contract.datasets[0];
        let all: Vec<u32> = (0..u32::try_from(claim.rows.len()).unwrap()).collect();
        let work = Work { prepared: prepare(dataset, &claim.rows), claim };
        insert::insert_rows(&session, &[&work]).await.unwrap();
        for view in &contract.contract.views {
            let new = [NewRows { rows: &work.claim.rows, new: &all }];
            let deltas = effects::deltas(&contract.contract, view, &new).unwrap();
            merge::merge(&session, &contract.contract, view, TENANT, &deltas).await.unwrap();
        }
        session.commit().await.unwrap();
    }
}

store_conformance!(Server);
job_conformance!(Server);
