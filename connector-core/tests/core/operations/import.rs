//! Tests `import`: `connect` with a grant that another system holds. In these tests the other system holds `RT-1` if the
//! customer is not connected, and `RT-9` if the customer is connected with `RT-1`.

use super::{connected, import_of, refresh_when_due};
use crate::samples::{
    APP_KEY, DAY, LINEAGE, NOW, OTHER_APP, access, cause_and_delay, customer, expired, fresh, key, key_of,
    last_failure, outcome, pair, pair_answer, pair_answer_with, refresh_token, row_of, shops_answer, shops_of,
    stored_form, their_claim, tokens, with,
};
use crate::scripted_host::{Answer, Fault, ScriptedHost, Step, run};
use serde_json::json;
use tiktok_shop_connector_core::connection::{Connection, Status};
use tiktok_shop_connector_core::error::{Action, Cause, Error};
use tiktok_shop_connector_core::existing_grant::ExistingGrant;
use tiktok_shop_connector_core::http::TransportFailure;
use tiktok_shop_connector_core::identity::AccountId;
use tiktok_shop_connector_core::operation::import::import;
use tiktok_shop_connector_core::record::{DeadReason, ShopPolicy, TokenRecord};

const REJECTED: i64 = 36_004_005;

/// Whether the caller of an import names the account.
const CASES: [Option<&str>; 2] = [Some("account-1"), None];

fn grant(account: Option<&str>, refresh: &str) -> ExistingGrant {
    ExistingGrant {
        account: account.map(|text| AccountId::parse(text.into()).unwrap()),
        refresh: refresh_token(refresh),
        access: None,
        access_ends: None,
        refresh_ends: None,
    }
}

fn import_to(host: &ScriptedHost, app: Option<&str>, grant: &ExistingGrant) -> Result<Connection, Error> {
    run(import(host, customer(), app.map(Into::into), grant, ShopPolicy::All))
}

fn accepting() -> ScriptedHost {
    ScriptedHost::new().answers([pair_answer(2), shops_answer(&["1", "2"])])
}

fn dead(record: TokenRecord) -> TokenRecord {
    with(record, |record| record.dead = Some(DeadReason::AuthorizationExpired))
}

#[test]
fn a_grant_becomes_a_connection_with_tokens_of_its_own() {
    for account in CASES {
        let host = accepting();
        let connection = import_of(&host, account, "RT-1").unwrap();
        assert_eq!(host.sent(), ["refresh RT-1", "shops AT-2"], "{account:?}");
        assert_eq!(connection.key, key());
        assert_eq!((connection.status, connection.last_failure), (Status::Active, None));
        assert_eq!((connection.connected_at, connection.refreshed_at), (NOW, NOW));
        assert_eq!((connection.app.as_deref(), connection.seller_name.as_str()), (Some(APP_KEY), "Seller"));

        let record = host.record();
        assert_eq!(tokens(&record), "AT-2 RT-2 [RT-1]", "{account:?}");
        assert_eq!((record.generation(), record.is_unconfirmed()), (1, false));
        assert_eq!(host.refresh_due_at(), Some(record.due_at()), "{account:?}");
        assert_eq!(shops_of(&host.row().unwrap().connection), "1 granted linked, 2 granted linked");
    }
}

#[test]
fn the_token_of_a_named_account_is_stored_and_claimed_before_it_is_sent() {
    let host = accepting();
    assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), "ok");
    let history: Vec<_> = host.history().iter().map(|record| record.as_ref().map(tokens)).collect();
    let expected = ["- RT-1 []", "- RT-1 [] claimed", "AT-2 RT-2 [RT-1]", "AT-2 RT-2 [RT-1]"];
    assert_eq!(history, expected.map(|text| Some(text.to_owned())));
    let order = [
        Step::Apps,
        Step::Credentials,
        Step::SwapToken,
        Step::LoadToken,
        Step::SwapToken,
        Step::Send,
        Step::SwapToken,
        Step::Send,
        Step::LoadRow,
        Step::LoadToken,
        Step::SwapRow,
        Step::LoadToken,
        Step::SwapToken,
    ];
    assert_eq!(host.effects(), order);
}

