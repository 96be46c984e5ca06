//! Tests `refresh`. Before `refresh` sends a refresh token, it stores a claim, which tells other callers that this
//! token is being sent. It handles each kind of answer in its own way, and stores a new pair before it does anything
//! else that can fail.

use super::{connected, refresh_forced, refresh_when_due};
use crate::samples::{
    DAY, NOW, access, account, cause_and_delay, customer, due, expired, fresh, key, key_of, last_failure, outcome,
    pair_answer, pair_answer_with, refresh_token, row_of, shops_answer, shops_of, stored_form, their_claim, tokens,
    with,
};
use crate::scripted_host::{Answer, Fault, ScriptedHost, Step, run};
use serde_json::{Value, json};
use tiktok_shop_connector_core::connection::Status;
use tiktok_shop_connector_core::error::Cause;
use tiktok_shop_connector_core::http::TransportFailure;
use tiktok_shop_connector_core::operation::refresh::{RefreshMode, refresh};
use tiktok_shop_connector_core::record::{CurrentPair, DeadReason, TokenHash, TokenRecord};

/// Creates a host with a connection. Its scripted TikTok first issues a new pair, then lists two shops.
fn renewing(record: &TokenRecord) -> ScriptedHost {
    connected(record).answers([pair_answer(2), shops_answer(&["1", "2"])])
}

#[test]
fn a_due_pair_is_renewed_and_the_shops_are_read_with_the_new_one() {
    let host = renewing(&due());
    let connection = refresh_when_due(&host).unwrap();
    assert_eq!(host.sent(), ["refresh RT-1", "shops AT-2"]);
    assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");
    assert_eq!((host.record().generation(), host.record().rotated_at()), (5, NOW));
    assert_eq!(host.refresh_due_at(), Some(host.record().due_at()));
    assert_eq!((connection.refreshed_at, connection.shops_synced_at), (NOW, Some(NOW)));
    assert_eq!(connection.access_ends, Some(NOW.plus(14 * DAY)));
    assert_eq!(host.row().unwrap().generation, 5);
}

#[test]
fn the_claim_is_stored_before_the_request_and_the_pair_before_the_next() {
    let host = renewing(&due())
        .meanwhile(Step::Send, 1, |host| {
            let claim = host.record().current_claim().expect("a claim");
            assert_eq!(claim.spends, TokenHash::of(&refresh_token("RT-1")));
            assert_eq!(host.refresh_due_at(), Some(NOW.plus(120)), "due when the claim lapses");
        })
        .meanwhile(Step::Send, 2, |host| assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]"));
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    let order = [
        Step::LoadToken,
        Step::Credentials,
        Step::SwapToken,
        Step::Send,
        Step::SwapToken,
        Step::Send,
        Step::LoadRow,
        Step::LoadToken,
        Step::SwapRow,
    ];
    assert_eq!(host.effects(), order);
}

#[test]
fn a_fresh_pair_is_not_renewed_unless_forced() {
    let host = connected(&fresh()).answers([shops_answer(&["1", "2"])]);
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(host.sent(), ["shops AT-1"]);

    let host = renewing(&fresh());
    assert_eq!(outcome(&refresh_forced(&host)), "ok");
    assert_eq!(host.sent(), ["refresh RT-1", "shops AT-2"]);
}

#[test]
fn a_refresh_without_a_connection_or_a_clear_account_is_refused() {
    let host = ScriptedHost::new();
    assert_eq!(cause_and_delay(refresh_when_due(&host)).0, Cause::NotConnected);
    let any_account = |host: &ScriptedHost| outcome(&run(refresh(host, customer(), None, RefreshMode::WhenDue)));
    assert_eq!(any_account(&host), "not-connected");

    let one = connected(&fresh()).answers([shops_answer(&["1"])]);
    assert_eq!(any_account(&one), "ok");
    let two = connected(&fresh());
    two.put(&key_of("customer-1", "account-2"), &fresh());
    assert_eq!(any_account(&two), "account-required");
    assert!(two.sent().is_empty());
}

