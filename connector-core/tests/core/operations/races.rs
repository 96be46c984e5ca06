//! Tests callers that run at the same time. A caller that loses a race does no harm. No pair (access token and refresh
//! token) that TikTok issued is lost, unless its connection was deleted or replaced.

use super::{connected, refresh_forced, refresh_when_due};
use crate::samples::{
    DAY, LINEAGE, NOW, access, cause_and_delay, due, expired, fresh, grant, key, last_failure, outcome, pair,
    pair_answer, pair_answer_with, refresh_token, row_of, shops_answer, shops_of, stored_form, their_claim, tokens,
    with,
};
use crate::scripted_host::{Answer, Fault, ScriptedHost, Step};
use crate::stored_fields::Fields;
use serde_json::json;
use std::cell::RefCell;
use std::rc::Rc;
use tiktok_shop_connector_core::connection::Status;
use tiktok_shop_connector_core::error::Cause;
use tiktok_shop_connector_core::record::{DeadReason, Lineage, TokenRecord};

fn renewing(record: &TokenRecord) -> ScriptedHost {
    connected(record).answers([pair_answer(2)]).tiktok(|_| shops_answer(&["1", "2"]))
}

#[test]
fn a_second_caller_during_the_request_sends_nothing() {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let (first, second) = (heard.clone(), heard.clone());
    let valid = renewing(&due()).meanwhile(Step::Send, 1, move |host| {
        first.borrow_mut().push(outcome(&refresh_when_due(host)));
        first.borrow_mut().push(outcome(&refresh_forced(host)));
        assert_eq!(host.sent(), Vec::<String>::new());
    });
    assert_eq!(outcome(&refresh_when_due(&valid)), "ok");
    assert_eq!(valid.sent(), ["refresh RT-1", "shops AT-2"]);

    let ended = renewing(&expired()).meanwhile(Step::Send, 1, move |host| {
        let error = refresh_when_due(host).err().unwrap();
        assert!((1000..1500).contains(&error.delay.as_millis()), "{:?}", error.delay);
        second.borrow_mut().push(error.cause.code());
    });
    assert_eq!(outcome(&refresh_when_due(&ended)), "ok");
    assert_eq!(*heard.borrow(), ["ok", "ok", "refresh-in-progress"]);
}

#[test]
fn a_caller_that_finds_a_live_claim_changes_nothing() {
    for (record, expected) in [(due(), "ok"), (expired(), "refresh-in-progress")] {
        let record = with(record, |record| record.claim = Some(their_claim("RT-1")));
        let host = connected(&record);
        host.pass(119);
        let result = refresh_forced(&host);
        assert_eq!(outcome(&result), expected);
        if let Ok(connection) = result {
            assert_eq!(shops_of(&connection), "1 granted linked, 2 granted linked", "the row as it stands");
        } else {
            assert!(cause_and_delay(result).1 <= 1, "the delay is not longer than the rest of the claim's life");
        }
        assert!(host.sent().is_empty());
        assert_eq!(host.history().len(), 1, "nothing was written");
    }
}

#[test]
fn a_missing_row_is_written_even_while_another_caller_renews() {
    let host = ScriptedHost::with_record(&with(due(), |record| record.claim = Some(their_claim("RT-1"))));
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(host.row().unwrap().connection.seller_name, "Seller");
    assert_eq!(host.history().len(), 1);
}

#[test]
fn a_lapsed_claim_is_taken_over_and_counted() {
    let host = renewing(&with(due(), |record| record.claim = Some(their_claim("RT-1"))));
    host.pass(120);
    let host = host.meanwhile(Step::Send, 1, |host| assert_eq!(host.record().presented(), 1));
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!((tokens(&host.record()).as_str(), host.record().presented()), ("AT-2 RT-2 [RT-1]", 0));
}