#[test]
fn the_token_of_an_unnamed_account_is_sent_only_if_storage_answers() {
    let host = accepting();
    assert_eq!(outcome(&import_of(&host, None, "RT-1")), "ok");
    assert_eq!(host.effects()[..5], [Step::Apps, Step::Credentials, Step::Accounts, Step::Send, Step::SwapToken]);
    let host = ScriptedHost::new().fault(Step::Accounts, 1, Fault::Unavailable);
    assert_eq!(outcome(&import_of(&host, None, "RT-1")), "storage-unavailable");
    assert!(host.sent().is_empty());
}

#[test]
fn a_malformed_token_is_refused_before_any_effect() {
    for account in CASES {
        let host = ScriptedHost::new();
        assert_eq!(outcome(&import_of(&host, account, "RT 1")), "grant-malformed");
        assert_eq!(host.effects(), []);
    }
}

/// TikTok rejects the token or certainly does not act. The other system may go on using the token.
#[test]
fn a_grant_that_tiktok_does_not_renew_leaves_nothing_stored() {
    use Action::{Misconfigured, Reauthorize, RetryAfter};
    let wrong_app = Answer::json(400, &json!({"code": 36_009_004, "message": "The 'app_key' is invalid"}));
    for (answer, expected, action) in [
        (Answer::code(36_004_001), "authorization-expired", Reauthorize),
        (Answer::code(REJECTED), "authorization-revoked", Reauthorize),
        (Answer::Broken(TransportFailure::NotConnected), "tiktok-unreachable", RetryAfter),
        (Answer::Broken(TransportFailure::Denied), "egress-denied", Misconfigured),
        (Answer::limited(None), "rate-limited", RetryAfter),
        (wrong_app, "app-rejected", Misconfigured),
    ] {
        for account in CASES {
            let host = ScriptedHost::new().answers([answer.clone()]);
            let error = import_of(&host, account, "RT-1").err().expect(expected);
            assert_eq!((error.cause.code(), error.cause.action()), (expected, action), "{account:?}");
            assert_eq!(host.sent(), ["refresh RT-1"], "{expected} {account:?}");
            assert!(host.find_record(&key()).is_none() && host.row().is_none(), "{expected} {account:?}");
        }
    }
}

#[test]
fn a_lost_answer_keeps_the_token_of_a_named_account_and_the_same_import_continues() {
    for answer in [Answer::Broken(TransportFailure::Interrupted), Answer::page(500), Answer::code(98_001_004)] {
        let host = ScriptedHost::new().answers([answer, pair_answer(2), shops_answer(&["1", "2"])]);
        let lost = import_of(&host, Some("account-1"), "RT-1").err().unwrap();
        assert_eq!((lost.cause.action(), lost.delay.as_secs()), (Action::RetryAfter, 120));
        assert_eq!(tokens(&host.record()), "- RT-1 [] claimed");
        assert!(host.row().is_none(), "the customer sees no connection that has never worked");

        let too_early = cause_and_delay(import_of(&host, Some("account-1"), "RT-1"));
        assert_eq!(too_early, (Cause::RefreshInProgress, 1));
        assert_eq!(host.sent(), ["refresh RT-1"], "not sent a second time while the claim lives");

        host.pass(120);
        assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), "ok");
        assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");
        assert_eq!(last_failure(&host.row().unwrap().connection), None);
    }
}

#[test]
fn after_a_lost_answer_a_sweep_continues_the_import_of_a_named_account() {
    let answers = [Answer::Broken(TransportFailure::Interrupted), pair_answer(2), shops_answer(&["1"])];
    let host = ScriptedHost::new().answers(answers);
    assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), "answer-incomplete");
    assert_eq!(host.refresh_due_at(), Some(NOW.plus(120)));
    host.pass(120);
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(shops_of(&host.row().unwrap().connection), "1 granted linked");
    assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), "already-connected");
}

#[test]
fn a_lost_answer_stores_nothing_for_an_unnamed_account() {
    let host = ScriptedHost::new().answers([Answer::Broken(TransportFailure::Interrupted)]);
    assert_eq!(cause_and_delay(import_of(&host, None, "RT-1")), (Cause::AnswerIncomplete, 120));
    assert!(host.find_record(&key()).is_none());
}

