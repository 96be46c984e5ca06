//! Tests that a sweep never calls `refresh` in a loop. A sweep calls `refresh` for every due connection. After such a
//! call, whatever happened in it, the record is due later or never. So there is a pause before the next call for the
//! same connection, and the number of requests stays limited.

use super::{connected, refresh_when_due};
use crate::samples::{
    DAY, NOW, due, expired, fresh, outcome, pair_answer, pair_answer_with, refresh_token, shops_answer, their_claim,
    with,
};
use crate::scripted_host::{Answer, ScriptedHost};
use serde_json::json;
use tiktok_shop_connector_core::http::TransportFailure;
use tiktok_shop_connector_core::record::{DeadReason, TokenRecord};

fn records() -> Vec<(&'static str, TokenRecord)> {
    let claimed = |record| with(record, |record| record.claim = Some(their_claim("RT-1")));
    let just_granted = with(fresh(), |record| (record.granted_at, record.rotated_at) = (NOW, NOW));
    vec![
        ("fresh", fresh()),
        ("just granted", just_granted),
        ("due", due()),
        ("expired", expired()),
        ("unknown end", with(due(), |record| record.current.access_ends = None)),
        ("no access token", with(due(), |record| (record.current.access, record.current.access_ends) = (None, None))),
        ("claimed", claimed(due())),
        ("claimed and fresh", claimed(fresh())),
        ("claimed and expired", claimed(expired())),
        ("fallback", with(due(), |record| record.fallbacks = vec![refresh_token("RT-0")])),
        ("notice", with(fresh(), |record| record.verify = true)),
        ("held back", with(expired(), |record| (record.failures, record.not_before) = (2, Some(NOW.plus(60))))),
        ("held back by a wrong clock", with(due(), |record| record.not_before = Some(NOW.plus(DAY)))),
        ("dead", with(expired(), |record| record.dead = Some(DeadReason::AuthorizationExpired))),
    ]
}

fn token_answers() -> Vec<Answer> {
    vec![
        pair_answer(2),
        pair_answer_with(2, &json!({"access_token_expire_in": NOW.plus(400).seconds()})),
        pair_answer_with(2, &json!({"access_token_expire_in": 604_800})),
        pair_answer_with(2, &json!({"access_token": ""})),
        pair_answer_with(2, &json!({"refresh_token": ""})),
        pair_answer_with(2, &json!({"open_id": "account-9"})),
        Answer::success(&json!({})),
        Answer::code(36_004_001),
        Answer::code(98_001_004),
        Answer::code(106_001),
        Answer::limited(None),
        Answer::page(500),
        Answer::Broken(TransportFailure::Interrupted),
        Answer::Broken(TransportFailure::NotConnected),
        Answer::Broken(TransportFailure::Denied),
    ]
}

fn shop_answers() -> Vec<Answer> {
    vec![
        shops_answer(&["1", "2"]),
        shops_answer(&[]),
        Answer::code(105_001),
        Answer::code(105_002),
        Answer::code(105_005),
        Answer::code(36_009_044),
        Answer::success(&json!(null)),
        Answer::limited(Some("900")),
        Answer::page(500),
        Answer::Broken(TransportFailure::Interrupted),
    ]
}

#[test]
fn after_every_completed_refresh_the_record_is_due_later_or_never() {
    for (state, record) in records() {
        for token_answer in token_answers() {
            for shop_answer in shop_answers() {
                let (to_refresh, to_list) = (token_answer.clone(), shop_answer.clone());
                let host = connected(&record).tiktok(move |request| {
                    if request.starts_with("refresh") { to_refresh.clone() } else { to_list.clone() }
                });
                // A `connect` that crashed leaves a record that is due at once. Such a record has no claim and no
                // pause, and is not dead.
                if record.current_claim().is_none() && record.not_before().is_none() && record.dead().is_none() {
                    host.put_due_now(&record);
                }
                for round in 0..4 {
                    let heard = outcome(&refresh_when_due(&host));
                    let case = || format!("{state}, {token_answer:?}, {shop_answer:?}, round {round}: {heard}");
                    let Some(due_at) = host.refresh_due_at() else {
                        assert!(host.record().dead().is_some(), "{}", case());
                        break;
                    };
                    assert!(due_at > host.wall(), "{}", case());
                    host.pass(due_at.since(host.wall()));
                }
            }
        }
    }
}

/// Simulates one day of sweeps. All day, TikTok gives the same answer to each refresh, and the same answer to each
/// request for the shops.
#[test]
fn a_lasting_failure_causes_a_limited_number_of_requests() {
    let day = |record: &TokenRecord, token_answer: Answer, shop_answer: Answer| {
        let host = connected(record).tiktok(move |request| {
            if request.starts_with("refresh") { token_answer.clone() } else { shop_answer.clone() }
        });
        host.put_due_now(record);
        let end = NOW.plus(DAY);
        for _ in 0..1000 {
            let Some(due_at) = host.refresh_due_at().filter(|due_at| *due_at < end) else {
                return host.sent().len();
            };
            host.pass(due_at.since(host.wall()));
            let _any_outcome = refresh_when_due(&host);
        }
        panic!("more than 1000 calls in a day");
    };
    let shops = || shops_answer(&["1"]);
    assert_eq!(day(&expired(), Answer::code(36_004_001), shops()), 1, "a grant that TikTok rejects is tried once");
    assert_eq!(day(&fresh(), pair_answer(2), shops()), 1, "the shops of a fresh grant are read once");
    // The pause after a failure doubles from 30 s to one hour, so a day has at most 32 attempts.
    assert!(day(&expired(), Answer::Broken(TransportFailure::NotConnected), shops()) <= 32);
    assert!(day(&fresh(), pair_answer(2), Answer::page(500)) <= 32);
    // After this answer it is unknown whether TikTok acted. So the next request follows only when the claim has lapsed,
    // after 120 s.
    assert!(day(&expired(), Answer::page(500), shops()) <= 86_400 / 120);
}

/// A token is renewed between 24 and 22 hours before it expires. For tokens that are valid for seven days, that is one
/// rotation in about six days.
#[test]
fn a_year_of_seven_day_tokens_takes_at_most_65_rotations() {
    let mut host = ScriptedHost::with_record(&due());
    let mut rotations = 0;
    while host.wall() < NOW.plus(365 * DAY) {
        rotations += 1;
        // The number is checked in the loop, because a record that is due too soon would make the loop very long.
        assert!(rotations <= 65, "more than 65 by day {}", host.wall().since(NOW) / DAY);
        let ends = host.wall().plus(7 * DAY);
        let pair = pair_answer_with(rotations + 1, &json!({"access_token_expire_in": ends.seconds()}));
        host = host.answers([pair, shops_answer(&["1"])]);
        assert_eq!(outcome(&refresh_when_due(&host)), "ok");
        let due_at = host.refresh_due_at().unwrap();
        assert!(due_at < ends.minus(DAY / 2), "the token is renewed well before it expires");
        host.pass(due_at.since(host.wall()));
    }
    assert!(rotations >= 58, "{rotations}");
}
