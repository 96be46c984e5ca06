//! The rules of a renewal: when a call may spend the refresh token, and where a pair goes whose save was overtaken.
//!
//! `operation::renewal` applies the rules in this order. The rules read a [`TokenRecord`]; the changes that they name
//! are its methods.
//!
//! 1. **Plan** ([`plan`]): the record is dead, fresh, claimed by another call, held back, or may be claimed.
//! 2. **Claim before the request** ([`TokenRecord::claim`]): a claim that replaces a lapsed one counts a request whose
//!    outcome nobody knows.
//! 3. **Not too late** ([`too_late`]): a request that might outlive its claim is not sent.
//! 4. **One claim covers one request.**
//! 5. **A pair** ([`TokenRecord::take_pair`], [`adopt`]) is stored first. The spent token goes in front of the
//!    fallbacks.
//! 6. **Rejected** ([`TokenRecord::reject`]): the next fallback is tried under a new claim. If there is none, the
//!    record is dead.
//! 7. **Refused before TikTok acted** ([`TokenRecord::release`]): the claim is given back, and the next attempt is held
//!    back.
//! 8. **Everything else** ([`outcome_unknown`]): the record does not change. The claim stays until it lapses.

use crate::contract::{CLAIM_LIFE, REQUEST_BUDGET, SAVE_BUDGET};
use crate::error::{Cause, Error};
use crate::record::{DeadReason, Lineage, TokenHash, TokenRecord};
use crate::secret::AccessToken;
use crate::time::{Moment, UnixSeconds};
use crate::token::{MAX_BACK_OFF, Pair, ROTATION_INTERVAL};
use core::time::Duration;

/// The largest number of tries of one write whose outcome storage does not know. The host pauses between its own tries.
pub const MAX_TRIES: u32 = 3;
/// The largest number of times that one call decides again because another writer overtook it.
pub const MAX_ROUNDS: u32 = 8;

/// The reason why a renewal is asked for.
#[derive(Clone, Copy)]
pub enum Trigger<'a> {
    /// Renews only when due, and at most once in ten minutes.
    WhenDue,
    /// Renews when due, or if the access token is valid for less than this time; at most once in ten minutes.
    GoodFor(Duration),
    /// Renews now, under the same claim rules.
    Forced,
    /// Renews because TikTok refused this access token.
    Refused(&'a AccessToken),
}

/// The next step of a call that may renew the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Claim the record and spend its refresh token.
    Claim,
    /// Nothing: only a new consent helps.
    Dead(DeadReason),
    /// Nothing: a renewal is not due.
    Fresh,
    /// Nothing now: serve the access token while it is valid, else tell the caller to call again after this time.
    Wait(Cause, Duration),
}

