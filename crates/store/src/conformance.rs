//! What every store must do, whatever it is made of: each engine runs all of these claims.

mod contracts;
mod hazards;
mod ingest;
mod jobs;
mod model;
mod outbox;
mod overflow;
mod reads;
mod reconcile;
mod support;
mod tokens;
mod writers;

use async_trait::async_trait;
use tidegate_product::fold::Value;

pub(crate) use self::contracts::*;
pub(crate) use self::hazards::*;
pub(crate) use self::ingest::*;
pub(crate) use self::jobs::*;
pub(crate) use self::model::*;
pub(crate) use self::outbox::*;
pub(crate) use self::overflow::*;
pub(crate) use self::reads::*;
pub(crate) use self::reconcile::*;
pub(crate) use self::support::*;
pub(crate) use self::tokens::*;
pub(crate) use self::writers::*;
use crate::{Claim, SharedStore};

/// An engine under test.
#[async_trait]
pub(crate) trait Engine: Send + Sync {
    /// Makes a place for a store, empty and of its own.
    async fn create(&self) -> Box<dyn Place>;

    /// How many random scenarios are worth their time.
    fn scenarios(&self) -> u32;
}

/// Where a store is kept.
#[async_trait]
pub(crate) trait Place: Send + Sync {
    /// Opens the store, as another process would.
    async fn open(&self) -> SharedStore;

    /// Runs a query behind the stores' back.
    async fn rows(&self, statement: &str) -> Vec<Vec<Value>>;

    /// Runs statements behind the stores' back.
    async fn run(&self, statements: &str);

    /// Applies a claim as a protocol would that trusts the delivery: it looks neither at the fence
    /// nor at which rows are new.
    async fn apply_naively(&self, claim: Claim);
}

/// Makes a test of each claim.
macro_rules! conformance {
    ($engine:expr => $($claim:ident),+ $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $claim() {
                crate::conformance::$claim(&$engine).await;
            }
        )+
    };
}
pub(crate) use conformance;

/// Makes a test of each claim, save those about jobs.
macro_rules! store_conformance {
    ($engine:expr) => {
        crate::conformance::conformance!($engine =>
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
            a_view_that_is_as_it_should_be_is_left_alone,
            a_number_that_was_flipped_is_found_and_put_right,
            a_group_that_is_missing_is_made,
            a_group_that_no_row_is_in_is_removed,
            a_view_without_buckets_is_compared_as_a_whole,
            views_are_put_right_while_others_write,
            writers_of_the_same_groups_and_rows_lose_and_double_nothing,
        );
    };
}
pub(crate) use store_conformance;
