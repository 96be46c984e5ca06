//! Tests `access-token`. It renews the token in time, and returns a valid token even if the renewal fails.

use super::{connected, refresh_when_due};
use crate::samples::{
    DAY, NOW, access, account, cause_and_delay, customer, due, expired, fresh, key, key_of, last_failure, outcome,
    pair_answer, pair_answer_with, row_of, shops_answer, shops_of, their_claim, tokens, with,
};
use crate::scripted_host::{Answer, Fault, ScriptedHost, Step, run};
use serde_json::{Value, json};
use tiktok_shop_connector_core::connection::{ShopStanding, Status};
use tiktok_shop_connector_core::error::{Cause, Error};
use tiktok_shop_connector_core::http::TransportFailure;
use tiktok_shop_connector_core::operation::access_token::{MAX_VALIDITY_SECONDS, ValidToken, access_token};
use tiktok_shop_connector_core::record::{DeadReason, TokenRecord};
use tiktok_shop_connector_core::time::UnixSeconds;

fn ask(host: &ScriptedHost, seconds: u32) -> Result<ValidToken, Error> {
    run(access_token(host, customer(), Some(account()), seconds))
}

/// Calls `access-token`, which must succeed. Returns the token and its expiry time.
fn served(host: &ScriptedHost, seconds: u32) -> (String, Option<UnixSeconds>) {
    let token = ask(host, seconds).map_err(|error| error.to_string()).unwrap();
    assert_eq!(token.account, account());
    (token.token.expose().to_owned(), token.expires)
}

fn ending_in(seconds: u64) -> TokenRecord {
    with(fresh(), |record| record.current.access_ends = Some(NOW.plus(seconds)))
}

#[test]
fn a_fresh_token_is_served_from_storage_alone() {
    let host = connected(&fresh());
    assert_eq!(served(&host, 3600), ("AT-1".into(), Some(NOW.plus(6 * DAY))));
    assert_eq!(host.effects(), [Step::LoadToken, Step::Credentials]);
}

#[test]
fn a_due_token_is_renewed_and_the_row_shows_it() {
    let host = connected(&due()).answers([pair_answer(2)]);
    assert_eq!(served(&host, 0), ("AT-2".into(), Some(NOW.plus(14 * DAY))));
    assert_eq!(host.sent(), ["refresh RT-1"]);
    let row = host.row().unwrap();
    assert_eq!((row.connection.refreshed_at, row.connection.access_ends), (NOW, Some(NOW.plus(14 * DAY))));
    assert_eq!(row.connection.shops.len(), 2, "the shops stay as they were");
}

#[test]
fn a_token_that_ends_too_soon_is_renewed_before_it_is_due() {
    for (left, asked, renewed) in
        [(3660, 3600, true), (3661, 3600, false), (660, 600, true), (61, 0, false), (60, 0, true)]
    {
        let host = connected(&ending_in(left)).answers([pair_answer(2)]);
        assert_eq!(served(&host, asked).0, if renewed { "AT-2" } else { "AT-1" }, "{left} {asked}");
        assert_eq!(host.sent().len(), usize::from(renewed), "{left} {asked}");
    }
}

#[test]
fn a_token_without_a_believable_end_is_served_until_it_is_due() {
    let host = connected(&with(fresh(), |record| record.current.access_ends = None));
    assert_eq!(served(&host, 3600), ("AT-1".into(), None));
    assert!(host.sent().is_empty());
}

#[test]
fn short_lived_tokens_are_renewed_at_most_once_in_ten_minutes() {
    let short = with(ending_in(400), |record| record.rotated_at = NOW.minus(599));
    let host = connected(&short);
    assert_eq!(served(&host, 3600), ("AT-1".into(), Some(NOW.plus(400))), "the valid token, with its real expiry time");
    let ended = with(short, |record| record.current.access_ends = Some(NOW.plus(59)));
    assert_eq!(cause_and_delay(ask(&connected(&ended), 0)), (Cause::BackingOff, 1));
    assert!(host.sent().is_empty());
}

#[test]
fn a_valid_token_is_served_even_if_its_renewal_fails() {
    let answers = [
        ("backing off", Answer::limited(Some("60"))),
        ("nobody knows", Answer::Broken(TransportFailure::Interrupted)),
        ("refused", Answer::Broken(TransportFailure::NotConnected)),
        ("a page", Answer::page(403)),
        ("the app", Answer::json(200, &json!({"code": 36_009_004, "message": "app_key is invalid"}))),
    ];
    for (name, answer) in answers {
        let host = connected(&due()).answers([answer]);
        assert_eq!(served(&host, 3600), ("AT-1".into(), Some(NOW.plus(DAY))), "{name}");
        assert!(last_failure(&host.row().unwrap().connection).is_some(), "{name}: the row has the failure");
        // A second call returns the token again, without another request.
        assert_eq!(served(&host, 3600).0, "AT-1", "{name}");
        assert_eq!(host.sent(), ["refresh RT-1"], "{name}");
    }
    let claimed = connected(&with(due(), |record| record.claim = Some(their_claim("RT-1"))));
    assert_eq!(served(&claimed, 60).0, "AT-1");
}

