//! What `giftd_store::Store` promises: each promise is a test on each database, `sqlite::…` and
//! `postgres::…`. Written from the trait's words and the API's contract, not from the code.
//!
//! PostgreSQL is the server of `TEST_POSTGRES_URL`, which `scripts/test` starts; each test makes a
//! database of its own there.

mod bed;
mod database;
mod deliveries;
mod history;
mod money;
mod organizations;
mod place;
mod properties;
mod reference;
mod world;

/// Makes each named promise a test on each database. A promise that isn't named is dead code, so that
/// clippy finds it.
macro_rules! promises {
    ($($module:ident { $($promise:ident)+ })+) => {
        mod sqlite {
            use crate::bed::{Database, on};
            $($(#[test] fn $promise() { on(Database::Sqlite, crate::$module::$promise); })+)+
        }
        mod postgres {
            use crate::bed::{Database, on};
            $($(#[test] fn $promise() { on(Database::Postgres, crate::$module::$promise); })+)+
        }
    };
}

promises! {
    database {
        an_opened_store_is_ready
        an_unknown_kind_of_url_is_refused
        nodes_that_start_together_migrate_once
        a_schema_newer_than_the_binary_is_refused
        the_clock_is_the_databases
        key_fingerprints_are_recorded_once
        of_nodes_that_record_key_fingerprints_together_one_is_first
        what_was_answered_is_there_after_a_restart
        what_was_answered_is_seen_by_others_at_once
        money_of_a_command_beside_a_running_server_can_be_spent
        organizations_made_together_are_all_there
    }
    organizations {
        an_organization_has_an_account_in_each_environment
        a_production_account_starts_empty
        a_sandbox_starts_with_its_play_money_by_one_charge
        each_account_has_the_default_template_12
        organizations_are_listed_oldest_first
        a_choice_range_is_set_for_both_accounts_of_one_organization
        an_app_reads_back_as_created
        a_client_id_must_be_new
        apps_of_an_organization_are_listed_oldest_first_with_revoked_ones
        a_rotated_app_has_another_secret_and_the_next_version
        an_app_is_revoked_for_ever
    }
    reference {
        there_is_no_reference_data_at_first
        a_catalog_reads_back_as_imported
        an_import_replaces_the_catalog
        a_product_may_be_listed_again
        a_dry_run_tells_what_an_import_would_do_and_does_nothing
        a_changed_currency_or_kind_is_refused_as_a_whole
        orders_of_a_product_that_is_no_longer_listed_stay
        rates_are_set_and_others_stay
        rates_and_catalog_leave_each_other_alone
        another_node_sees_a_new_version
    }
    money {
        a_credit_moves_money_from_funding_to_available
        a_debit_moves_money_back_to_funding
        a_reference_counts_once_for_an_account_and_type
        a_debit_is_never_below_zero_and_leaves_the_reference_free
        a_known_reference_is_told_before_the_balance_is_looked_at
        an_entry_for_no_account_is_told
        a_reference_that_is_posted_at_once_on_two_nodes_counts_once
        debits_at_once_never_overdraw
        a_sandbox_that_a_debit_makes_poor_is_refilled
        ledger_pages_are_newest_first_with_totals
        an_issue_is_never_listed
        another_accounts_entries_are_not_listed
        the_books_count_what_they_looked_at
        planted_differences_in_money_are_found
        planted_differences_in_gifts_are_found
        planted_differences_in_counts_are_found
        the_books_balance_also_while_money_moves
    }
    place {
        a_new_order_is_answered_as_it_reads_back
        every_field_of_an_order_is_kept
        an_order_takes_its_cost_from_available_to_pending
        what_the_rules_let_pass_is_placed_at_the_stored_rate
        an_order_of_10000_recipients_is_placed_whole
        orders_large_and_small_are_placed_together
        the_same_request_again_is_known_and_moves_nothing
        another_request_with_a_known_key_is_told_from_the_first
        the_key_is_looked_at_before_the_balance
        a_key_is_exact
        a_key_belongs_to_one_account
        a_key_asked_for_50_times_at_once_makes_one_order
        two_requests_at_once_with_one_key_make_one_order
        nodes_that_race_with_the_same_keys_make_one_order_of_each
        an_order_above_the_balance_does_nothing_and_leaves_the_key_free
        of_64_orders_at_once_only_those_that_are_funded_are_placed
        orders_on_two_nodes_never_overdraw
        a_sandbox_that_falls_below_a_thousand_dollars_is_refilled_with_the_order
        a_sandbox_order_above_the_balance_is_refused
        sandbox_orders_at_once_find_each_refill
        an_order_is_seen_by_its_account_only_and_under_its_own_id
        orders_of_many_accounts_at_once_leave_each_other_alone
        an_order_that_cannot_be_placed_does_not_harm_those_beside_it
        ids_increase_also_within_a_millisecond_and_when_the_clock_steps_back
        an_immediate_order_is_due_at_once_also_when_the_clock_stepped_back
        what_is_placed_after_anothers_answer_comes_before_it_in_the_history_on_all_nodes
        when_too_much_waits_it_is_told_and_nothing_is_lost
        too_many_gifts_that_wait_are_told_as_well
        an_order_whose_caller_went_away_is_placed_whole_or_not_at_all
        a_page_of_orders_holds_their_summaries
    }
    deliveries {
        a_claim_has_all_that_the_mail_needs
        a_claim_tells_the_environment
        only_what_is_due_is_claimed
        a_scheduled_order_is_not_claimed_before_its_instant
        the_oldest_due_are_claimed_first_up_to_the_limit
        the_first_claim_makes_an_order_in_progress
        nobody_else_gets_a_claimed_delivery_until_its_lease_ends
        claimers_at_once_get_different_deliveries
        the_backlog_is_what_is_due_and_not_claimed
        a_sent_gift_is_issued
        a_failed_gift_is_issued_as_well
        a_retry_is_due_at_its_instant_and_moves_no_money
        a_retry_after_the_lease_is_not_claimed_when_the_lease_ends
        whoever_settles_the_last_gift_completes_the_order
        failed_gifts_expire_from_the_orders_completion
        an_order_whose_gifts_all_fail_is_complete
        a_settlement_posts_one_entry_for_each_order
        only_the_latest_claim_settles
        the_latest_claim_settles_also_after_its_lease
        an_outcome_counts_once
        outcomes_of_what_does_not_exist_are_dropped
        a_long_error_with_any_letters_is_kept
        an_order_is_completed_once_however_many_settle_it
        a_large_order_is_delivered_in_groups
        placing_claiming_and_settling_at_once_lose_nothing
        an_order_is_read_as_of_one_moment
        settling_with_a_clock_that_stepped_back_keeps_the_ledgers_order
    }
    history {
        every_filter_finds_what_a_plain_filter_finds
        the_pages_of_a_filter_hold_each_order_once
        days_are_inclusive_and_in_utc
        orders_of_one_millisecond_are_newest_first
        a_client_order_id_is_exact_and_combines_with_the_rest
        a_page_and_its_total_are_of_one_moment
        slow_a_long_history_is_paged_as_a_short_one
    }
}
