//! Tests `call`: the request that is sent, the answer that is returned, and what happens if TikTok refuses the token,
//! the timestamp or the request.

use super::connected;
use crate::samples::{
    DAY, NOW, cause_and_delay, customer, due, expired, fresh, key, key_of, last_failure, outcome, pair_answer, row_of,
    shops_answer, shops_of, their_claim, tokens, with,
};
use crate::scripted_host::{Answer, ScriptedHost, Step, run};
use serde_json::{Value, json};
use tiktok_shop_connector_core::connection::{ShopStanding, Status};
use tiktok_shop_connector_core::endpoint::business::{BusinessRequest, BusinessResponse, MAX_RESPONSE_BYTES};
use tiktok_shop_connector_core::error::{Cause, Error};
use tiktok_shop_connector_core::http::{Method, TransportFailure};
use tiktok_shop_connector_core::operation::call::{CallScope, call};
use tiktok_shop_connector_core::record::{DeadReason, Lineage};

const SEARCH: &str = "/order/202309/orders/search";

fn post(body: &str) -> BusinessRequest {
    BusinessRequest {
        method: Method::Post,
        path: SEARCH.into(),
        query: vec![("page_size".into(), "20".into())],
        content_type: None,
        body: body.as_bytes().to_vec(),
        max_response_bytes: 1 << 20,
    }
}

fn get() -> BusinessRequest {
    BusinessRequest { method: Method::Get, query: Vec::new(), ..post("") }
}

fn send(host: &ScriptedHost, scope: CallScope, request: &BusinessRequest) -> Result<BusinessResponse, Error> {
    run(call(host, customer(), scope, request))
}

/// Makes a call for a shop. Returns `ok` or the code of the error.
pub(super) fn call_for_shop(host: &ScriptedHost, shop: &str) -> &'static str {
    outcome(&send(host, CallScope::Shop(shop.into()), &get()))
}

fn search(host: &ScriptedHost) -> Result<BusinessResponse, Error> {
    send(host, CallScope::Shop("1".into()), &post("{\"a\":1}"))
}

/// Returns the line with which the scripted host records a search request that carries this access token.
fn searched(token: &str) -> String {
    format!("POST {SEARCH}?page_size=20 {token} cipher-1 @{}", NOW.seconds())
}

fn found() -> Answer {
    Answer::success(&json!({"orders": []}))
}

fn code_with(status: u16, code: i64, message: &str) -> Answer {
    Answer::json(status, &json!({"code": code, "message": message, "request_id": "req-1", "data": null}))
}

#[test]
fn a_shop_call_carries_the_cipher_and_a_seller_call_does_not() {
    let host = connected(&fresh()).answers([found(), found()]);
    let response = search(&host).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((response.status, response.code, response.request_id.as_deref()), (200, Some(0), Some("req-1")));
    assert_eq!(response.content_type.as_deref(), Some("application/json; charset=utf-8"));
    assert_eq!(serde_json::from_slice::<Value>(&response.body).unwrap()["data"], json!({"orders": []}));
    assert_eq!(outcome(&send(&host, CallScope::Seller(None), &get())), "ok");
    assert_eq!(host.sent(), [searched("AT-1"), format!("GET {SEARCH} AT-1 @{}", NOW.seconds())]);
}

#[test]
fn business_errors_and_gateway_pages_are_returned_as_answers() {
    let answers = [
        (code_with(400, 36_009_004, "Unexpected identifier shop_cipher"), 400, Some(36_009_004)),
        (code_with(200, 106_013, "shop_cipher is missing"), 200, Some(106_013)),
        (code_with(200, 98_001_004, "?"), 200, Some(98_001_004)),
        (code_with(200, 36_004_005, "of a token host"), 200, Some(36_004_005)),
        (code_with(503, 36_009_003, "internal"), 503, Some(36_009_003)),
        (code_with(400, 36_009_043, "inactive"), 400, Some(36_009_043)),
        (Answer::page(403), 403, None),
        (Answer::page(502), 502, None),
        (Answer::json(200, &json!([1])), 200, None),
    ];
    for (answer, status, code) in answers {
        let host = connected(&fresh()).answers([answer]);
        let response = search(&host).unwrap_or_else(|error| panic!("{status} {code:?}: {error}"));
        assert_eq!((response.status, response.code), (status, code));
        assert_eq!(host.sent().len(), 1);
    }
}

