//! Every check, and the promise it looks at.

use futures::future::BoxFuture;

use super::broken::Broken;
use super::trial::Trial;
use super::{
    abandoned, ages, consents, due, endings, events, histories, isolation, keys, lists, revisions, round_trip, sealing,
    swaps,
};

/// What is looked at, and how.
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

/// A promise is in the words of the trait's documentation.
pub(super) const CHECKS: &[Check] = checks! {
    "Swaps are linearizable per key and durable when they answer":
        swaps::of_many_who_create_a_record_one_wins_and_the_others_get_it,
        swaps::of_many_who_expect_the_same_revision_one_wins,
        swaps::of_many_who_delete_a_record_one_wins,
        swaps::no_update_is_lost,
        swaps::an_old_revision_never_wins_again,
        swaps::what_is_deleted_is_gone,
        histories::concurrent_histories_are_linearizable;
    "`expected: None` expects that there is no record":
        swaps::a_swap_that_expects_no_record_loses_where_one_is;
    "A load never returns what was not written":
        histories::a_load_returns_only_what_was_written;
    "Revisions are kept as given":
        revisions::a_revision_is_kept_as_given,
        revisions::a_record_made_anew_has_its_new_revision,
        revisions::a_write_that_is_repeated_finds_its_own_revision;
    "A write happens whole or not at all":
        abandoned::a_swap_that_nobody_waits_for_happens_whole_or_not_at_all,
        abandoned::a_swap_that_nobody_waits_for_takes_no_other_along,
        abandoned::an_event_that_nobody_waits_for_is_appended_once_or_not_at_all;
    "measured by the storage's own clock, from the write of its revision":
        ages::an_age_is_small_after_the_write_and_grows,
        ages::an_age_is_that_of_the_newest_write;
    "Keys are compared byte for byte":
        sealing::no_key_is_taken_for_another,
        isolation::no_tenant_reaches_into_another,
        isolation::no_customer_or_account_reaches_into_another,
        isolation::keys_states_and_webhooks_are_their_tenants_own;
    "tenant, customer and account are separate parts of a key":
        isolation::parts_of_a_key_are_not_joined;
    "In byte order means that of their UTF-8":
        lists::lists_are_in_byte_order;
    "What is given comes back as it was given":
        round_trip::any_text_comes_back_in_every_field_of_a_row,
        round_trip::every_status_policy_standing_and_reason_comes_back,
        round_trip::numbers_come_back_at_their_limits_and_what_is_absent_stays_absent,
        round_trip::any_number_of_shops_comes_back_in_its_order,
        round_trip::large_values_come_back,
        events::every_kind_of_event_comes_back;
    "A row and its events are one transaction":
        events::a_row_and_its_events_are_written_together_or_not_at_all;
    "Events only grow":
        events::nothing_appears_before_a_position_that_was_read;
    "The tenant's events after this position":
        events::events_are_read_on_from_any_position;
    "unless one was appended for this connection (the event's key) under the same `once` before":
        events::an_event_is_appended_once_for_a_connection_of_a_tenant,
        events::of_many_who_append_the_same_event_one_does;
    "Connections of all tenants whose token record is due":
        due::thousands_that_are_due_are_listed_in_order_page_by_page,
        due::what_is_no_longer_due_is_not_listed;
    "Connections of all tenants whose row is not `ReauthorizationRequired`":
        endings::endings_are_of_the_living_by_their_earliest_end,
        endings::endings_are_listed_in_order_page_by_page;
    "The tenant's connections whose row holds this shop, linked or not":
        lists::owners_are_the_rows_that_hold_the_shop_now;
    "What `load_state` then reads is never older than this":
        consents::a_state_is_there_as_soon_as_it_is_put,
        ages::a_state_ages_from_its_begin_whether_used_or_released;
    "`Refused`: the tenant has a consent with this state":
        consents::a_state_is_put_once;
    "Of all who try, one is answered `true`":
        consents::of_many_who_use_a_state_one_may,
        consents::an_unknown_state_stays_unknown;
    "Makes a used state usable again":
        consents::a_released_state_is_usable_once_more;
    "Whether the tenant has had this webhook":
        consents::a_webhook_is_known_once_it_is_remembered;
    "The tenant's keys, in the order in which they were added":
        keys::keys_are_listed_in_the_order_in_which_they_were_added;
    "Adds a key, only while the tenant's newest is `newest`":
        keys::of_many_who_add_a_key_one_does;
    "only while it is wrapped as in `key`":
        keys::a_key_is_wrapped_anew_only_as_it_was_read,
        keys::an_erased_key_stays_erased;
    "Nothing is sealed under a key that is gone":
        keys::nothing_is_written_under_a_key_that_is_gone,
        keys::a_key_in_use_is_not_removed,
        keys::of_a_write_and_the_removal_of_its_key_one_happens;
    "each with the number of records sealed under it":
        sealing::uses_of_keys_are_counted_and_listed_page_by_page;
    "The records that are sealed under this key of the tenant":
        sealing::what_is_sealed_under_a_key_is_listed_page_by_page;
    "Puts `next` in the place of exactly this sealed value, and keeps everything else":
        sealing::sealing_anew_replaces_exactly_what_was_read,
        sealing::sealing_anew_keeps_revision_due_time_and_row,
        sealing::sealing_anew_loses_to_a_write,
        sealing::of_many_who_seal_the_same_value_anew_one_does,
        ages::an_age_goes_on_when_the_value_is_sealed_anew;
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_promise_is_one_of_the_trait() {
        let documentation = include_str!("../storage.rs");
        let (documentation, _) = documentation.split_once("\nimpl ").unwrap();
        let lines = documentation.lines().filter_map(|line| line.trim().strip_prefix("///"));
        let text = lines.collect::<Vec<_>>().join(" ").replace("**", "").replace(['*', '['], "");
        // Of a link what is shown.
        let shown = text.split("](").enumerate().map(|(nth, part)| match part.split_once(')') {
            Some((_, rest)) if nth > 0 => rest,
            _ => part,
        });
        let text = shown.collect::<String>().replace(']', "");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for Check { name, promise, .. } in CHECKS {
            assert!(text.contains(promise), "{name}: the trait does not say {promise:?}");
        }
    }

    #[test]
    fn no_two_checks_have_one_name() {
        let names: BTreeSet<_> = CHECKS.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), CHECKS.len());
    }
}
