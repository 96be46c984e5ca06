//! What the connector reports: connections and the shops under them. Mirrors `wit/types.wit`.

use serde::{Deserialize, Serialize};

use crate::error::Failure;
use crate::id::{AccountId, CustomerId, ShopId};
use crate::secret::Secret;

/// Seconds since 1970. Beyond 32 bits in practice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixSeconds(pub u64);

/// Names one connection within a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionKey {
    /// The platform's customer.
    pub customer: CustomerId,
    /// The seller account that consented.
    pub account: AccountId,
}

/// One seller's grant and the shops it covers. Never contains a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Whose connection it is.
    pub key: ConnectionKey,
    /// The seller's name, as TikTok reported it with the tokens.
    pub seller_name: String,
    /// The seller's base region, as TikTok reported it with the tokens.
    pub seller_base_region: String,
    /// What the seller allowed.
    pub granted_scopes: Vec<String>,
    /// Which shops the consent links.
    pub shop_policy: ShopPolicy,
    /// Whether it works.
    pub status: ConnectionStatus,
    /// When the access token ends; `None`: no believable end is known.
    pub access_expires_at: Option<UnixSeconds>,
    /// When the refresh token ends, as the latest token answer says.
    pub refresh_expires_at: Option<UnixSeconds>,
    /// When the seller's authorization ends, as the latest notice since the consent says.
    pub authorization_ends_at: Option<UnixSeconds>,
    /// When this connection began; a later consent of the same account keeps it.
    pub connected_at: UnixSeconds,
    /// When the seller consented last. What TikTok said of the grant before is void.
    pub granted_at: UnixSeconds,
    /// When the tokens were issued last.
    pub refreshed_at: UnixSeconds,
    /// When the shops were read last; `None`: never, call `refresh`.
    pub shops_synced_at: Option<UnixSeconds>,
    /// Every shop ever listed for this grant.
    pub shops: Vec<Shop>,
    /// What went wrong last, if anything did since the last success.
    pub last_failure: Option<PastFailure>,
}

impl Connection {
    /// When the seller's authorization ends, by whatever TikTok said that is earliest; `None`: it said nothing.
    #[must_use]
    pub fn ends_at(&self) -> Option<UnixSeconds> {
        [self.authorization_ends_at, self.refresh_expires_at].into_iter().flatten().min()
    }
}

/// A shop under a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shop {
    /// TikTok's id of it.
    pub id: ShopId,
    /// Which of the customer's connections serves it.
    pub account: AccountId,
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// TikTok's word for the kind of seller.
    pub seller_type: String,
    /// Needed for calls that concern one shop. Absent stays absent. Never written by `serde`: a storage gets it sealed.
    #[serde(skip)]
    pub cipher: Option<Secret>,
    /// TikTok's short code of it.
    pub code: String,
    /// The row as TikTok sent it, as JSON, without its cipher.
    pub raw: String,
    /// What TikTok says of it today.
    pub standing: ShopStanding,
    /// Whether the customer uses it.
    pub linked: bool,
}

/// What TikTok says of a shop today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShopStanding {
    /// Listed, and usable.
    Granted,
    /// TikTok calls the shop inactive; the grant lives.
    Inactive,
    /// Was in an earlier list, is not in the latest.
    NoLongerGranted,
}

/// Whether a connection works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionStatus {
    /// It works.
    Active,
    /// It works, but the seller's authorization ends at this time: ask for consent in time.
    AuthorizationEnding(UnixSeconds),
    /// It is dead; only a new consent helps.
    ReauthorizationRequired(ReauthorizationReason),
}

/// Why a connection is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReauthorizationReason {
    /// The authorization reached its end.
    AuthorizationExpired,
    /// The seller, or TikTok, took it back.
    AuthorizationRevoked,
    /// A refresh had no answer, and TikTok has refused the token since.
    RefreshOutcomeUnknown,
}

/// A failure and when it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastFailure {
    /// When.
    pub at: UnixSeconds,
    /// What.
    pub failure: Failure,
}

/// Which shops a consent links, and which of the shops that appear later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShopPolicy {
    /// All of them.
    All,
    /// The only one; of several none is linked until one is chosen.
    ExactlyOne,
}

/// What `connect` turns into a connection. Spent by the call, hence not `Clone`.
#[derive(Debug)]
pub enum Grant {
    /// A code that the host took from a callback it checked itself.
    Code(Secret),
    /// A callback as it arrived.
    Callback {
        /// The raw query of its address, without `?`.
        query: Secret,
        /// The state it must carry.
        state: StateCheck,
    },
}

/// Whether a callback must carry the state of a consent that this host started.
#[derive(Debug)]
pub enum StateCheck {
    /// It must carry this one.
    Expected(Secret),
    /// Only for installs from TikTok's App Store, after the host has signed the customer in.
    AppStoreInstall,
}

/// Whether `refresh` must renew the access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Only when due, and at most once in ten minutes.
    WhenDue,
    /// Now, under the same claim rules.
    Forced,
}
