//! All changes of a token record: by a consent, a claim, new tokens, a rejection, a failure or a request to verify the
//! grant. `Rule N` means rule N in [`crate::rotation`].
//!
//! A transition changes only the record in memory. The caller then writes the changed record to storage by
//! compare-and-swap.

use super::{
    Claim, CurrentPair, DeadReason, Lineage, MAX_FALLBACKS, NEVER_ROTATED, Nonce, Profile, ShopPolicy, TokenHash,
    TokenRecord,
};
use crate::contract::CLAIM_LIFE;
use crate::error::{Cause, Error};
use crate::existing_grant::ExistingGrant;
use crate::secret::RefreshToken;
use crate::time::UnixSeconds;
use crate::token::{Expiry, Pair, ROTATION_INTERVAL, UserType, back_off, believed_refresh_end, due_at};
use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

/// The result of a consent: the tokens, the times, and the random values that the call drew before it spent the
/// authorization code.
pub struct NewGrant<'a> {
    /// The lineage of the new record, if the consent creates one.
    pub lineage: Lineage,
    /// The key of the app that the seller consented to.
    pub app_key: &'a str,
    /// The policy that decides which shops are linked.
    pub shop_policy: ShopPolicy,
    /// The tokens.
    pub pair: &'a Pair,
    /// When the tokens were received, by the clock of the host.
    pub received_at: UnixSeconds,
    /// When the consent happened. A webhook about an event before this time is ignored.
    pub granted_at: UnixSeconds,
    /// The random number for the jitter of the due time.
    pub random: u64,
}

/// A grant that another system held until now.
#[derive(Clone, Copy)]
pub struct Import<'a> {
    /// The lineage of the new record, if the import creates one.
    pub lineage: Lineage,
    /// The key of the app that the seller consented to.
    pub app_key: &'a str,
    /// The policy that decides which shops are linked.
    pub shop_policy: ShopPolicy,
    /// The tokens of the other system.
    pub grant: &'a ExistingGrant,
    /// When the call began, by the clock of the host.
    pub at: UnixSeconds,
}

/// The change that [`TokenRecord::request_verification`] has made to the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerificationRequest {
    /// Nothing changed, because the reported end is before the latest consent, or because the grant is already dead.
    Void,
    /// Nothing changed, because the grant already waits for verification.
    Known,
    /// The grant now waits for verification.
    New,
}

impl TokenRecord {
    /// Creates the first record of a grant.
    #[must_use]
    pub fn granted(grant: &NewGrant<'_>) -> Self {
        let NewGrant { lineage, app_key, shop_policy, pair, received_at, granted_at, random } = *grant;
        let mut record = Self::without_tokens(lineage, app_key, shop_policy, received_at);
        record.granted_at = granted_at;
        record.take_pair(pair, received_at, random);
        record
    }

    /// Creates the record of a grant that another system held. A refresh is due at once. The record is unconfirmed
    /// until TikTok has answered this refresh with a pair.
    #[must_use]
    pub fn imported(import: &Import<'_>) -> Self {
        let Import { lineage, app_key, shop_policy, at, .. } = *import;
        let mut record = Self::without_tokens(lineage, app_key, shop_policy, at);
        record.rotated_at = NEVER_ROTATED;
        record.bring(import);
        record
    }

    fn without_tokens(lineage: Lineage, app_key: &str, shop_policy: ShopPolicy, at: UnixSeconds) -> Self {
        Self {
            lineage,
            generation: 0,
            app_key: app_key.to_owned(),
            current: CurrentPair::default(),
            due_at: at,
            fallbacks: Vec::new(),
            rejected: Vec::new(),
            claim: None,
            presented: 0,
            failures: 0,
            not_before: None,
            granted_at: at,
            rotated_at: at,
            verify: false,
            dead: None,
            profile: Profile {
                shop_policy,
                seller_name: String::new(),
                base_region: String::new(),
                scopes: Vec::new(),
                user_type: None,
            },
        }
    }

    /// Makes the refresh token of another system the current one, in a record that is unconfirmed or dead. The record's
    /// earlier refresh token becomes a fallback. A claim in the record has lapsed, so it counts as a request with an
    /// unknown outcome.
    pub fn bring(&mut self, import: &Import<'_>) {
        let Import { shop_policy, grant, at, .. } = *import;
        let earlier = self.current.refresh.replace(grant.refresh.duplicate());
        self.push_fallback(earlier);
        self.current.refresh_ends = believed_refresh_end(grant.refresh_ends, at);
        if let Some((access, expiry)) = grant.usable_access(at) {
            self.current.access = Some(access.duplicate());
            self.current.access_ends = expiry.known();
        }
        if self.claim.take().is_some() {
            self.presented = self.presented.saturating_add(1);
            self.failures = self.failures.saturating_add(1);
        }
        self.not_before = None;
        self.profile.shop_policy = shop_policy;
        self.granted_at = at;
    }

