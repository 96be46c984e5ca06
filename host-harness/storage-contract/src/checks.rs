//! The list of all checks of a storage, each with the promise that it tests.

use futures::future::BoxFuture;

use super::broken::Broken;
use super::trial::Trial;
use super::{
    abandoned, ages, consents, deletion, due, endings, environments, events, histories, isolation, joint_reads, keys,
    lists, revisions, round_trip, sealing, swaps, tenant_rows,
};

/// A check and the promise that it tests.
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) promise: &'static str,
    pub(super) run: for<'a> fn(&'a Trial) -> BoxFuture<'a, Result<(), Broken>>,
}

macro_rules! checks {
    ($($promise:literal: $($module:ident::$name:ident),+;)+) => {
        &[$($(Check {
            name: stringify!($name),
            promise: $promise,
            run: |trial| Box::pin($module::$name(trial)),
        }),+),+]
    };
}

/// All checks, in the order in which they run. The promises quote the documentation of the storage traits.
pub(super) const CHECKS: &[Check] = checks! {
    "Swaps are linearizable per key, and durable once they answer":
        swaps::exactly_one_concurrent_create_wins_and_the_others_get_its_record,
        swaps::exactly_one_concurrent_swap_of_a_revision_wins,
        swaps::exactly_one_concurrent_delete_wins,
        swaps::no_update_is_lost,
        swaps::a_swap_that_expects_an_old_revision_is_stale,
        swaps::a_deleted_record_is_gone,
        histories::concurrent_histories_are_linearizable;
    "`expected: None` means that the swap expects no record":
        swaps::a_swap_that_expects_no_record_is_stale_if_a_record_exists;
    "A load never returns a record that nobody wrote":
        histories::a_load_returns_only_written_records;
    "The storage keeps each record's revision as the host gave it":
        revisions::a_revision_is_returned_unchanged,
        revisions::a_record_created_again_has_its_new_revision,
        revisions::a_repeated_write_is_stale_and_returns_its_own_revision;
    "A write is atomic, even if the caller stops waiting for it":
        abandoned::an_abandoned_swap_is_written_completely_or_not_at_all,
        abandoned::an_abandoned_swap_does_not_undo_later_swaps,
        abandoned::an_abandoned_append_once_appends_its_event_at_most_once;
    "The storage's own clock measures the age of a token record. The age counts from the write of the current revision":
        ages::the_age_is_small_after_a_write_and_grows,
        ages::a_new_write_restarts_the_age;
    "Keys are compared byte by byte":
        sealing::similar_key_ids_are_kept_apart,
        isolation::similar_tenants_are_kept_apart,
        isolation::similar_customers_and_accounts_are_kept_apart,
        isolation::each_tenant_has_its_own_keys_states_and_webhooks;
    "Tenant, customer and account are separate parts of a key":
        isolation::the_parts_of_a_key_are_not_joined;
    "Byte order is the order of the ids' UTF-8 bytes":
        lists::lists_are_in_byte_order;
    "The storage returns every value unchanged":
        round_trip::every_text_of_a_row_is_returned_unchanged,
        round_trip::every_status_policy_standing_and_reason_is_returned_unchanged,
        round_trip::extreme_numbers_and_absent_values_are_returned_unchanged,
        round_trip::any_number_of_shops_is_returned_in_its_order,
        round_trip::large_and_empty_values_are_returned_unchanged,
        events::every_kind_of_event_is_returned_unchanged;
    "A row and its events are written in one transaction":
        events::a_row_and_its_events_are_written_together_or_not_at_all;
    "After an event was read, no event ever appears at an earlier position":
        events::no_event_appears_before_a_position_that_was_read;
    "Returns at most `limit` of the tenant's events, in the order of their positions":
        events::reading_events_continues_from_any_position;
    "Appends the event unless an event with the same `once` was appended for the same connection before":
        events::append_once_appends_once_per_tenant_and_connection,
        events::exactly_one_concurrent_append_once_appends_the_event;
    "The storage appends the event only if the connection has a row that works with this grant":
        events::an_event_of_a_grant_is_appended_only_while_the_row_works_with_it,
        events::no_event_of_a_grant_follows_the_end_of_its_row;
    "The first call sets the environment of the storage, which never changes afterwards":
        environments::a_storage_belongs_to_one_environment_for_good;
    "Returns whether `append_once` has appended an event with this `once` for the connection":
        events::an_event_that_was_appended_once_is_known;
    "Returns the connections whose `TokenWrite::refresh_due_at` is `now` or earlier, in the order of `Due`":
        due::thousands_of_due_connections_are_listed_in_order_page_by_page,
        due::connections_that_are_no_longer_due_are_not_listed;
    "Returns at most `limit` of the tenant's rows that match the filter, ordered by customer and account in byte order":
        tenant_rows::the_rows_of_a_tenant_are_listed_in_order_page_by_page,
        tenant_rows::every_condition_of_a_filter_chooses_its_rows,
        tenant_rows::rows_that_are_left_out_do_not_count_towards_the_limit;
    "Returns the row of each of these connections, in the order of `connections`":
        lists::the_rows_of_many_connections_are_read_in_the_order_of_the_question;
    "Returns what `load_row` returns. A storage may return the connection's token record, too":
        joint_reads::a_read_of_two_values_returns_both_as_they_are_stored;
    "Leaves out a row without a token record, because its account is not connected":
        tenant_rows::a_row_without_a_token_record_is_left_out;
    "Returns connections of all tenants whose `Connection::ends_at` is `by` or earlier, in the order of `Ending`":
        endings::working_connections_are_listed_by_their_earliest_end,
        endings::endings_are_listed_in_order_page_by_page;
    "Returns the tenant's connections whose row contains this shop, even if the shop is not linked":
        lists::owners_are_the_connections_whose_row_contains_the_shop;
    "As soon as the consent is stored, `load_state` finds it":
        consents::a_state_can_be_loaded_as_soon_as_it_is_put;
    "The time since the consent began, measured by the storage's own clock":
        ages::using_or_releasing_a_state_does_not_restart_its_age;
    "`Refused` if the tenant already has a consent with this state":
        consents::a_state_can_be_put_only_once;
    "Returns `false` if the state is unknown or already used. If calls run concurrently, exactly one returns `true`":
        consents::exactly_one_concurrent_use_of_a_state_succeeds,
        consents::using_or_releasing_an_unknown_state_changes_nothing;
    "Marks a used state as unused again":
        consents::a_released_state_can_be_used_once_more;
    "As soon as the install is stored, `load_install` finds it":
        consents::an_install_can_be_loaded_as_soon_as_it_is_put;
    "`Refused` if the tenant already has an install with this id":
        consents::an_install_can_be_put_only_once;
    "Deletes the sealed content of an install, and keeps the rest":
        consents::a_closed_install_keeps_its_browser_and_loses_its_content;
    "Deletes an install. Succeeds if there is none":
        consents::a_deleted_install_is_gone;
    "Returns whether `remember_webhook` was called for this webhook of the tenant":
        consents::a_remembered_webhook_is_known;
    "Returns the tenant's keys in the order in which they were added":
        keys::keys_are_listed_in_the_order_in_which_they_were_added;
    "Adds a key if the tenant's newest key is still `newest`":
        keys::exactly_one_concurrent_add_key_succeeds;
    "Replaces the wrapping of a key by `next` if the stored key is still wrapped as in `key`":
        keys::a_key_is_rewrapped_only_if_its_wrapping_is_unchanged;
    "`next: None` erases the key for good":
        keys::an_erased_key_stays_erased;
    "Every sealed value has its key":
        keys::nothing_is_written_under_a_missing_or_erased_key,
        keys::a_key_in_use_is_not_removed,
        keys::either_a_write_or_the_removal_of_its_key_succeeds;
    "Returns every key of every tenant, and for each key the number of records that are sealed with it":
        sealing::key_uses_are_counted_and_listed_page_by_page;
    "Returns the records that are sealed with this key":
        sealing::records_sealed_under_a_key_are_listed_page_by_page;
    "Replaces the sealed value of a record by `next` if the stored record still has the revision and the value in \
     `record`. The revision, age and due time of the record stay as they are":
        sealing::reseal_replaces_only_the_exact_value,
        sealing::reseal_keeps_revision_due_time_and_row,
        sealing::reseal_never_overwrites_a_newer_write,
        sealing::exactly_one_concurrent_reseal_of_a_value_succeeds,
        ages::reseal_does_not_restart_the_age;
    "Deletes everything of the tenant except its keys":
        deletion::a_deleted_tenant_leaves_nothing_and_other_tenants_keep_everything;
    "no later event gets the position of a deleted event":
        deletion::a_deleted_event_never_shares_its_position_with_a_later_one;
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The files whose documentation the promises quote.
    const DOCUMENTATION: [&str; 6] = [
        include_str!("../../host/src/storage/host_storage.rs"),
        include_str!("../../host/src/storage/connections.rs"),
        include_str!("../../host/src/storage/consents.rs"),
        include_str!("../../host/src/storage/keys.rs"),
        include_str!("../../host/src/storage/tokens.rs"),
        include_str!("../../host/src/storage/webhooks.rs"),
    ];

    /// Returns the text of all doc comments in a source file, on one line and without emphasis. Each link is replaced
    /// by its text.
    fn as_shown(source: &str) -> String {
        let lines = source.lines().filter_map(|line| line.trim().strip_prefix("///"));
        let text = lines.collect::<Vec<_>>().join(" ").replace("**", "").replace(['*', '['], "");
        let shown = text.split("](").enumerate().map(|(nth, part)| match part.split_once(')') {
            Some((_, rest)) if nth > 0 => rest,
            _ => part,
        });
        let text = shown.collect::<String>().replace(']', "");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_promise_is_quoted_from_the_documentation_of_the_traits() {
        let text = DOCUMENTATION.map(as_shown).concat();
        for Check { name, promise, .. } in CHECKS {
            assert!(text.contains(promise), "{name}: the traits do not say {promise:?}");
        }
    }

    #[test]
    fn no_two_checks_have_the_same_name() {
        let names: BTreeSet<_> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
    }
}