/// The answer to the first request was lost, and TikTok then rejects the token. TikTok may have replaced it, so the
/// customer sees that the connection needs a consent.
#[test]
fn a_rejection_after_a_lost_answer_leaves_a_dead_connection() {
    let host = ScriptedHost::new().answers([Answer::Broken(TransportFailure::Interrupted), Answer::code(REJECTED)]);
    assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), "answer-incomplete");
    host.pass(120);
    assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), "refresh-outcome-unknown");
    assert_eq!(tokens(&host.record()), "- RT-1 [] dead");
    let status = host.row().unwrap().connection.status;
    assert_eq!(status, Status::ReauthorizationRequired(DeadReason::RefreshOutcomeUnknown));
}

/// The record was stored, and the call crashed before its claim. No request was sent.
#[test]
fn a_rejection_of_an_import_that_never_sent_its_token_leaves_nothing_stored() {
    let host = accepting().fault(Step::LoadToken, 1, Fault::Unavailable);
    assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), "storage-unavailable");
    assert_eq!((tokens(&host.record()).as_str(), host.refresh_due_at()), ("- RT-1 []", Some(NOW)));
    host.restart();
    let host = host.answers([Answer::code(REJECTED)]);
    assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), "authorization-revoked");
    assert!(host.find_record(&key()).is_none() && host.row().is_none());
}

/// An earlier import stored `RT-1` and never sent it. The next import brings `RT-9`, so both tokens are sent.
#[test]
fn an_import_after_one_that_never_sent_its_token_leaves_nothing_stored_if_it_fails() {
    let rate_limited = || Answer::code(36_009_002);
    for (answers, expected) in [
        ([Answer::code(REJECTED), Answer::code(REJECTED)], "authorization-revoked"),
        ([Answer::code(REJECTED), rate_limited()], "rate-limited"),
    ] {
        let host = accepting().fault(Step::LoadToken, 1, Fault::Unavailable);
        assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), "storage-unavailable");
        host.restart();
        let host = host.answers(answers);
        assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-9")), expected);
        assert_eq!(host.sent(), ["refresh RT-9", "refresh RT-1"], "{expected}");
        assert!(host.find_record(&key()).is_none() && host.row().is_none(), "{expected}");
    }
}

#[test]
fn a_customer_who_is_connected_keeps_what_they_have() {
    let host = connected(&fresh());
    assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-9")), "already-connected");
    assert!(host.sent().is_empty());
    assert_eq!(stored_form(&host.record()), stored_form(&fresh()));

    // Only TikTok's answer names the account. The connection keeps the new refresh token as a fallback.
    let host = connected(&fresh()).answers([pair_answer(2)]);
    assert_eq!(outcome(&import_of(&host, None, "RT-9")), "already-connected");
    assert_eq!(host.sent(), ["refresh RT-9"]);
    let record = host.record();
    assert_eq!(tokens(&record), "AT-1 RT-1 [RT-2]");
    assert_eq!((record.generation(), host.refresh_due_at()), (4, Some(record.due_at())));
}

/// TikTok answers the same token with the same pair. Both imports are made within one second.
#[test]
fn the_second_import_of_an_unnamed_account_is_already_connected() {
    let host = ScriptedHost::new().answers([pair_answer(2), shops_answer(&["1"]), pair_answer(2)]);
    assert_eq!(outcome(&import_of(&host, None, "RT-1")), "ok");
    assert_eq!(outcome(&import_of(&host, None, "RT-1")), "already-connected");
    assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");
}

#[test]
fn a_dead_connection_is_replaced_and_keeps_its_links() {
    for account in CASES {
        let record = with(dead(expired()), |record| record.claim = Some(their_claim("RT-1")));
        let mut row = row_of(&key(), &record, &["1", "2"]);
        row.connection.shops[1].linked = false;
        let host = ScriptedHost::with_record(&record).answers([pair_answer(2), shops_answer(&["1", "2"])]);
        host.put_row(&row);
        if account.is_some() {
            assert_eq!(outcome(&import_of(&host, account, "RT-9")), "refresh-in-progress");
            assert!(host.sent().is_empty(), "a forced refresh sends the old token");
        }
        host.pass(120);
        let connection = import_of(&host, account, "RT-9").unwrap();
        assert_eq!(host.sent(), ["refresh RT-9", "shops AT-2"], "{account:?}");
        assert_eq!(connection.status, Status::Active);
        assert_eq!(shops_of(&connection), "1 granted linked, 2 granted", "{account:?}");
        assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-9 RT-1]", "{account:?}");
        assert_eq!((host.record().lineage(), host.record().granted_at()), (LINEAGE, NOW.plus(120)));
    }
}