    /// Replaces the grant in this record, after a new consent for an account that is already connected. The claim, the
    /// failures and the death of the earlier grant are removed. The earlier grant's refresh token becomes a fallback.
    pub fn regrant(&mut self, grant: &NewGrant<'_>) {
        self.current.refresh_ends = None;
        self.take_pair(grant.pair, grant.received_at, grant.random);
        self.profile.shop_policy = grant.shop_policy;
        self.granted_at = grant.granted_at;
        self.verify = false;
    }

    /// Claims the current refresh token (rule 2). Returns false and changes nothing if the record has no refresh token.
    #[must_use]
    pub fn claim(&mut self, nonce: Nonce) -> bool {
        let Some(refresh) = &self.current.refresh else { return false };
        let spends = TokenHash::of(refresh);
        if self.claim.is_some() {
            self.presented = self.presented.saturating_add(1);
            self.failures = self.failures.saturating_add(1);
        }
        self.claim = Some(Claim { nonce, spends });
        // `not_before` is the earliest time of the next attempt. This attempt begins now, so the time is removed.
        self.not_before = None;
        true
    }

    /// Returns whether the record holds the claim with this nonce.
    #[must_use]
    pub fn holds_claim(&self, nonce: Nonce) -> bool {
        self.claim.is_some_and(|claim| claim.nonce == nonce)
    }

    /// Returns the hash of the claimed token if that token is the current refresh token.
    #[must_use]
    pub fn claimed_current(&self) -> Option<TokenHash> {
        let claim = self.claim?;
        let current = self.current.refresh.as_ref()?;
        (claim.spends == TokenHash::of(current)).then_some(claim.spends)
    }

    /// Puts a new pair into the record (rule 5). If the pair lacks one of the two tokens, the record keeps its earlier
    /// token of that kind.
    pub fn take_pair(&mut self, pair: &Pair, now: UnixSeconds, random: u64) {
        // An import that named its account was dated by the host's clock, before TikTok had answered. If that clock is
        // ahead, a webhook about the end of the grant would be ignored.
        if self.consent_time().may_become_earlier {
            self.granted_at = self.granted_at.min(pair.granted_at(now));
        }
        if let Some(refresh) = &pair.refresh {
            let spent = self.current.refresh.replace(refresh.duplicate());
            self.push_fallback(spent);
        }
        if let Some(access) = &pair.access {
            self.current.access = Some(access.duplicate());
            self.current.access_ends = pair.access_expiry.known();
        }
        // TikTok has just accepted the authorization. So a stored end that has already passed was wrong.
        let earlier_end = self.current.refresh_ends.filter(|end| *end > now);
        self.current.refresh_ends = pair.refresh_ends.or(earlier_end);
        // Between two unforced renewals, at least `ROTATION_INTERVAL` must pass. If a pair were due earlier, a sweep
        // would call `refresh` in a loop.
        let earliest = now.plus(ROTATION_INTERVAL);
        self.due_at = match (&self.current.access, pair.date_if_now_is_ahead(now)) {
            (Some(_), Some(date)) if self.current.access_ends.is_none() => due_at(Expiry::Unknown, date, random),
            (Some(_), _) => due_at(self.current.access_expiry(), now, random).max(earliest),
            (None, _) => earliest,
        };
        self.claim = None;
        self.dead = None;
        self.rejected.clear();
        self.presented = 0;
        self.failures = 0;
        // A pair without an access token must be renewed again. The next attempt waits until a renewal is allowed
        // again.
        self.not_before = pair.access.is_none().then_some(earliest);
        self.rotated_at = now;
        self.generation = self.generation.saturating_add(1);
        if let Some(name) = &pair.seller_name {
            self.profile.seller_name.clone_from(name);
        }
        if let Some(region) = &pair.base_region {
            self.profile.base_region.clone_from(region);
        }
        if let Some(scopes) = &pair.scopes {
            self.profile.scopes.clone_from(scopes);
        }
        if let Some(kind) = pair.user_type {
            self.profile.user_type = Some(kind).filter(|kind| *kind != UserType::SELLER);
        }
    }

    /// Makes a refresh token the first fallback. Afterwards the list of fallbacks has at most three tokens, contains no
    /// token twice, and does not contain the current token.
    pub fn push_fallback(&mut self, token: Option<RefreshToken>) {
        if let Some(token) = token {
            self.fallbacks.retain(|kept| !kept.same_as(&token));
            self.fallbacks.insert(0, token);
        }
        if let Some(current) = &self.current.refresh {
            self.fallbacks.retain(|kept| !kept.same_as(current));
        }
        self.fallbacks.truncate(MAX_FALLBACKS);
    }

