//! May this call spend the refresh token, and what is stored afterwards? Pure transitions of the token record.
//!
//! The rules, in the order in which `operation::renewal` walks them:
//!
//! 1. **Plan** ([`plan`]): dead, fresh, somebody else's claim, too soon, or ours to claim.
//! 2. **Claim before call** ([`claim`]): a claim over a lapsed one counts a request whose outcome nobody knows.
//! 3. **Not too late** ([`too_late`]): a request that might outlive its claim is not sent.
//! 4. One claim covers one request.
//! 5. **A pair** ([`take_pair`], [`adopt`]): stored first; the spent token goes in front of the fallbacks.
//! 6. **Rejected** ([`reject`]): the next fallback under a new claim, or dead.
//! 7. **Refused before TikTok acted** ([`release`]): the claim goes, back-off comes.
//! 8. **Everything else**: the claim stays and lapses. Nothing to decide here.
//!
//! Transitions change a record in memory; what was stored changes only by the swap that follows.

use crate::endpoint::token::Pair;
use crate::error::{Cause, Error};
use crate::record::{
    Claim, CurrentPair, DeadReason, Lineage, MOST_FALLBACKS, Nonce, Profile, ShopPolicy, Spent, TokenRecord,
};
use crate::secret::{AccessToken, RefreshToken};
use crate::time::{Moment, UnixSeconds};
use crate::token::{LONGEST_BACK_OFF, ROTATION_INTERVAL, back_off, due_at};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// How long a claim lives, by the storage's own clock.
pub const CLAIM_LIFE: Duration = Duration::from_secs(120);
/// A request to the token host is over in this time; the host's egress sees to it.
pub const REQUEST_BUDGET: Duration = Duration::from_secs(30);
/// All tries of one save together.
pub const SAVE_BUDGET: Duration = Duration::from_secs(10);

/// Tries of one write whose outcome storage cannot tell; pauses between them are the host's.
pub const MOST_TRIES: u32 = 3;
/// Decisions of one call that other writers overtook.
pub const MOST_ROUNDS: u32 = 8;

/// Why a renewal is asked for.
#[derive(Clone, Copy)]
pub enum Mode<'a> {
    /// Only when due, and at most once in ten minutes.
    WhenDue,
    /// When due, or when the access token is good for less than this time; at most once in ten minutes.
    GoodFor(Duration),
    /// Now, under the same claim rules.
    Forced,
    /// TikTok refused this access token.
    Refused(&'a AccessToken),
}

/// What a call may do with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Claim it and spend the refresh token.
    Claim,
    /// Only a new consent helps.
    Dead(DeadReason),
    /// Nothing to renew.
    Fresh,
    /// Not now: serve the access token while it is valid, else come back after this time.
    Wait(Cause, Duration),
}

/// Rule 1. `age` is the time since the record's revision was written, by the storage's clock.
#[must_use]
pub fn plan(record: &TokenRecord, age: Duration, now: UnixSeconds, mode: Mode<'_>, random: u64) -> Plan {
    let forced = matches!(mode, Mode::Forced);
    match record.dead {
        Some(reason) if !forced || record.current.refresh.is_none() => return Plan::Dead(reason),
        Some(_) | None => {}
    }
    if record.claim.is_some() && age < CLAIM_LIFE {
        // About a second, so that waiting callers do not return as one crowd; never longer than the claim has left.
        let pause = Duration::from_millis(1000 + random % 500);
        return Plan::Wait(Cause::RefreshInProgress, pause.min(CLAIM_LIFE.saturating_sub(age)));
    }
    // A claim that lapsed stands for a request whose outcome nobody knows: finding out is due, however fresh the token.
    if !forced && record.claim.is_none() {
        let since_rotation = now.since(record.rotated_at);
        // A rotation ahead of now was written by another clock and counts as long ago.
        let just_rotated = record.rotated_at <= now && since_rotation < ROTATION_INTERVAL;
        let rest = Duration::from_secs(ROTATION_INTERVAL.saturating_sub(since_rotation));
        match mode {
            Mode::Refused(token) if !record.current.access.as_ref().is_some_and(|current| current.same_as(token)) => {
                return Plan::Fresh;
            }
            Mode::Refused(_) if just_rotated => return Plan::Wait(Cause::BackingOff, rest),
            Mode::GoodFor(_) if just_rotated && !serves(record, now) => return Plan::Wait(Cause::BackingOff, rest),
            Mode::WhenDue | Mode::GoodFor(_) if just_rotated => return Plan::Fresh,
            Mode::WhenDue if now < record.due_at => return Plan::Fresh,
            Mode::GoodFor(least) if now < record.due_at && serves(record, now.plus(least.as_secs())) => {
                return Plan::Fresh;
            }
            Mode::Refused(_) | Mode::WhenDue | Mode::GoodFor(_) | Mode::Forced => {}
        }
    }
    if let (Some(not_before), false) = (record.not_before, forced) {
        let left = not_before.since(now);
        if left > 0 && left <= LONGEST_BACK_OFF {
            return Plan::Wait(Cause::BackingOff, Duration::from_secs(left));
        }
    }
    Plan::Claim
}