/// Decides what a call may do with a record (rule 1). `age` is the time since this revision of the record was written,
/// by the clock of the storage.
#[must_use]
pub fn plan(record: &TokenRecord, age: Duration, now: UnixSeconds, trigger: Trigger<'_>, random: u64) -> Plan {
    let forced = matches!(trigger, Trigger::Forced);
    match record.dead() {
        Some(reason) if !forced || record.current().refresh.is_none() => return Plan::Dead(reason),
        Some(_) | None => {}
    }
    if record.current_claim().is_some() && age < CLAIM_LIFE {
        // The wait is about a second and random, so that waiting callers do not return at once. It is never longer than
        // the rest of the claim's life.
        let pause = Duration::from_millis(1000 + random % 500);
        return Plan::Wait(Cause::RefreshInProgress, pause.min(CLAIM_LIFE.saturating_sub(age)));
    }
    // A lapsed claim means that nobody knows the outcome of a request. The call renews to find out, even if the token
    // is fresh.
    if !forced && record.current_claim().is_none() {
        let since_rotation = now.since(record.rotated_at());
        // A rotation that is dated after `now` was written by a clock that was wrong. It counts as long ago.
        let just_rotated = record.rotated_at() <= now && since_rotation < ROTATION_INTERVAL;
        let rest = Duration::from_secs(ROTATION_INTERVAL.saturating_sub(since_rotation));
        match trigger {
            Trigger::Refused(token)
                if !record.current().access.as_ref().is_some_and(|current| current.same_as(token)) =>
            {
                return Plan::Fresh;
            }
            Trigger::Refused(_) if just_rotated => return Plan::Wait(Cause::BackingOff, rest),
            Trigger::GoodFor(_) if just_rotated && !record.serves(now) => return Plan::Wait(Cause::BackingOff, rest),
            Trigger::WhenDue | Trigger::GoodFor(_) if just_rotated => return Plan::Fresh,
            Trigger::WhenDue if now < record.due_at() => return Plan::Fresh,
            Trigger::GoodFor(least) if now < record.due_at() && record.serves(now.plus(least.as_secs())) => {
                return Plan::Fresh;
            }
            Trigger::Refused(_) | Trigger::WhenDue | Trigger::GoodFor(_) | Trigger::Forced => {}
        }
    }
    if let (Some(not_before), false) = (record.not_before(), forced) {
        let left = not_before.since(now);
        if left > 0 && left <= MAX_BACK_OFF {
            return Plan::Wait(Cause::BackingOff, Duration::from_secs(left));
        }
    }
    Plan::Claim
}

/// Returns whether a request might outlive its claim (rule 3). `claimed_at` was noted before the claim was written.
#[must_use]
pub fn too_late(claimed_at: &Moment, now: &Moment) -> bool {
    now.elapsed_since(claimed_at) > CLAIM_LIFE.saturating_sub(REQUEST_BUDGET).saturating_sub(SAVE_BUDGET)
}

/// The next step for a received pair when another record than the expected one is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// Nothing: the stored record holds the pair already.
    Stored,
    /// Discard the pair: the stored record belongs to another grant.
    Discard,
    /// Write the record: it has taken the pair.
    Write,
}

/// The claim under which a pair was received.
#[derive(Clone, Copy)]
pub struct PairOrigin {
    /// The lineage of the claimed record.
    pub lineage: Lineage,
    /// The refresh token that was spent for the pair.
    pub spent: TokenHash,
}

/// Puts a pair whose save was overtaken into the record that is stored now (rule 5). No pair that TikTok issued is
/// lost, and none replaces a newer one.
#[must_use]
pub fn adopt(theirs: &mut TokenRecord, origin: PairOrigin, pair: &Pair, now: UnixSeconds, random: u64) -> Adoption {
    if theirs.lineage() != origin.lineage {
        return Adoption::Discard;
    }
    if theirs.contains(pair) {
        return Adoption::Stored;
    }
    let still_ours = theirs.current().refresh.as_ref().is_some_and(|current| TokenHash::of(current) == origin.spent);
    if still_ours || theirs.dead().is_some() {
        theirs.take_pair(pair, now, random);
        return Adoption::Write;
    }
    let Some(refresh) = &pair.refresh else { return Adoption::Stored };
    theirs.push_fallback(Some(refresh.duplicate()));
    Adoption::Write
}

/// The number of failures in a row after which an unrecognised answer is shown to the host instead of being retried.
pub const SHOWN_AFTER_FAILURES: u32 = 5;

/// Returns the error for a request whose outcome nobody knows (rule 8). The host calls again when the claim has lapsed,
/// or later if TikTok asks for it. A code that stays unrecognised is shown after five failures.
#[must_use]
pub fn outcome_unknown(error: Error, failures: u32) -> Error {
    let shown = error.cause == Cause::UnrecognisedAnswer && failures >= SHOWN_AFTER_FAILURES;
    let delay = error.delay.max(CLAIM_LIFE);
    let error = error.with_delay(delay);
    if shown { error.with_cause(Cause::UnrecognisedAnswerRepeated) } else { error }
}
