//! Tests `connect` for an account that is already connected. `connect` replaces the tokens in the stored record, and
//! loses nothing of the old grant before the new tokens are stored.

use super::{code, connect_all, connected};
use crate::samples::{
    APP_KEY, DAY, LINEAGE, NOW, OTHER_APP, customer, due, expired, fresh, key, outcome, pair_answer, pair_answer_with,
    refresh_token, row_of, shops_answer, shops_of, stored_form, their_claim, tokens, with,
};
use crate::scripted_host::{Answer, Fault, ScriptedHost, Step, run};
use serde_json::json;
use tiktok_shop_connector_core::connection::{PastFailure, Status};
use tiktok_shop_connector_core::error::{Action, Cause, Error};
use tiktok_shop_connector_core::operation::connect::connect;
use tiktok_shop_connector_core::record::{DeadReason, ShopPolicy, TokenRecord};

fn consents_again(record: &TokenRecord) -> ScriptedHost {
    connected(record).answers([pair_answer(2), shops_answer(&["1", "2"])])
}

#[test]
fn a_consent_in_place_keeps_lineage_and_links_and_clears_the_state_of_the_old_grant() {
    let dead = with(expired(), |record| {
        record.dead = Some(DeadReason::RefreshOutcomeUnknown);
        record.claim = Some(their_claim("RT-1"));
        record.fallbacks = vec![refresh_token("RT-0")];
        (record.verify, record.presented, record.failures) = (true, 3, 4);
        record.not_before = Some(NOW.plus(100));
    });
    let host = consents_again(&dead);
    let mut row = row_of(&key(), &dead, &["1", "2"]);
    row.connection.shops[1].linked = false;
    row.connection.authorization_ends = Some(NOW.plus(DAY));
    row.connection.last_failure = Some(PastFailure::new(NOW, &Error::new(Cause::AuthorizationExpired)));
    host.put_row(&row);

    let connection = connect_all(&host).unwrap();
    assert_eq!(shops_of(&connection), "1 granted linked, 2 granted");
    assert_eq!((connection.status, connection.authorization_ends), (Status::Active, None));
    assert_eq!((connection.connected_at, connection.refreshed_at), (dead.granted_at(), NOW));
    assert_eq!(connection.last_failure, None);

    let record = host.record();
    assert_eq!(tokens(&record), "AT-2 RT-2 [RT-1 RT-0]");
    assert_eq!((record.lineage(), record.generation(), record.granted_at()), (LINEAGE, 5, NOW));
    assert_eq!(
        (record.awaits_verification(), record.presented(), record.failures(), record.not_before()),
        (false, 0, 0, None)
    );
    assert_eq!(host.refresh_due_at(), Some(record.due_at()));
}

#[test]
fn a_failed_load_after_an_ambiguous_write_in_place_does_no_harm() {
    for fault in [Fault::Unavailable, Fault::AnswerLost] {
        // The first swap expects no record, so it is stale and returns the stored record.
        let host = consents_again(&fresh())
            .fault(Step::SwapToken, 2, fault)
            .fault(Step::LoadToken, 1, Fault::Unavailable)
            .meanwhile(Step::LoadRow, 1, |host| assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]", "tokens first"));
        assert_eq!(outcome(&connect_all(&host)), "ok", "{fault:?}");
        assert_eq!(
            (tokens(&host.record()).as_str(), host.record().lineage()),
            ("AT-2 RT-2 [RT-1]", LINEAGE),
            "{fault:?}"
        );
    }
}

/// TikTok may answer a second consent with a pair that it has already issued.
#[test]
fn a_consent_that_brings_the_stored_pair_again_still_revives_the_grant() {
    let kept = with(fresh(), |record| record.fallbacks = vec![refresh_token("RT-2")]);
    for (case, number, record, expected) in
        [("the current pair", 1, fresh(), "AT-1 RT-1 []"), ("a pair among the fallbacks", 2, kept, "AT-2 RT-2 [RT-1]")]
    {
        let dead = with(record, |record| {
            record.dead = Some(DeadReason::RefreshOutcomeUnknown);
            record.verify = true;
        });
        let host = connected(&dead).answers([pair_answer(number), shops_answer(&["1", "2"])]);
        let connection = connect_all(&host).unwrap();
        assert_eq!(connection.status, Status::Active, "{case}");
        assert_eq!(tokens(&host.record()), expected, "{case}");
        assert_eq!((host.record().awaits_verification(), host.record().granted_at()), (false, NOW), "{case}");
    }
}