/// A caller must not take a redirect for TikTok's answer, or follow it. It is not known whether TikTok acted.
#[test]
fn a_redirect_is_an_error() {
    for status in [301, 302, 303, 307, 308] {
        let host = connected(&fresh()).answers([Answer::page(status)]);
        assert_eq!(cause_and_delay(search(&host)).0, Cause::Redirected, "{status}");
        assert_eq!(host.sent().len(), 1, "{status}");
    }
}

#[test]
fn an_answer_about_the_connection_is_an_error_and_nothing_is_renewed() {
    for (answer, cause) in [
        (code_with(401, 105_005, "scope"), Cause::MissingPermission),
        (code_with(401, 106_001, "signature"), Cause::SignatureRejected),
        (code_with(400, 36_009_004, "The app_key is invalid"), Cause::AppRejected),
        (code_with(400, 36_009_004, "Invalid timestamp"), Cause::ClockSkewed),
        (code_with(400, 36_009_033, "ip"), Cause::IpNotAllowed),
        (Answer::limited(Some("7")), Cause::RateLimited),
        (code_with(200, 36_009_002, "slow"), Cause::RateLimited),
    ] {
        let host = connected(&fresh()).answers([answer]);
        assert_eq!(cause_and_delay(search(&host)).0, cause);
        assert_eq!(host.sent(), [searched("AT-1")], "{cause:?}");
        assert_eq!(host.row().unwrap().connection.status, Status::Active, "{cause:?}");
    }
}

#[test]
fn a_lost_answer_may_be_retried_only_for_get() {
    let lost = |host: ScriptedHost| host.answers([Answer::Broken(TransportFailure::Interrupted)]);
    assert_eq!(cause_and_delay(search(&lost(connected(&fresh())))).0, Cause::OutcomeUnknown);
    for method in [Method::Post, Method::Put, Method::Delete] {
        let request = BusinessRequest { method, ..post("") };
        assert_eq!(outcome(&send(&lost(connected(&fresh())), CallScope::Seller(None), &request)), "outcome-unknown");
    }
    assert_eq!(outcome(&send(&lost(connected(&fresh())), CallScope::Seller(None), &get())), "answer-incomplete");
    for (failure, cause) in [
        (TransportFailure::NotConnected, "tiktok-unreachable"),
        (TransportFailure::Denied, "egress-denied"),
        (TransportFailure::TooLarge, "answer-too-large"),
    ] {
        let host = connected(&fresh()).answers([Answer::Broken(failure)]);
        assert_eq!(outcome(&search(&host)), cause);
    }
}

#[test]
fn a_refused_token_is_renewed_once_and_the_same_request_sent_again() {
    for (status, code) in [(200, 105_002), (401, 105_002), (401, 105_001)] {
        let host = connected(&fresh()).answers([code_with(status, code, "token"), pair_answer(2), found()]);
        assert_eq!(outcome(&search(&host)), "ok");
        assert_eq!(host.sent(), [searched("AT-1"), "refresh RT-1".into(), searched("AT-2")]);
        assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");
        assert_eq!(host.row().unwrap().connection.refreshed_at, NOW);
    }
}

#[test]
fn a_refused_token_that_is_no_longer_current_is_not_renewed() {
    let host =
        connected(&fresh()).answers([code_with(401, 105_002, "token"), found()]).meanwhile(Step::Send, 1, |host| {
            host.edit(|record| record.current.access = Some(crate::samples::access("AT-7")));
        });
    assert_eq!(outcome(&search(&host)), "ok");
    assert_eq!(host.sent(), [searched("AT-1"), searched("AT-7")]);
}

