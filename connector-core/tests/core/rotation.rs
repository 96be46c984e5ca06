//! Tests the pure rules of a renewal with tables: which caller may spend the refresh token, and what is stored
//! afterwards.

mod pairs;

use crate::samples::{DAY, NOW, access, due, expired, fresh, refresh_token, their_claim, tokens, with};
use crate::stored_fields::Fields;
use std::time::Duration;
use tiktok_shop_connector_core::contract::{CLAIM_LIFE, REQUEST_BUDGET, SAVE_BUDGET};
use tiktok_shop_connector_core::error::{Cause, Error};
use tiktok_shop_connector_core::record::{CurrentPair, DeadReason, TokenHash, TokenRecord};
use tiktok_shop_connector_core::rotation::{Plan, Trigger, outcome_unknown, plan, too_late};
use tiktok_shop_connector_core::time::{Moment, UnixSeconds};

const NONCE: [u8; 16] = [7; 16];
/// An age at which every claim of a record has lapsed.
const OLD: Duration = Duration::from_secs(10_000);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn waits(cause: Cause, delay: u64) -> Plan {
    Plan::Wait(cause, seconds(delay))
}

#[test]
fn the_plan_says_who_may_spend_the_refresh_token() {
    let current = access("AT-1");
    let other = access("AT-0");
    let (when_due, forced) = (Trigger::WhenDue, Trigger::Forced);
    let (refused, refused_other) = (Trigger::Refused(&current), Trigger::Refused(&other));
    let dead = |reason| with(due(), |record| record.dead = Some(reason));
    let verified_dead = with(due(), |record| {
        record.dead = Some(DeadReason::AuthorizationRevoked);
        record.current = CurrentPair::default();
    });
    let claimed = |record: TokenRecord| with(record, |record| record.claim = Some(their_claim("RT-1")));
    let rotated = |ago: u64| with(due(), |record| record.rotated_at = NOW.minus(ago));
    let held_back = |ahead: u64| with(due(), |record| record.not_before = Some(NOW.plus(ahead)));
    let expired_reason = DeadReason::AuthorizationExpired;

    let table: Vec<(&str, TokenRecord, Duration, Trigger<'_>, Plan)> = vec![
        ("dead", dead(expired_reason), OLD, when_due, Plan::Dead(expired_reason)),
        ("dead, its token refused", dead(expired_reason), OLD, refused, Plan::Dead(expired_reason)),
        ("dead, forced", dead(expired_reason), OLD, forced, Plan::Claim),
        ("dead by a notice: nothing to try", verified_dead, OLD, forced, Plan::Dead(DeadReason::AuthorizationRevoked)),
        ("fresh", fresh(), OLD, when_due, Plan::Fresh),
        ("fresh, forced", fresh(), OLD, forced, Plan::Claim),
        ("fresh, its token refused", fresh(), OLD, refused, Plan::Claim),
        ("fresh, another token refused", fresh(), OLD, refused_other, Plan::Fresh),
        ("due", due(), OLD, when_due, Plan::Claim),
        ("due this second", with(due(), |record| record.due_at = NOW), OLD, when_due, Plan::Claim),
        ("due in a second", with(due(), |record| record.due_at = NOW.plus(1)), OLD, when_due, Plan::Fresh),
        ("expired", expired(), OLD, when_due, Plan::Claim),
        ("due, rotated ten minutes ago", rotated(600), OLD, when_due, Plan::Claim),
        ("due, rotated just under ten minutes ago", rotated(599), OLD, when_due, Plan::Fresh),
        ("refused, just rotated", rotated(590), OLD, refused, waits(Cause::BackingOff, 10)),
        ("refused and replaced, just rotated", rotated(590), OLD, refused_other, Plan::Fresh),
        ("forced, just rotated", rotated(1), OLD, forced, Plan::Claim),
        ("rotated ahead of now", with(due(), |record| record.rotated_at = NOW.plus(60)), OLD, when_due, Plan::Claim),
        ("a live claim", claimed(due()), seconds(0), when_due, waits(Cause::RefreshInProgress, 1)),
        ("a live claim, forced", claimed(due()), seconds(119), forced, waits(Cause::RefreshInProgress, 1)),
        ("a live claim, refused", claimed(fresh()), seconds(1), refused, waits(Cause::RefreshInProgress, 1)),
        ("a live claim on a fresh pair", claimed(fresh()), seconds(1), when_due, waits(Cause::RefreshInProgress, 1)),
        ("a lapsed claim on a fresh pair", claimed(fresh()), seconds(120), when_due, Plan::Claim),
        ("a lapsed claim, just rotated", claimed(rotated(1)), seconds(120), when_due, Plan::Claim),
        ("a lapsed claim", claimed(due()), seconds(120), when_due, Plan::Claim),
        ("held back", held_back(1), OLD, when_due, waits(Cause::BackingOff, 1)),
        ("held back for an hour", held_back(3600), OLD, when_due, waits(Cause::BackingOff, 3600)),
        ("held back, its token refused", held_back(9), OLD, refused, waits(Cause::BackingOff, 9)),
        ("held back beyond an hour: a wrong clock", held_back(3601), OLD, when_due, Plan::Claim),
        ("no longer held back", held_back(0), OLD, when_due, Plan::Claim),
        ("held back, forced", held_back(60), OLD, forced, Plan::Claim),
    ];
    for (case, record, age, mode, expected) in table {
        assert_eq!(plan(&record, age, NOW, mode, || 0), expected, "{case}");
    }
}