#[test]
fn an_account_that_is_stored_under_another_app_is_refused_and_nothing_changes() {
    let record = with(fresh(), |record| record.app_key = OTHER_APP.into());
    let row = row_of(&key(), &record, &["1", "2"]);
    // The tenant has both apps, or the app of the connection no longer.
    for apps in [[APP_KEY, OTHER_APP].as_slice(), &[APP_KEY]] {
        let host = connected(&record).apps_are(apps).answers([pair_answer(2)]);
        let refused = run(connect(&host, customer(), Some(APP_KEY.into()), code(), ShopPolicy::All));
        let error = refused.err().expect("an error");
        assert_eq!((error.cause, error.cause.action()), (Cause::AccountOfAnotherApp, Action::InvalidRequest));
        assert!(error.detail().ends_with("[app app-key-2]"), "{error}");
        assert_eq!(host.sent(), ["exchange CODE-1"]);
        assert_eq!(stored_form(&host.record()), stored_form(&record));
        assert_eq!(host.row().map(|row| row.generation), Some(row.generation));
        assert_eq!(shops_of(&host.row().unwrap().connection), shops_of(&row.connection));
    }
}

#[test]
fn an_account_that_left_its_app_connects_under_another_one() {
    let record = with(fresh(), |record| record.app_key = OTHER_APP.into());
    // The record is deleted just before the second try of the swap: a load may return it nevertheless.
    for lagging in [false, true] {
        let mut host = connected(&record)
            .answers([pair_answer(2), shops_answer(&["1"])])
            .fault(Step::SwapToken, 1, Fault::Unavailable)
            .meanwhile(Step::SwapToken, 1, |host| host.delete(&key()));
        if lagging {
            host = host.fault(Step::LoadToken, 1, Fault::Stale);
        }
        let connection = connect_all(&host).unwrap();
        assert_eq!(connection.app.as_deref(), Some(APP_KEY));
        assert_eq!((host.record().app_key(), tokens(&host.record()).as_str()), (APP_KEY, "AT-2 RT-2 []"));
        assert_ne!(host.record().lineage(), LINEAGE);
    }
}

#[test]
fn a_lost_exchange_leaves_the_old_grant_as_it_was() {
    for answer in [Answer::page(500), Answer::code(36_004_004), pair_answer_with(2, &json!({"user_type": 2}))] {
        let host = connected(&due()).answers([answer]);
        assert_ne!(outcome(&connect_all(&host)), "ok");
        assert_eq!(stored_form(&host.record()), stored_form(&due()));
    }
}

#[test]
fn an_ambiguous_write_in_place_is_recognised() {
    for lagging in [false, true] {
        let mut host = consents_again(&due()).fault(Step::SwapToken, 2, Fault::AnswerLost);
        if lagging {
            host = host.fault(Step::LoadToken, 1, Fault::Stale);
        }
        // The first swap expects no record, so it is stale and returns the stored record.
        assert_eq!(outcome(&connect_all(&host)), "ok");
        assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");
        assert_eq!(host.record().generation(), 5, "written once");
    }
}

#[test]
fn a_save_that_fails_in_place_keeps_the_old_grant() {
    let host = connected(&due()).answers([pair_answer(2)]).fault(Step::SwapToken, 2, Fault::Refused);
    assert_eq!(outcome(&connect_all(&host)), "authorization-code-spent");
    assert_eq!(stored_form(&host.record()), stored_form(&due()));
}

#[test]
fn a_consent_wins_over_writers_that_overtake_it() {
    let host = consents_again(&due())
        .meanwhile(Step::SwapToken, 2, |host| host.edit(|record| record.claim = Some(their_claim("RT-1"))))
        .meanwhile(Step::SwapToken, 3, |host| host.edit(|record| record.failures = 1));
    assert_eq!(outcome(&connect_all(&host)), "ok");
    assert_eq!(tokens(&host.record()), "AT-2 RT-2 [RT-1]");
}

#[test]
fn a_consent_that_loses_every_race_returns_authorization_code_spent() {
    let mut host = connected(&due()).answers([pair_answer(2)]);
    for nth in 1..=8 {
        host = host.meanwhile(Step::SwapToken, nth, |host| host.edit(|record| record.failures += 1));
    }
    assert_eq!(outcome(&connect_all(&host)), "authorization-code-spent");
    assert_eq!(tokens(&host.record()), "AT-1 RT-1 []");
}

#[test]
fn a_record_that_cannot_be_read_is_not_overwritten() {
    let too_new = br#"{"version":3}"#.as_slice();
    for (bytes, expected) in [(too_new, "token-record-too-new"), (b"?", "token-record-unreadable")] {
        let host = ScriptedHost::new().answers([pair_answer(2)]);
        host.put_bytes(&key(), bytes);
        assert_eq!(outcome(&connect_all(&host)), expected);
        assert_eq!(host.stored_bytes(), bytes);
    }
}

#[test]
fn a_row_of_an_earlier_lineage_is_replaced_whole() {
    let host = ScriptedHost::new().answers([pair_answer(1), shops_answer(&["3"])]);
    let mut orphan = row_of(&key(), &fresh(), &["1", "2"]);
    orphan.lineage = "22".repeat(16);
    host.put_row(&orphan);
    assert_eq!(outcome(&connect_all(&host)), "ok");
    let row = host.row().unwrap();
    assert_eq!(shops_of(&row.connection), "3 granted linked", "no cipher of an earlier grant survives");
    assert_eq!((row.connection.connected_at, row.generation), (NOW, 1));
}
