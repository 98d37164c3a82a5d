//! What `giftd_store::Store` promises: each promise is a test on each database, `sqlite::…` and
//! `postgres::…`. Written from the trait's words and the API's contract, not from the code.
//!
//! PostgreSQL is the server of `TEST_POSTGRES_URL`, which `scripts/test` starts; each test makes a
//! database of its own there.

mod bed;
mod cancel;
mod clock;
mod codes;
mod copy;
mod database;
mod deliveries;
mod erasing;
mod events;
mod expiry;
mod history;
mod money;
mod organizations;
mod place;
mod redemption;
mod reference;
mod resend;
mod sandbox_mails;
mod schedules;
mod templates;
mod verification;
mod wire;
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

/// What only a database behind a wire can suffer.
mod postgres_alone {
    use crate::bed::{Database, on};

    #[test]
    fn slow_a_wire_that_falls_silent_makes_it_unavailable_within_half_a_minute() {
        on(Database::Postgres, crate::wire::a_wire_that_falls_silent_makes_it_unavailable_within_half_a_minute);
    }
}

promises! {
    database {
        an_opened_store_is_ready
        an_unknown_kind_of_url_is_refused
        nodes_that_start_together_migrate_once
        a_schema_newer_than_the_binary_is_refused
        slow_what_is_held_up_is_unavailable_within_half_a_minute
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
        an_organizations_look_is_that_of_both_its_accounts
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
        counts_of_an_older_schema_are_carried_over
        planted_differences_in_refunds_and_redemptions_are_found
        planted_differences_in_codes_and_events_are_found
        the_books_balance_also_while_money_moves
        whatever_happens_at_once_on_two_nodes_the_books_balance
        the_books_balance_also_while_gifts_are_canceled_redeemed_and_expire
    }
    place {
        a_new_order_is_answered_as_it_reads_back
        every_field_of_an_order_is_kept
        an_order_takes_its_cost_from_available_to_pending
        what_the_rules_let_pass_is_placed_at_the_stored_rate
        an_order_of_10000_recipients_is_placed_whole
        an_orders_start_has_its_first_gifts
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
        verifications_are_claimed_before_all_that_waits
        what_goes_out_and_what_stays_are_claimed_apart
        verifications_of_a_clock_that_moves_are_claimed_first
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
        each_kind_of_mail_waits_for_itself
        outcomes_of_other_kinds_leave_the_gift_and_its_money_alone
        an_outcome_counts_for_its_own_kind_only
        attempts_are_counted_for_each_send_and_all_of_them_in_the_gift
        a_claim_tells_the_refund_option
        a_claim_tells_its_accounts_clock
        a_gift_that_gets_its_expiry_turns_next_when_the_reminders_say
        a_failed_gift_gets_its_turn_with_its_orders_completion
        a_gift_that_is_a_link_is_settled_as_any_other
    }
    templates {
        each_account_starts_with_a_default_template_in_its_organizations_name
        a_template_reads_back_as_created
        an_account_has_its_own_templates
        a_template_is_replaced_whole
        a_deleted_template_is_gone_and_its_number_never_comes_back
        the_default_template_cannot_be_deleted
        a_mail_looks_as_its_template_is_when_it_is_sent
        an_orders_own_message_wins_over_its_templates
        the_recipients_page_has_the_orders_message_or_else_its_templates
        templates_made_at_once_have_numbers_of_their_own
        an_account_has_at_most_1000_templates_with_deleted_ones
    }
    cancel {
        the_whole_cost_of_a_canceled_order_is_available_at_once
        a_canceled_order_is_answered_as_it_reads_back
        a_canceled_order_is_listed_and_counted_as_canceled
        the_gifts_of_a_canceled_order_are_never_mailed_and_never_turn
        exactly_an_hour_before_its_instant_an_order_can_be_canceled_and_a_microsecond_later_not
        canceling_again_moves_nothing
        only_a_scheduled_order_can_be_canceled
        an_order_that_is_being_delivered_or_was_cannot_be_canceled
        only_the_accounts_own_order_can_be_canceled_under_its_own_id
        the_key_of_a_canceled_order_stays_used
        a_sandbox_order_is_canceled_as_well
        an_order_canceled_50_times_at_once_is_refunded_once
        of_canceling_and_dispatching_at_once_exactly_one_wins
        a_large_order_is_canceled_whole
        canceling_beside_placing_and_delivering_loses_nothing
    }
    resend {
        a_gift_that_is_sent_again_has_a_new_mail_due_now
        who_asked_is_recorded_with_an_event
        two_gifts_with_one_address_are_both_sent_again_whatever_its_case
        a_failed_gift_that_is_sent_again_becomes_sent_and_keeps_its_expiry
        a_gift_of_an_order_under_way_that_failed_first_expires_from_its_first_success
        a_sent_gift_whose_resend_fails_is_failed_and_keeps_its_first_success
        an_old_mails_claim_settles_nothing_after_a_resend
        a_claim_of_an_earlier_send_settles_nothing_however_late_it_comes
        a_mail_that_waits_is_replaced_by_a_resend
        each_gift_that_is_not_sent_again_is_told_with_its_reason
        gifts_of_one_address_are_told_apart
        where_nobody_is_known_nothing_happens
        known_gifts_of_which_none_is_sent_again_are_no_refusal
        an_order_that_has_not_gone_out_or_was_canceled_is_not_sent_again
        only_the_accounts_own_order_is_sent_again
        a_moved_gift_has_its_new_address_and_the_next_link
        the_same_move_again_sends_nothing
        addresses_are_read_against_the_state_at_the_start
        a_moved_gifts_verification_dies
        a_verification_mail_under_way_settles_nothing_after_a_move
        a_verification_asked_for_before_a_resend_to_the_same_address_stays_good
        a_gift_is_sent_again_at_most_10_times_in_24_hours
        an_app_moves_at_most_100_gifts_in_24_hours_whichever_the_order
        moves_at_once_never_exceed_an_apps_limit
        resends_at_once_on_two_nodes_each_decide_on_what_the_one_before_has_left
        a_move_asked_for_at_once_on_two_nodes_moves_once
        resending_and_settling_at_once_lose_nothing
        moving_and_redeeming_at_once_never_shows_codes_at_the_new_address
        a_large_order_is_sent_again_whole
        a_link_has_no_address_to_send_to
        a_resend_is_not_held_up_by_a_moment_before_the_expiry
    }
    events {
        a_new_orders_gifts_were_placed
        a_canceled_orders_gifts_were_placed_and_canceled
        what_is_sent_and_fails_is_told_newest_first
        of_one_instant_the_last_position_and_the_last_number_come_first
        the_whole_life_of_a_gift_is_told
        events_are_dated_to_the_microsecond
        events_are_seen_by_the_orders_account_only
        events_that_happen_at_once_are_all_kept
    }
    redemption {
        a_gift_at_hand_is_all_that_its_page_needs
        of_released_redemptions_the_last_20_are_at_hand
        a_reserved_part_is_held_and_no_money_moves
        a_supplied_part_is_redeemed_with_its_code_and_an_event
        a_refused_part_is_open_again
        the_same_id_again_is_answered_with_what_became_of_it
        what_cannot_be_redeemed_is_refused_with_the_reason
        a_refused_id_can_be_used_later
        a_branded_gift_is_redeemed_whole
        a_gift_that_failed_or_is_a_link_can_be_redeemed
        a_gift_is_split_until_nothing_is_left
        a_redemption_is_settled_once
        what_was_not_reserved_is_not_settled
        a_code_is_never_in_what_is_logged
        of_two_that_ask_at_once_for_more_than_is_left_one_gets_it
        parts_asked_for_at_once_never_exceed_the_gift
        one_id_asked_for_at_once_on_two_nodes_is_one_redemption
        of_two_outcomes_at_once_one_counts_and_both_are_told_it
        a_supplier_is_asked_again_ever_more_slowly_until_it_answers
        redemptions_without_an_answer_are_counted_in_production
        the_oldest_reserved_are_asked_for_first
        each_redemption_is_asked_for_by_one_of_two_nodes
        a_redemption_is_dated_to_the_microsecond
        an_id_of_any_128_bits_is_kept
    }
    verification {
        a_verification_mail_is_due_at_once_with_an_event
        a_verification_is_used_once_with_an_event
        a_verification_is_good_for_10_minutes
        an_earlier_verification_stays_good_when_another_is_asked_for
        a_verification_is_for_its_gift_and_link
        a_waiting_verification_mail_is_replaced
        at_most_3_are_asked_for_in_10_minutes
        at_most_10_are_asked_for_in_24_hours
        used_verifications_count_as_asked_for
        of_those_that_ask_at_once_3_get_a_mail
        a_verification_used_at_once_on_two_nodes_counts_once
        who_has_no_business_with_a_gift_gets_no_mail
        the_recipient_of_an_expired_gift_can_still_prove_the_address
    }
    expiry {
        with_the_refund_option_70_percent_of_what_is_open_returns
        without_the_refund_option_nothing_returns
        an_expiry_is_told_as_two_events_of_its_instant
        a_gift_expires_once
        only_what_is_not_redeemed_expires
        a_failed_gift_expires_as_well
        one_entry_returns_what_expires_of_an_order_at_an_instant
        what_returned_can_be_spent
        an_expired_gift_cannot_be_redeemed
        a_reserved_part_survives_the_expiry
        a_part_that_is_released_after_the_expiry_expires_at_once_and_the_parts_add_up_to_the_whole
        a_gift_that_is_all_reserved_at_its_expiry_rests_until_that_is_settled
        a_part_released_when_its_time_is_over_expires_before_anybody_turned_the_gift
        turning_on_two_nodes_at_once_refunds_once
        turning_many_gifts_takes_groups_oldest_first
        of_redeeming_and_expiring_at_once_one_wins
        settling_a_redemption_and_expiring_at_once_come_out_the_same
        a_recipient_is_reminded_at_each_of_the_instants
        a_reminders_mail_tells_when_the_gift_expires
        of_reminders_that_come_late_only_the_last_is_mailed
        a_reminder_that_still_waits_makes_room_for_the_next
        without_reminders_a_gift_turns_at_its_expiry
        a_gift_that_expired_while_no_node_was_there_is_not_reminded_of
        nobody_is_reminded_of_what_is_used_up_or_reached_nobody
        a_reminder_goes_where_the_gift_moved
        a_recipient_is_reminded_once_however_many_nodes_turn
    }
    codes {
        imported_codes_are_counted_by_product_and_face_value
        a_known_code_is_skipped_and_counted
        codes_are_imported_all_or_none
        the_oldest_import_is_handed_out_first
        a_redemption_gets_the_same_code_each_time_it_asks
        a_code_is_of_the_product_and_the_face_value_asked_for
        out_of_stock_takes_nothing_and_a_later_import_helps
        of_50_that_ask_at_once_for_40_codes_each_gets_its_own
        a_redemption_that_asks_at_once_on_two_nodes_gets_one_code
        codes_imported_at_once_on_two_nodes_are_there_once
        importing_and_handing_out_at_once_lose_no_code
        a_thousand_codes_are_imported_together
        a_code_that_came_after_its_redemption_was_released_is_in_stock_again
    }
    clock {
        an_accounts_clock_is_the_nodes_at_first
        a_clock_that_begins_to_move_stands_where_it_is
        a_clock_that_is_being_moved_is_not_begun_again
        a_clock_asked_for_at_once_on_two_nodes_begins_once
        a_step_moves_the_clock_and_renews_the_claim
        a_moved_clock_runs_on_from_its_target
        moves_add_up
        a_clock_never_goes_back_however_long_a_move_takes
        another_node_takes_a_move_over_when_its_lease_ends
        a_move_is_taken_over_by_one_of_two_nodes
        everyone_leaves_an_account_alone_whose_clock_is_being_moved
        what_was_claimed_before_the_move_can_be_settled_during_it
        who_moves_a_clock_dates_what_happens_by_instants_still_to_come
        who_moves_a_clock_dates_each_turn_by_its_own_instant
        what_is_asked_for_during_a_move_is_dated_by_where_the_clock_stands
        an_order_placed_during_a_move_goes_out_in_it_or_after_it
        a_move_that_does_what_is_due_on_its_way_leaves_everything_as_if_time_had_passed
        what_waits_in_an_account_is_counted_up_to_an_instant
        what_waits_comes_nearer_by_as_much_as_the_clock_moved
        what_became_due_by_a_jump_is_the_oldest_work_there_is
        everything_recorded_is_in_the_accounts_time
        canceling_goes_by_the_accounts_clock
        money_of_an_operator_is_dated_by_the_accounts_clock
        after_a_jump_orders_are_listed_on_the_days_of_the_accounts_clock
        limits_go_by_the_nodes_clock
        a_verification_mail_that_waits_is_not_older_after_a_jump
    }
    erasing {
        recipients_are_erased_so_long_after_the_last_of_their_orders_gifts_expired
        recipients_of_a_canceled_order_are_erased_so_long_after_it_was_canceled
        a_sandboxes_recipients_are_erased_by_its_clock
        nothing_is_left_that_names_an_erased_recipient
        the_money_the_codes_and_what_happened_stay
        the_words_to_a_single_recipient_are_erased_and_those_to_several_stay
        links_have_no_recipients_to_erase
        erasing_again_does_nothing
        an_erased_recipient_is_not_known_any_more
        large_orders_are_erased_in_groups
        many_orders_are_erased_in_groups
        nodes_that_erase_at_once_erase_each_recipient_once
        whatever_is_settled_asked_for_and_erased_at_once_names_nobody_afterwards
    }
    sandbox_mails {
        kept_mails_are_listed_newest_first
        a_mail_of_any_letters_is_kept
        mails_are_found_by_recipient_and_order
        an_account_sees_its_own_mails_only
        a_known_message_replaces_the_first_and_keeps_its_place
        only_the_last_1000_mails_stay
        a_mail_stays_7_days_of_real_time
        old_mails_go_also_where_no_new_one_comes
        mails_kept_at_once_on_two_nodes_are_all_there
        what_is_kept_after_anothers_answer_comes_before_it_also_within_a_millisecond
        an_account_mails_10_previews_on_a_utc_day
        the_day_of_previews_is_real
        previews_at_once_on_two_nodes_are_counted_each
    }
    schedules {
        orders_that_wait_for_their_instant_are_told_by_it
        an_order_that_went_out_or_was_canceled_waits_no_more
        a_moved_order_goes_out_at_its_new_instant
        only_a_waiting_order_is_moved_and_only_from_its_instant
        canceling_goes_by_the_new_instant
        a_sandbox_order_is_moved_by_its_accounts_clock
        of_moving_and_dispatching_at_once_one_wins
    }
    history {
        every_filter_finds_what_a_plain_filter_finds
        the_pages_of_a_filter_hold_each_order_once
        days_are_inclusive_and_in_utc
        orders_of_one_millisecond_are_newest_first
        a_client_order_id_is_exact_and_combines_with_the_rest
        the_few_of_a_kind_are_found_in_every_state
        a_page_and_its_total_are_of_one_moment
        slow_a_long_history_is_paged_as_a_short_one
    }
}