#[test]
fn a_caller_waits_no_longer_than_the_claim_lives() {
    let record = with(due(), |record| record.claim = Some(their_claim("RT-1")));
    for (age_ms, random, pause_ms) in
        [(0, 0, 1000), (0, 499, 1499), (0, 500, 1000), (118_501, 499, 1499), (119_900, 499, 100), (119_999, 0, 1)]
    {
        let expected = Plan::Wait(Cause::RefreshInProgress, Duration::from_millis(pause_ms));
        assert_eq!(
            plan(&record, Duration::from_millis(age_ms), NOW, Trigger::Forced, || random),
            expected,
            "{age_ms} ms"
        );
    }
}

#[test]
fn a_claim_names_the_token_that_it_spends() {
    let mut record = due();
    assert!(record.claim(NONCE));
    let written = record.current_claim().unwrap();
    assert_eq!((written.nonce, written.spends), (NONCE, TokenHash::of(&refresh_token("RT-1"))));
    assert_eq!((record.presented(), record.failures(), record.generation()), (0, 0, 4));
    assert!(record.holds_claim(NONCE));
    assert!(!record.holds_claim([8; 16]));
    assert_eq!(record.claimed_current(), Some(written.spends));
    let record = with(record, |record| record.current.refresh = Some(refresh_token("RT-2")));
    assert_eq!(record.claimed_current(), None, "the claim covers another token than the current one");
}

#[test]
fn a_claim_over_a_lapsed_one_counts_a_request_with_unknown_outcome() {
    let mut record = with(due(), |record| record.claim = Some(their_claim("RT-1")));
    for expected in 1..=3 {
        assert!(record.claim(NONCE));
        assert_eq!((record.presented(), record.failures()), (expected, expected));
    }
    let mut record = with(record, |record| record.presented = u32::MAX);
    assert!(record.claim(NONCE));
    assert_eq!(record.presented(), u32::MAX);
}

#[test]
fn a_record_without_a_refresh_token_cannot_be_claimed() {
    let mut record = with(due(), |record| record.current.refresh = None);
    assert!(!record.claim(NONCE));
    assert_eq!(record.current_claim(), None);
}