/// Rule 2. False, and nothing changed, if there is no refresh token to spend.
#[must_use]
pub fn claim(record: &mut TokenRecord, nonce: Nonce) -> bool {
    let Some(refresh) = &record.current.refresh else { return false };
    let spends = Spent::of(refresh);
    if record.claim.is_some() {
        record.presented = record.presented.saturating_add(1);
        record.failures = record.failures.saturating_add(1);
    }
    record.claim = Some(Claim { nonce, spends });
    // It held back this attempt, which is made now.
    record.not_before = None;
    true
}

/// Whether this claim stands in the record.
#[must_use]
pub fn holds(record: &TokenRecord, nonce: Nonce) -> bool {
    record.claim.is_some_and(|claim| claim.nonce == nonce)
}

/// What the record's claim spends, if that is its current refresh token.
#[must_use]
pub fn claim_of_current(record: &TokenRecord) -> Option<Spent> {
    let claim = record.claim?;
    let current = record.current.refresh.as_ref()?;
    (claim.spends == Spent::of(current)).then_some(claim.spends)
}

/// Rule 3. `claimed_at` was noted before the claim was written.
#[must_use]
pub fn too_late(claimed_at: &Moment, now: &Moment) -> bool {
    now.elapsed_since(claimed_at) > CLAIM_LIFE.saturating_sub(REQUEST_BUDGET).saturating_sub(SAVE_BUDGET)
}

/// Rule 5: the record with a new pair. An omitted refresh token means that the old one stays; an omitted access token,
/// too, but the refresh token that came is kept in any case.
pub fn take_pair(record: &mut TokenRecord, pair: &Pair, now: UnixSeconds, random: u64) {
    if let Some(refresh) = &pair.refresh {
        let spent = record.current.refresh.replace(refresh.duplicate());
        push_fallback(record, spent);
    }
    if let Some(access) = &pair.access {
        record.current.access = Some(access.duplicate());
        record.current.access_ends = pair.access_expiry.known();
    }
    record.current.refresh_ends = pair.refresh_ends.or(record.current.refresh_ends);
    // Due before it may be renewed again, it would only make a sweep spin.
    let earliest = now.plus(ROTATION_INTERVAL);
    record.due_at = match &record.current.access {
        Some(_) => due_at(record.current.access_expiry(), now, random).max(earliest),
        None => earliest,
    };
    record.claim = None;
    record.dead = None;
    record.rejected.clear();
    record.presented = 0;
    record.failures = 0;
    // A refresh token that came alone is not what was asked for: nothing is tried again before it may be renewed.
    record.not_before = pair.access.is_none().then_some(earliest);
    record.rotated_at = now;
    record.generation = record.generation.saturating_add(1);
    if let Some(name) = &pair.seller_name {
        record.profile.seller_name.clone_from(name);
    }
    if let Some(region) = &pair.base_region {
        record.profile.base_region.clone_from(region);
    }
    if let Some(scopes) = &pair.scopes {
        record.profile.scopes.clone_from(scopes);
    }
}