    /// Returns true if the record contains this pair: either both tokens are the record's current tokens, or the
    /// refresh token is among the fallbacks. If `pair` has only one of the two tokens, only that token must be in the
    /// record.
    #[must_use]
    pub fn contains(&self, pair: &Pair) -> bool {
        let same_access = match (&self.current.access, &pair.access) {
            (Some(kept), Some(new)) => kept.same_as(new),
            (Some(_) | None, None) => true,
            (None, Some(_)) => false,
        };
        let Some(refresh) = &pair.refresh else {
            return same_access && pair.access.is_some();
        };
        let current = self.current.refresh.as_ref().is_some_and(|kept| kept.same_as(refresh));
        (same_access && current) || self.fallbacks.iter().any(|kept| kept.same_as(refresh))
    }

    /// Records that TikTok rejected the current refresh token (rule 6). The next fallback becomes the current token,
    /// with a new claim. If there is no fallback, the record becomes dead. `cause` is `authorization-expired` or
    /// `authorization-revoked`. Only the call that holds the claim may use this function.
    pub fn reject(&mut self, cause: Cause, nonce: Nonce) {
        self.generation = self.generation.saturating_add(1);
        if !self.fallbacks.is_empty() {
            let next = self.fallbacks.remove(0);
            self.claim = Some(Claim { nonce, spends: TokenHash::of(&next) });
            self.rejected.extend(self.current.refresh.replace(next));
            self.rejected.truncate(MAX_FALLBACKS);
            return;
        }
        self.claim = None;
        self.not_before = None;
        self.dead = Some(if self.verify {
            // The grant was waiting for verification, and TikTok has now confirmed that the grant has ended. So no
            // token of the grant is kept.
            self.verify = false;
            self.current = CurrentPair::default();
            self.rejected.clear();
            DeadReason::AuthorizationRevoked
        } else if self.presented > 0 {
            DeadReason::RefreshOutcomeUnknown
        } else if cause == Cause::AuthorizationExpired {
            DeadReason::AuthorizationExpired
        } else {
            DeadReason::AuthorizationRevoked
        });
        // The newest rejected token becomes current again. If TikTok rejected the tokens by mistake, this token is the
        // most likely to work.
        if !self.rejected.is_empty() {
            let newest = self.rejected.remove(0);
            self.rejected.extend(self.current.refresh.replace(newest));
            self.fallbacks = core::mem::take(&mut self.rejected);
        }
    }

    /// Removes the claim of this call (rules 2, 3 and 7). If `failure` is an error, no unforced attempt is made for a
    /// while. `failure` is `None` if the claim is removed because another refresh token has become current.
    pub fn release(&mut self, failure: Option<&Error>, now: UnixSeconds, random: u64) {
        self.claim = None;
        if let Some(error) = failure {
            self.hold_back(error, now, random);
        }
    }

    /// Counts a failure, and delays the next unforced attempt.
    pub fn hold_back(&mut self, error: &Error, now: UnixSeconds, random: u64) {
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(now.plus(back_off(self.failures, error.delay, random)));
    }

    /// Returns whether unforced attempts must still wait at `now`.
    #[must_use]
    pub fn is_held_back(&self, now: UnixSeconds) -> bool {
        self.not_before.is_some_and(|not_before| not_before > now)
    }

    /// Records that the grant may have ended at `since`. If `since` is `None`, the grant may have ended now. The next
    /// `refresh` verifies the grant.
    pub fn request_verification(&mut self, since: Option<UnixSeconds>) -> VerificationRequest {
        if self.dead.is_some() || since.is_some_and(|since| since < self.granted_at) {
            return VerificationRequest::Void;
        }
        if self.verify {
            return VerificationRequest::Known;
        }
        self.verify = true;
        VerificationRequest::New
    }

    /// Records that TikTok's answer about the shops has confirmed the grant. The grant needs no verification any more,
    /// and unforced attempts are allowed again. Returns whether this changes the record.
    pub fn settle(&mut self) -> bool {
        let changes = self.verify || self.failures > 0 || self.not_before.is_some();
        self.verify = false;
        self.failures = 0;
        self.not_before = None;
        changes
    }

    /// Returns when `refresh` should next be called. Returns `None` if the grant is dead. Storage keeps this time
    /// unencrypted beside the record.
    #[must_use]
    pub fn next_due(&self, now: UnixSeconds) -> Option<UnixSeconds> {
        let due = if self.dead.is_some() {
            return None;
        } else if self.claim.is_some() {
            now.plus(CLAIM_LIFE.as_secs())
        } else if self.verify {
            self.not_before.unwrap_or(now)
        } else {
            self.not_before.unwrap_or(self.due_at)
        };
        // The clock of this host may be years ahead. Then a time later than `due_at` is years away for the other hosts.
        // So a host whose clock is ahead stores no time later than `due_at`.
        let is_ahead = self.is_dated_ahead() && self.rotated_at <= now;
        Some(if is_ahead { due.min(self.due_at) } else { due })
    }

    /// Returns whether the access token may be served at `now` (rule 9). A valid token is served even if its renewal
    /// fails, but not after TikTok has ended the grant.
    #[must_use]
    pub fn serves(&self, now: UnixSeconds) -> bool {
        self.dead.is_none() && self.current.usable_access(now).is_some()
    }
}
