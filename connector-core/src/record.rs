//! The token record: everything that is stored about the tokens of one connection.
//!
//! The record decides whether there is a connection: a seller account without a record is not connected. The customer's
//! row is a projection of the record. The fields of [`TokenRecord`] are private. A record changes only through the
//! methods in `transitions`, which keep its invariants. Only `codec` reads and writes its stored form.

mod codec;
mod transitions;

pub use transitions::{Import, NewGrant, VerificationRequest};

use crate::error::Cause;
use crate::secret::{AccessToken, RefreshToken};
use crate::time::UnixSeconds;
use crate::token::{Expiry, UNKNOWN_END_LIFE, UserType};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use sha2::{Digest, Sha256};

/// The largest number of fallbacks in a record. A fallback is another refresh token, which is sent if TikTok rejects
/// the current one. The record also keeps at most this many rejected tokens.
pub const MAX_FALLBACKS: usize = 3;

/// 128 random bits.
pub type Nonce = [u8; 16];

/// Identifies the grant that a record belongs to. It is drawn at random when the record is created. A refresh keeps it,
/// and so does a new consent for an account that is already connected with the same app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage(pub Nonce);

impl Lineage {
    /// Returns 32 hexadecimal digits, as the row stores them.
    #[must_use]
    pub fn to_text(self) -> String {
        hex::encode(self.0)
    }
}

/// The pair of tokens that is in use. The access token is missing if TikTok sent only a refresh token. Both tokens are
/// missing if TikTok has confirmed that the seller revoked the grant.
#[derive(Default)]
pub struct CurrentPair {
    /// The token that authenticates calls.
    pub access: Option<AccessToken>,
    /// When the access token expires. `None` if TikTok sent no time, or a time that cannot be true.
    pub access_ends: Option<UnixSeconds>,
    /// The refresh token that the next refresh sends.
    pub refresh: Option<RefreshToken>,
    /// When the refresh token expires. `None` if TikTok sent no time, or a time that cannot be true. A time about 99
    /// years ahead is normal.
    pub refresh_ends: Option<UnixSeconds>,
}

impl CurrentPair {
    /// Returns the access token if it may be used at `now`.
    #[must_use]
    pub fn usable_access(&self, now: UnixSeconds) -> Option<&AccessToken> {
        self.access.as_ref().filter(|_| self.access_expiry().usable(now))
    }

    /// Returns when the access token expires.
    #[must_use]
    pub fn access_expiry(&self) -> Expiry {
        self.access_ends.map_or(Expiry::Unknown, Expiry::At)
    }
}

/// The SHA-256 of a refresh token. A claim uses this hash to identify the token that it covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// Hashes this token.
    #[must_use]
    pub fn of(token: &RefreshToken) -> Self {
        Self(Sha256::digest(token.expose().as_bytes()).into())
    }
}

/// A mark that is stored before a refresh token is sent. Until the claim lapses, no other call sends this token. If a
/// claim has lapsed, nobody knows the outcome of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The random bits by which a call recognises its own claim.
    pub nonce: Nonce,
    /// The hash of the refresh token that the call sends.
    pub spends: TokenHash,
}

/// Declares one word for each variant of an enum. `as_str` writes this word and `parse` reads it.
macro_rules! words {
    ($type:ident: $($case:ident = $word:literal),*) => {
        impl $type {
            /// All variants.
            pub const ALL: &[Self] = &[$(Self::$case),*];

            /// Returns the word for this variant, as the record stores it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$case => $word),* }
            }

            /// Returns the variant that this word stands for. Returns `None` for any other text.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|case| case.as_str() == word)
            }
        }
    };
}

/// The reason why a connection is dead. Only a new consent or a successful forced refresh revives the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadReason {
    /// The refresh token has expired.
    AuthorizationExpired,
    /// The seller removed the app, or TikTok no longer knows the authorization.
    AuthorizationRevoked,
    /// The answer to a refresh was lost, and TikTok later refused the refresh token.
    RefreshOutcomeUnknown,
}

words!(DeadReason:
    AuthorizationExpired = "authorization-expired",
    AuthorizationRevoked = "authorization-revoked",
    RefreshOutcomeUnknown = "refresh-outcome-unknown"
);