#[test]
fn a_request_that_might_outlive_its_claim_is_too_late() {
    assert_eq!(CLAIM_LIFE - REQUEST_BUDGET - SAVE_BUDGET, seconds(80));
    let at = |wall: u64, monotonic: u64| Moment { wall: NOW.plus(wall), monotonic: seconds(monotonic) };
    let claimed_at = at(100, 100);
    for (now, expected) in [
        (at(100, 100), false),
        (at(180, 180), false),
        (at(181, 100), true),
        (at(100, 181), true),
        // If the wall clock was set back, the monotonic clock counts. If the machine slept, the wall clock counts.
        (at(0, 181), true),
        (at(5000, 0), true),
        (at(0, 0), false),
    ] {
        assert_eq!(too_late(&claimed_at, &now), expected, "{now:?}");
    }
}

#[test]
fn a_rejection_promotes_the_newest_fallback_under_a_new_claim() {
    let mut record = with(due(), |record| {
        record.fallbacks = vec![refresh_token("RT-0"), refresh_token("RT-00")];
        record.presented = 2;
        record.verify = true;
    });
    assert!(record.claim(NONCE));
    record.reject(Cause::AuthorizationExpired, [9; 16]);
    assert_eq!(tokens(&record), "AT-1 RT-0 [RT-00] claimed");
    assert!(record.holds_claim([9; 16]));
    assert_eq!(record.claimed_current(), Some(TokenHash::of(&refresh_token("RT-0"))));
    assert_eq!(
        (record.presented(), record.generation(), record.awaits_verification()),
        (2, 5, true),
        "a promotion keeps the count and the verification"
    );
    assert_eq!(record.current().access_ends, due().current().access_ends, "the access token and its expiry time stay");
    record.reject(Cause::AuthorizationExpired, [10; 16]);
    assert_eq!(tokens(&record), "AT-1 RT-00 [] claimed");
    record.reject(Cause::AuthorizationExpired, [11; 16]);
    assert_eq!(tokens(&record), "- - [] dead", "TikTok confirmed the webhook");
    assert_eq!(record.dead(), Some(DeadReason::AuthorizationRevoked));
}

#[test]
fn a_rejection_without_a_fallback_marks_the_record_dead_with_the_right_reason() {
    use DeadReason::{AuthorizationExpired, AuthorizationRevoked, RefreshOutcomeUnknown};
    for (verify, presented, cause, reason, left) in [
        (false, 0, Cause::AuthorizationExpired, AuthorizationExpired, "AT-1 RT-1 [] dead"),
        (false, 0, Cause::AuthorizationRevoked, AuthorizationRevoked, "AT-1 RT-1 [] dead"),
        (false, 1, Cause::AuthorizationExpired, RefreshOutcomeUnknown, "AT-1 RT-1 [] dead"),
        (false, 1, Cause::AuthorizationRevoked, RefreshOutcomeUnknown, "AT-1 RT-1 [] dead"),
        (true, 0, Cause::AuthorizationExpired, AuthorizationRevoked, "- - [] dead"),
        (true, 3, Cause::AuthorizationRevoked, AuthorizationRevoked, "- - [] dead"),
    ] {
        let mut record = with(due(), |record| {
            (record.verify, record.presented) = (verify, presented);
            record.not_before = Some(NOW);
        });
        assert!(record.claim(NONCE));
        record.reject(cause, NONCE);
        assert_eq!((record.dead(), tokens(&record).as_str()), (Some(reason), left), "{verify} {presented} {cause:?}");
        assert_eq!(
            (record.current_claim(), record.not_before(), record.awaits_verification(), record.generation()),
            (None, None, false, 5)
        );
    }
}

#[test]
fn a_release_gives_the_claim_back_and_backs_off_after_a_failure() {
    let error = |delay| Error::new(Cause::RateLimited).with_delay(seconds(delay));
    for (failures, failure, expected) in [
        (0, Some(error(5)), (1, Some(NOW.plus(30)))),
        (1, Some(error(5)), (2, Some(NOW.plus(60)))),
        (20, Some(error(5)), (21, Some(NOW.plus(3600)))),
        (0, Some(error(300)), (1, Some(NOW.plus(300)))),
        (3, None, (3, None)),
    ] {
        let mut record = with(due(), |record| record.failures = failures);
        assert!(record.claim(NONCE));
        record.release(failure.as_ref(), NOW, 0);
        assert_eq!((record.failures(), record.not_before()), expected);
        assert_eq!((record.current_claim(), record.generation()), (None, 4));
    }
}

