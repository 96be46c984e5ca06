//! Tests whether a customer may use a shop now. `call`, `list-shops` and the owners of a webhook must give the same
//! answer, whatever the status of the connection and the standing of the shop are, and whether the shop is linked or
//! not. A missing cipher changes no answer. For `access-token`, only the status counts.

use super::receive_webhook::{deauthorization, effect, order_event};
use super::{connected, refresh_when_due};
use crate::samples::{
    DAY, NOW, account, customer, due, expired, fresh, key, key_of, outcome, row_of, shops_answer, shops_of, with,
};
use crate::scripted_host::{Answer, Fault, ScriptedHost, Step, run};
use serde_json::json;
use tiktok_shop_connector_core::connection::{Shop, ShopStanding, Status};
use tiktok_shop_connector_core::endpoint::business::BusinessRequest;
use tiktok_shop_connector_core::http::Method;
use tiktok_shop_connector_core::operation::access_token::access_token;
use tiktok_shop_connector_core::operation::call::{CallScope, call};
use tiktok_shop_connector_core::operation::list_connections::list_connections;
use tiktok_shop_connector_core::operation::list_shops::list_shops;
use tiktok_shop_connector_core::operation::receive_webhook::WebhookEffect;
use tiktok_shop_connector_core::record::{DeadReason, TokenRecord};

const STANDINGS: [ShopStanding; 4] =
    [ShopStanding::Granted, ShopStanding::Inactive, ShopStanding::NoLongerGranted, ShopStanding::Unconfirmed];

/// Returns every status, each with a token record of a connection in that status. Even the dead records have a valid
/// access token.
fn statuses() -> Vec<(Status, TokenRecord)> {
    let ending = NOW.plus(DAY);
    let alive = [
        (Status::Active, fresh()),
        (Status::AuthorizationEnding(ending), with(fresh(), |record| record.current.refresh_ends = Some(ending))),
    ];
    let dead = DeadReason::ALL
        .iter()
        .map(|reason| (Status::ReauthorizationRequired(*reason), with(fresh(), |record| record.dead = Some(*reason))));
    alive.into_iter().chain(dead).collect()
}

/// Returns a host with one connection in this status. `change` changes its only shop, which is granted and linked and
/// has a cipher.
fn host_with(status: Status, record: &TokenRecord, change: impl FnOnce(&mut Shop)) -> ScriptedHost {
    let host = ScriptedHost::with_record(record);
    let mut row = row_of(&key(), record, &["1"]);
    row.connection.status = status;
    change(&mut row.connection.shops[0]);
    host.put_row(&row);
    host
}

/// Returns every combination of a standing, whether the shop is linked, and whether its cipher is stored.
fn shops() -> impl Iterator<Item = (ShopStanding, bool, bool)> {
    let choices = [(true, true), (true, false), (false, true), (false, false)];
    STANDINGS.into_iter().flat_map(move |standing| choices.map(|(linked, has_cipher)| (standing, linked, has_cipher)))
}

fn get(host: &ScriptedHost, scope: CallScope) -> &'static str {
    let request = BusinessRequest {
        method: Method::Get,
        path: "/order/202309/orders".into(),
        query: Vec::new(),
        content_type: None,
        body: Vec::new(),
        max_response_bytes: 1 << 20,
    };
    outcome(&run(call(host, customer(), scope, &request)))
}

fn call_for_shop(host: &ScriptedHost) -> &'static str {
    get(host, CallScope::Shop("1".into()))
}

fn token(host: &ScriptedHost) -> &'static str {
    outcome(&run(access_token(host, customer(), Some(account()), 0)))
}

/// Returns, for each owner of an event about shop 1, whether the customer may use the shop.
fn owners(host: &ScriptedHost) -> Vec<bool> {
    order_event(host).owners.iter().map(|owner| owner.may_use).collect()
}

fn listed(host: &ScriptedHost) -> Vec<String> {
    run(list_shops(host, customer())).unwrap().into_iter().map(|usable| usable.shop.listed.id).collect()
}

#[test]
fn every_operation_gives_the_same_answer_for_every_status_standing_and_choice() {
    for (status, record) in statuses() {
        for (standing, linked, has_cipher) in shops() {
            let case = format!("{status:?} {standing:?} linked: {linked} cipher: {has_cipher}");
            let host = || {
                let host = host_with(status, &record, |shop| {
                    (shop.standing, shop.linked) = (standing, linked);
                    shop.listed.cipher.take_if(|_| !has_cipher);
                });
                host.answers([Answer::success(&json!({"orders": []}))])
            };
            let dead = match status {
                Status::Active | Status::AuthorizationEnding(_) => None,
                Status::ReauthorizationRequired(reason) => Some(reason.cause().code()),
            };
            let expected = match (linked, dead, standing) {
                (false, _, _) => "shop-not-linked",
                (true, Some(reason), _) => reason,
                (true, None, ShopStanding::NoLongerGranted) => "shop-no-longer-granted",
                (true, None, ShopStanding::Unconfirmed) => "shop-unconfirmed",
                (true, None, ShopStanding::Granted | ShopStanding::Inactive) => "ok",
            };
            let may_use = expected == "ok";
            let called = host();
            assert_eq!(call_for_shop(&called), expected, "{case}");
            let sent = called.sent();
            assert_eq!(sent.len(), usize::from(may_use), "{case}: a refused call sends nothing");
            assert_eq!(sent.iter().any(|request| request.contains("cipher-1")), may_use && has_cipher, "{case}");
            assert_eq!(owners(&host()), [may_use], "{case}");
            assert_eq!(listed(&host()), if may_use { vec!["1"] } else { vec![] }, "{case}");
            let connections = run(list_connections(&host(), customer())).unwrap();
            let [shop] = connections[0].shops.as_slice() else { panic!("{case}: not all shops") };
            assert_eq!((shop.standing, shop.linked, shop.listed.cipher.is_some()), (standing, linked, has_cipher));
            // `access-token` and a call for the whole account concern no single shop. So only the status of the
            // connection counts.
            assert_eq!(token(&host()), dead.unwrap_or("ok"), "{case}");
            assert_eq!(get(&host(), CallScope::Seller(None)), dead.unwrap_or("ok"), "{case}");
        }
    }
}

