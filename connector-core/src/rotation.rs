//! The rules of a renewal: when a call may spend the refresh token, and where the new pair of tokens is stored if
//! another call changed the record before the save.
//!
//! `operation::renewal` applies rules 1 to 8 in this order. The functions of this module only read a [`TokenRecord`],
//! except [`adopt`]. All changes of the record are methods of [`TokenRecord`].
//!
//! 1. **Plan** ([`plan`]): a call finds that the record is dead, fresh, claimed by another call, waiting after a
//!    failure, or free to be claimed.
//! 2. **Claim before the request** ([`TokenRecord::claim`]): the claim is stored before the request is sent. If it
//!    replaces a lapsed claim, one more request with an unknown outcome is counted.
//! 3. **Not too late** ([`too_late`]): a request that might outlive its claim is not sent.
//! 4. **One claim covers one request.**
//! 5. **A new pair** ([`TokenRecord::take_pair`], [`adopt`]) is stored before anything else is done. The spent token
//!    becomes the first fallback.
//! 6. **Rejected** ([`TokenRecord::reject`]): TikTok rejected the refresh token, so the next fallback is tried under a
//!    new claim. If there is no fallback, the record is dead.
//! 7. **Refused before TikTok acted** ([`TokenRecord::release`]): the claim is removed, and no unforced attempt is made
//!    for a while.
//! 8. **Everything else** ([`outcome_unknown`]): the record does not change. The claim stays until it lapses.
//! 9. **A valid access token is served** ([`TokenRecord::serves`]) even if TikTok does not renew it. If storage fails,
//!    the call may fail. If a new pair could not be saved, the call always fails. `operation::valid_token` applies this
//!    rule.

use crate::contract::{CLAIM_LIFE, REQUEST_BUDGET, SAVE_BUDGET};
use crate::error::{Cause, Error};
use crate::record::{DeadReason, Lineage, TokenHash, TokenRecord};
use crate::secret::AccessToken;
use crate::time::{Moment, UnixSeconds};
use crate::token::{MAX_BACK_OFF, Pair, ROTATION_INTERVAL};
use core::time::Duration;

/// The largest number of times that a call tries one write, as long as it is unknown whether the write happened. The
/// call does not pause between its tries, because the host already pauses between its own tries.
pub const MAX_TRIES: u32 = 3;
/// The largest number of times that one call decides again because another writer changed the record first.
pub const MAX_ROUNDS: u32 = 8;

/// The reason why a renewal is asked for.
#[derive(Clone, Copy)]
pub enum Trigger<'a> {
    /// Renews only when due, and at most once in ten minutes.
    WhenDue,
    /// Renews when due, or if the access token stays valid for less than this duration. Renews at most once in ten
    /// minutes.
    GoodFor(Duration),
    /// Renews now, unless another call holds a claim that has not lapsed.
    Forced,
    /// Renews because TikTok refused this access token.
    Refused(&'a AccessToken),
}

/// The next step of a call that may renew the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Claim the record and spend its refresh token.
    Claim,
    /// Do nothing, because only a new consent helps.
    Dead(DeadReason),
    /// Do nothing, because a renewal is not due.
    Fresh,
    /// Do not renew now. Serve the access token if it is still valid. Otherwise return this cause, and tell the caller
    /// to call again after this duration.
    Wait(Cause, Duration),
}

