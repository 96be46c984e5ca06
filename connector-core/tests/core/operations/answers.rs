//! Tests unusual answers from TikTok: a content coding, another charset, half a character, a time that cannot be true,
//! a refusal in another form. The connector loses no tokens, code, shop or event because of them.

use super::{connect_all, connected, refresh_forced, refresh_when_due, refreshed};
use crate::samples::{
    APP_KEY, APP_SECRET, DAY, NOW, account, cause_and_delay, customer, due, fresh, last_failure, outcome, pair_answer,
    pair_answer_with, pair_data, shops_answer, shops_of, stored_form, their_claim, tokens, with,
};
use crate::scripted_host::{Answer, ScriptedHost, Step, run};
use serde_json::{Value, json};
use tiktok_shop_connector_core::connection::{ShopStanding, Status};
use tiktok_shop_connector_core::endpoint::business::{BusinessRequest, BusinessResponse};
use tiktok_shop_connector_core::error::{Action, Cause, Error};
use tiktok_shop_connector_core::http::{Method, TransportFailure};
use tiktok_shop_connector_core::operation::call::{CallScope, call};
use tiktok_shop_connector_core::operation::receive_webhook::{Received, WebhookEffect, receive_webhook};
use tiktok_shop_connector_core::operation::refresh::{RefreshEffect, RefreshMode};
use tiktok_shop_connector_core::secret::AppSecret;
use tiktok_shop_connector_core::signing::Webhook;

const JSON: &str = "application/json";

fn envelope(data: &Value) -> String {
    json!({"code": 0, "message": "success", "request_id": "req-1", "data": data}).to_string()
}

fn coded(coding: &'static str, body: Vec<u8>) -> Answer {
    Answer::Bytes { content_type: JSON, content_encoding: Some(coding), body }
}

fn search(host: &ScriptedHost, method: Method) -> Result<BusinessResponse, Error> {
    let body = if method == Method::Get { Vec::new() } else { b"{\"a\":1}".to_vec() };
    let request = BusinessRequest {
        method,
        path: "/order/202309/orders/search".into(),
        query: Vec::new(),
        content_type: None,
        body,
        max_response_bytes: 1 << 16,
    };
    run(call(host, customer(), CallScope::Shop("1".into()), &request))
}

// Content codings.

#[test]
fn an_answer_that_is_only_said_to_be_coded_is_read() {
    // Either a gateway has decoded the body and has not removed the header `content-encoding`, or the header names no
    // real coding.
    for coding in ["gzip", "br", "identity", ""] {
        let answer = coded(coding, envelope(&pair_data(2)).into_bytes());
        let host = connected(&due()).answers([answer, shops_answer(&["1", "2"])]);
        assert_eq!(outcome(&refresh_when_due(&host)), "ok", "{coding}");
        assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]", "{coding}");
    }
    let refusal = json!({"code": 36_004_005, "message": "no", "request_id": "req-1"}).to_string();
    let host = connected(&due()).answers([coded("identity", refusal.into_bytes())]);
    assert_eq!(outcome(&refresh_when_due(&host)), "authorization-revoked");
}

#[test]
fn an_unknown_coding_has_an_unknown_outcome_and_nothing_is_lost() {
    let host = connected(&due()).answers([coded("gzip", b"\x1f\x8b\x08gibberish".to_vec())]);
    assert_eq!(cause_and_delay(refresh_when_due(&host)), (Cause::AnswerCoded, 120));
    assert_eq!(tokens(&host.record()), "AT-1 RT-1 [] claimed");
    let failure = host.row().unwrap().connection.last_failure.unwrap();
    assert!(failure.detail.ends_with("[content-encoding: gzip]"), "{}", failure.detail);

    let host = ScriptedHost::new().answers([coded("zstd", vec![0x28, 0xb5, 0x2f, 0xfd])]);
    let error = connect_all(&host).err().unwrap();
    assert_eq!(
        (error.cause, error.cause.action()),
        (Cause::AnswerCoded, Action::RetryAfter),
        "the code may be unspent"
    );
}

#[test]
fn a_call_whose_answer_is_in_an_unknown_coding_is_an_error() {
    let unknown = || coded("br", b"gibberish".to_vec());
    assert_eq!(outcome(&search(&connected(&fresh()).answers([unknown()]), Method::Get)), "answer-coded");
    assert_eq!(outcome(&search(&connected(&fresh()).answers([unknown()]), Method::Post)), "outcome-unknown");
}

