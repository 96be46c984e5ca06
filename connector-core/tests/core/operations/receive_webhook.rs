//! Tests `receive-webhook`. It checks the signature before it reads the body, sends no request, and is idempotent.

use super::{connect_all, connected, refresh_forced, refresh_when_due};
use crate::samples::{
    APP_KEY, APP_SECRET, DAY, NOW, PREVIOUS_APP_SECRET, due, fresh, key, key_of, outcome, pair_answer, row_of,
    shops_answer, shops_of, stored_form, their_claim, tokens, with,
};
use crate::scripted_host::{Answer, Fault, Kill, ScriptedHost, Step, run, run_or_die};
use serde_json::{Value, json};
use tiktok_shop_connector_core::connection::Status;
use tiktok_shop_connector_core::error::Error;
use tiktok_shop_connector_core::operation::receive_webhook::{Received, WebhookEffect, receive_webhook};
use tiktok_shop_connector_core::record::{DeadReason, Lineage};
use tiktok_shop_connector_core::secret::AppSecret;
use tiktok_shop_connector_core::signing::Webhook;
use tiktok_shop_connector_core::time::UnixSeconds;
use tiktok_shop_connector_core::webhook::MAX_BODY_BYTES;

fn signed_by(secret: &str, body: &[u8]) -> String {
    Webhook { app_key: APP_KEY, body, authorization: b"" }.signature(&AppSecret::new(secret.into()))
}

fn receive_raw(host: &ScriptedHost, signature: &str, body: &[u8]) -> Result<Received, Error> {
    run(receive_webhook(host, None, signature.as_bytes(), body))
}

fn receive(host: &ScriptedHost, event: &Value) -> Result<Received, Error> {
    let body = event.to_string().into_bytes();
    receive_raw(host, &signed_by(APP_SECRET, &body), &body)
}

pub(super) fn effect(host: &ScriptedHost, event: &Value) -> WebhookEffect {
    receive(host, event).unwrap_or_else(|error| panic!("{error}")).effect
}

pub(super) fn deauthorization(at: UnixSeconds) -> Value {
    json!({"type": 6, "tts_notification_id": "n-6", "shop_id": "1", "timestamp": at.seconds(), "data": {"message": "m"}})
}

fn ending(at: UnixSeconds, end: UnixSeconds) -> Value {
    let data = json!({"message": "m", "expiration_time": end.seconds().to_string()});
    json!({"type": 7, "tts_notification_id": "n-7", "shop_id": "1", "timestamp": at.seconds(), "data": data})
}

/// Makes the host receive an event about an order of shop 1.
pub(super) fn order_event(host: &ScriptedHost) -> Received {
    let event = json!({"type": 1, "shop_id": "1", "timestamp": NOW.seconds(), "data": {}});
    receive(host, &event).unwrap_or_else(|error| panic!("{error}"))
}

fn status(host: &ScriptedHost) -> Status {
    host.row().unwrap().connection.status
}

#[test]
fn a_body_without_a_valid_signature_is_refused_before_it_is_read() {
    let body = deauthorization(NOW).to_string();
    let good = signed_by(APP_SECRET, body.as_bytes());
    let upper = good.to_uppercase();
    let table = [
        ("no signature", "", body.as_str()),
        ("another app's secret", &signed_by("of another app", body.as_bytes()), &body),
        ("upper case", &upper, &body),
        ("white space", &format!("{good} "), &body),
        ("a byte more", &good, &format!("{body} ")),
        ("another order", &good, &body.replace("\"m\"", "\"n\"")),
        ("no event at all", "", "nonsense"),
    ];
    for (case, signature, body) in table {
        let host = connected(&fresh());
        assert_eq!(outcome(&receive_raw(&host, signature, body.as_bytes())), "webhook-signature-invalid", "{case}");
        assert_eq!(host.effects(), [Step::Apps, Step::Credentials], "{case}: nothing was touched");
    }
}