#[test]
fn a_customer_whose_grant_was_revoked_may_not_see_the_events_of_the_other_customer() {
    // Two customers have connected the same seller, and the seller removes the app. Then the seller consents again for
    // one of the two customers.
    let revoked = with(fresh(), |record| record.dead = Some(DeadReason::AuthorizationRevoked));
    let host = connected(&revoked);
    let other = key_of("customer-2", "account-1");
    host.put(&other, &fresh());
    host.put_row(&row_of(&other, &fresh(), &["1"]));
    assert_eq!(owners(&host), [false, true]);
}

#[test]
fn a_row_that_is_older_than_its_record_does_not_allow_the_shop() {
    for reason in DeadReason::ALL {
        // The record is dead, and the row does not show that yet.
        let host = connected(&fresh());
        host.edit(|record| record.dead = Some(*reason));
        assert_eq!(owners(&host), [false], "{reason:?}");
        assert_eq!(call_for_shop(&host), reason.cause().code());
    }
    // A new consent is stored, and the row still has the shops of the earlier grant.
    let host = connected(&fresh());
    host.edit(|record| record.lineage.0 = [0x22; 16]);
    assert_eq!(owners(&host), [false]);
    assert_eq!(call_for_shop(&host), "unknown-shop");
}

#[test]
fn a_record_that_cannot_be_read_hides_the_event_from_its_customer_only() {
    let host = connected(&fresh());
    let other = key_of("customer-2", "account-1");
    host.put(&other, &fresh());
    host.put_row(&row_of(&other, &fresh(), &["1"]));
    host.put_bytes(&key(), b"not a record");
    assert_eq!(owners(&host), [false, true]);
    assert_eq!(effect(&host, &deauthorization(NOW)), WebhookEffect::VerificationDue, "the other connection is marked");

    // The storage can't decrypt the first record.
    let host = || {
        let host = connected(&fresh());
        host.put(&other, &fresh());
        host.put_row(&row_of(&other, &fresh(), &["1"]));
        host.fault(Step::LoadToken, 1, Fault::Refused)
    };
    assert_eq!(owners(&host()), [false, true]);
    assert_eq!(effect(&host(), &deauthorization(NOW)), WebhookEffect::VerificationDue);
}

fn ciphers(shops: &[Shop]) -> usize {
    shops.iter().filter(|shop| shop.listed.cipher.is_some()).count()
}

#[test]
fn a_dead_connection_has_no_cipher_and_no_granted_shop() {
    for (code, reason) in
        [(36_004_001, DeadReason::AuthorizationExpired), (36_004_005, DeadReason::AuthorizationRevoked)]
    {
        let host = connected(&due()).answers([Answer::code(code)]);
        assert_eq!(outcome(&refresh_when_due(&host)), reason.cause().code());
        let connection = host.row().unwrap().connection;
        assert_eq!(connection.status, Status::ReauthorizationRequired(reason));
        assert_eq!(shops_of(&connection), "1 unconfirmed linked, 2 unconfirmed linked");
        assert_eq!(ciphers(&connection.shops), 0);
        assert_eq!((owners(&host), listed(&host).len()), (vec![false], 0));
    }
}

#[test]
fn a_shop_that_is_no_longer_granted_has_no_cipher() {
    let host = connected(&fresh()).answers([shops_answer(&["2"]), shops_answer(&["2", "1"])]);
    let connection = refresh_when_due(&host).unwrap();
    assert_eq!((shops_of(&connection).as_str(), ciphers(&connection.shops)), ("2 granted linked, 1 gone linked", 1));
    assert_eq!(ciphers(&refresh_when_due(&host).unwrap().shops), 2, "it comes back with the shop");
}

#[test]
fn a_crash_after_the_death_of_a_record_leaves_it_due_until_its_row_shows_it() {
    use crate::scripted_host::{Kill, run_or_die};
    use tiktok_shop_connector_core::operation::refresh::{RefreshMode, refresh};

    let host = || connected(&expired()).tiktok(|_| Answer::code(36_004_005));
    let undisturbed = host();
    assert_eq!(outcome(&refresh_when_due(&undisturbed)), "authorization-revoked");
    assert_eq!(undisturbed.refresh_due_at(), None, "a dead connection is not due");
    for number in 1..=undisturbed.effects().len() {
        let host = host().killed(Kill::After(number));
        assert!(run_or_die(refresh(&host, customer(), Some(account()), RefreshMode::WhenDue)).is_none());
        let died = host.record().dead().is_some();
        let shown = host.row().unwrap().connection.dead().is_some();
        assert!(!died || shown || host.refresh_due_at() <= Some(NOW) && host.refresh_due_at().is_some(), "{number}");
        host.restart();
        if died {
            assert_eq!(outcome(&refresh_when_due(&host)), "authorization-revoked", "{number}");
            assert!(host.row().unwrap().connection.dead().is_some(), "{number}");
            assert_eq!((host.refresh_due_at(), host.sent().len()), (None, 0), "{number}");
        }
    }
    assert!(undisturbed.effects().iter().filter(|step| **step == Step::SwapToken).count() > 1);
}