#[test]
fn a_caller_that_loses_the_race_for_the_claim_decides_anew_from_the_stored_record() {
    // The other caller has already renewed the tokens.
    let host = connected(&due()).tiktok(|_| shops_answer(&["1"])).meanwhile(Step::SwapToken, 1, |host| {
        host.edit(|record| record.apply(|record| record.take_pair(&pair(5), NOW, 0)))
    });
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(host.sent(), ["shops AT-5"]);
    // The other caller has claimed the refresh token.
    let host = connected(&expired()).meanwhile(Step::SwapToken, 1, |host| {
        host.edit(|record| record.claim = Some(their_claim("RT-1")));
    });
    assert_eq!(outcome(&refresh_when_due(&host)), "refresh-in-progress");
    assert!(host.sent().is_empty());
    // The other caller has deleted the connection.
    let host = connected(&due()).meanwhile(Step::SwapToken, 1, |host| host.delete(&key()));
    assert_eq!(outcome(&refresh_when_due(&host)), "not-connected");
    assert!(host.find_record(&key()).is_none() && host.row().is_none());
}

#[test]
fn a_caller_that_loses_every_race_returns_storage_conflict_and_sends_nothing() {
    let mut host = connected(&due());
    for nth in 1..=8 {
        host = host.meanwhile(Step::SwapToken, nth, |host| host.edit(|record| record.failures += 1));
    }
    assert_eq!(outcome(&refresh_when_due(&host)), "storage-conflict");
    assert!(host.sent().is_empty());
    assert_eq!(tokens(&host.record()), "AT-1 RT-1 []");
}

#[test]
fn a_claim_that_does_not_name_the_current_token_is_given_back() {
    // The caller's claim is stored, but storage's answer to that write is lost. Before the caller loads the record,
    // another call saves a late pair. So the claim no longer names the current refresh token.
    let host = connected(&due())
        .tiktok(|_| shops_answer(&["1"]))
        .fault(Step::SwapToken, 1, Fault::AnswerLost)
        .meanwhile(Step::LoadToken, 2, |host| {
            host.edit(|record| {
                let claim = record.claim;
                record.apply(|record| record.take_pair(&pair(5), NOW, 0));
                record.claim = claim;
            });
        });
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(host.sent(), ["shops AT-5"], "the claimed token is not current, so it is not sent");
    assert_eq!(tokens(&host.record()), "AT-5 RT-5 [RT-1]");
}

/// Tests rule 5 of `rotation.rs`: where a pair is saved if another writer has changed the record between the request
/// and the save.
#[test]
fn a_pair_that_is_saved_late_becomes_current_or_a_fallback() {
    type Edit = fn(&mut Fields);
    let table: [(&str, Edit, &str, &str); 5] = [
        (
            "taken over, outcome open",
            |record| {
                record.claim = Some(their_claim("RT-1"));
                record.presented = 1;
            },
            "AT-2 RT-2 [RT-1]",
            "shops AT-2",
        ),
        (
            "taken over and renewed",
            |record| record.apply(|record| record.take_pair(&pair(5), NOW, 0)),
            "AT-5 RT-5 [RT-2 RT-1]",
            "shops AT-5",
        ),
        (
            "taken over and killed",
            |record| {
                record.claim = None;
                record.dead = Some(DeadReason::RefreshOutcomeUnknown);
            },
            "AT-2 RT-2 [RT-1]",
            "shops AT-2",
        ),
        (
            "ours already, by a host that retried",
            |record| record.apply(|record| record.take_pair(&pair(2), NOW, 0)),
            "AT-2 RT-2 [RT-1]",
            "shops AT-2",
        ),
        (
            "reconnected in place",
            |record| record.apply(|record| record.regrant(&grant(record.profile().shop_policy, &pair(5), NOW))),
            "AT-5 RT-5 [RT-2 RT-1]",
            "shops AT-5",
        ),
    ];
    for (case, edit, stored, reading) in table {
        let host = renewing(&due()).meanwhile(Step::SwapToken, 2, move |host| host.edit(edit));
        assert_eq!(outcome(&refresh_when_due(&host)), "ok", "{case}");
        assert_eq!(tokens(&host.record()), stored, "{case}");
        assert_eq!(host.sent(), ["refresh RT-1", reading], "{case}");
        assert_eq!(host.row().unwrap().connection.status, Status::Active, "{case}");
    }
}

#[test]
fn a_late_answer_without_a_refresh_token_does_not_change_a_newer_pair() {
    let host = connected(&due())
        .answers([pair_answer_with(2, &json!({"refresh_token": ""}))])
        .tiktok(|_| shops_answer(&["1"]))
        .meanwhile(Step::SwapToken, 2, |host| {
            host.edit(|record| record.apply(|record| record.take_pair(&pair(5), NOW, 0)))
        });
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(tokens(&host.record()), "AT-5 RT-5 [RT-1]");
}