#[test]
fn a_signed_body_that_is_no_event_is_malformed_and_a_too_long_body_is_not_hashed() {
    for body in ["", "null", "[]", "{}", "nonsense"] {
        let host = connected(&fresh());
        let outcome_of = receive_raw(&host, &signed_by(APP_SECRET, body.as_bytes()), body.as_bytes());
        assert_eq!(outcome(&outcome_of), "webhook-malformed", "{body}");
        let detail = outcome_of.err().unwrap().detail();
        assert!(!detail.contains("reads at most"), "{detail}: the signature was checked");
    }
    let host = connected(&fresh());
    let too_large = receive_raw(&host, "", &vec![b'x'; MAX_BODY_BYTES + 1]);
    assert_eq!(outcome(&too_large), "webhook-malformed");
    let detail = too_large.err().unwrap().detail();
    assert!(detail.contains(&format!("reads at most {MAX_BODY_BYTES} bytes")), "{detail}");
    assert!(host.effects().is_empty());
}

#[test]
fn the_previous_app_secret_is_accepted_too() {
    let body = deauthorization(NOW).to_string();
    let host = connected(&fresh());
    let received = receive_raw(&host, &signed_by(PREVIOUS_APP_SECRET, body.as_bytes()), body.as_bytes());
    assert_eq!(received.unwrap_or_else(|error| panic!("{error}")).effect, WebhookEffect::VerificationDue);
}

