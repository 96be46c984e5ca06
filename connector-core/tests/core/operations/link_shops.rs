//! Tests `link-shops`. It stores which shops the customer has chosen, and sends no request.

use super::{connected, refresh_when_due};
use crate::samples::{
    account, customer, fresh, key, key_of, last_failure, outcome, row_of, shops_answer, shops_of, stored_form, with,
};
use crate::scripted_host::{ScriptedHost, Step, run};
use tiktok_shop_connector_core::connection::{Connection, Outcome, PastFailure, ShopStanding};
use tiktok_shop_connector_core::error::{Cause, Error};
use tiktok_shop_connector_core::operation::link_shops::link_shops;
use tiktok_shop_connector_core::record::{DeadReason, Lineage};

fn link(host: &ScriptedHost, shops: &[&str]) -> Result<Connection, Error> {
    run(link_shops(host, customer(), None, shops.iter().map(|&id| id.to_owned()).collect()))
}

#[test]
fn only_the_named_shops_are_linked_until_the_next_choice() {
    let host = connected(&fresh()).answers([shops_answer(&["2", "1", "3"])]);
    assert_eq!(shops_of(&link(&host, &["2"]).unwrap()), "1 granted, 2 granted linked");
    assert_eq!(shops_of(&link(&host, &["1", "1"]).unwrap()), "1 granted linked, 2 granted");
    assert_eq!(shops_of(&link(&host, &[]).unwrap()), "1 granted, 2 granted");
    assert!(host.sent().is_empty());
    assert_eq!(stored_form(&host.record()), stored_form(&fresh()), "the tokens stay");
    let later = refresh_when_due(&host).unwrap();
    assert_eq!(shops_of(&later), "2 granted, 1 granted, 3 granted linked", "a list keeps the choice");
}

#[test]
fn a_shop_that_tiktok_never_listed_is_refused_and_changes_nothing() {
    let host = connected(&fresh());
    assert_eq!(outcome(&link(&host, &["2", "3"])), "unknown-shop");
    assert_eq!(shops_of(&host.row().unwrap().connection), "1 granted linked, 2 granted linked");
}

#[test]
fn a_shop_that_is_no_longer_granted_is_not_linked_and_may_stay_linked() {
    let host = ScriptedHost::with_record(&fresh());
    let mut row = row_of(&key(), &fresh(), &["1", "2", "3"]);
    row.connection.shops[0].standing = ShopStanding::NoLongerGranted;
    row.connection.shops[1].standing = ShopStanding::NoLongerGranted;
    row.connection.shops[1].linked = false;
    host.put_row(&row);
    assert_eq!(outcome(&link(&host, &["2", "3"])), "shop-no-longer-granted");
    assert_eq!(shops_of(&host.row().unwrap().connection), "1 gone linked, 2 gone, 3 granted linked");
    assert_eq!(shops_of(&link(&host, &["1"]).unwrap()), "1 gone linked, 2 gone, 3 granted");
}

#[test]
fn without_a_token_record_no_shop_can_be_linked() {
    let host = connected(&fresh());
    host.delete(&key());
    assert_eq!(outcome(&link(&host, &["1"])), "not-connected");
    assert_eq!(outcome(&run(link_shops(&host, customer(), Some(account()), Vec::new()))), "not-connected");
}

#[test]
fn with_several_accounts_one_must_be_named() {
    let host = connected(&fresh());
    host.put(&key_of("customer-1", "account-2"), &fresh());
    assert_eq!(outcome(&link(&host, &["1"])), "account-required");
}

#[test]
fn shops_of_an_earlier_grant_cannot_be_linked() {
    let host = connected(&fresh());
    host.edit(|record| record.lineage = Lineage([0x22; 16]));
    assert_eq!(outcome(&link(&host, &["1"])), "unknown-shop");
    assert_eq!(shops_of(&link(&host, &[]).unwrap()), "", "an empty choice writes a row without the old shops");
}

#[test]
fn linking_shops_keeps_the_last_failure() {
    let host = ScriptedHost::with_record(&fresh());
    let mut row = row_of(&key(), &fresh(), &["1"]);
    let failure = PastFailure::new(host.wall(), &Error::new(Cause::RateLimited));
    row.connection.last_failure = match Outcome::of(Some(failure)) {
        Outcome::Failure(failure) => Some(failure),
        Outcome::Success | Outcome::Unchanged => None,
    };
    host.put_row(&row);
    assert_eq!(last_failure(&link(&host, &["1"]).unwrap()), Some("rate-limited"));
}

#[test]
fn shops_of_a_dead_connection_can_be_linked() {
    let dead = with(fresh(), |record| record.dead = Some(DeadReason::AuthorizationExpired));
    let host = connected(&dead);
    assert_eq!(shops_of(&link(&host, &["1"]).unwrap()), "1 unconfirmed linked, 2 unconfirmed");
}

#[test]
fn a_choice_that_lost_its_race_is_applied_to_the_row_that_won() {
    let host = connected(&fresh()).meanwhile(Step::SwapRow, 1, |host| {
        host.put_row(&row_of(&key(), &fresh(), &["1", "2", "3"]));
    });
    assert_eq!(shops_of(&link(&host, &["2"]).unwrap()), "1 granted, 2 granted linked, 3 granted");
}

#[test]
fn a_disconnect_while_shops_are_linked_wins() {
    let host = connected(&fresh()).meanwhile(Step::SwapRow, 1, |host| host.delete(&key()));
    let _either = link(&host, &["1"]);
    assert_eq!(outcome(&link(&host, &["1"])), "not-connected");
}