#[test]
fn a_row_whose_record_is_gone_is_deleted_and_a_row_that_is_missing_is_written() {
    let orphan = ScriptedHost::new();
    orphan.put_row(&row_of(&key(), &fresh(), &["1"]));
    assert_eq!(outcome(&refresh_when_due(&orphan)), "not-connected");
    assert!(orphan.row().is_none());

    let rowless = ScriptedHost::with_record(&fresh()).answers([shops_answer(&["1"])]);
    assert_eq!(outcome(&refresh_when_due(&rowless)), "ok");
    let row = rowless.row().unwrap();
    assert_eq!((row.connection.seller_name.as_str(), row.connection.base_region.as_str()), ("Seller", "GB"));
    assert_eq!(row.connection.connected_at, fresh().granted_at());
    assert_eq!(shops_of(&row.connection), "1 granted linked");
}

#[test]
fn an_app_that_the_tenant_no_longer_has_is_misconfigured_and_nothing_is_sent() {
    let record = with(expired(), |record| record.app_key = "app-key-0".into());
    let host = connected(&record);
    for result in [refresh_when_due(&host), refresh_forced(&host)] {
        assert_eq!(outcome(&result), "app-unknown");
    }
    assert!(host.sent().is_empty());
    assert_eq!(stored_form(&host.record()), stored_form(&record));
    assert_eq!(last_failure(&host.row().unwrap().connection), Some("app-unknown"));
}

#[test]
fn a_dead_grant_is_left_alone_unless_forced() {
    let dead = with(expired(), |record| record.dead = Some(DeadReason::RefreshOutcomeUnknown));
    let host = connected(&dead);
    assert_eq!(outcome(&refresh_when_due(&host)), "refresh-outcome-unknown");
    assert!(host.sent().is_empty());
    let status = host.row().unwrap().connection.status;
    assert_eq!(status, Status::ReauthorizationRequired(DeadReason::RefreshOutcomeUnknown));

    let host = renewing(&dead);
    assert_eq!(refresh_forced(&host).unwrap().status, Status::Active);
    assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");

    let erased = with(dead, |record| record.current = CurrentPair::default());
    let host = connected(&erased);
    assert_eq!(outcome(&refresh_forced(&host)), "refresh-outcome-unknown");
    assert!(host.sent().is_empty(), "no refresh token is left");
}

#[test]
fn a_dead_grant_that_is_refused_again_stays_dead_whatever_storage_says() {
    let dead = with(expired(), |record| record.dead = Some(DeadReason::RefreshOutcomeUnknown));
    for fault in [None, Some(Fault::Unavailable), Some(Fault::AnswerLost)] {
        let mut host = connected(&dead).answers([Answer::code(36_004_005)]);
        if let Some(fault) = fault {
            host = host.fault(Step::SwapToken, 2, fault);
        }
        assert_eq!(outcome(&refresh_forced(&host)), "authorization-revoked", "{fault:?}");
        assert_eq!(tokens(&host.record()), "AT-1 RT-1 [] dead", "{fault:?}: the claim is gone");
        assert_eq!(host.refresh_due_at(), None);
    }
}