#[test]
fn an_event_of_any_type_names_the_connections_that_have_its_shop() {
    let host = connected(&fresh());
    let (other, gone, elsewhere) =
        (key_of("customer-2", "account-1"), key_of("customer-3", "account-1"), key_of("customer-4", "account-1"));
    host.put(&other, &fresh());
    let mut row = row_of(&other, &fresh(), &["1"]);
    row.connection.shops[0].linked = false;
    host.put_row(&row);
    host.put_row(&row_of(&gone, &fresh(), &["1"]));
    host.put(&elsewhere, &fresh());
    host.put_row(&row_of(&elsewhere, &fresh(), &["2"]));

    let body = br#"{"type":1,"shop_id":"1","timestamp":1,"data":{ "order_id":"5", "n":[1.50] }}"#;
    let received = receive_raw(&host, &signed_by(APP_SECRET, body), body).unwrap_or_else(|error| panic!("{error}"));
    let owners: Vec<_> = received.owners.iter().map(|owner| (owner.key.clone(), owner.may_use)).collect();
    assert_eq!(owners, [(key(), true), (other, false)], "the third customer has no tokens and is not connected");
    assert_eq!((received.effect, received.notification.id), (WebhookEffect::None, None));
    assert_eq!(received.notification.data, r#"{ "order_id":"5", "n":[1.50] }"#, "as sent");
    assert_eq!(received.notification.event_type, 1);
    assert!(host.sent().is_empty());
    assert_eq!(stored_form(&host.record()), stored_form(&fresh()));
}

#[test]
fn an_event_without_a_known_shop_has_no_owners() {
    for event in [json!({"type": 20}), json!({"type": 6, "shop_id": "shop"}), json!({"type": 9999, "shop_id": "7"})] {
        let host = connected(&fresh());
        let received = receive(&host, &event).unwrap_or_else(|error| panic!("{error}"));
        assert!(received.owners.is_empty() && received.effect == WebhookEffect::None, "{event}");
    }
}

#[test]
fn a_deauthorization_is_recorded_and_the_next_refresh_finds_one_shop_gone() {
    let host = connected(&fresh()).answers([shops_answer(&["2"])]);
    for _ in 0..2 {
        assert_eq!(effect(&host, &deauthorization(NOW)), WebhookEffect::VerificationDue);
        assert!(host.record().awaits_verification() && host.refresh_due_at() == Some(NOW));
    }
    assert!(host.sent().is_empty(), "no network");
    assert_eq!(host.history().len(), 2, "the repetition changed nothing");
    let connection = refresh_when_due(&host).unwrap();
    assert_eq!(
        (shops_of(&connection).as_str(), connection.status),
        ("2 granted linked, 1 gone linked", Status::Active)
    );
    assert!(!host.record().awaits_verification() && host.refresh_due_at() > Some(NOW.plus(DAY)));
}

#[test]
fn a_deauthorization_of_the_whole_grant_is_confirmed_and_its_tokens_are_erased() {
    let host = connected(&fresh()).answers([Answer::code(105_001), Answer::code(36_004_005)]);
    assert_eq!(effect(&host, &deauthorization(NOW)), WebhookEffect::VerificationDue);
    assert_eq!(outcome(&refresh_when_due(&host)), "authorization-revoked");
    assert_eq!(tokens(&host.record()), "- - [] dead");
    assert_eq!(status(&host), Status::ReauthorizationRequired(DeadReason::AuthorizationRevoked));
    assert_eq!(host.refresh_due_at(), None, "no refresh is tried again");
    assert_eq!(effect(&host, &deauthorization(NOW)), WebhookEffect::None, "a repetition changes nothing");
}

/// Normally ten minutes must pass between two renewals. This rule does not delay this renewal, because only a renewal
/// can tell whether the grant has ended.
#[test]
fn a_removal_within_ten_minutes_of_the_consent_is_confirmed_at_once() {
    let consented = with(fresh(), |record| {
        record.granted_at = NOW.minus(100);
        record.rotated_at = NOW.minus(100);
    });
    let host = connected(&consented).answers([Answer::code(105_001), Answer::code(36_004_005)]);
    assert_eq!(effect(&host, &deauthorization(NOW)), WebhookEffect::VerificationDue);
    assert_eq!(outcome(&refresh_when_due(&host)), "authorization-revoked");
    assert_eq!(status(&host), Status::ReauthorizationRequired(DeadReason::AuthorizationRevoked));
    assert_eq!(tokens(&host.record()), "- - [] dead");

    // The grant still exists, so the renewal succeeds, but TikTok refuses the new token, too. Now the next renewal must
    // wait for ten minutes.
    let answers = [Answer::code(105_001), pair_answer(2), Answer::code(105_001), Answer::code(105_001)];
    let host = connected(&consented).answers(answers);
    effect(&host, &deauthorization(NOW));
    assert_eq!(outcome(&refresh_when_due(&host)), "token-refused");
    host.pass(60);
    assert_eq!(outcome(&refresh_when_due(&host)), "backing-off");
    assert_eq!(host.sent(), ["shops AT-1", "refresh RT-1", "shops AT-2", "shops AT-2"]);
}

#[test]
fn an_event_from_before_the_latest_consent_is_ignored() {
    let record = with(fresh(), |record| record.granted_at = NOW.minus(DAY));
    for event in [deauthorization(record.granted_at().minus(1)), ending(record.granted_at().minus(1), NOW.plus(DAY))] {
        let host = connected(&record);
        assert_eq!(effect(&host, &event), WebhookEffect::None, "{event}");
        assert_eq!(stored_form(&host.record()), stored_form(&record));
        assert_eq!(status(&host), Status::Active);
    }
    let host = connected(&record);
    assert_eq!(
        effect(&host, &deauthorization(record.granted_at())),
        WebhookEffect::VerificationDue,
        "in the same second"
    );
}

#[test]
fn an_event_that_happened_more_than_two_days_ago_changes_nothing() {
    let long_ago = with(fresh(), |record| record.granted_at = NOW.minus(30 * DAY));
    let events: [fn(UnixSeconds) -> Value; 2] = [deauthorization, |at| ending(at, NOW.plus(DAY))];
    for event in events {
        let host = connected(&long_ago);
        let replayed = receive(&host, &event(NOW.minus(2 * DAY + 1))).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((replayed.effect, replayed.owners.len()), (WebhookEffect::None, 1));
        assert_eq!(stored_form(&host.record()), stored_form(&long_ago));
        assert_eq!(status(&host), Status::Active);
        assert_ne!(effect(&host, &event(NOW.minus(2 * DAY))), WebhookEffect::None, "a late delivery");
    }
}

#[test]
fn an_event_without_a_time_counts_as_new() {
    let host = connected(&fresh());
    assert_eq!(effect(&host, &json!({"type": 6, "shop_id": "1"})), WebhookEffect::VerificationDue);
}

/// In the first part of the test, the host's clock is ten minutes ahead when the seller consents, and correct when
/// TikTok's webhook arrives. The consent gets the date of TikTok's answer. In the second part, the connector ignores
/// the date of the answer if it is later than the host's time, before 2020, or unreadable. In these cases the consent
/// gets the host's time.
#[test]
fn the_consent_is_dated_by_tiktoks_clock() {
    let theirs = "Wed, 31 Dec 2025 23:50:00 GMT";
    let host = ScriptedHost::new().answers([pair_answer(1).dated(theirs), shops_answer(&["1"])]);
    assert_eq!(outcome(&connect_all(&host)), "ok");
    assert_eq!(host.record().granted_at(), NOW.minus(600));
    assert_eq!(effect(&host, &deauthorization(NOW.minus(300))), WebhookEffect::VerificationDue);

    for (date, granted_at) in [
        ("Thu, 01 Jan 2026 00:10:00 GMT", NOW),
        ("Wed, 31 Dec 2025 22:59:59 GMT", NOW.minus(3601)),
        ("Tue, 31 Dec 2019 23:59:59 GMT", NOW),
        ("Thu, 01 Jan 1970 00:00:00 GMT", NOW),
        ("yesterday", NOW),
    ] {
        let host = ScriptedHost::new().answers([pair_answer(1).dated(date), shops_answer(&["1"])]);
        assert_eq!(outcome(&connect_all(&host)), "ok");
        assert_eq!(host.record().granted_at(), granted_at, "{date}");
    }
}

#[test]
fn an_announced_end_is_shown_and_nothing_is_erased() {
    let host = connected(&fresh()).answers([shops_answer(&["1"]), pair_answer(2), shops_answer(&["1"])]);
    let end = NOW.plus(31 * DAY);
    assert_eq!(effect(&host, &ending(NOW, end)), WebhookEffect::AuthorizationEnding);
    assert_eq!(status(&host), Status::AuthorizationEnding(end), "an announced end is always shown");
    assert_eq!(stored_form(&host.record()), stored_form(&fresh()));
    assert_eq!(refresh_when_due(&host).unwrap().status, Status::AuthorizationEnding(end), "a refresh keeps the status");

    // A webhook that TikTok sent earlier arrives late. It announces an earlier end, which does not replace the later
    // end.
    assert_eq!(effect(&host, &ending(NOW.minus(60), end.minus(DAY))), WebhookEffect::AuthorizationEnding);
    assert_eq!(status(&host), Status::AuthorizationEnding(end));

    assert_eq!(outcome(&connect_all(&host)), "ok");
    assert_eq!(status(&host), Status::Active, "a consent renews the authorization");
}

#[test]
fn an_announced_end_is_no_longer_shown_if_tiktok_renews_tokens_after_it() {
    let renewal = |number| [pair_answer(number), shops_answer(&["1"])];
    let host = connected(&fresh()).answers(renewal(2).into_iter().chain(renewal(3)));
    let end = NOW.plus(3 * DAY);
    assert_eq!(effect(&host, &ending(NOW, end)), WebhookEffect::AuthorizationEnding);
    host.pass(2 * DAY);
    assert_eq!(refresh_forced(&host).unwrap().status, Status::AuthorizationEnding(end), "before the end");
    host.pass(2 * DAY);
    let connection = refresh_forced(&host).unwrap();
    assert_eq!(
        (connection.status, connection.authorization_ends),
        (Status::Active, None),
        "the seller has extended it"
    );

    // The webhook is delivered once more.
    assert_eq!(effect(&host, &ending(NOW, end)), WebhookEffect::None);
    assert_eq!(status(&host), Status::Active);
}

#[test]
fn an_end_that_is_unreadable_or_before_the_consent_is_ignored() {
    for end in [json!(null), json!("soon"), json!(0), json!("-5")] {
        let host = connected(&fresh());
        let event = json!({"type": 7, "shop_id": "1", "timestamp": NOW.seconds(), "data": {"expiration_time": end}});
        assert_eq!(effect(&host, &event), WebhookEffect::None, "{event}");
        assert_eq!(status(&host), Status::Active);
    }
    let host = connected(&fresh());
    assert_eq!(effect(&host, &ending(NOW, fresh().granted_at().minus(1))), WebhookEffect::None, "before the consent");
}

#[test]
fn events_do_not_change_a_dead_connection() {
    let dead = with(fresh(), |record| record.dead = Some(DeadReason::AuthorizationExpired));
    for event in [deauthorization(NOW), ending(NOW, NOW.plus(DAY))] {
        let host = connected(&dead);
        assert_eq!(effect(&host, &event), WebhookEffect::None);
        assert_eq!(stored_form(&host.record()), stored_form(&dead));
    }
}

#[test]
fn a_notice_during_a_refresh_loses_no_pair_and_is_verified_later() {
    let host =
        connected(&due()).answers([pair_answer(2), shops_answer(&["1", "2"])]).meanwhile(Step::Send, 1, |host| {
            assert_eq!(effect(host, &deauthorization(NOW)), WebhookEffect::VerificationDue)
        });
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");

    // If the webhook arrives after a refresh has read the shops, the next refresh verifies the grant.
    let host = connected(&fresh()).answers([shops_answer(&["1", "2"])]).meanwhile(Step::SwapRow, 1, |host| {
        assert_eq!(effect(host, &deauthorization(NOW)), WebhookEffect::VerificationDue)
    });
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert!(host.record().awaits_verification() && host.refresh_due_at() == Some(NOW));
}

#[test]
fn a_notice_keeps_the_claim_of_another_call() {
    let claimed = with(due(), |record| record.claim = Some(their_claim("RT-1")));
    let host = connected(&claimed);
    assert_eq!(effect(&host, &deauthorization(NOW)), WebhookEffect::VerificationDue);
    assert_eq!(tokens(&host.record()), "AT-1 RT-1 [] claimed");
    assert_eq!(host.refresh_due_at(), Some(NOW.plus(120)), "due again when the claim has lapsed");
}

#[test]
fn a_notice_during_a_reconnect_is_compared_with_the_new_consent() {
    let host = connected(&fresh()).meanwhile(Step::SwapToken, 2, |host| {
        host.edit(|record| record.granted_at = NOW.plus(1));
    });
    assert_eq!(effect(&host, &deauthorization(NOW)), WebhookEffect::None);
    assert!(!host.record().awaits_verification());

    let host = connected(&fresh()).meanwhile(Step::SwapRow, 1, |host| {
        host.edit(|record| record.lineage = Lineage([0x22; 16]));
    });
    let _written_or_not = effect(&host, &ending(NOW, NOW.plus(DAY)));
    let row = host.row().unwrap();
    assert_eq!(
        row.lineage,
        fresh().lineage().to_text(),
        "the row is of the earlier grant, and the next write replaces it"
    );
}

#[test]
fn a_stale_load_does_not_make_a_notice_void() {
    // A load returns an older record, which is dead. The newest record is not dead.
    let host = connected(&with(fresh(), |record| record.dead = Some(DeadReason::AuthorizationExpired)));
    host.put(&key(), &fresh());
    let host = host.fault(Step::LoadToken, 1, Fault::Stale);
    assert_eq!(effect(&host, &deauthorization(NOW)), WebhookEffect::VerificationDue);
}

#[test]
fn a_storage_failure_is_an_error_so_that_tiktok_repeats_the_webhook() {
    let steps = [(Step::Owners, 1), (Step::LoadRow, 1), (Step::LoadToken, 1), (Step::SwapToken, 1)];
    for (step, nth) in steps {
        let host = connected(&fresh()).fault(step, nth, Fault::Unavailable);
        assert_eq!(outcome(&receive(&host, &deauthorization(NOW))), "storage-unavailable", "{step:?}");
    }
    let host = connected(&fresh()).fault(Step::SwapToken, 2, Fault::AnswerLost);
    assert_eq!(effect(&host, &deauthorization(NOW)), WebhookEffect::VerificationDue, "it was written");
    let host = connected(&fresh()).fault(Step::SwapToken, 2, Fault::Unavailable);
    assert_eq!(effect(&host, &deauthorization(NOW)), WebhookEffect::VerificationDue, "it was tried again");
}

#[test]
fn a_webhook_killed_anywhere_is_recorded_by_a_repetition() {
    for event in [deauthorization(NOW), ending(NOW, NOW.plus(DAY))] {
        let body = event.to_string().into_bytes();
        let signature = signed_by(APP_SECRET, &body);
        let undisturbed = connected(&fresh());
        effect(&undisturbed, &event);
        for number in 1..=undisturbed.effects().len() {
            for point in [Kill::Before(number), Kill::After(number)] {
                let host = connected(&fresh()).killed(point);
                assert!(run_or_die(receive_webhook(&host, None, signature.as_bytes(), &body)).is_none(), "killed");
                host.restart();
                assert_ne!(effect(&host, &event), WebhookEffect::None, "{point:?}");
                assert_eq!(tokens(&host.record()), "AT-1 RT-1 []", "{point:?}");
            }
        }
    }
}