#[test]
fn a_dead_connection_stays_dead_if_tiktok_rejects_the_grant() {
    let host = connected(&dead(expired())).answers([Answer::code(REJECTED), Answer::code(36_004_001)]);
    assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-9")), "authorization-revoked");
    assert_eq!(host.sent(), ["refresh RT-9", "refresh RT-1"], "the old token is tried once more");
    assert_eq!(tokens(&host.record()), "AT-1 RT-9 [RT-1] dead");
    let status = host.row().unwrap().connection.status;
    assert_eq!(status, Status::ReauthorizationRequired(DeadReason::AuthorizationRevoked), "the answer to the newest");

    let host = connected(&dead(expired())).answers([Answer::code(REJECTED)]);
    assert_eq!(outcome(&import_of(&host, None, "RT-9")), "authorization-revoked");
    assert_eq!(stored_form(&host.record()), stored_form(&dead(expired())));
}

#[test]
fn the_record_of_another_app_stays() {
    for (account, sent) in [(Some("account-1"), &[][..]), (None, &["app-key-2: refresh RT-9"])] {
        for record in [fresh(), dead(fresh())] {
            let host = connected(&record).apps_are(&[APP_KEY, OTHER_APP]).answers([pair_answer(2)]);
            let error = import_to(&host, Some(OTHER_APP), &grant(account, "RT-9")).err().unwrap();
            assert_eq!((error.cause, error.note()), (Cause::AccountOfAnotherApp, Some("app app-key-1")));
            assert_eq!(host.sent(), sent);
            assert_eq!(stored_form(&host.record()), stored_form(&record));
        }
    }
}

#[test]
fn a_tenant_with_several_apps_must_name_the_app() {
    let host = ScriptedHost::new().apps_are(&[APP_KEY, OTHER_APP]);
    assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), "app-required");
    assert!(host.sent().is_empty());
}

#[test]
fn the_grant_of_a_creator_is_not_stored() {
    for account in CASES {
        let host = ScriptedHost::new().answers([pair_answer_with(2, &json!({"user_type": 1}))]);
        assert_eq!(outcome(&import_of(&host, account, "RT-1")), "not-a-seller", "{account:?}");
        assert!(host.find_record(&key()).is_none() && host.row().is_none(), "{account:?}");
        assert_eq!(host.sent(), ["refresh RT-1"], "{account:?}");
    }
}

/// Between the failure of an import and its deletion, another call claims the record or stores a new pair.
#[test]
fn a_record_that_another_call_has_changed_is_not_deleted() {
    let creator = || pair_answer_with(2, &json!({"user_type": 1}));
    let cases = [
        (Answer::code(REJECTED), "authorization-revoked", "- RT-1 [] claimed dead", "AT-5 RT-5 [RT-1]"),
        (Answer::limited(None), "rate-limited", "- RT-1 [] claimed", "AT-5 RT-5 [RT-1]"),
        (creator(), "storage-conflict", "AT-2 RT-2 [RT-1] claimed", "AT-5 RT-5 [RT-2 RT-1]"),
    ];
    for (answer, expected, claimed, renewed) in cases {
        let host = ScriptedHost::new().answers([answer.clone()]).meanwhile(Step::SwapToken, 4, |host| {
            let current = host.record().current().refresh.as_ref().unwrap().expose().to_owned();
            host.edit(|record| record.claim = Some(their_claim(&current)));
        });
        assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), expected);
        assert_eq!(tokens(&host.record()), claimed, "{expected}");

        let host = ScriptedHost::new().answers([answer]).meanwhile(Step::SwapToken, 4, |host| {
            host.edit(|record| record.apply(|record| record.take_pair(&pair(5), NOW, 0)));
        });
        assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), expected);
        assert_eq!(tokens(&host.record()), renewed, "{expected}");
    }
}