/// The claim of the first call lapses before TikTok's answer arrives, and a second call renews the tokens. The pair of
/// the first call must not replace the newer pair.
#[test]
fn the_answer_to_a_lapsed_claim_becomes_a_fallback_of_the_successors_pair() {
    let host = connected(&due())
        .answers([pair_answer(3)])
        .tiktok(|request| if request == "refresh RT-1" { pair_answer(2) } else { shops_answer(&["1"]) })
        .meanwhile(Step::Send, 1, |host| {
            host.pass(120);
            assert_eq!(outcome(&refresh_when_due(host)), "ok");
            assert_eq!(tokens(&host.record()), "AT-3 RT-3 [RT-1]");
        });
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(host.sent(), ["refresh RT-1", "shops AT-3", "refresh RT-1", "shops AT-3"]);
    assert_eq!(tokens(&host.record()), "AT-3 RT-3 [RT-2 RT-1]");
}

/// The claim of the first call lapses before TikTok's answer arrives. A second call claims the refresh token and sends
/// it. TikTok rejects the token, so the second call marks the grant as dead. Then the pair of the first call arrives,
/// and revives the grant.
#[test]
fn the_answer_to_a_lapsed_claim_revives_a_grant_that_its_successor_marked_dead() {
    let host = connected(&due())
        .answers([Answer::code(36_004_005)])
        .tiktok(|request| if request == "refresh RT-1" { pair_answer(2) } else { shops_answer(&["1"]) })
        .meanwhile(Step::Send, 1, |host| {
            host.pass(120);
            assert_eq!(outcome(&refresh_when_due(host)), "refresh-outcome-unknown");
        });
    let connection = refresh_when_due(&host).unwrap();
    assert_eq!((connection.status, tokens(&host.record()).as_str()), (Status::Active, "AT-2 RT-2 [RT-1]"));
    assert_eq!(last_failure(&connection), None);
}

#[test]
fn a_pair_for_a_deleted_or_replaced_grant_is_discarded() {
    let host = renewing(&due()).meanwhile(Step::SwapToken, 2, |host| host.delete(&key()));
    assert_eq!(outcome(&refresh_when_due(&host)), "not-connected");
    assert!(host.find_record(&key()).is_none(), "the connection stays disconnected");
    assert!(host.row().is_none());

    let anew = with(fresh(), |record| {
        record.lineage = Lineage([0x22; 16]);
        record.current.access = Some(access("AT-8"));
        record.current.refresh = Some(refresh_token("RT-8"));
    });
    let expected = stored_form(&anew);
    let host = renewing(&due()).meanwhile(Step::SwapToken, 2, move |host| {
        host.put(&key(), &anew);
        host.put_row(&row_of(&key(), &anew, &["1"]));
    });
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(host.sent(), ["refresh RT-1", "shops AT-8"]);
    assert_eq!(stored_form(&host.record()), expected, "the new grant is unchanged");
}

#[test]
fn a_row_is_written_only_for_the_grant_with_which_the_call_began() {
    let anew = || with(fresh(), |record| record.lineage = Lineage([0x22; 16]));
    // A new consent replaces the record just before the row is loaded, or just before the new row is written.
    for (step, nth) in [(Step::LoadRow, 1), (Step::SwapRow, 1)] {
        let host = ScriptedHost::with_record(&fresh()).answers([shops_answer(&["1"])]);
        let host = host.meanwhile(step, nth, move |host| host.put(&key(), &anew()));
        assert_eq!(outcome(&refresh_when_due(&host)), "not-connected", "{step:?}");
        assert!(host.row().is_none(), "{step:?}: shops of another grant");
        assert_eq!(stored_form(&host.record()), stored_form(&anew()), "{step:?}");
    }
    let host = connected(&fresh()).answers([shops_answer(&["1"])]).meanwhile(Step::LoadRow, 1, move |host| {
        host.put(&key(), &anew());
        host.put_row(&row_of(&key(), &anew(), &["9"]));
    });
    assert_eq!(outcome(&refresh_when_due(&host)), "not-connected");
    assert_eq!(shops_of(&host.row().unwrap().connection), "9 granted linked");
}

