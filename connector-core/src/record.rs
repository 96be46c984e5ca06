//! The token record: all that is kept of one connection's tokens, and its versioned codec.
//!
//! The record is the connection; the customer's row is a projection of it. What has no record is not connected.

mod codec;

use crate::secret::{AccessToken, RefreshToken};
use crate::time::UnixSeconds;
use crate::token::Expiry;
use alloc::string::String;
use alloc::vec::Vec;
use sha2::{Digest, Sha256};

/// Most refresh tokens kept beside the current one.
pub const MOST_FALLBACKS: usize = 3;

/// 128 random bits.
pub type Nonce = [u8; 16];

/// Names one grant's life: drawn when the record is created, kept by refresh and by reconnect in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage(pub Nonce);

impl Lineage {
    /// 32 hexadecimal digits, as the row carries it.
    #[must_use]
    pub fn to_text(self) -> String {
        hex::encode(self.0)
    }
}

/// The pair in use. The access token can be missing when TikTok sent a refresh token alone; both are gone once a
/// revocation is proven.
#[derive(Default)]
pub struct CurrentPair {
    /// Serves calls.
    pub access: Option<AccessToken>,
    /// Its believed end.
    pub access_ends: Option<UnixSeconds>,
    /// Buys the next pair.
    pub refresh: Option<RefreshToken>,
    /// Its end as TikTok named it; about 99 years ahead is normal.
    pub refresh_ends: Option<UnixSeconds>,
}

impl CurrentPair {
    /// The access token while it may be used.
    #[must_use]
    pub fn usable_access(&self, now: UnixSeconds) -> Option<&AccessToken> {
        self.access.as_ref().filter(|_| self.access_expiry().usable(now))
    }

    /// The access token's end.
    #[must_use]
    pub fn access_expiry(&self) -> Expiry {
        self.access_ends.map_or(Expiry::Unknown, Expiry::At)
    }
}

/// A refresh token's SHA-256: what a claim says is being spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent(pub [u8; 32]);

impl Spent {
    /// Of this token.
    #[must_use]
    pub fn of(token: &RefreshToken) -> Self {
        Self(Sha256::digest(token.expose().as_bytes()).into())
    }
}

/// Written before a refresh token is sent: nobody else sends it while the claim lives, and a claim that lapsed is the
/// mark of a request whose outcome nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Tells the holder its own claim.
    pub nonce: Nonce,
    /// The token being spent.
    pub spends: Spent,
}

/// Why a connection is dead. Only a new consent (or a forced refresh that succeeds) revives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadReason {
    /// The refresh token has ended.
    AuthorizationExpired,
    /// The seller removed the app, or TikTok no longer knows the authorization.
    AuthorizationRevoked,
    /// A refresh was never answered, and the token is refused now.
    RefreshOutcomeUnknown,
}

/// Which shops a consent links, and which of the shops that appear later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShopPolicy {
    /// All of them.
    All,
    /// The only one; more than one: none until the customer chooses.
    ExactlyOne,
}

/// What a row is rebuilt from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// As chosen at the latest consent.
    pub shop_policy: ShopPolicy,
    /// Display name; can change.
    pub seller_name: String,
    /// Region of the seller account, not of its shops.
    pub base_region: String,
    /// As TikTok listed them.
    pub scopes: Vec<String>,
}

/// The token record.
pub struct TokenRecord {
    /// Whose life this is.
    pub lineage: Lineage,
    /// Counts writes that change the pair, the grant or its death; orders rows within one lineage.
    pub generation: u64,
    /// The app the pair belongs to.
    pub app_key: String,
    /// The pair in use.
    pub current: CurrentPair,
    /// When to renew, jitter included; drawn once per pair.
    pub due_at: UnixSeconds,
    /// Up to three other refresh tokens, newest first; never the current one, none twice.
    pub fallbacks: Vec<RefreshToken>,
    /// Refresh tokens that TikTok has rejected since the latest pair, newest first. They come back when the record dies,
    /// so that a forced refresh can try them again after a fault on TikTok's side or a mistyped app secret.
    pub rejected: Vec<RefreshToken>,
    /// Who is spending the refresh token.
    pub claim: Option<Claim>,
    /// Requests whose outcome nobody knows, since the last stored pair or consent.
    pub presented: u32,
    /// Failed attempts in a row.
    pub failures: u32,
    /// No unforced attempt before this time.
    pub not_before: Option<UnixSeconds>,
    /// The latest consent.
    pub granted_at: UnixSeconds,
    /// The latest pair.
    pub rotated_at: UnixSeconds,
    /// A notice of deauthorization waits for verification.
    pub verify: bool,
    /// None while the grant lives.
    pub dead: Option<DeadReason>,
    /// What a row is rebuilt from.
    pub profile: Profile,
}

/// Why stored bytes are not a record this version can use. Nothing is overwritten in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Written by a newer version.
    TooNew,
    /// Not a record.
    Unreadable,
}