#[test]
fn a_token_refused_right_after_its_renewal_is_an_error_and_is_not_renewed_again() {
    let host = connected(&fresh()).answers([
        code_with(401, 105_001, "token"),
        pair_answer(2),
        code_with(401, 105_001, "token"),
    ]);
    assert_eq!(cause_and_delay(search(&host)).0, Cause::TokenRefused);
    assert_eq!(host.sent().len(), 3);
    assert_eq!(host.record().failures(), 1);
    assert_eq!(last_failure(&host.row().unwrap().connection), Some("token-refused"));

    // Here the token is due, so `call` renews it before it sends the request.
    let host = connected(&due()).answers([pair_answer(2), code_with(200, 105_002, "token")]);
    assert_eq!(cause_and_delay(search(&host)).0, Cause::TokenRefused);
    assert_eq!(host.sent(), ["refresh RT-1".into(), searched("AT-2")]);
}

#[test]
fn a_refused_token_is_not_renewed_within_ten_minutes_or_under_another_claim() {
    let recent = with(fresh(), |record| record.rotated_at = NOW.minus(100));
    let host = connected(&recent).answers([code_with(401, 105_002, "token"), code_with(401, 105_002, "token")]);
    for _ in 0..2 {
        assert_eq!(cause_and_delay(search(&host)), (Cause::BackingOff, 500));
        assert_eq!(last_failure(&host.row().unwrap().connection), Some("token-refused"), "the row shows it");
        assert_eq!((host.record().failures(), host.refresh_due_at()), (1, host.record().not_before()));
        assert!(host.refresh_due_at() >= Some(NOW.plus(500)), "a refresh is due after the ten minutes");
    }
    let host = connected(&fresh()).answers([code_with(401, 105_001, "token")]).meanwhile(Step::Send, 1, |host| {
        host.edit(|record| record.claim = Some(their_claim("RT-1")));
    });
    assert_eq!(cause_and_delay(search(&host)).0, Cause::RefreshInProgress);
    assert_eq!(host.sent(), [searched("AT-1")]);
}

#[test]
fn a_refused_token_of_a_dead_grant_asks_for_a_new_consent() {
    let host = connected(&fresh()).answers([code_with(401, 105_001, "token"), Answer::code(36_004_005)]);
    assert_eq!(outcome(&search(&host)), "authorization-revoked");
    let status = host.row().unwrap().connection.status;
    assert_eq!(status, Status::ReauthorizationRequired(DeadReason::AuthorizationRevoked));
    let ended = with(expired(), |record| record.dead = Some(DeadReason::RefreshOutcomeUnknown));
    assert_eq!(outcome(&search(&connected(&ended))), "refresh-outcome-unknown");
}

#[test]
fn a_wrong_clock_is_corrected_by_tiktoks_own_date_once() {
    let skewed = || code_with(400, 36_009_004, "Invalid timestamp").dated("Thu, 01 Jan 2026 01:00:00 GMT");
    let host = connected(&fresh()).answers([skewed(), found()]);
    assert_eq!(outcome(&search(&host)), "ok");
    let corrected = searched("AT-1").replace(&NOW.seconds().to_string(), &NOW.plus(3600).seconds().to_string());
    assert_eq!(host.sent(), [searched("AT-1"), corrected]);

    for (date, told) in [
        ("Thu, 01 Jan 2026 01:00:00 GMT", "3600 s behind TikTok's"),
        ("Wed, 31 Dec 2025 23:59:00 GMT", "60 s ahead of TikTok's"),
    ] {
        let twice = [(); 2].map(|()| code_with(400, 36_009_004, "Invalid timestamp").dated(date));
        let error = search(&connected(&fresh()).answers(twice)).err().expect("an error");
        assert_eq!(error.cause, Cause::ClockSkewed);
        assert!(error.detail().contains(told), "{error}");
    }
    // `refresh` corrects the timestamp in the same way when it reads the shops.
    let host = connected(&fresh()).answers([skewed(), shops_answer(&["1", "2"])]);
    assert_eq!(outcome(&super::refresh_when_due(&host)), "ok");
}