/// Tests rules 6 to 8 of `rotation.rs` with a record that has no fallbacks. For each answer, the table contains the
/// code of the error and the state of the record afterwards: `left` (the claim stays), `released` (the claim is
/// removed) or `dead`.
#[test]
fn every_answer_to_a_refresh_has_its_class() {
    let broken = Answer::Broken;
    let released = "AT-1 RT-1 []";
    let left = "AT-1 RT-1 [] claimed";
    let dead = "AT-1 RT-1 [] dead";
    let not_json = |body: &str| Answer::Reply {
        status: 200,
        content_type: "application/json",
        retry_after: None,
        date: None,
        body: body.into(),
    };
    let odd_charset = Answer::Reply {
        status: 200,
        content_type: "application/json; charset=utf-16",
        retry_after: None,
        date: None,
        body: r#"{"code":36004005}"#.into(),
    };
    let table = [
        // Rule 6: TikTok rejected the refresh token.
        (Answer::code(36_004_001), "authorization-expired", dead),
        (Answer::code(36_004_005), "authorization-revoked", dead),
        // Rule 7: the request was refused before TikTok acted.
        (broken(TransportFailure::NotConnected), "tiktok-unreachable", released),
        (broken(TransportFailure::Denied), "egress-denied", released),
        (Answer::limited(None), "rate-limited", released),
        (Answer::code(36_009_002), "rate-limited", released),
        (Answer::code(36_009_033), "ip-not-allowed", released),
        (Answer::code(36_009_004), "tiktok-refused", released),
        (Answer::code(106_001), "signature-rejected", released),
        // Rule 8: every other answer.
        (broken(TransportFailure::Interrupted), "answer-incomplete", left),
        (broken(TransportFailure::TooLarge), "answer-too-large", left),
        (Answer::page(500), "tiktok-unavailable", left),
        (Answer::page(408), "tiktok-unavailable", left),
        (Answer::page(425), "tiktok-unavailable", left),
        (Answer::page(403), "answer-unreadable", left),
        (Answer::page(200), "answer-unreadable", left),
        (Answer::page(302), "redirected", left),
        (Answer::json(500, &json!({"code": 36_004_005})), "tiktok-unavailable", left),
        (not_json(r#"{"code":0,"data":{"access_to"#), "answer-unreadable", left),
        (odd_charset, "answer-unreadable", left),
        (Answer::code(36_009_003), "tiktok-unavailable", left),
        (Answer::code(36_009_007), "tiktok-unavailable", left),
        (Answer::code(98_001_004), "unrecognised-answer", left),
        (Answer::code(36_004_004), "unrecognised-answer", left),
        (Answer::code(105_001), "unrecognised-answer", left),
        (Answer::code(105_002), "unrecognised-answer", left),
        (Answer::success(&json!(null)), "token-answer-incomplete", left),
        (Answer::success(&json!({"open_id": "account-1"})), "token-answer-incomplete", left),
    ];
    for (answer, expected, stored) in table {
        let host = connected(&due()).answers([answer.clone()]);
        assert_eq!(outcome(&refresh_when_due(&host)), expected, "{answer:?}");
        assert_eq!(host.sent(), ["refresh RT-1"], "{answer:?}");
        let record = host.record();
        assert_eq!(tokens(&record), stored, "{answer:?}");
        let due_at = match stored {
            _ if stored == dead => None,
            _ if stored == left => Some(NOW.plus(120)),
            _ => record.not_before(),
        };
        assert_eq!(host.refresh_due_at(), due_at, "{answer:?}");
        assert_eq!((record.failures(), record.presented()), (u32::from(stored == released), 0), "{answer:?}");
        assert_eq!(last_failure(&host.row().unwrap().connection), Some(expected));
        let status = host.row().unwrap().connection.status;
        assert_eq!(matches!(status, Status::ReauthorizationRequired(_)), stored == dead, "{answer:?}");
    }
}

#[test]
fn after_a_rejection_each_fallback_is_tried_under_its_own_claim() {
    let record = with(due(), |record| record.fallbacks = vec![refresh_token("RT-0"), refresh_token("RT-00")]);
    let host = connected(&record)
        .answers([Answer::code(36_004_001), Answer::code(36_004_005), pair_answer(2), shops_answer(&["1"])])
        .meanwhile(Step::Send, 2, |host| assert_eq!(tokens(&host.record()), "AT-1 RT-0 [RT-00] claimed"))
        .meanwhile(Step::Send, 3, |host| assert_eq!(tokens(&host.record()), "AT-1 RT-00 [] claimed"));
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(host.sent(), ["refresh RT-1", "refresh RT-0", "refresh RT-00", "shops AT-2"]);
    assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-00]");

    let rejected = || Answer::code(36_004_001);
    let host = connected(&record).answers([rejected(), rejected(), rejected()]);
    assert_eq!(outcome(&refresh_when_due(&host)), "authorization-expired");
    assert_eq!(tokens(&host.record()), "AT-1 RT-1 [RT-0 RT-00] dead", "all tokens are kept for a forced refresh");
}

#[test]
fn the_rejection_of_the_newest_token_is_the_reason_for_death() {
    let record = with(due(), |record| record.fallbacks = vec![refresh_token("RT-0")]);
    for (newest, fallback, expected) in
        [(36_004_001, 36_004_005, "authorization-expired"), (36_004_005, 36_004_001, "authorization-revoked")]
    {
        let host = connected(&record).answers([Answer::code(newest), Answer::code(fallback)]);
        assert_eq!(outcome(&refresh_when_due(&host)), expected);
        assert_eq!(host.sent(), ["refresh RT-1", "refresh RT-0"]);
    }
}

#[test]
fn the_reason_for_death_depends_on_earlier_notices_and_lost_answers() {
    for (verify, presented, code, expected, left) in [
        (false, 1, 36_004_001, "refresh-outcome-unknown", "AT-1 RT-1 [] dead"),
        (false, 2, 36_004_005, "refresh-outcome-unknown", "AT-1 RT-1 [] dead"),
        (true, 0, 36_004_001, "authorization-revoked", "- - [] dead"),
        (true, 2, 36_004_005, "authorization-revoked", "- - [] dead"),
    ] {
        let host = connected(&with(due(), |record| (record.verify, record.presented) = (verify, presented)))
            .answers([Answer::code(code)]);
        let error = refresh_when_due(&host).err().unwrap();
        assert_eq!((error.cause.code(), error.request_id.as_deref()), (expected, Some("req-1")));
        assert_eq!(tokens(&host.record()), left);
    }
}

#[test]
fn retry_after_is_obeyed_before_the_next_attempt() {
    let host = connected(&due()).answers([Answer::limited(Some("300"))]);
    assert_eq!(cause_and_delay(refresh_when_due(&host)), (Cause::RateLimited, 300));
    assert!(host.record().not_before() >= Some(NOW.plus(300)));
    host.pass(200);
    assert_eq!(outcome(&refresh_when_due(&host)), "ok", "the old access token is valid");
    assert_eq!(host.sent().len(), 1, "nothing more was sent");
    host.edit(|record| record.current.access_ends = Some(NOW));
    let (cause, delay) = cause_and_delay(refresh_when_due(&host));
    assert!(cause == Cause::BackingOff && (100..=175).contains(&delay), "{delay}");
}

#[test]
fn an_unrecognised_answer_is_reported_as_repeated_after_five_failures() {
    let host = connected(&due()).tiktok(|_| Answer::code(98_001_004));
    for attempt in 0..7 {
        let expected = if attempt < 5 { "unrecognised-answer" } else { "unrecognised-answer-repeated" };
        assert_eq!(outcome(&refresh_when_due(&host)), expected, "{attempt}");
        host.pass(120);
    }
    assert_eq!(host.sent(), ["refresh RT-1"; 7]);
    assert_eq!(tokens(&host.record()), "AT-1 RT-1 [] claimed", "no number of such answers marks the record dead");
}

#[test]
fn a_claim_is_released_although_a_webhook_changes_the_record_during_the_request() {
    let webhook = |host: &ScriptedHost| host.edit(|record| record.verify = true);
    let host = connected(&expired()).answers([Answer::limited(Some("120"))]).meanwhile(Step::SwapToken, 2, webhook);
    assert_eq!(outcome(&refresh_when_due(&host)), "rate-limited");
    let record = host.record();
    assert!(record.awaits_verification() && record.current_claim().is_none(), "{}", tokens(&record));
    assert_eq!((record.failures(), record.presented()), (1, 0));
    assert!(record.not_before() >= Some(host.wall().plus(120)), "TikTok's pause is stored");
}

#[test]
fn a_request_is_not_sent_if_its_claim_could_lapse_before_the_answer() {
    for (case, jump) in [
        ("wall clock", (|host| host.wall_clock_jumps(81)) as fn(&ScriptedHost)),
        ("monotonic clock", |host| host.monotonic_clock_jumps(81)),
    ] {
        let host = connected(&expired()).meanwhile(Step::SwapToken, 1, jump);
        assert_eq!(outcome(&refresh_when_due(&host)), "refresh-too-late", "{case}");
        assert!(host.sent().is_empty(), "{case}");
        assert_eq!(tokens(&host.record()), "AT-1 RT-1 []", "{case}: released");
        assert!(host.refresh_due_at() > Some(host.wall()), "{case}: a sweep must not call again at once");
    }
    let host = renewing(&due()).meanwhile(Step::SwapToken, 1, |host| host.pass(80));
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
}

#[test]
fn the_claim_of_a_promoted_fallback_has_clocks_of_its_own() {
    let record = with(due(), |record| record.fallbacks = vec![refresh_token("RT-0")]);
    let host = connected(&record)
        .answers([Answer::code(36_004_001), pair_answer(2), shops_answer(&["1"])])
        .meanwhile(Step::Send, 1, |host| host.pass(25))
        .meanwhile(Step::SwapToken, 2, |host| host.pass(70));
    assert_eq!(outcome(&refresh_when_due(&host)), "ok", "95 s after the first claim, 70 s after the fallback's own");
}

#[test]
fn a_missing_member_does_not_lose_the_tokens_that_the_answer_has() {
    let table: [(Value, &str, &str); 8] = [
        (json!({"refresh_token": null}), "ok", "AT-2 RT-1 []"),
        (json!({"refresh_token": ""}), "ok", "AT-2 RT-1 []"),
        (json!({"refresh_token": "  \t"}), "ok", "AT-2 RT-1 []"),
        (json!({"refresh_token": 7}), "ok", "AT-2 RT-1 []"),
        (json!({"refresh_token": "RT-1"}), "ok", "AT-2 RT-1 []"),
        (json!({"access_token": " "}), "token-answer-incomplete", "AT-1 RT-2 [RT-1]"),
        (json!({"open_id": null, "granted_scopes": 1, "user_type": {}}), "ok", "AT-2 RT-2 [RT-1]"),
        (json!({"access_token_expire_in": "NaN", "refresh_token_expire_in": -1}), "ok", "AT-2 RT-2 [RT-1]"),
    ];
    for (changes, expected, stored) in table {
        let host = connected(&due()).answers([pair_answer_with(2, &changes)]).tiktok(|_| shops_answer(&["1", "2"]));
        assert_eq!(outcome(&refresh_when_due(&host)), expected, "{changes}");
        assert_eq!(tokens(&host.record()), stored, "{changes}");
    }
}

#[test]
fn the_tokens_of_another_account_are_kept_under_the_old_key_and_the_change_is_shown() {
    let host = connected(&due()).answers([pair_answer_with(2, &json!({"open_id": "account-9"})), shops_answer(&["1"])]);
    let connection = refresh_when_due(&host).unwrap();
    assert_eq!((connection.key.clone(), last_failure(&connection)), (key(), Some("account-changed")));
    assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");
    assert!(host.find_record(&key_of("customer-1", "account-9")).is_none());
}

#[test]
fn a_refused_access_token_causes_one_renewal_and_one_more_reading() {
    for code in [105_001, 105_002] {
        let refusal = || Answer::code(code);
        // TikTok accepts the renewed token.
        let host = connected(&fresh()).answers([refusal(), pair_answer(2), shops_answer(&["1"])]);
        assert_eq!(outcome(&refresh_when_due(&host)), "ok");
        assert_eq!(host.sent(), ["shops AT-1", "refresh RT-1", "shops AT-2"]);
        // TikTok also refuses the renewed token.
        let host = connected(&fresh()).answers([refusal(), pair_answer(2), refusal()]);
        assert_eq!(outcome(&refresh_when_due(&host)), "token-refused");
        assert_eq!(host.sent(), ["shops AT-1", "refresh RT-1", "shops AT-2"]);
        assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");
        assert_eq!(host.refresh_due_at(), host.record().not_before(), "backed off");
        // Here the token is due, so this call renews it before it reads the shops. It does not renew the token a second
        // time.
        let host = connected(&due()).answers([pair_answer(2), refusal()]);
        assert_eq!(outcome(&refresh_when_due(&host)), "token-refused");
        assert_eq!(host.sent(), ["refresh RT-1", "shops AT-2"]);
        // TikTok rejects the refresh token.
        let host = connected(&fresh()).answers([refusal(), Answer::code(36_004_005)]);
        assert_eq!(outcome(&refresh_when_due(&host)), "authorization-revoked");
        assert_eq!(host.sent(), ["shops AT-1", "refresh RT-1"]);
    }
}

#[test]
fn an_access_token_refused_within_ten_minutes_of_its_renewal_is_not_renewed_yet() {
    for code in [105_001, 105_002] {
        let record = with(fresh(), |record| record.rotated_at = NOW.minus(400));
        let host = connected(&record).answers([Answer::code(code)]);
        assert_eq!(cause_and_delay(refresh_when_due(&host)), (Cause::BackingOff, 200));
        assert_eq!(host.sent(), ["shops AT-1"]);
        assert_eq!(tokens(&host.record()), "AT-1 RT-1 []");
    }
}

#[test]
fn nothing_is_sent_while_another_call_holds_the_claim_of_a_fresh_token() {
    let record = with(fresh(), |record| record.claim = Some(their_claim("RT-1")));
    let host = connected(&record);
    assert_eq!(outcome(&refresh_when_due(&host)), "ok", "the connection as it is");
    assert_eq!(host.sent(), [""; 0]);
    assert_eq!(stored_form(&host.record()), stored_form(&record));
}

#[test]
fn a_forced_refresh_tries_rejected_tokens_again() {
    let record = with(due(), |record| record.fallbacks = vec![refresh_token("RT-0")]);
    let rejected = || Answer::code(36_004_005);
    let host = connected(&record).answers([rejected(), rejected(), pair_answer(2), shops_answer(&["1"])]);
    assert_eq!(outcome(&refresh_when_due(&host)), "authorization-revoked");
    assert_eq!(tokens(&host.record()), "AT-1 RT-1 [RT-0] dead");
    assert_eq!(outcome(&run(refresh(&host, customer(), None, RefreshMode::Forced))), "ok");
    assert_eq!(host.sent(), ["refresh RT-1", "refresh RT-0", "refresh RT-1", "shops AT-2"]);
    assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1 RT-0]");
}

#[test]
fn a_stale_load_after_the_first_write_loses_neither_connection_nor_row() {
    for nth in 1..=3 {
        let host = connected(&due()).answers([pair_answer(2), shops_answer(&["1"])]);
        assert_eq!(outcome(&refresh_when_due(&host.fault(Step::LoadToken, nth, Fault::Stale))), "ok", "{nth}");
    }
    let gone = ScriptedHost::new();
    assert_eq!(outcome(&run(refresh(&gone, customer(), Some(account()), RefreshMode::WhenDue))), "not-connected");
}

#[test]
fn a_refused_access_token_that_was_replaced_meanwhile_causes_no_renewal() {
    let host =
        connected(&fresh())
            .answers([Answer::code(105_002), shops_answer(&["1"])])
            .meanwhile(Step::Send, 1, |host| host.edit(|record| record.current.access = Some(access("AT-7"))));
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(host.sent(), ["shops AT-1", "shops AT-7"]);
}