// Charsets and characters.

#[test]
fn another_charset_costs_no_pair() {
    let name = json!({"seller_name": "Café"});
    let mut data = pair_data(2);
    data["seller_name"] = name["seller_name"].clone();
    let text = envelope(&data);
    let utf16 = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<_>>();
    let latin1: Vec<_> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    for (content_type, body) in [
        ("application/json; charset=utf-16le", utf16(u16::to_le_bytes)),
        ("application/json; charset=utf-16", utf16(u16::to_be_bytes)),
        (JSON, [b"\xff\xfe".to_vec(), utf16(u16::to_le_bytes)].concat()),
        ("application/json; charset=ISO-8859-1", latin1),
        (JSON, [b"\xef\xbb\xbf".to_vec(), text.clone().into_bytes()].concat()),
    ] {
        let answer = Answer::Bytes { content_type, content_encoding: None, body };
        let host = connected(&due()).answers([answer, shops_answer(&["1", "2"])]);
        assert_eq!(refresh_when_due(&host).unwrap().seller_name, "Café", "{content_type}");
        assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]", "{content_type}");
    }
}

#[test]
fn half_a_surrogate_pair_does_not_empty_a_name() {
    let list = r#"{"code":0,"data":{"shops":[{"id":"1","name":"Teapot Corner \ud83d","region":"GB","cipher":"c"}]}}"#;
    let answer = Answer::Bytes { content_type: JSON, content_encoding: None, body: list.into() };
    let host = connected(&fresh()).answers([answer]);
    assert_eq!(refresh_when_due(&host).unwrap().shops[0].listed.name, "Teapot Corner \u{fffd}");

    let pair = envelope(&pair_data(2)).replace("\"Seller\"", r#""\udc00 Seller","\ud83d":1"#);
    let answer = Answer::Bytes { content_type: JSON, content_encoding: None, body: pair.into() };
    let host = connected(&due()).answers([answer, shops_answer(&["1", "2"])]);
    assert_eq!(refresh_when_due(&host).unwrap().seller_name, "\u{fffd} Seller");
    assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");
}

// Kinds of sellers.

#[test]
fn every_kind_of_seller_connects_and_the_kind_is_kept() {
    for (user_type, kept) in [
        (json!(0), None),
        (json!(null), None),
        (json!("seller"), None),
        (json!(4), Some(4)),
        (json!("5"), Some(5)),
        (json!(6), Some(6)),
        (json!(-1), Some(-1)),
    ] {
        let host =
            ScriptedHost::new().answers([pair_answer_with(1, &json!({"user_type": user_type})), shops_answer(&["1"])]);
        assert_eq!(outcome(&connect_all(&host)), "ok", "{user_type}");
        assert_eq!(host.record().profile().user_type.map(|kind| kind.0), kept, "{user_type}");
    }
    for user_type in [json!(1), json!(2), json!(3), json!("1")] {
        let host = ScriptedHost::new().answers([pair_answer_with(1, &json!({"user_type": user_type}))]);
        assert_eq!(outcome(&connect_all(&host)), "not-a-seller", "{user_type}");
    }
    // If TikTok sends no kind at a refresh, the stored kind is kept. If TikTok sends another kind, that kind is stored.
    let host = ScriptedHost::new().answers([
        pair_answer_with(1, &json!({"user_type": 4})),
        shops_answer(&["1"]),
        pair_answer_with(2, &json!({"user_type": null})),
        shops_answer(&["1"]),
        pair_answer_with(3, &json!({"user_type": 0})),
        shops_answer(&["1"]),
    ]);
    assert_eq!(outcome(&connect_all(&host)), "ok");
    for kept in [Some(4), None] {
        assert_eq!(outcome(&refresh_forced(&host)), "ok");
        assert_eq!(host.record().profile().user_type.map(|kind| kind.0), kept);
    }
}

// Refusals.

fn header_is_invalid() -> Answer {
    let message = "Invalid credentials. The 'x-tts-access-token' header is invalid. For more details: https://m.tiktok.shop/s/fixture";
    Answer::json(400, &json!({"code": 36_009_004, "message": message, "request_id": "r2", "data": null}))
}

#[test]
fn a_refusal_that_names_the_token_header_is_a_refused_token() {
    let host = connected(&fresh()).answers([header_is_invalid(), pair_answer(2), shops_answer(&["1", "2"])]);
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(host.sent(), ["shops AT-1", "refresh RT-1", "shops AT-2"]);

    let found = Answer::success(&json!({"orders": []}));
    let host = connected(&fresh()).answers([header_is_invalid(), pair_answer(2), found]);
    assert_eq!(outcome(&search(&host, Method::Post)), "ok");
    assert_eq!(host.sent().len(), 3, "{:?}", host.sent());

    for operation in [
        |host: &ScriptedHost| outcome(&refresh_when_due(host)),
        |host: &ScriptedHost| outcome(&search(host, Method::Get)),
    ] {
        let host = connected(&fresh()).answers([header_is_invalid(), Answer::code(36_004_005)]);
        assert_eq!(operation(&host), "authorization-revoked", "the connection does not stay active for ever");
    }
}

#[test]
fn an_inactive_authorization_is_never_an_error_that_asks_to_call_again() {
    let inactive =
        || Answer::json(200, &json!({"code": 105_004, "message": "auth state is inactive", "request_id": "r3"}));
    let upstream = |error: Error| (error.cause.code(), error.cause.action());
    let expected = ("authorization-inactive", Action::Upstream);

    let host = connected(&fresh()).answers([inactive()]);
    assert_eq!(refresh_when_due(&host).err().map(upstream), Some(expected));
    assert_eq!(last_failure(&host.row().unwrap().connection), Some("authorization-inactive"));
    assert!(host.refresh_due_at() > Some(NOW), "a sweep does not call in a loop");
    assert_eq!(search(&connected(&fresh()).answers([inactive()]), Method::Post).err().map(upstream), Some(expected));
    // In this case TikTok's token server sends the same refusal.
    let host = connected(&due()).answers([inactive()]);
    assert_eq!(refresh_when_due(&host).err().map(upstream), Some(expected));
    assert_eq!(tokens(&host.record()), "AT-1 RT-1 []");
    // A webhook has said that the app was removed. This answer does not show whether the grant has ended, so the record
    // keeps its mark `verify`.
    let host = connected(&with(fresh(), |record| record.verify = true)).answers([inactive()]);
    assert_eq!(refresh_when_due(&host).err().map(upstream), Some(expected));
    assert!(host.record().awaits_verification());
}

#[test]
fn an_unrecognised_code_of_the_api_host_is_shown_after_five_failures() {
    let host = connected(&fresh()).tiktok(|_| Answer::code(98_001_004));
    for attempt in 0..7 {
        let expected = if attempt < 5 { "unrecognised-answer" } else { "unrecognised-answer-repeated" };
        assert_eq!(outcome(&refresh_when_due(&host)), expected, "{attempt}");
        host.pass(3600);
    }
}

// Times.

#[test]
fn an_end_of_a_refresh_token_that_cannot_be_true_is_unknown() {
    for end in
        [json!(31_536_000), json!("31536000"), json!(0), json!(NOW.minus(DAY).seconds()), json!(31_536_000_000_u64)]
    {
        let answer = || pair_answer_with(1, &json!({"refresh_token_expire_in": end}));
        let host = ScriptedHost::new().answers([answer(), shops_answer(&["1"])]);
        let connection = connect_all(&host).unwrap();
        assert_eq!((connection.status, connection.refresh_ends), (Status::Active, None), "{end}");
        assert_eq!(host.row().unwrap().connection.status, Status::Active, "{end}");
        // The answer to a refresh contains the same impossible end. The record keeps the believable end from the
        // consent.
        let host = connected(&due()).answers([answer(), shops_answer(&["1", "2"])]);
        let connection = refresh_when_due(&host).unwrap();
        assert_eq!(
            (connection.status, connection.refresh_ends),
            (Status::Active, due().current().refresh_ends),
            "{end}"
        );
    }
    let host = ScriptedHost::new()
        .answers([pair_answer_with(1, &json!({"refresh_token_expire_in": "4912765591"})), shops_answer(&["1"])]);
    assert_eq!(connect_all(&host).unwrap().refresh_ends.map(|end| end.seconds()), Some(4_912_765_591));
}

#[test]
fn an_end_that_was_stored_although_it_cannot_be_true_goes_away_with_the_next_pair() {
    let stored = with(due(), |record| record.current.refresh_ends = Some(NOW.minus(55 * 365 * DAY)));
    let answer = pair_answer_with(2, &json!({"refresh_token_expire_in": 31_536_000}));
    let host = connected(&stored).answers([answer, shops_answer(&["1", "2"])]);
    let connection = refresh_when_due(&host).unwrap();
    assert_eq!((connection.status, connection.refresh_ends), (Status::Active, None));
}

#[test]
fn the_end_of_the_earlier_consent_is_not_the_end_of_a_new_one() {
    let ending = with(fresh(), |record| record.current.refresh_ends = Some(NOW.plus(DAY)));
    let answer = pair_answer_with(2, &json!({"refresh_token_expire_in": null}));
    let host = connected(&ending).answers([answer, shops_answer(&["1", "2"])]);
    assert_eq!(connect_all(&host).unwrap().status, Status::Active);
}

// Webhooks.

fn receive(host: &ScriptedHost, body: &[u8]) -> Result<Received, Error> {
    let signature =
        Webhook { app_key: APP_KEY, body, authorization: b"" }.signature(&AppSecret::new(APP_SECRET.into()));
    run(receive_webhook(host, None, signature.as_bytes(), body))
}

#[test]
fn a_byte_that_is_not_utf_8_and_a_byte_order_mark_cost_no_removal() {
    for body in [
        b"{\"type\":6,\"shop_id\":\"1\",\"data\":{\"message\":\"Caf\xe9\"}}".as_slice(),
        b"\xef\xbb\xbf{\"type\":6,\"shop_id\":\"1\"}",
        b"{\"type\":6,\"shop_id\":\"1\",\"\xff\":0,\"data\":\"\\ud83d\"}",
    ] {
        let host = connected(&fresh());
        let received = receive(&host, body).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((received.effect, received.owners.len()), (WebhookEffect::VerificationDue, 1));
        assert!(host.record().awaits_verification());
    }
}

#[test]
fn a_removal_whose_time_cannot_be_true_counts_as_new() {
    for time in [json!(0), json!(1), json!(604_800), json!("soon"), json!(-5), json!(NOW.seconds() * 1_000_000)] {
        let event = json!({"type": 6, "shop_id": "1", "timestamp": time});
        let received = receive(&connected(&fresh()), event.to_string().as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(received.effect, WebhookEffect::VerificationDue, "{time}");
    }
}

#[test]
fn an_announced_end_that_cannot_be_true_is_not_shown() {
    let end = |number: u64| json!({"type": 7, "shop_id": "1", "timestamp": NOW.seconds(), "data": {"expiration_time": number}});
    for number in [1, 2_592_000, NOW.minus(2 * DAY).seconds(), NOW.plus(401 * DAY).seconds(), 4_912_765_591] {
        let host = connected(&fresh());
        let received = receive(&host, end(number).to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(received.effect, WebhookEffect::None, "{number}");
        assert_eq!(host.row().unwrap().connection.status, Status::Active, "{number}");
    }
    let host = connected(&fresh());
    let in_microseconds = NOW.plus(30 * DAY).seconds() * 1_000_000;
    let received =
        receive(&host, end(in_microseconds).to_string().as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(received.effect, WebhookEffect::AuthorizationEnding);
    assert_eq!(host.row().unwrap().connection.status, Status::AuthorizationEnding(NOW.plus(30 * DAY)));
}

// Shops.

#[test]
fn one_bad_entry_costs_no_other_shop_and_is_shown() {
    let bad = Answer::success(&json!({"shops": [{"id": "3", "cipher": "cipher-3"}, {"name": "no id"}]}));
    // A new seller gets the shops whose entries are good.
    let host = ScriptedHost::new().answers([pair_answer(1), bad.clone()]);
    let connection = connect_all(&host).unwrap();
    assert_eq!(
        (shops_of(&connection).as_str(), last_failure(&connection)),
        ("3 granted linked", Some("shop-entry-unreadable"))
    );
    let detail = connection.last_failure.unwrap().detail;
    assert!(detail.contains("entry 2 has no readable id"), "{detail}");
    assert!(host.refresh_due_at() > Some(NOW.plus(DAY)), "the list is not read again and again");

    // The bad entry may be any shop, so no known shop is marked as gone.
    let host = connected(&fresh()).answers([bad.clone(), shops_answer(&["2"])]);
    let connection = refresh_when_due(&host).unwrap();
    assert_eq!(shops_of(&connection), "3 granted linked, 1 granted linked, 2 granted linked");
    assert_eq!(last_failure(&connection), Some("shop-entry-unreadable"));
    let connection = refresh_when_due(&host).unwrap();
    assert_eq!(shops_of(&connection), "2 granted linked, 3 gone linked, 1 gone linked", "a complete list decides");
    assert_eq!(last_failure(&connection), None);

    // Shop 2 was gone before the refresh, and stays gone. A webhook has said that the app was removed. A list with a
    // bad entry does not verify the grant, so the record keeps its mark `verify`.
    let host = connected(&with(fresh(), |record| record.verify = true)).answers([bad]);
    let mut row = host.row().unwrap();
    row.connection.shops[1].standing = ShopStanding::NoLongerGranted;
    host.put_row(&row);
    assert_eq!(shops_of(&refresh_when_due(&host).unwrap()), "3 granted linked, 1 granted linked, 2 gone linked");
    assert!(host.record().awaits_verification());
    assert!(host.refresh_due_at() > Some(NOW));
}

// The effect of a refresh.

#[test]
fn a_refresh_says_what_it_did() {
    let effect = |host: &ScriptedHost, mode: RefreshMode| match refreshed(host, mode) {
        Ok(refreshed) => match refreshed.effect {
            RefreshEffect::Renewed => "renewed".into(),
            RefreshEffect::ShopsRead => "shops-read".into(),
            RefreshEffect::NothingSent(error) => format!("{} {}", error.cause.code(), error.delay.as_secs()),
        },
        Err(error) => format!("error {}", error.cause.code()),
    };
    let lists = |host: ScriptedHost| host.tiktok(|_| shops_answer(&["1", "2"]));
    assert_eq!(effect(&lists(connected(&due()).answers([pair_answer(2)])), RefreshMode::WhenDue), "renewed");
    assert_eq!(effect(&lists(connected(&fresh())), RefreshMode::WhenDue), "shops-read");
    assert_eq!(effect(&lists(connected(&fresh()).answers([pair_answer(2)])), RefreshMode::Forced), "renewed");
    let refused = connected(&fresh()).answers([Answer::code(105_001), pair_answer(2)]);
    assert_eq!(effect(&lists(refused), RefreshMode::WhenDue), "renewed");

    // The answer to the first refresh cannot be read. The claim of this refresh lasts 120 s. Until it lapses, a forced
    // refresh sends nothing.
    let host = lists(connected(&due()).answers([Answer::page(200), pair_answer(2)]));
    assert_eq!(effect(&host, RefreshMode::Forced), "error answer-unreadable");
    let said = effect(&host, RefreshMode::Forced);
    assert!(said == "refresh-in-progress 1", "{said}");
    host.pass(119);
    assert_eq!(effect(&host, RefreshMode::Forced), "refresh-in-progress 1");
    assert_eq!(host.sent(), ["refresh RT-1"]);
    host.pass(1);
    assert_eq!(effect(&host, RefreshMode::Forced), "renewed");

    // For a host whose clock is three minutes ahead, the refresh is due. But by the clock of the storage, the claim of
    // the failed refresh lives for another two minutes.
    let host = connected(&due()).answers([Answer::Broken(TransportFailure::Interrupted)]);
    assert_eq!(effect(&host, RefreshMode::WhenDue), "error answer-incomplete");
    host.wall_clock_jumps(180);
    assert!(host.refresh_due_at() <= Some(host.wall()));
    assert_eq!(effect(&host, RefreshMode::WhenDue), "refresh-in-progress 1");
    assert_eq!(host.sent(), ["refresh RT-1"]);

    // After a failure, an unforced refresh must wait.
    let host = connected(&due()).answers([Answer::limited(Some("300"))]);
    assert_eq!(effect(&host, RefreshMode::WhenDue), "error rate-limited");
    let said = effect(&host, RefreshMode::WhenDue);
    assert!(said.starts_with("backing-off 3"), "{said}");
    // Another call holds the claim. If the access token is not valid either, the refresh fails.
    let held =
        with(due(), |record| (record.claim, record.current.access_ends) = (Some(their_claim("RT-1")), Some(NOW)));
    assert_eq!(effect(&connected(&held), RefreshMode::Forced), "error refresh-in-progress");
    let held = with(due(), |record| record.claim = Some(their_claim("RT-1")));
    let host = connected(&held);
    assert_eq!(
        refreshed(&host, RefreshMode::WhenDue).unwrap_or_else(|e| panic!("{e}")).connection.key.account,
        account()
    );
    assert_eq!(stored_form(&host.record()), stored_form(&held));
    assert!(!host.effects().contains(&Step::Send));
}
