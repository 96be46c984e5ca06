//! Tests storage failures during `refresh`. The tests check the exact outcome of each failure. A new pair is not lost
//! if one of the tries to save it succeeds.

use super::{connected, refresh_when_due};
use crate::samples::{
    NOW, account, cause_and_delay, customer, due, key, last_failure, outcome, pair, pair_answer, pair_answer_with,
    refresh_token, shops_answer, shops_of, stored_form, tokens, with,
};
use crate::scripted_host::{Answer, Fault, ScriptedHost, Step, run};
use crate::stored_fields::Fields;
use serde_json::json;
use tiktok_shop_connector_core::error::{Action, Cause};
use tiktok_shop_connector_core::http::TransportFailure;
use tiktok_shop_connector_core::operation::refresh::{RefreshMode, refresh};
use tiktok_shop_connector_core::record::{DeadReason, TokenRecord};

const OLD: &str = "AT-1 RT-1 []";
const CLAIMED: &str = "AT-1 RT-1 [] claimed";
const NEW: &str = "AT-2 RT-2 [RT-1]";

fn renewing(record: &TokenRecord) -> ScriptedHost {
    connected(record).answers([pair_answer(2)]).tiktok(|_| shops_answer(&["1", "2"]))
}

fn with_faults(mut host: ScriptedHost, step: Step, faults: &[Fault]) -> ScriptedHost {
    for (at, fault) in faults.iter().enumerate() {
        // The faults begin at the second swap or load. The first swap of a refresh writes the claim, and the second
        // swap writes what TikTok answered. The first load reads the record, and the second load follows a swap whose
        // outcome is unknown.
        host = host.fault(step, at + 2, *fault);
    }
    host
}