#[test]
fn only_linked_shops_that_are_still_granted_are_served() {
    let with_shop = |edit: fn(&mut tiktok_shop_connector_core::connection::Shop)| {
        let mut row = row_of(&key(), &fresh(), &["1"]);
        edit(&mut row.connection.shops[0]);
        let host = ScriptedHost::with_record(&fresh());
        host.put_row(&row);
        host
    };
    assert_eq!(outcome(&search(&with_shop(|shop| shop.linked = false))), "shop-not-linked");
    assert_eq!(
        outcome(&search(&with_shop(|shop| shop.standing = ShopStanding::NoLongerGranted))),
        "shop-no-longer-granted"
    );
    assert_eq!(outcome(&search(&with_shop(|shop| shop.listed.id = "2".into()))), "unknown-shop");
    assert_eq!(outcome(&search(&ScriptedHost::new())), "unknown-shop");
    let inactive = with_shop(|shop| shop.standing = ShopStanding::Inactive).answers([found()]);
    assert_eq!(outcome(&search(&inactive)), "ok");
    let uncyphered = with_shop(|shop| shop.listed.cipher = None).answers([found()]);
    assert_eq!(outcome(&search(&uncyphered)), "ok");
    assert_eq!(uncyphered.sent(), [searched("AT-1").replace(" cipher-1", "")], "TikTok decides whether it needs one");
}

#[test]
fn a_shop_whose_cipher_is_gone_is_shown_and_the_next_refresh_reads_it_again() {
    let missing = || code_with(200, 106_013, "shop_cipher is missing");
    let host = ScriptedHost::with_record(&fresh()).answers([missing(), shops_answer(&["1"]), found(), missing()]);
    let mut row = row_of(&key(), &fresh(), &["1"]);
    row.connection.shops[0].listed.cipher = None;
    host.put_row(&row);
    assert_eq!(cause_and_delay(search(&host)).0, Cause::ShopCipherMissing);
    assert_eq!(last_failure(&host.row().unwrap().connection), Some("shop-cipher-missing"));
    assert_eq!(host.refresh_due_at(), Some(NOW), "a sweep reads the list");
    assert_eq!(last_failure(&super::refresh_when_due(&host).unwrap()), None);
    assert_eq!(host.refresh_due_at(), Some(fresh().due_at()));
    assert_eq!(outcome(&search(&host)), "ok");
    assert_eq!(outcome(&search(&host)), "ok", "TikTok got the cipher, so the answer is for the caller");
    let cipherless = searched("AT-1").replace(" cipher-1", "");
    assert_eq!(host.sent(), [cipherless, "shops AT-1".into(), searched("AT-1"), searched("AT-1")]);
}

#[test]
fn the_shops_of_a_revived_connection_are_unconfirmed_until_they_are_listed() {
    let answers = [Answer::code(36_004_005), pair_answer(2), Answer::page(500), shops_answer(&["1", "2"]), found()];
    let host = connected(&expired()).answers(answers);
    assert_eq!(outcome(&search(&host)), "authorization-revoked");
    assert_eq!(shops_of(&host.row().unwrap().connection), "1 unconfirmed linked, 2 unconfirmed linked");
    assert_eq!(outcome(&super::refresh_forced(&host)), "tiktok-unavailable");
    let connection = host.row().unwrap().connection;
    assert_eq!(
        (connection.status, shops_of(&connection).as_str()),
        (Status::Active, "1 unconfirmed linked, 2 unconfirmed linked")
    );
    assert_eq!(cause_and_delay(search(&host)), (Cause::ShopUnconfirmed, 60));
    assert_eq!(host.refresh_due_at(), host.record().not_before(), "a refresh is due");
    assert_eq!(shops_of(&super::refresh_when_due(&host).unwrap()), "1 granted linked, 2 granted linked");
    assert_eq!(outcome(&search(&host)), "ok");
}