impl DeadReason {
    /// Returns the cause that tells the host about this reason.
    #[must_use]
    pub const fn cause(self) -> Cause {
        match self {
            Self::AuthorizationExpired => Cause::AuthorizationExpired,
            Self::AuthorizationRevoked => Cause::AuthorizationRevoked,
            Self::RefreshOutcomeUnknown => Cause::RefreshOutcomeUnknown,
        }
    }
}

/// The rule that decides which shops are linked at a consent. The same rule applies to shops that appear later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShopPolicy {
    /// Links every shop.
    All,
    /// Links a shop only if it is the first and only shop of the connection. Otherwise, the customer must choose.
    ExactlyOne,
}

words!(ShopPolicy: All = "all", ExactlyOne = "exactly-one");

/// The facts about the seller from which a row is rebuilt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The policy that was chosen at the latest consent.
    pub shop_policy: ShopPolicy,
    /// The display name of the seller account. It can change.
    pub seller_name: String,
    /// The region of the seller account. Its shops may have other regions.
    pub base_region: String,
    /// The granted scopes as TikTok listed them.
    pub scopes: Vec<String>,
    /// The kind of seller, if TikTok sent one other than 0. 4 and 5 are cross-border sellers.
    pub user_type: Option<UserType>,
}

/// The time of the latest pair in a record that has never received one.
const NEVER_ROTATED: UnixSeconds = UnixSeconds::new(0);

/// The time of the consent of a grant, as a call has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsentTime {
    at: UnixSeconds,
    /// Whether [`TokenRecord::take_pair`] may still make the time earlier.
    may_become_earlier: bool,
}

impl ConsentTime {
    /// Returns whether the record has no other consent than this one. Its lineage must be the same.
    #[must_use]
    pub fn is_that_of(self, record: &TokenRecord) -> bool {
        let now = record.granted_at;
        now == self.at || self.may_become_earlier && now < self.at
    }
}

/// The token record of one connection.
pub struct TokenRecord {
    lineage: Lineage,
    generation: u64,
    app_key: String,
    current: CurrentPair,
    due_at: UnixSeconds,
    fallbacks: Vec<RefreshToken>,
    rejected: Vec<RefreshToken>,
    claim: Option<Claim>,
    presented: u32,
    failures: u32,
    not_before: Option<UnixSeconds>,
    granted_at: UnixSeconds,
    rotated_at: UnixSeconds,
    verify: bool,
    dead: Option<DeadReason>,
    profile: Profile,
}

impl TokenRecord {
    /// Returns the lineage, which identifies the grant that this record belongs to.
    #[must_use]
    pub const fn lineage(&self) -> Lineage {
        self.lineage
    }

    /// Returns how many writes have changed the pair or the grant. The write that marks the grant as dead is counted,
    /// too. If two rows have the same lineage, the row with the higher number is newer.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the time of the consent, in a form that recognises a later consent.
    #[must_use]
    pub fn consent_time(&self) -> ConsentTime {
        ConsentTime { at: self.granted_at, may_become_earlier: self.is_unconfirmed() || self.dead.is_some() }
    }

    /// Returns whether TikTok has never answered with a pair for this record. Only an import creates such a record: it
    /// stores the refresh token of another system, and then sends it for the first time.
    #[must_use]
    pub fn is_unconfirmed(&self) -> bool {
        self.rotated_at == NEVER_ROTATED
    }

    /// Returns whether the row of this record lacks its shops: nobody has read them yet, or the grant is dead.
    #[must_use]
    pub fn lacks_shops(&self) -> bool {
        self.is_unconfirmed() || self.dead.is_some()
    }

    /// Returns the key of the app that the pair belongs to.
    #[must_use]
    pub fn app_key(&self) -> &str {
        &self.app_key
    }

    /// Returns the pair in use.
    #[must_use]
    pub const fn current(&self) -> &CurrentPair {
        &self.current
    }

    /// Returns the pair in use and drops the rest of the record.
    #[must_use]
    pub fn into_current(self) -> CurrentPair {
        self.current
    }

    /// Returns when the pair should be renewed. The jitter is included; it is drawn once per pair.
    #[must_use]
    pub const fn due_at(&self) -> UnixSeconds {
        self.due_at
    }