/// Newest first; never the current token, none twice, at most three.
fn push_fallback(record: &mut TokenRecord, token: Option<RefreshToken>) {
    if let Some(token) = token {
        record.fallbacks.retain(|kept| !kept.same_as(&token));
        record.fallbacks.insert(0, token);
    }
    if let Some(current) = &record.current.refresh {
        record.fallbacks.retain(|kept| !kept.same_as(current));
    }
    record.fallbacks.truncate(MOST_FALLBACKS);
}

/// What to do with a pair in hand when another record than the expected one is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// The pair is already in it.
    Stored,
    /// Another grant's record: the pair is knowingly discarded.
    Discard,
    /// The record has taken the pair: store it.
    Write,
}

/// Rule 5, after a save that came too late: no pair that TikTok issued is lost, and none replaces a newer one.
#[must_use]
pub fn adopt(
    theirs: &mut TokenRecord,
    lineage: Lineage,
    spent: Spent,
    pair: &Pair,
    now: UnixSeconds,
    random: u64,
) -> Adoption {
    if theirs.lineage != lineage {
        return Adoption::Discard;
    }
    if contains(theirs, pair) {
        return Adoption::Stored;
    }
    let still_ours = theirs.current.refresh.as_ref().is_some_and(|current| Spent::of(current) == spent);
    if still_ours || theirs.dead.is_some() {
        take_pair(theirs, pair, now, random);
        return Adoption::Write;
    }
    let Some(refresh) = &pair.refresh else { return Adoption::Stored };
    push_fallback(theirs, Some(refresh.duplicate()));
    Adoption::Write
}

/// Whether a record holds a pair: both tokens in `current`, or the refresh token among the fallbacks.
#[must_use]
pub fn contains(record: &TokenRecord, pair: &Pair) -> bool {
    let same_access = match (&record.current.access, &pair.access) {
        (Some(kept), Some(new)) => kept.same_as(new),
        (Some(_) | None, None) => true,
        (None, Some(_)) => false,
    };
    let Some(refresh) = &pair.refresh else {
        return same_access && pair.access.is_some();
    };
    let current = record.current.refresh.as_ref().is_some_and(|kept| kept.same_as(refresh));
    (same_access && current) || record.fallbacks.iter().any(|kept| kept.same_as(refresh))
}

/// Rule 6: an earlier token becomes the current one under a new claim, or the record is dead. `cause` is
/// `authorization-expired` or `authorization-revoked`; only the holder of the claim asks.
pub fn reject(record: &mut TokenRecord, cause: Cause, nonce: Nonce) {
    record.generation = record.generation.saturating_add(1);
    if !record.fallbacks.is_empty() {
        let next = record.fallbacks.remove(0);
        record.claim = Some(Claim { nonce, spends: Spent::of(&next) });
        record.rejected.extend(record.current.refresh.replace(next));
        record.rejected.truncate(MOST_FALLBACKS);
        return;
    }
    record.claim = None;
    record.not_before = None;
    record.dead = Some(if record.verify {
        // The seller's own notice is confirmed: nothing of the grant is worth keeping.
        record.verify = false;
        record.current = CurrentPair::default();
        record.rejected.clear();
        DeadReason::AuthorizationRevoked
    } else if record.presented > 0 {
        DeadReason::RefreshOutcomeUnknown
    } else if cause == Cause::AuthorizationExpired {
        DeadReason::AuthorizationExpired
    } else {
        DeadReason::AuthorizationRevoked
    });
    // The newest token is the likeliest to work again, should TikTok have been wrong.
    if !record.rejected.is_empty() {
        let newest = record.rejected.remove(0);
        record.rejected.extend(record.current.refresh.replace(newest));
        record.fallbacks = core::mem::take(&mut record.rejected);
    }
}

/// Rules 3 and 7: the claim goes. Without a failure where it came to stand over another token, and the call goes on.
pub fn release(record: &mut TokenRecord, failure: Option<&Error>, now: UnixSeconds, random: u64) {
    record.claim = None;
    if let Some(error) = failure {
        hold_back(record, error, now, random);
    }
}

