//! Tests what is done with a pair (access token and refresh token) that TikTok has issued: it becomes the current pair,
//! its refresh token becomes a fallback, or it is discarded on purpose.

use super::{NONCE, seconds};
use crate::samples::{
    DAY, LINEAGE, NOW, access, due, duplicate, fresh, grant, pair, refresh_token, stored_form, their_claim, tokens,
    with,
};
use proptest::prelude::*;
use tiktok_shop_connector_core::record::{DeadReason, Lineage, MAX_FALLBACKS, ShopPolicy, TokenHash, TokenRecord};
use tiktok_shop_connector_core::rotation::{Adoption, PairOrigin, adopt};
use tiktok_shop_connector_core::secret::RefreshToken;
use tiktok_shop_connector_core::token::Expiry;
use tiktok_shop_connector_core::token::Pair;

fn pair_with(number: u32, edit: impl FnOnce(&mut Pair)) -> Pair {
    let mut pair = pair(number);
    edit(&mut pair);
    pair
}

fn without_refresh(number: u32) -> Pair {
    pair_with(number, |pair| pair.refresh = None)
}

fn without_access(number: u32) -> Pair {
    pair_with(number, |pair| (pair.access, pair.access_expiry) = (None, Expiry::Unknown))
}

fn origin(spent: &str) -> PairOrigin {
    PairOrigin { lineage: LINEAGE, spent: TokenHash::of(&refresh_token(spent)) }
}

fn fallbacks(tokens: &[&str]) -> Vec<RefreshToken> {
    tokens.iter().map(|text| refresh_token(text)).collect()
}

#[test]
fn a_pair_replaces_the_current_one_and_clears_claim_death_and_counts() {
    let mut record = with(due(), |record| {
        record.dead = Some(DeadReason::AuthorizationExpired);
        record.not_before = Some(NOW);
        (record.presented, record.failures, record.verify) = (3, 4, true);
    });
    assert!(record.claim(NONCE));
    record.take_pair(&pair(2), NOW, 0);
    assert_eq!(tokens(&record), "AT-2 RT-2 [RT-1]");
    assert_eq!(record.current().access_ends, Some(NOW.plus(7 * DAY)));
    assert_eq!((record.due_at(), record.rotated_at(), record.generation()), (NOW.plus(6 * DAY), NOW, 5));
    assert_eq!((record.presented(), record.failures(), record.not_before()), (0, 0, None));
    assert_eq!(
        (record.lineage(), record.granted_at(), record.awaits_verification()),
        (LINEAGE, due().granted_at(), true)
    );
}

#[test]
fn members_that_an_answer_omits_stay_as_they_were() {
    let bare = pair_with(2, |pair| {
        (pair.refresh_ends, pair.seller_name, pair.base_region, pair.scopes) = (None, None, None, None);
    });
    let mut record = due();
    record.take_pair(&bare, NOW, 0);
    assert_eq!(record.current().refresh_ends, due().current().refresh_ends);
    assert_eq!(record.profile(), due().profile());

    let renamed = pair_with(3, |pair| (pair.seller_name, pair.scopes) = (Some("New".into()), Some(Vec::new())));
    record.take_pair(&renamed, NOW, 0);
    assert_eq!((record.profile().seller_name.as_str(), record.profile().scopes.len()), ("New", 0));
}

#[test]
fn an_omitted_token_leaves_the_old_one() {
    let unchanged = pair_with(2, |pair| pair.refresh = Some(refresh_token("RT-1")));
    for (case, pair, expected) in [
        ("rotated", pair(2), "AT-2 RT-2 [RT-1 RT-0]"),
        ("unchanged", unchanged, "AT-2 RT-1 [RT-0]"),
        ("no refresh token", without_refresh(2), "AT-2 RT-1 [RT-0]"),
        ("no access token", without_access(2), "AT-1 RT-2 [RT-1 RT-0]"),
    ] {
        let mut record = with(due(), |record| record.fallbacks = fallbacks(&["RT-0"]));
        record.take_pair(&pair, NOW, 0);
        assert_eq!(tokens(&record), expected, "{case}");
    }
}