#[test]
fn without_a_valid_token_the_failure_is_returned() {
    for (answer, cause) in [
        (Answer::limited(Some("60")), Cause::RateLimited),
        (Answer::Broken(TransportFailure::Interrupted), Cause::AnswerIncomplete),
        (Answer::code(36_004_005), Cause::AuthorizationRevoked),
    ] {
        assert_eq!(cause_and_delay(ask(&connected(&expired()).answers([answer]), 0)).0, cause);
    }
    let claimed = connected(&with(expired(), |record| record.claim = Some(their_claim("RT-1"))));
    assert_eq!(cause_and_delay(ask(&claimed, 0)).0, Cause::RefreshInProgress);
    let dead = connected(&with(expired(), |record| record.dead = Some(DeadReason::AuthorizationExpired)));
    assert_eq!(outcome(&ask(&dead, 0)), "authorization-expired");
}

#[test]
fn the_token_of_a_grant_that_has_ended_is_not_served_even_if_it_is_valid() {
    for (code, cause) in [(36_004_001, Cause::AuthorizationExpired), (36_004_005, Cause::AuthorizationRevoked)] {
        let host = connected(&due()).answers([Answer::code(code)]);
        for _ in 0..2 {
            assert_eq!(cause_and_delay(ask(&host, 0)).0, cause);
            assert_eq!(tokens(&host.record()), "AT-1 RT-1 [] dead");
            assert_eq!(host.sent(), ["refresh RT-1"]);
        }
    }
}

#[test]
fn a_pair_that_was_not_saved_is_an_error() {
    let host = (1..=3).fold(connected(&due()).answers([pair_answer(2)]), |host, nth| {
        host.fault(Step::SwapToken, 1 + nth, Fault::Unavailable)
    });
    assert_eq!(outcome(&ask(&host, 0)), "token-not-saved");
    host.restart();
    assert_eq!(served(&host, 0).0, "AT-1", "the claim stands, and the old token is valid");
}

#[test]
fn a_valid_token_is_served_while_storage_refuses_writes() {
    for fault in [Fault::Refused, Fault::Unavailable] {
        let readable =
            |record: &TokenRecord| (1..=3).fold(connected(record), |host, nth| host.fault(Step::SwapToken, nth, fault));
        let host = readable(&due());
        assert_eq!(served(&host, 3600).0, "AT-1", "{fault:?}");
        assert!(host.sent().is_empty(), "without a stored claim nothing is sent");
        let ended = ask(&readable(&expired()), 0).err().expect("an error");
        assert!(matches!(ended.cause, Cause::StorageRefused | Cause::StorageUnavailable), "{ended}");
    }
}

#[test]
fn a_token_of_an_app_that_the_tenant_no_longer_has_is_not_served() {
    let host = connected(&with(due(), |record| record.app_key = "app-key-0".into()));
    assert_eq!(outcome(&ask(&host, 0)), "app-unknown");
}

#[test]
fn a_refresh_token_without_an_access_token_is_stored_and_no_token_is_served() {
    let host = connected(&expired()).answers([pair_answer_with(2, &json!({"access_token": Value::Null}))]);
    assert_eq!(outcome(&ask(&host, 0)), "token-answer-incomplete");
    assert_eq!(tokens(&host.record()), "AT-1 RT-2 [RT-1]");
    assert_eq!(cause_and_delay(ask(&host, 0)), (Cause::BackingOff, 600));
}

#[test]
fn a_changed_account_is_recorded_and_its_token_is_served() {
    let host = connected(&due()).answers([pair_answer_with(2, &json!({"open_id": "account-2"}))]);
    assert_eq!(served(&host, 0).0, "AT-2");
    assert_eq!(last_failure(&host.row().unwrap().connection), Some("account-changed"));
}

#[test]
fn an_unclear_account_and_a_too_long_validity_are_refused() {
    assert_eq!(cause_and_delay(ask(&connected(&fresh()), MAX_VALIDITY_SECONDS + 1)).0, Cause::ValidityTooLong);
    assert_eq!(cause_and_delay(ask(&ScriptedHost::new(), 0)).0, Cause::NotConnected);
    let two = connected(&fresh());
    two.put(&key_of("customer-1", "account-2"), &with(fresh(), |record| record.current.access = Some(access("AT-9"))));
    assert_eq!(cause_and_delay(run(access_token(&two, customer(), None, 0))).0, Cause::AccountRequired);
    let other = run(access_token(&two, customer(), Some(key_of("customer-1", "account-2").account), 0));
    assert_eq!(other.ok().map(|token| token.token.expose().to_owned()).as_deref(), Some("AT-9"));
}

/// Another call marks the record as dead while this call waits for TikTok's answer.
#[test]
fn a_late_pair_that_revives_a_dead_record_makes_the_refresh_due_that_reads_its_shops() {
    let host =
        connected(&expired()).answers([pair_answer(2), shops_answer(&["1", "2"])]).meanwhile(Step::Send, 1, |host| {
            host.edit(|record| (record.dead, record.claim) = (Some(DeadReason::AuthorizationRevoked), None));
            let mut row = row_of(&key(), &host.record(), &["1", "2"]);
            for shop in &mut row.connection.shops {
                (shop.standing, shop.listed.cipher) = (ShopStanding::Unconfirmed, None);
            }
            host.put_row(&row);
        });
    assert_eq!(served(&host, 0).0, "AT-2");
    let connection = host.row().unwrap().connection;
    assert_eq!(connection.status, Status::Active);
    assert_eq!(shops_of(&connection), "1 unconfirmed linked, 2 unconfirmed linked");
    assert_eq!(host.refresh_due_at(), Some(NOW), "a sweep reads the shops");
    assert_eq!(shops_of(&refresh_when_due(&host).unwrap()), "1 granted linked, 2 granted linked");
    assert_eq!(host.refresh_due_at(), Some(host.record().due_at()));
}