/// One more failure, and no unforced attempt for a while.
pub fn hold_back(record: &mut TokenRecord, error: &Error, now: UnixSeconds, random: u64) {
    record.failures = record.failures.saturating_add(1);
    record.not_before = Some(now.plus(back_off(record.failures, error.delay, random)));
}

/// Whether an attempt is still held back.
#[must_use]
pub fn held_back(record: &TokenRecord, now: UnixSeconds) -> bool {
    record.not_before.is_some_and(|not_before| not_before > now)
}

/// What becomes of a notice that the grant may have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    /// It is from before the latest consent, or the grant is dead anyway: nothing changes.
    Void,
    /// It waits for verification already.
    Known,
    /// It is recorded now.
    New,
}

/// A notice from `since` (none: now) says that the grant may have ended. The next `refresh` verifies it.
pub fn suspect(record: &mut TokenRecord, since: Option<UnixSeconds>) -> Suspicion {
    if record.dead.is_some() || since.is_some_and(|since| since < record.granted_at) {
        return Suspicion::Void;
    }
    if record.verify {
        return Suspicion::Known;
    }
    record.verify = true;
    Suspicion::New
}

/// After the shops were read: a notice is verified and nothing is held back any longer.
pub fn settle(record: &mut TokenRecord) {
    record.verify = false;
    record.failures = 0;
    record.not_before = None;
}

/// The first record of a grant.
#[must_use]
pub fn granted(
    lineage: Lineage,
    app_key: &str,
    shop_policy: ShopPolicy,
    pair: &Pair,
    now: UnixSeconds,
    random: u64,
) -> TokenRecord {
    let mut record = TokenRecord {
        lineage,
        generation: 0,
        app_key: app_key.to_owned(),
        current: CurrentPair::default(),
        due_at: now,
        fallbacks: Vec::new(),
        rejected: Vec::new(),
        claim: None,
        presented: 0,
        failures: 0,
        not_before: None,
        granted_at: now,
        rotated_at: now,
        verify: false,
        dead: None,
        profile: Profile { shop_policy, seller_name: String::new(), base_region: String::new(), scopes: Vec::new() },
    };
    take_pair(&mut record, pair, now, random);
    record
}

/// A consent for an account that is connected: replaces in place. What stood before is void, but the refresh token it
/// replaces stays as a fallback.
pub fn regrant(record: &mut TokenRecord, shop_policy: ShopPolicy, pair: &Pair, now: UnixSeconds, random: u64) {
    take_pair(record, pair, now, random);
    record.profile.shop_policy = shop_policy;
    record.granted_at = now;
    record.verify = false;
}

/// When `refresh` should next be called: stored in clear beside the record. None: not due.
#[must_use]
pub fn next_due(record: &TokenRecord, now: UnixSeconds) -> Option<UnixSeconds> {
    if record.dead.is_some() {
        None
    } else if record.claim.is_some() {
        Some(now.plus(CLAIM_LIFE.as_secs()))
    } else if record.verify {
        Some(record.not_before.unwrap_or(now))
    } else {
        Some(record.not_before.unwrap_or(record.due_at))
    }
}

/// Whether the access token may be served: rule 9 serves it whatever happens to its renewal.
#[must_use]
pub fn serves(record: &TokenRecord, now: UnixSeconds) -> bool {
    record.current.usable_access(now).is_some()
}

/// So many answers in a row that nobody could make sense of are shown to the host instead of retried silently.
pub const SHOWN_AFTER_FAILURES: u32 = 5;

/// What the host is told after an outcome nobody knows: come back when the claim has lapsed, or later if TikTok says so; a
/// code that stays
/// unrecognised is shown at last.
#[must_use]
pub fn outcome_unknown(error: Error, record: &TokenRecord) -> Error {
    let shown = error.cause == Cause::UnrecognisedAnswer && record.failures >= SHOWN_AFTER_FAILURES;
    let delay = error.delay.max(CLAIM_LIFE);
    let error = error.after(delay);
    if shown { error.becoming(Cause::UnrecognisedAnswerRepeated) } else { error }
}