/// If a pair were due too early, a sweep would call `refresh` again and again for a record that may not be renewed yet.
#[test]
fn no_pair_is_due_before_it_may_be_renewed() {
    for (case, pair) in [
        ("five minutes of life", pair_with(2, |pair| pair.access_expiry = Expiry::At(NOW.plus(300)))),
        ("an unknown end", pair_with(2, |pair| pair.access_expiry = Expiry::Unknown)),
        ("no access token beside one that has ended", without_access(2)),
    ] {
        let mut record = with(due(), |record| record.current.access_ends = Some(NOW.minus(1)));
        record.take_pair(&pair, NOW, 0);
        assert!(record.due_at() >= NOW.plus(600), "{case}: due at {:?}", record.due_at());
    }
}

#[test]
fn a_record_without_a_usable_access_token_is_due_as_soon_as_it_may_be() {
    let record = TokenRecord::granted(&grant(ShopPolicy::All, &without_access(1), NOW));
    assert_eq!(tokens(&record), "- RT-1 []");
    assert_eq!(record.due_at(), NOW.plus(600));
}

#[test]
fn at_most_three_fallbacks_are_kept_newest_first() {
    let mut record = fresh();
    for number in 2..=6 {
        record.take_pair(&pair(number), NOW, 0);
    }
    assert_eq!(tokens(&record), "AT-6 RT-6 [RT-5 RT-4 RT-3]");
    // A token that TikTok issues again becomes current, and is no longer a fallback.
    record.take_pair(&pair(4), NOW, 0);
    assert_eq!(tokens(&record), "AT-4 RT-4 [RT-6 RT-5 RT-3]");
}

#[test]
fn a_first_grant_makes_a_record_and_a_consent_in_place_replaces_its_pair() {
    let record = TokenRecord::granted(&grant(ShopPolicy::ExactlyOne, &pair(1), NOW));
    assert_eq!(tokens(&record), "AT-1 RT-1 []");
    assert_eq!((record.generation(), record.granted_at(), record.rotated_at()), (1, NOW, NOW));
    assert_eq!(
        (record.profile().shop_policy, record.profile().seller_name.as_str()),
        (ShopPolicy::ExactlyOne, "Seller")
    );

    let mut record = with(record, |record| {
        record.dead = Some(DeadReason::RefreshOutcomeUnknown);
        record.claim = Some(their_claim("RT-1"));
        (record.verify, record.presented, record.failures) = (true, 2, 3);
    });
    let later = NOW.plus(DAY);
    record.regrant(&grant(ShopPolicy::All, &pair(2), later));
    assert_eq!(tokens(&record), "AT-2 RT-2 [RT-1]");
    assert_eq!((record.lineage(), record.generation(), record.granted_at()), (LINEAGE, 2, later));
    assert_eq!((record.awaits_verification(), record.presented(), record.failures()), (false, 0, 0));
    assert_eq!(record.profile().shop_policy, ShopPolicy::All);
}

#[test]
fn a_record_holds_a_pair_as_current_or_among_the_fallbacks() {
    let holding = |current: u32, kept: &[&str]| {
        with(fresh(), |record| {
            record.current.access = Some(access(&format!("AT-{current}")));
            record.current.refresh = Some(refresh_token(&format!("RT-{current}")));
            record.fallbacks = fallbacks(kept);
        })
    };
    let mixed = pair_with(2, |pair| pair.refresh = Some(refresh_token("RT-1")));
    for (case, record, pair, expected) in [
        ("current", holding(2, &[]), pair(2), true),
        ("a fallback", holding(3, &["RT-2"]), pair(2), true),
        ("another", holding(1, &["RT-0"]), pair(2), false),
        ("the same refresh token, a new access token", holding(1, &[]), mixed, false),
        ("only its access token", holding(2, &[]), without_refresh(2), true),
        ("only its access token, another", holding(1, &[]), without_refresh(2), false),
        ("only its refresh token", holding(2, &[]), without_access(2), true),
        ("neither", holding(2, &[]), pair_with(2, |pair| (pair.access, pair.refresh) = (None, None)), false),
    ] {
        assert_eq!(record.contains(&pair), expected, "{case}");
    }
}