/// During the import, the seller consents to another app of the tenant.
#[test]
fn shops_are_not_read_with_the_secret_of_another_app() {
    let host = accepting().apps_are(&[APP_KEY, OTHER_APP]).meanwhile(Step::LoadToken, 1, |host| {
        host.put(&key(), &with(fresh(), |record| record.app_key = OTHER_APP.into()));
    });
    let error = import_to(&host, Some(APP_KEY), &grant(Some("account-1"), "RT-9")).err().unwrap();
    assert_eq!((error.cause, error.note()), (Cause::AccountOfAnotherApp, Some("app app-key-2")));
    assert_eq!(host.sent(), ["app-key-2: refresh RT-1"]);
    assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");
}

#[test]
fn tokens_of_another_account_are_kept_under_the_named_account_and_the_row_says_so() {
    for shops in [shops_answer(&["1"]), Answer::Broken(TransportFailure::Interrupted)] {
        let answer = pair_answer_with(2, &json!({"open_id": "account-2"}));
        let host = ScriptedHost::new().answers([answer, shops]);
        let connection = import_of(&host, Some("account-1"), "RT-1").unwrap();
        assert_eq!(last_failure(&connection), Some("account-changed"));
        assert_eq!(last_failure(&host.row().unwrap().connection), Some("account-changed"));
        assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");
        assert!(host.find_record(&key_of("customer-1", "account-2")).is_none());
    }
}

#[test]
fn an_answer_without_an_account_is_an_error_only_if_the_account_is_unnamed() {
    for (account, expected) in [(Some("account-1"), "ok"), (None, "token-answer-incomplete")] {
        let answer = pair_answer_with(2, &json!({"open_id": null}));
        let host = ScriptedHost::new().answers([answer, shops_answer(&["1"])]);
        assert_eq!(outcome(&import_of(&host, account, "RT-1")), expected);
        assert_eq!(host.find_record(&key()).is_some(), account.is_some());
    }
}

#[test]
fn an_answer_without_a_refresh_token_keeps_the_token_of_the_grant() {
    for account in CASES {
        let answer = pair_answer_with(2, &json!({"refresh_token": null}));
        let host = ScriptedHost::new().answers([answer, shops_answer(&["1"])]);
        assert_eq!(outcome(&import_of(&host, account, "RT-1")), "ok", "{account:?}");
        assert_eq!(tokens(&host.record()), "AT-2 RT-1 []", "{account:?}");
    }
}

#[test]
fn the_access_token_of_the_grant_is_used_until_tiktok_has_answered() {
    for (ends, expected) in [
        (Some(NOW.plus(DAY)), "AT-1 RT-1 [] claimed"),
        (None, "AT-1 RT-1 [] claimed"),
        (Some(NOW.minus(1)), "- RT-1 [] claimed"),
    ] {
        let host = ScriptedHost::new().answers([Answer::Broken(TransportFailure::Interrupted)]);
        let brought = ExistingGrant {
            access: Some(access("AT-1")),
            access_ends: ends,
            refresh_ends: Some(NOW.plus(30 * DAY)),
            ..grant(Some("account-1"), "RT-1")
        };
        assert_eq!(outcome(&import_to(&host, None, &brought)), "answer-incomplete");
        let record = host.record();
        assert_eq!(tokens(&record), expected, "{ends:?}");
        assert_eq!(record.current().refresh_ends, Some(NOW.plus(30 * DAY)));
        assert_eq!(record.serves(NOW), expected.starts_with("AT-1"));
    }
}

#[test]
fn an_unknown_outcome_of_a_write_does_no_harm() {
    for account in CASES {
        for nth in 1..=3 {
            for fault in [Fault::Unavailable, Fault::AnswerLost] {
                let host = accepting().fault(Step::SwapToken, nth, fault);
                assert_eq!(outcome(&import_of(&host, account, "RT-1")), "ok", "{account:?} {nth} {fault:?}");
                assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]", "{account:?} {nth} {fault:?}");
                assert_eq!(host.sent(), ["refresh RT-1", "shops AT-2"], "{account:?} {nth} {fault:?}");
            }
        }
    }
}

#[test]
fn an_unknown_outcome_of_a_write_does_not_hide_that_a_dead_connection_was_replaced() {
    for account in CASES {
        for nth in 2..=3 {
            let host = connected(&dead(expired())).answers([pair_answer(2), shops_answer(&["1", "2"])]);
            let host = host.fault(Step::SwapToken, nth, Fault::AnswerLost);
            assert_eq!(outcome(&import_of(&host, account, "RT-9")), "ok", "{account:?} {nth}");
            assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-9 RT-1]", "{account:?} {nth}");
        }
    }
}