#[test]
fn a_successful_reading_of_the_shops_ends_the_pause_and_the_verification() {
    let mut record = with(fresh(), |record| record.verify = true);
    record.hold_back(&Error::new(Cause::TikTokUnavailable), NOW, 0);
    assert_eq!((record.failures(), record.not_before()), (1, Some(NOW.plus(30))));
    assert!(record.settle());
    assert_eq!((record.failures(), record.not_before(), record.awaits_verification()), (0, None, false));
    assert!(!record.settle());
}

#[test]
fn every_state_says_when_a_refresh_is_due() {
    let claim_lapses = NOW.plus(120);
    let soon = NOW.plus(30);
    type Edit = fn(&mut Fields);
    let table: [(&str, Edit, Option<UnixSeconds>); 9] = [
        ("a pair", |_| {}, Some(NOW.plus(5 * DAY))),
        ("a claim", |record| record.claim = Some(their_claim("RT-1")), Some(claim_lapses)),
        ("held back", |record| record.not_before = Some(NOW.plus(30)), Some(soon)),
        ("a notice", |record| record.verify = true, Some(NOW)),
        (
            "a verification that failed",
            |record| (record.verify, record.not_before) = (true, Some(NOW.plus(30))),
            Some(soon),
        ),
        (
            "a claim after a failure",
            |record| (record.claim, record.not_before) = (Some(their_claim("RT-1")), Some(NOW.plus(30))),
            Some(claim_lapses),
        ),
        ("dead", |record| record.dead = Some(DeadReason::AuthorizationExpired), None),
        (
            "dead, and tried again",
            |record| {
                record.dead = Some(DeadReason::AuthorizationExpired);
                record.claim = Some(their_claim("RT-1"));
            },
            None,
        ),
        (
            "dead, and held back",
            |record| {
                record.dead = Some(DeadReason::AuthorizationExpired);
                record.not_before = Some(NOW.plus(30));
            },
            None,
        ),
    ];
    for (case, edit, expected) in table {
        assert_eq!(with(fresh(), edit).next_due(NOW), expected, "{case}");
    }
}

#[test]
fn an_access_token_is_served_until_its_last_minute_unless_the_record_is_dead() {
    let ends = |end| with(due(), |record| record.current.access_ends = end);
    assert!(ends(Some(NOW.plus(61))).serves(NOW));
    assert!(!ends(Some(NOW.plus(60))).serves(NOW));
    assert!(ends(None).serves(NOW), "a token with an unknown expiry time is served");
    for reason in DeadReason::ALL {
        assert!(!with(due(), |record| record.dead = Some(*reason)).serves(NOW), "{reason:?}");
    }
    assert!(!with(due(), |record| record.current.access = None).serves(NOW));
}

#[test]
fn only_an_unrecognised_answer_is_reported_as_repeated_after_five_failures() {
    for (failures, cause, expected) in [
        (0, Cause::UnrecognisedAnswer, Cause::UnrecognisedAnswer),
        (4, Cause::UnrecognisedAnswer, Cause::UnrecognisedAnswer),
        (5, Cause::UnrecognisedAnswer, Cause::UnrecognisedAnswerRepeated),
        (50, Cause::TikTokUnavailable, Cause::TikTokUnavailable),
        (50, Cause::AnswerIncomplete, Cause::AnswerIncomplete),
    ] {
        let error = outcome_unknown(Error::new(cause), failures);
        assert_eq!((error.cause, error.delay), (expected, CLAIM_LIFE), "{failures}");
    }
}