#[test]
fn a_rejection_under_a_lost_claim_does_not_mark_the_grant_dead() {
    // Before this call writes the rejection, another caller takes over the claim. So this call must wait.
    let host = connected(&expired()).answers([Answer::code(36_004_005)]).meanwhile(Step::SwapToken, 2, |host| {
        host.edit(|record| record.claim = Some(their_claim("RT-1")));
    });
    assert_eq!(outcome(&refresh_when_due(&host)), "refresh-in-progress");
    assert_eq!(tokens(&host.record()), "AT-1 RT-1 [] claimed");
    // Another caller has renewed the tokens.
    let host = connected(&due()).answers([Answer::code(36_004_005), shops_answer(&["1"])]).meanwhile(
        Step::SwapToken,
        2,
        |host| host.edit(|record| record.apply(|record| record.take_pair(&pair(5), NOW, 0))),
    );
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(host.sent(), ["refresh RT-1", "shops AT-5"]);
    // Another caller has deleted the connection.
    let host = connected(&due()).answers([Answer::code(36_004_005)]).meanwhile(Step::SwapToken, 2, |host| {
        host.delete(&key());
    });
    assert_eq!(outcome(&refresh_when_due(&host)), "not-connected");
}

#[test]
fn a_rejection_is_decided_again_if_the_claim_still_stands() {
    // Another caller has added a fallback (an earlier refresh token), so the fallback is tried before the grant is
    // marked dead.
    let host = connected(&due()).answers([Answer::code(36_004_005), pair_answer(2), shops_answer(&["1"])]).meanwhile(
        Step::SwapToken,
        2,
        |host| host.edit(|record| record.fallbacks = vec![refresh_token("RT-0")]),
    );
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(host.sent(), ["refresh RT-1", "refresh RT-0", "shops AT-2"]);
    // A webhook has said that the grant may have ended. The rejection confirms that the grant has ended.
    let host = connected(&due()).answers([Answer::code(36_004_001)]).meanwhile(Step::SwapToken, 2, |host| {
        host.edit(|record| record.verify = true);
    });
    assert_eq!(outcome(&refresh_when_due(&host)), "authorization-revoked");
    assert_eq!(tokens(&host.record()), "- - [] dead");
}

#[test]
fn a_release_that_lost_its_race_does_not_change_the_record_that_won() {
    let host = connected(&due()).answers([Answer::limited(None)]).meanwhile(Step::SwapToken, 2, |host| {
        host.edit(|record| record.apply(|record| record.take_pair(&pair(5), NOW, 0)));
    });
    assert_eq!(cause_and_delay(refresh_when_due(&host)).0, Cause::RateLimited);
    assert_eq!(tokens(&host.record()), "AT-5 RT-5 [RT-1]");
    assert_eq!(host.record().failures(), 0);
}

#[test]
fn a_row_of_a_newer_record_keeps_its_status_and_names() {
    let host = connected(&fresh()).answers([shops_answer(&["1"])]);
    let mut newer = row_of(&key(), &fresh(), &["1", "2"]);
    newer.generation = 9;
    newer.connection.status = Status::ReauthorizationRequired(DeadReason::AuthorizationRevoked);
    newer.connection.seller_name = "Newer".into();
    newer.connection.refreshed_at = NOW.plus(DAY);
    host.put_row(&newer);
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    let row = host.row().unwrap();
    assert_eq!((row.generation, row.lineage), (9, LINEAGE.to_text()));
    assert_eq!(row.connection.status, newer.connection.status);
    assert_eq!((row.connection.seller_name.as_str(), row.connection.refreshed_at), ("Newer", NOW.plus(DAY)));
    assert_eq!(shops_of(&row.connection), "1 unconfirmed linked, 2 gone linked", "the new list is stored nevertheless");
}

#[test]
fn a_row_write_that_loses_every_race_is_a_storage_conflict() {
    let mut host = connected(&fresh()).answers([shops_answer(&["1"])]);
    for nth in 1..=3 {
        host = host.meanwhile(Step::SwapRow, nth, |host| host.put_row(&row_of(&key(), &fresh(), &["7"])));
    }
    assert_eq!(outcome(&refresh_when_due(&host)), "storage-conflict");
    assert_eq!(shops_of(&host.row().unwrap().connection), "7 granted linked");
}