#[test]
fn tokens_of_an_unnamed_account_are_lost_only_if_every_try_to_save_them_failed() {
    let mut host = ScriptedHost::new().answers([pair_answer(2)]);
    for nth in 1..=3 {
        host = host.fault(Step::SwapToken, nth, Fault::Unavailable);
    }
    let error = import_of(&host, None, "RT-1").err().unwrap();
    assert_eq!((error.cause, error.cause.action()), (Cause::TokenNotSaved, Action::StorageFailed));
    let host = ScriptedHost::new().answers([pair_answer(2)]).fault(Step::SwapToken, 1, Fault::Refused);
    assert_eq!(outcome(&import_of(&host, None, "RT-1")), "token-not-saved");
}

#[test]
fn a_token_that_cannot_be_stored_first_is_not_sent() {
    for (faults, expected) in [(1, "storage-refused"), (3, "storage-unavailable")] {
        let fault = if faults == 1 { Fault::Refused } else { Fault::Unavailable };
        let mut host = ScriptedHost::new();
        for nth in 1..=faults {
            host = host.fault(Step::SwapToken, nth, fault);
        }
        assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), expected);
        assert!(host.sent().is_empty() && host.find_record(&key()).is_none());
    }
}

#[test]
fn a_record_that_cannot_be_read_is_not_overwritten() {
    for account in CASES {
        let host = ScriptedHost::new().answers([pair_answer(2)]);
        host.put_bytes(&key(), b"{}");
        assert_eq!(outcome(&import_of(&host, account, "RT-1")), "token-record-unreadable", "{account:?}");
        assert_eq!(host.stored_bytes(), b"{}");
    }
}

#[test]
fn of_two_imports_of_one_account_only_one_sends_its_token() {
    let second = |host: &ScriptedHost| {
        let error = cause_and_delay(import_of(host, Some("account-1"), "RT-1"));
        assert_eq!(error, (Cause::RefreshInProgress, 1));
    };
    let host = accepting().meanwhile(Step::Send, 1, second);
    assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), "ok");
    assert_eq!(host.sent(), ["refresh RT-1", "shops AT-2"]);
    assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");
}

#[test]
fn a_disconnect_during_an_import_stays_disconnected() {
    for account in CASES {
        let host = accepting().meanwhile(Step::LoadRow, 1, |host| host.delete(&key()));
        assert_eq!(outcome(&import_of(&host, account, "RT-1")), "not-connected", "{account:?}");
        assert!(host.find_record(&key()).is_none() && host.row().is_none(), "{account:?}");
    }
    // The disconnect comes during the request. Its answer is discarded.
    let host = accepting().meanwhile(Step::Send, 1, |host| host.delete(&key()));
    assert_eq!(outcome(&import_of(&host, Some("account-1"), "RT-1")), "not-connected");
    assert!(host.find_record(&key()).is_none() && host.row().is_none());
}

/// The connector ignores no notice of a removal that came after the import, even if the clock of the host is ahead. An
/// import with a named account stores its record before TikTok's answer, which then corrects the date.
#[test]
fn a_grant_is_dated_by_the_earlier_clock() {
    for (date, expected) in [
        ("Wed, 31 Dec 2025 23:00:00 GMT", NOW.minus(3600)),
        ("Thu, 01 Jan 2026 01:00:00 GMT", NOW),
        ("Thu, 01 Jan 1970 00:00:00 GMT", NOW),
    ] {
        let host = ScriptedHost::new().answers([pair_answer(2).dated(date), shops_answer(&["1"])]);
        let connection = import_of(&host, None, "RT-1").unwrap();
        assert_eq!((connection.granted_at, host.record().granted_at()), (expected, expected), "{date}");
        let named = ScriptedHost::new().answers([pair_answer(2).dated(date), shops_answer(&["1"])]);
        let connection = import_of(&named, Some("account-1"), "RT-1").unwrap();
        assert_eq!((connection.granted_at, named.record().granted_at()), (expected, expected), "{date}");
    }
}
