//! Jobs other than batches, and what becomes of those that fail.

mod canaries;
mod cancel;
mod dead_batches;
mod dead_letters;
mod enqueue;
mod hot;
mod inbox;
mod leases;
mod listing;
mod requeue;
mod retention;
mod support;
mod workers;

pub(crate) use self::canaries::*;
pub(crate) use self::cancel::*;
pub(crate) use self::dead_batches::*;
pub(crate) use self::dead_letters::*;
pub(crate) use self::enqueue::*;
pub(crate) use self::hot::*;
pub(crate) use self::inbox::*;
pub(crate) use self::leases::*;
pub(crate) use self::listing::*;
pub(crate) use self::requeue::*;
pub(crate) use self::retention::*;
pub(crate) use self::workers::*;

/// Makes a test of each claim about jobs.
macro_rules! job_conformance {
    ($engine:expr) => {
        crate::conformance::conformance!($engine =>
            a_batch_goes_to_its_canary_first_and_then_to_stable,
            a_release_is_revoked_by_a_newer_epoch_only,
            a_scheduled_job_of_a_revoked_canary_goes_to_stable,
            a_job_that_waits_ends_at_once_and_a_running_one_is_asked_to,
            a_batch_or_a_job_that_ended_is_too_late_to_cancel,
            a_dead_job_that_is_cancelled_needs_no_decision,
            a_run_that_should_have_ended_is_not_repeated,
            a_batch_that_kills_its_workers_is_taken_aside_and_can_come_back,
            a_claim_that_is_given_back_in_order_counts_for_nothing,
            a_batch_that_is_given_up_keeps_its_rows_for_a_while,
            a_batch_without_its_payload_can_not_be_requeued,
            a_message_is_filed_once_and_its_job_is_dead,
            what_can_not_be_read_is_filed_by_its_content,
            a_job_that_ended_otherwise_needs_no_letter,
            letters_are_found_by_all_that_is_said_of_them,
            people_see_neither_credentials_nor_more_than_they_can_read,
            a_job_that_is_due_leaves_one_line,
            a_scheduled_job_is_put_when_its_time_has_come,
            a_job_with_a_used_key_is_the_first_one,
            a_large_body_stays_in_the_store,
            a_job_whose_message_was_lost_is_put_once_more,
            a_lost_job_that_nobody_wants_any_more_has_failed,
            keys_are_found_by_their_tags_hottest_first,
            what_is_asked_for_less_sinks_until_it_is_forgotten,
            no_more_keys_are_kept_than_may_be,
            a_job_that_is_delivered_twice_has_its_effect_once,
            a_job_without_a_record_runs_once_too,
            a_group_may_hold_the_same_job_twice,
            workers_that_fight_for_the_same_jobs_have_each_effect_once,
            without_the_inbox_a_job_that_is_delivered_twice_has_its_effect_twice,
            what_a_job_gives_rise_to_comes_with_its_effect,
            a_long_job_runs_on_one_worker_at_a_time,
            a_run_that_lost_its_lease_has_no_effect,
            a_run_goes_on_where_the_last_one_stopped,
            a_run_that_is_given_back_does_not_count,
            a_lease_that_ran_out_is_taken_back,
            a_job_that_kills_its_workers_is_given_up,
            no_more_jobs_of_a_kind_run_than_may,
            a_run_that_needs_a_person_files_its_letter,
            jobs_and_batches_are_listed_newest_first,
            monitoring_sees_lanes_and_letters,
            a_requeued_job_passes_the_inbox_as_a_later_generation,
            a_requeued_job_without_a_record_is_its_message,
            a_letter_is_decided_about_once,
            a_decision_reaches_no_further_than_its_limit,
            records_are_kept_until_their_time_ends,
            rows_that_did_not_pass_outlive_their_batch_s_peers,
            a_worker_that_is_silent_is_taken_for_dead,
            a_suspect_is_counted_until_it_is_acquitted,
        );
    };
}
pub(crate) use job_conformance;
