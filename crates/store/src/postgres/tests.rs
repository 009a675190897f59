//! The conformance claims on PostgreSQL, and what only a server does.
//!
//! `TIDEGATE_TEST_POSTGRES` is the URL of a server whose user may create databases.

mod faults;
mod lines;

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_core::backend::{ServerUrl, StoreBackend};
use tidegate_product::fold::Value;
use tokio::time::Instant;
use uuid::Uuid;

use crate::conformance::{Engine, Place, TENANT, conformance, job_conformance};
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

conformance!(Server =>
    the_same_contract_again_changes_nothing,
    a_contract_that_another_process_applied_is_seen_at_once,
    a_new_nullable_column_keeps_rows_and_their_identity,
    what_would_lose_the_meaning_of_stored_rows_is_refused,
    before_the_first_row_anything_may_change,
    a_batch_on_its_way_counts_as_rows,
    an_earlier_contract_may_come_back,
    a_batch_that_is_delivered_again_is_none_to_claim,
    a_row_that_comes_again_counts_once,
    a_commit_that_changes_nothing_takes_no_number_and_purges_nothing,
    rows_in_any_order_give_the_same_groups,
    a_late_row_is_applied_and_counted_as_late,
    a_worker_that_was_overtaken_has_no_effect,
    a_worker_that_wakes_up_after_the_batch_was_applied_has_no_effect,
    without_the_fence_a_batch_that_two_workers_hold_counts_twice,
    a_batch_that_nobody_applied_is_brought_back_once,
    a_payload_is_kept_until_its_replay_time_ends,
    a_sweep_says_when_payloads_may_be_left_to_drop,
    a_request_with_a_used_key_is_the_first_one_or_refused,
    requests_without_a_key_are_all_new,
    an_accepted_batch_leaves_one_job_in_the_outbox,
    rows_that_do_not_pass_are_kept_with_their_line_and_reasons,
    a_job_is_seen_by_its_tenant_only,
    a_failed_job_says_why_and_is_over,
    monitoring_sees_what_waits,
    any_batches_in_any_grouping_equal_the_model,
    a_line_is_handed_out_until_it_is_marked_as_sent,
    lines_come_oldest_first_and_no_more_than_asked_for,
    a_line_of_a_newer_build_stays_and_holds_nothing_up,
    a_commit_of_this_process_wakes_its_relay_at_once,
    one_commit_of_many_batches_sends_one_purge_and_one_notice_of_jobs,
    a_sum_that_overflows_within_a_batch_fails_that_batch_only,
    a_sum_that_overflows_in_the_stored_group_fails_that_batch_only,
    a_negative_sum_overflows_too,
    groups_come_by_bucket_within_their_range,
    the_largest_of_a_measure_come_first,
    rows_are_read_page_by_page_in_the_order_of_time,
    all_groups_are_listed_page_by_page,
    a_read_past_its_deadline_is_given_up,
    a_token_is_found_by_its_digest_from_any_process,
    a_name_or_credential_is_taken_once,
    a_revoked_token_is_gone_and_told,
    numbers_of_two_writers_have_no_gap_and_the_order_of_commits,
    workers_that_fight_for_the_same_batches_apply_each_once,
    tenants_share_nothing,
);

job_conformance!(Server);