/// Decides what a call may do with a record (rule 1). `age` is the time since this revision of the record was written,
/// by the clock of the storage. `random` draws a random number. It is called only if another call holds the claim.
#[must_use]
pub fn plan(
    record: &TokenRecord,
    age: Duration,
    now: UnixSeconds,
    trigger: Trigger<'_>,
    random: impl FnOnce() -> u64,
) -> Plan {
    let forced = matches!(trigger, Trigger::Forced);
    match record.dead() {
        Some(reason) if !forced || record.current().refresh.is_none() => return Plan::Dead(reason),
        Some(_) | None => {}
    }
    if record.current_claim().is_some() && age < CLAIM_LIFE {
        // The wait is random, from 1 to 1.5 seconds, so that the waiting callers do not all call again at the same
        // time. The wait is never longer than the rest of the claim's life.
        let pause = Duration::from_millis(1000 + random() % 500);
        return Plan::Wait(Cause::RefreshInProgress, pause.min(CLAIM_LIFE.saturating_sub(age)));
    }
    // A lapsed claim means that nobody knows the outcome of a request. The call renews to find out, even if the token
    // is fresh.
    if !forced && record.current_claim().is_none() {
        let since_rotation = now.since(record.rotated_at());
        // If the latest renewal is dated after `now`, a wrong clock wrote its date. Such a renewal does not count as
        // recent.
        let just_rotated = record.rotated_at() <= now && since_rotation < ROTATION_INTERVAL;
        let rest = Duration::from_secs(ROTATION_INTERVAL.saturating_sub(since_rotation));
        // If a webhook says that the seller has removed the app, and TikTok refuses the access token, only a renewal
        // can tell whether the grant has ended. This renewal is tried once, and not again after a failure.
        let removal_is_likely = record.awaits_verification() && record.failures() == 0;
        match trigger {
            Trigger::Refused(token)
                if !record.current().access.as_ref().is_some_and(|current| current.same_as(token)) =>
            {
                return Plan::Fresh;
            }
            Trigger::Refused(_) if just_rotated && !removal_is_likely => return Plan::Wait(Cause::BackingOff, rest),
            Trigger::GoodFor(_) if just_rotated && !record.serves(now) => return Plan::Wait(Cause::BackingOff, rest),
            Trigger::WhenDue | Trigger::GoodFor(_) if just_rotated => return Plan::Fresh,
            Trigger::WhenDue if !record.is_due(now, age) => return Plan::Fresh,
            Trigger::GoodFor(least) if !record.is_due(now, age) && record.serves(now.plus(least.as_secs())) => {
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

/// The next step for a received pair, if the stored record is not the record that the call expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    /// Do nothing, for one of two reasons: the stored record already contains the pair, or another refresh token has
    /// become current and the received pair has no refresh token to keep as a fallback.
    Stored,
    /// Discard the pair, because the stored record belongs to another grant.
    Discard,
    /// Write the record. It now contains the pair, or at least the pair's refresh token as a fallback.
    Write,
}

/// The claim that a call held when it received a pair.
#[derive(Clone, Copy)]
pub struct PairOrigin {
    /// The lineage of the claimed record.
    pub lineage: Lineage,
    /// The refresh token that was spent for the pair.
    pub spent: TokenHash,
}

/// Puts a received pair into `theirs`, the record that is stored now, because another call changed the record before
/// the pair was saved (rule 5). No refresh token that TikTok issued for this grant is lost, and no pair replaces a
/// newer pair.
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

/// After this number of consecutive failures, the error for an unrecognised answer no longer asks the host to call
/// again.
pub const SHOWN_AFTER_FAILURES: u32 = 5;

/// Changes the error for an unrecognised answer after five consecutive failures: it no longer asks the host to call
/// again, because nobody can tell whether that ever helps. Returns every other error unchanged.
#[must_use]
pub fn shown_if_repeated(error: Error, failures: u32) -> Error {
    let shown = error.cause == Cause::UnrecognisedAnswer && failures >= SHOWN_AFTER_FAILURES;
    if shown { error.with_cause(Cause::UnrecognisedAnswerRepeated) } else { error }
}

/// Returns the error for a request whose outcome nobody knows (rule 8). The host calls again when the claim has lapsed,
/// or later if TikTok asks for a longer delay. After five failures, [`shown_if_repeated`] changes the error for an
/// unrecognised answer.
#[must_use]
pub fn outcome_unknown(error: Error, failures: u32) -> Error {
    let delay = error.delay.max(CLAIM_LIFE);
    shown_if_repeated(error.with_delay(delay), failures)
}