#[test]
fn each_failing_storage_effect_of_a_refresh_has_its_exact_outcome() {
    use Fault::{AnswerLost, Refused, Unavailable};
    use Step::{LoadRow, LoadToken, SwapRow, SwapToken};
    type Row = (Step, usize, &'static [Fault], &'static str, &'static str, usize);
    let table: [Row; 9] = [
        // The record cannot be read.
        (LoadToken, 1, &[Unavailable, AnswerLost], "storage-unavailable", OLD, 0),
        (LoadToken, 1, &[Refused], "storage-refused", OLD, 0),
        // The claim cannot be written. If the outcome of the write is unknown, the record is loaded and the write is
        // tried again.
        (SwapToken, 1, &[Unavailable, AnswerLost], "ok", NEW, 2),
        (SwapToken, 1, &[Refused], "storage-refused", OLD, 0),
        // The pair cannot be saved. If the outcome of the write is unknown, the record is loaded and the write is tried
        // again, as for the claim. After a refused write, the claim stays.
        (SwapToken, 2, &[Unavailable, AnswerLost], "ok", NEW, 2),
        (SwapToken, 2, &[Refused], "token-not-saved", CLAIMED, 1),
        // The row cannot be written. The pair is already stored, and the record is due soon, so that the row is written
        // later.
        (LoadRow, 1, &[Unavailable, AnswerLost, Refused], "connection-row-not-saved", NEW, 2),
        (LoadToken, 2, &[Unavailable, AnswerLost, Refused], "connection-row-not-saved", NEW, 2),
        (SwapRow, 1, &[Unavailable, AnswerLost, Refused], "connection-row-not-saved", NEW, 2),
    ];
    for (step, nth, faults, expected, stored, requests) in table {
        for fault in faults {
            let host = renewing(&due()).fault(step, nth, *fault);
            let case = format!("{step:?} {nth} {fault:?}");
            assert_eq!(outcome(&refresh_when_due(&host)), expected, "{case}");
            assert_eq!(tokens(&host.record()), stored, "{case}");
            assert_eq!(host.sent(), &["refresh RT-1", "shops AT-2"][..requests], "{case}");
            if expected == "connection-row-not-saved" {
                let due = host.refresh_due_at().unwrap();
                assert!(due > NOW && due < NOW.plus(60), "{case}: a sweep soon calls again");
            }
        }
    }
}

/// A record that waits for a verification is written once more after the shops were read. If this write fails, the
/// record stays due, so that a sweep reads the shops again.
#[test]
fn if_the_write_after_the_row_fails_the_record_stays_due() {
    let waiting = || renewing(&with(due(), |record| record.verify = true));
    let written = waiting();
    assert_eq!(outcome(&refresh_when_due(&written)), "ok");
    assert_eq!(written.refresh_due_at(), Some(written.record().due_at()));
    for fault in [Fault::Unavailable, Fault::Refused] {
        let host = waiting().fault(Step::SwapToken, 3, fault);
        assert_eq!(outcome(&refresh_when_due(&host)), "ok", "{fault:?}");
        assert_eq!((tokens(&host.record()).as_str(), host.sent().len()), (NEW, 2), "{fault:?}");
        assert_eq!((host.refresh_due_at(), host.record().awaits_verification()), (Some(NOW), true), "{fault:?}");
    }
}

#[test]
fn the_customers_accounts_are_read_only_if_no_account_is_named() {
    for (fault, expected) in [(Fault::Unavailable, "storage-unavailable"), (Fault::Refused, "storage-refused")] {
        let host = renewing(&due()).fault(Step::Accounts, 1, fault);
        assert_eq!(outcome(&run(refresh(&host, customer(), None, RefreshMode::WhenDue))), expected);
        assert_eq!(outcome(&run(refresh(&host, customer(), Some(account()), RefreshMode::WhenDue))), "ok");
    }
}

/// Tests a save that fails a few times and then works, and a save that never works.
#[test]
fn a_pair_is_saved_by_the_third_try_or_the_error_is_token_not_saved() {
    use Fault::{AnswerLost, Refused, Unavailable};
    let table: [(&[Fault], &[Fault], &str, &str); 9] = [
        (&[Unavailable], &[], "ok", NEW),
        (&[Unavailable, Unavailable], &[], "ok", NEW),
        (&[Unavailable, AnswerLost], &[], "ok", NEW),
        (&[Unavailable, Unavailable, Unavailable], &[], "token-not-saved", CLAIMED),
        (&[Unavailable, Refused], &[], "token-not-saved", CLAIMED),
        // The third try took effect, and the load after it shows that.
        (&[Unavailable, Unavailable, AnswerLost], &[], "ok", NEW),
        // A stale or failed load proves nothing. The next swap shows whether the write took effect.
        (&[AnswerLost], &[Fault::Stale], "ok", NEW),
        (&[AnswerLost], &[Unavailable], "ok", NEW),
        (&[Unavailable, AnswerLost], &[Unavailable, Fault::Stale], "ok", NEW),
    ];
    for (swaps, loads, expected, stored) in table {
        let host = with_faults(with_faults(renewing(&due()), Step::SwapToken, swaps), Step::LoadToken, loads);
        let result = refresh_when_due(&host);
        assert_eq!((outcome(&result), tokens(&host.record()).as_str()), (expected, stored), "{swaps:?} {loads:?}");
        assert_eq!(host.sent().len(), if expected == "ok" { 2 } else { 1 });
        if stored == NEW {
            assert_eq!(host.record().generation(), due().generation() + 1, "{swaps:?}: saved once");
        }
    }
}

#[test]
fn after_token_not_saved_the_old_token_is_sent_once_more() {
    let host = connected(&due()).answers([pair_answer(2), pair_answer(3), shops_answer(&["1"])]).fault(
        Step::SwapToken,
        2,
        Fault::Refused,
    );
    let error = refresh_when_due(&host).err().unwrap();
    assert_eq!((error.cause, error.cause.action()), (Cause::TokenNotSaved, Action::StorageFailed));
    assert_eq!(host.refresh_due_at(), Some(host.wall().plus(120)), "a sweep calls again when the claim lapses");
    host.pass(120);
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(host.sent(), ["refresh RT-1", "refresh RT-1", "shops AT-3"], "the old token is sent once more");
    assert_eq!(tokens(&host.record()), "AT-3 RT-3 [RT-1]");
}

#[test]
fn only_the_time_budget_ends_the_race_to_save_a_pair() {
    let overtaken = |times: usize, seconds: u64| {
        let mut host = renewing(&due());
        for nth in 2..times + 2 {
            host = host.meanwhile(Step::SwapToken, nth, move |host| {
                host.edit(|record| record.presented += 1);
                host.pass(seconds);
            });
        }
        host
    };
    let host = overtaken(30, 0);
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(tokens(&host.record()), NEW);

    let host = overtaken(30, 6);
    assert_eq!(cause_and_delay(refresh_when_due(&host)).0, Cause::TokenNotSaved);
    assert_eq!(host.sent(), ["refresh RT-1"]);
}

#[test]
fn a_machine_that_sleeps_while_it_saves_still_saves_its_pair() {
    let died = |record: &mut Fields| (record.claim, record.dead) = (None, Some(DeadReason::RefreshOutcomeUnknown));
    let renewed = |record: &mut Fields| record.apply(|record| record.take_pair(&pair(5), NOW, 0));
    for (meanwhile, expected) in [(died as fn(&mut Fields), NEW), (renewed, "AT-5 RT-5 [RT-2 RT-1]")] {
        let host = renewing(&due()).meanwhile(Step::SwapToken, 2, move |host| {
            host.edit(meanwhile);
            host.pass(121);
        });
        assert_eq!(outcome(&refresh_when_due(&host)), "ok", "{expected}");
        assert_eq!(tokens(&host.record()), expected);
    }
}

#[test]
fn a_pair_whose_ambiguous_save_was_overtaken_becomes_a_fallback() {
    let host = renewing(&due()).fault(Step::SwapToken, 2, Fault::Unavailable).meanwhile(Step::LoadToken, 2, |host| {
        host.edit(|record| record.apply(|record| record.take_pair(&pair(5), NOW, 0)))
    });
    assert_eq!(outcome(&refresh_when_due(&host)), "ok");
    assert_eq!(tokens(&host.record()), "AT-5 RT-5 [RT-2 RT-1]");
}

#[test]
fn no_request_is_sent_until_the_claim_is_known_to_be_stored() {
    use Fault::{AnswerLost, Stale, Unavailable};
    let table: [(&[Fault], &[Fault], &str, &str); 5] = [
        (&[Unavailable, Unavailable, Unavailable], &[], "storage-unavailable", OLD),
        (&[Unavailable], &[Unavailable], "storage-unavailable", OLD),
        (&[AnswerLost], &[Unavailable], "storage-unavailable", CLAIMED),
        // The claim is stored. The stale load does not show it, but the next swap does.
        (&[AnswerLost], &[Stale], "ok", NEW),
        (&[Unavailable, Unavailable], &[], "ok", NEW),
    ];
    for (swaps, loads, expected, stored) in table {
        let mut host = renewing(&due());
        for (at, fault) in swaps.iter().enumerate() {
            host = host.fault(Step::SwapToken, at + 1, *fault);
        }
        let host = with_faults(host, Step::LoadToken, loads);
        // A stale load needs an older record that it can return.
        host.put(&key(), &due());
        assert_eq!(outcome(&refresh_when_due(&host)), expected, "{swaps:?} {loads:?}");
        assert_eq!(tokens(&host.record()), stored, "{swaps:?} {loads:?}");
        assert_eq!(host.sent().is_empty(), expected != "ok", "{swaps:?} {loads:?}");
    }
}

#[test]
fn a_rejection_is_written_despite_ambiguous_storage_or_the_claim_stays() {
    use Fault::{AnswerLost, Refused, Unavailable};
    let table: [(&[Fault], &[Fault], &str, &str); 6] = [
        (&[Unavailable], &[], "authorization-revoked", "AT-1 RT-1 [] dead"),
        (&[AnswerLost], &[], "authorization-revoked", "AT-1 RT-1 [] dead"),
        (&[AnswerLost], &[Fault::Stale], "authorization-revoked", "AT-1 RT-1 [] dead"),
        (&[Refused], &[], "storage-refused", CLAIMED),
        (&[Unavailable], &[Unavailable], "storage-unavailable", CLAIMED),
        (&[Unavailable, Unavailable, Unavailable], &[], "storage-unavailable", CLAIMED),
    ];
    for (swaps, loads, expected, stored) in table {
        let host = connected(&due()).answers([Answer::code(36_004_005)]);
        let host = with_faults(with_faults(host, Step::SwapToken, swaps), Step::LoadToken, loads);
        assert_eq!(outcome(&refresh_when_due(&host)), expected, "{swaps:?} {loads:?}");
        assert_eq!(tokens(&host.record()), stored, "{swaps:?} {loads:?}");
    }
}

#[test]
fn a_promotion_is_written_despite_ambiguous_storage() {
    let record = with(due(), |record| record.fallbacks = vec![refresh_token("RT-0")]);
    for (swaps, loads) in [
        ([Fault::Unavailable].as_slice(), [].as_slice()),
        (&[Fault::AnswerLost], &[]),
        (&[Fault::AnswerLost], &[Fault::Stale]),
    ] {
        let host = connected(&record).answers([Answer::code(36_004_005), pair_answer(2), shops_answer(&["1"])]);
        let host = with_faults(with_faults(host, Step::SwapToken, swaps), Step::LoadToken, loads);
        assert_eq!(outcome(&refresh_when_due(&host)), "ok", "{swaps:?} {loads:?}");
        assert_eq!(host.sent(), ["refresh RT-1", "refresh RT-0", "shops AT-2"], "{swaps:?} {loads:?}");
    }
}

#[test]
fn a_failed_release_leaves_the_claim_to_lapse() {
    for fault in [Fault::Unavailable, Fault::Refused] {
        let host = connected(&due()).answers([Answer::Broken(TransportFailure::NotConnected)]);
        let host = host.fault(Step::SwapToken, 2, fault);
        assert_eq!(
            outcome(&refresh_when_due(&host)),
            "tiktok-unreachable",
            "the first cause is returned, not the second"
        );
        assert_eq!(tokens(&host.record()), CLAIMED);
    }
}

#[test]
fn a_failure_is_returned_even_if_the_row_cannot_be_written() {
    for step in [Step::LoadRow, Step::SwapRow] {
        let host = connected(&due()).answers([Answer::code(36_004_001)]).fault(step, 1, Fault::Unavailable);
        assert_eq!(outcome(&refresh_when_due(&host)), "authorization-expired");
        assert_eq!(host.record().dead(), Some(DeadReason::AuthorizationExpired));
        assert_eq!(last_failure(&host.row().unwrap().connection), None);
    }
    let host = connected(&due()).answers([pair_answer(2), Answer::page(500)]).fault(Step::SwapRow, 1, Fault::Refused);
    assert_eq!(
        outcome(&refresh_when_due(&host)),
        "tiktok-unavailable",
        "the failure of reading the shops is returned, not that of the row"
    );
}

#[test]
fn a_new_row_is_deleted_if_its_record_was_deleted_meanwhile() {
    let rowless = || ScriptedHost::with_record(&due()).answers([pair_answer(2), shops_answer(&["1"])]);
    // The record is deleted just before the new row is written.
    let host = rowless().meanwhile(Step::SwapRow, 1, |host| host.delete(&key()));
    assert_eq!(outcome(&refresh_when_due(&host)), "not-connected");
    assert!(host.row().is_none());
    // The record is deleted just before the row is loaded.
    let host = rowless().meanwhile(Step::LoadRow, 1, |host| host.delete(&key()));
    assert_eq!(outcome(&refresh_when_due(&host)), "not-connected");
    assert!(!host.effects().contains(&Step::SwapRow));
}

#[test]
fn unreadable_records_are_not_changed() {
    for (bytes, expected, action) in [
        (br#"{"version":3}"#.as_slice(), "token-record-too-new", Action::Misconfigured),
        (b"{}", "token-record-unreadable", Action::StorageFailed),
    ] {
        let host = connected(&due());
        host.put_bytes(&key(), bytes);
        let error = refresh_when_due(&host).err().unwrap();
        assert_eq!((error.cause.code(), error.cause.action()), (expected, action));
        assert_eq!(host.stored_bytes(), bytes);
        assert_eq!(shops_of(&host.row().unwrap().connection), "1 granted linked, 2 granted linked");
    }
}

#[test]
fn a_refresh_token_without_an_access_token_is_stored_before_the_error_is_returned() {
    let host = connected(&due()).answers([pair_answer_with(2, &json!({"access_token": null}))]);
    let host = host.fault(Step::SwapToken, 2, Fault::AnswerLost);
    assert_eq!(cause_and_delay(refresh_when_due(&host)).0, Cause::TokenAnswerIncomplete);
    assert_eq!(tokens(&host.record()), "AT-1 RT-2 [RT-1]");
    assert_ne!(stored_form(&host.record()), stored_form(&due()));
}