#[test]
fn a_cipher_of_an_earlier_grant_is_never_used() {
    let host = ScriptedHost::with_record(&fresh());
    host.put_row(&row_of(&key(), &with(fresh(), |record| record.lineage = Lineage([0x22; 16])), &["1"]));
    assert_eq!(outcome(&search(&host)), "unknown-shop");
    let orphan = ScriptedHost::new();
    orphan.put_row(&row_of(&key(), &fresh(), &["1"]));
    assert_eq!(outcome(&search(&orphan)), "not-connected");
    assert!(host.sent().is_empty() && orphan.sent().is_empty());
}

#[test]
fn if_two_accounts_have_the_shop_the_living_grant_is_used() {
    let dead = with(expired(), |record| record.dead = Some(DeadReason::AuthorizationExpired));
    let host = connected(&dead).answers([found()]);
    let other = key_of("customer-1", "account-2");
    host.put(&other, &with(fresh(), |record| record.current.access = Some(crate::samples::access("AT-9"))));
    host.put_row(&row_of(&other, &fresh(), &["1"]));
    assert_eq!(outcome(&search(&host)), "ok");
    assert_eq!(host.sent(), [searched("AT-9")]);
}

#[test]
fn a_malformed_request_is_refused_before_any_effect() {
    let parameter = |name: &str, value: &str| BusinessRequest { query: vec![(name.into(), value.into())], ..get() };
    let path = |path: &str| BusinessRequest { path: path.into(), ..get() };
    let typed = |text: &str| BusinessRequest { content_type: Some(text.into()), ..post("{}") };
    let malformed = [
        path(""),
        path("order/202309"),
        path("/"),
        path("//order"),
        path("/order/"),
        path("/order//x"),
        path("/order/../authorization"),
        path("/order/."),
        path("/order?x=1"),
        path("/order#x"),
        path("/order/a b"),
        path("/order/%2e%2e"),
        path("/order/\u{e9}"),
        path("/order\r\nx: y"),
        path("/order\\x"),
        path(&format!("/{}", "x".repeat(8192))),
        parameter("", "x"),
        parameter("x", ""),
        parameter("app_key", "x"),
        parameter("timestamp", "1"),
        parameter("sign", "x"),
        parameter("access_token", "x"),
        parameter("shop_cipher", "x"),
        BusinessRequest {
            query: vec![("a".into(), "1".into()), ("b".into(), "2".into()), ("a".into(), "1".into())],
            ..get()
        },
        BusinessRequest { body: b"{}".to_vec(), ..get() },
        BusinessRequest { max_response_bytes: 0, ..get() },
        typed(""),
        typed("text/plain\r\nx: y"),
        typed("t\u{e4}xt"),
        typed(&"x".repeat(257)),
    ];
    for request in malformed {
        let host = connected(&fresh());
        assert_eq!(
            outcome(&send(&host, CallScope::Seller(None), &request)),
            "call-malformed",
            "{} {:?}",
            request.path,
            request.query
        );
        assert!(host.effects().is_empty());
    }
}

#[test]
fn the_callers_limit_on_the_answer_counts_up_to_the_connectors_limit() {
    for (asked, kept) in [(100, 100), (u32::MAX, MAX_RESPONSE_BYTES)] {
        let request = BusinessRequest { max_response_bytes: asked, ..get() };
        assert_eq!(request.api_request(&[], None).max_response_bytes, kept);
    }
}

#[test]
fn a_token_that_ended_is_renewed_before_the_call() {
    let host = connected(&expired()).answers([pair_answer(2), found()]);
    assert_eq!(outcome(&search(&host)), "ok");
    assert_eq!(host.sent(), ["refresh RT-1".into(), searched("AT-2")]);
    assert_eq!(host.record().current().access_ends, Some(NOW.plus(14 * DAY)));
}