#[test]
fn a_late_pair_is_adopted_by_the_record_that_is_stored_now() {
    let current = |access_token: &str, refresh: &str| {
        with(due(), |record| {
            record.current.access = Some(access(access_token));
            record.current.refresh = Some(refresh_token(refresh));
            record.claim = Some(their_claim(refresh));
        })
    };
    let dead = |refresh: &str| {
        with(current("AT-9", refresh), |record| {
            record.claim = None;
            record.dead = Some(DeadReason::RefreshOutcomeUnknown);
        })
    };
    let other_lineage = with(due(), |record| record.lineage = Lineage([0x22; 16]));
    let full = with(current("AT-9", "RT-9"), |record| record.fallbacks = fallbacks(&["RT-1", "RT-0", "RT-00"]));
    let fallback = with(current("AT-9", "RT-9"), |record| record.fallbacks = fallbacks(&["RT-2", "RT-1"]));

    for (case, mut theirs, pair, expected, left) in [
        ("connected anew", other_lineage, pair(2), Adoption::Discard, "AT-1 RT-1 []"),
        ("ours is current", current("AT-2", "RT-2"), pair(2), Adoption::Stored, "AT-2 RT-2 [] claimed"),
        ("ours is a fallback", fallback, pair(2), Adoption::Stored, "AT-9 RT-9 [RT-2 RT-1] claimed"),
        ("still the token we spent", current("AT-1", "RT-1"), pair(2), Adoption::Write, "AT-2 RT-2 [RT-1]"),
        ("dead", dead("RT-1"), pair(2), Adoption::Write, "AT-2 RT-2 [RT-1]"),
        ("dead on another token", dead("RT-9"), pair(2), Adoption::Write, "AT-2 RT-2 [RT-9]"),
        ("another pair is current", current("AT-9", "RT-9"), pair(2), Adoption::Write, "AT-9 RT-9 [RT-2] claimed"),
        ("another, and no room", full, pair(2), Adoption::Write, "AT-9 RT-9 [RT-2 RT-1 RT-0] claimed"),
        ("only an access token, still ours", due(), without_refresh(2), Adoption::Write, "AT-2 RT-1 []"),
        (
            "only an access token, another pair is current",
            current("AT-9", "RT-9"),
            without_refresh(2),
            Adoption::Stored,
            "AT-9 RT-9 [] claimed",
        ),
        (
            "only a refresh token, another pair is current",
            current("AT-9", "RT-9"),
            without_access(2),
            Adoption::Write,
            "AT-9 RT-9 [RT-2] claimed",
        ),
    ] {
        let before = duplicate(&theirs);
        let adoption = adopt(&mut theirs, origin("RT-1"), &pair, NOW, 0);
        assert_eq!((adoption, tokens(&theirs).as_str()), (expected, left), "{case}");
        if expected != Adoption::Write {
            assert_eq!(stored_form(&theirs), stored_form(&before), "{case}: the record changed without need");
        }
    }
}

#[test]
fn adopting_a_fallback_does_not_change_the_current_pair() {
    let mut theirs = with(due(), |record| {
        record.current.refresh = Some(refresh_token("RT-9"));
        (record.presented, record.failures) = (1, 1);
    });
    let before = duplicate(&theirs);
    assert_eq!(adopt(&mut theirs, origin("RT-1"), &pair(2), NOW, 0), Adoption::Write);
    let theirs = with(theirs, |theirs| theirs.fallbacks.clear());
    assert_eq!(stored_form(&theirs), stored_form(&before));
}

fn adopt_or_take(record: &mut TokenRecord, number: u32, spends: u32) {
    let origin = origin(&format!("RT-{spends}"));
    let _ = adopt(record, origin, &pair(number), NOW.plus(seconds(1).as_secs()), u64::from(number));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Pairs may arrive in any order. The record always has at most three fallbacks, all different, and none of them is
    /// the current token. The pair that arrived last is always in the record.
    #[test]
    fn fallbacks_keep_their_order(steps in prop::collection::vec((0..8_u32, 0..8_u32, any::<bool>()), 0..20)) {
        let mut record = fresh();
        for (number, spends, late) in steps {
            if late {
                adopt_or_take(&mut record, number, spends);
            } else {
                record.take_pair(&pair(number), NOW, 0);
            }
            let current = record.current().refresh.as_ref().unwrap().expose();
            let mut kept: Vec<_> = record.fallbacks().iter().map(RefreshToken::expose).collect();
            prop_assert!(kept.len() <= MAX_FALLBACKS);
            prop_assert!(!kept.contains(&current));
            prop_assert!(record.contains(&pair(number)), "an issued pair was lost");
            kept.sort_unstable();
            kept.dedup();
            prop_assert_eq!(kept.len(), record.fallbacks().len());
        }
    }
}