    /// Returns whether the pair should be renewed at `now`. `age` is the time since this revision of the record was
    /// written, by the clock of the storage.
    ///
    /// The clock of the host that received the pair may have been ahead. Then the pair's end is unknown, and
    /// `rotated_at` is in the future for the other hosts. If TikTok's answer had a date, `due_at` was calculated from
    /// that date, and hosts with a correct clock renew the pair at `due_at`. For the host whose clock is ahead,
    /// `due_at` has already passed. This host waits for six hours by its own clock, as for every pair whose end is
    /// unknown, because otherwise it would renew the pair at each call. If the answer had no date, the other hosts wait
    /// until this revision is six hours old by the clock of the storage.
    #[must_use]
    pub fn is_due(&self, now: UnixSeconds, age: Duration) -> bool {
        if self.is_dated_ahead() && self.rotated_at <= now {
            return now >= self.rotated_at.plus(UNKNOWN_END_LIFE);
        }
        let unreachable = self.rotated_at > now && self.current.access_ends.is_none();
        now >= self.due_at || (unreachable && age.as_secs() >= UNKNOWN_END_LIFE)
    }

    /// Returns whether TikTok has renewed the tokens after `end`, so that the authorization can't have ended then. The
    /// seller has extended it elsewhere. If a clock that was ahead wrote the time of the renewal, returns false.
    #[must_use]
    pub fn has_outlived(&self, end: UnixSeconds) -> bool {
        end <= self.rotated_at && !self.is_dated_ahead()
    }

    /// Returns true if the clock of the host that received the pair was ahead of TikTok's clock. Only in this case is
    /// `due_at` earlier than `rotated_at`.
    pub(crate) fn is_dated_ahead(&self) -> bool {
        self.due_at < self.rotated_at
    }

    /// Returns the fallbacks: up to [`MAX_FALLBACKS`] other refresh tokens, newest first. No token is listed twice, and
    /// the current token is never among them.
    #[must_use]
    pub fn fallbacks(&self) -> &[RefreshToken] {
        &self.fallbacks
    }

    /// Returns the refresh tokens that TikTok has rejected since the latest pair was stored, newest first. When the
    /// record dies, these tokens become fallbacks again, so that a forced refresh can try them. This helps if TikTok
    /// rejected them by mistake or because of a mistyped app secret.
    #[must_use]
    pub fn rejected(&self) -> &[RefreshToken] {
        &self.rejected
    }

    /// Returns the claim on the refresh token, if a call has claimed it.
    #[must_use]
    pub const fn current_claim(&self) -> Option<Claim> {
        self.claim
    }

    /// Returns the number of requests with an unknown outcome since the latest pair or consent was stored.
    #[must_use]
    pub const fn presented(&self) -> u32 {
        self.presented
    }

    /// Returns the number of consecutive failed attempts.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns the time before which only a forced refresh tries again.
    #[must_use]
    pub const fn not_before(&self) -> Option<UnixSeconds> {
        self.not_before
    }

    /// Returns the time of the latest consent.
    #[must_use]
    pub const fn granted_at(&self) -> UnixSeconds {
        self.granted_at
    }

    /// Returns the time at which the latest pair was received.
    #[must_use]
    pub const fn rotated_at(&self) -> UnixSeconds {
        self.rotated_at
    }

    /// Returns whether the grant may have ended and `refresh` must verify it with TikTok, for example after a
    /// deauthorization webhook.
    #[must_use]
    pub const fn awaits_verification(&self) -> bool {
        self.verify
    }

    /// Returns why the grant is dead. Returns `None` if the grant is not dead.
    #[must_use]
    pub const fn dead(&self) -> Option<DeadReason> {
        self.dead
    }

    /// Returns the facts about the seller from which a row is rebuilt.
    #[must_use]
    pub const fn profile(&self) -> &Profile {
        &self.profile
    }
}

/// The reason why stored bytes are not a record that this version can use. In both cases the stored bytes are not
/// overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// A newer version wrote the record.
    TooNew,
    /// The bytes are not a record.
    Unreadable,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back_as_the_case_that_wrote_it() {
        for reason in DeadReason::ALL {
            assert_eq!(DeadReason::parse(reason.as_str()), Some(*reason));
        }
        for policy in ShopPolicy::ALL {
            assert_eq!(ShopPolicy::parse(policy.as_str()), Some(*policy));
        }
        assert_eq!((DeadReason::parse("All"), ShopPolicy::parse("")), (None, None));
    }
}
