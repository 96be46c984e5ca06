//! Connections and their shops, as the connector reports them. These types mirror `wit/types.wit`.

use serde::{Deserialize, Serialize};
use tiktok_shop_connector_core::connection::{ShopStanding as CoreStanding, ShopUse};
use tiktok_shop_connector_core::record::DeadReason;

use crate::error::Failure;
use crate::id::{AccountId, AppKey, CustomerId, ShopId};
use crate::secret::Secret;
use crate::words::words;

/// Seconds since 1970-01-01T00:00:00Z. Some of TikTok's times need more than 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnixSeconds(pub u64);

/// The key of one connection within a tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionKey {
    /// The customer who owns the connection.
    pub customer: CustomerId,
    /// The seller account that consented.
    pub account: AccountId,
}

/// A connection: a seller's grant, and the shops that the grant covers. This type never contains a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// The customer and the seller account.
    pub key: ConnectionKey,
    /// The app that the seller consented to. `None` in a row that version 0.1 wrote, until the next call that writes
    /// the row.
    pub app: Option<AppKey>,
    /// The seller's name, as TikTok sent it with the tokens.
    pub seller_name: String,
    /// The seller's base region, as TikTok sent it with the tokens.
    pub seller_base_region: String,
    /// The scopes that the seller granted.
    pub granted_scopes: Vec<String>,
    /// Which shops the consent links.
    pub shop_policy: ShopPolicy,
    /// Whether the connection works.
    pub status: ConnectionStatus,
    /// When the access token ends. `None` if TikTok sent no believable time.
    pub access_expires_at: Option<UnixSeconds>,
    /// When the refresh token ends, according to TikTok's latest answer with tokens. `None` if TikTok sent no
    /// believable time.
    pub refresh_expires_at: Option<UnixSeconds>,
    /// When the seller's authorization ends, according to TikTok's webhooks since the consent. `None` if no webhook
    /// announced the end.
    pub authorization_ends_at: Option<UnixSeconds>,
    /// When the connection began. A later consent of the same account does not change this time.
    pub connected_at: UnixSeconds,
    /// When the seller last consented. Webhooks that are older than this consent no longer change the connection.
    pub granted_at: UnixSeconds,
    /// When TikTok last issued tokens.
    pub refreshed_at: UnixSeconds,
    /// When the shops were last read. `None` if the shops were never read. To read them, call `refresh`.
    pub shops_synced_at: Option<UnixSeconds>,
    /// Every shop that TikTok has ever listed for this grant, at most 1000.
    pub shops: Vec<Shop>,
    /// The last failure. `None` if no failure happened since the last success.
    pub last_failure: Option<PastFailure>,
}

impl Connection {
    /// Creates an active connection without shops. All its texts are empty, all its optional times are `None`, and all
    /// its other times are 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn new(key: ConnectionKey) -> Self {
        Self {
            key,
            app: None,
            seller_name: String::new(),
            seller_base_region: String::new(),
            granted_scopes: Vec::new(),
            shop_policy: ShopPolicy::All,
            status: ConnectionStatus::Active,
            access_expires_at: None,
            refresh_expires_at: None,
            authorization_ends_at: None,
            connected_at: UnixSeconds(0),
            granted_at: UnixSeconds(0),
            refreshed_at: UnixSeconds(0),
            shops_synced_at: None,
            shops: Vec::new(),
            last_failure: None,
        }
    }

    /// Returns when the seller's authorization ends: the earlier of `authorization_ends_at` and `refresh_expires_at`.
    /// `None` if both are `None`.
    #[must_use]
    pub fn ends_at(&self) -> Option<UnixSeconds> {
        [self.authorization_ends_at, self.refresh_expires_at].into_iter().flatten().min()
    }

    /// Returns true if the customer may use this shop of the connection now. Then all of these hold: the shop is
    /// linked, its standing is granted or inactive, and the connection does not need a new consent. The connector's
    /// [`ShopUse`] decides this here, in `call`, in `list_shops`, and in the search for the owners of a webhook.
    #[must_use]
    pub const fn allows(&self, shop: &Shop) -> bool {
        ShopUse { dead: self.status.dead(), standing: shop.standing.in_core(), linked: shop.linked }.is_allowed()
    }
}

/// A shop of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shop {
    /// TikTok's id of the shop.
    pub id: ShopId,
    /// The seller account to which the shop belongs.
    pub account: AccountId,
    /// The app of the connection to which the shop belongs. `None` where [`Connection::app`] is `None`.
    pub app: Option<AppKey>,
    /// The shop's name.
    pub name: String,
    /// The shop's region.
    pub region: String,
    /// TikTok's word for the type of seller.
    pub seller_type: String,
    /// The shop's cipher. A call for the shop requires it. `None` if TikTok sent no cipher, or if the shop is [no
    /// longer granted](ShopStanding::NoLongerGranted) or [unconfirmed](ShopStanding::Unconfirmed). `serde` never writes
    /// the cipher, because a storage gets it only in sealed form.
    #[serde(skip)]
    pub cipher: Option<Secret>,
    /// TikTok's short code of the shop.
    pub code: String,
    /// The shop as TikTok sent it: JSON without the cipher.
    pub raw: String,
    /// What TikTok last said about the shop.
    pub standing: ShopStanding,
    /// Whether the customer has linked the shop.
    pub linked: bool,
}

impl Shop {
    /// Creates a shop with the standing [`Granted`](ShopStanding::Granted). The shop is not linked, its texts are
    /// empty, and it has no cipher.
    #[must_use]
    pub const fn new(id: ShopId, account: AccountId) -> Self {
        Self {
            id,
            account,
            app: None,
            name: String::new(),
            region: String::new(),
            seller_type: String::new(),
            cipher: None,
            code: String::new(),
            raw: String::new(),
            standing: ShopStanding::Granted,
            linked: false,
        }
    }
}

/// What TikTok last said about a shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShopStanding {
    /// TikTok lists the shop, and the shop is usable.
    Granted,
    /// TikTok has reported the shop or its seller as inactive. The grant still works.
    Inactive,
    /// An earlier list contained the shop, but the latest list does not contain it. Or TikTok has revoked the shop in a
    /// `disconnect`.
    NoLongerGranted,
    /// The latest list contains the shop, but the connection has ended since that list. If the connection works again,
    /// the shop stays unconfirmed until TikTok lists it again. `call` refuses an unconfirmed shop.
    Unconfirmed,
}

impl ShopStanding {
    pub(crate) const fn in_core(self) -> CoreStanding {
        match self {
            Self::Granted => CoreStanding::Granted,
            Self::Inactive => CoreStanding::Inactive,
            Self::NoLongerGranted => CoreStanding::NoLongerGranted,
            Self::Unconfirmed => CoreStanding::Unconfirmed,
        }
    }
}

/// Whether a connection works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConnectionStatus {
    /// The connection works.
    Active,
    /// The connection works, but the seller's authorization ends at this time. Ask the seller for a new consent before
    /// that time.
    AuthorizationEnding(UnixSeconds),
    /// The connection no longer works. A new consent or a successful forced refresh revives it.
    ReauthorizationRequired(ReauthorizationReason),
}

/// The kind of a [`ConnectionStatus`], without its time or reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StatusKind {
    /// See [`ConnectionStatus::Active`].
    Active,
    /// See [`ConnectionStatus::AuthorizationEnding`].
    AuthorizationEnding,
    /// See [`ConnectionStatus::ReauthorizationRequired`].
    ReauthorizationRequired,
}

impl StatusKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Active, Self::AuthorizationEnding, Self::ReauthorizationRequired];
}

/// Why a connection no longer works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReauthorizationReason {
    /// The authorization has expired.
    AuthorizationExpired,
    /// The seller or TikTok withdrew the authorization.
    AuthorizationRevoked,
    /// A refresh got no answer, and TikTok has refused the refresh token since then.
    RefreshOutcomeUnknown,
}

impl ReauthorizationReason {
    const fn in_core(self) -> DeadReason {
        match self {
            Self::AuthorizationExpired => DeadReason::AuthorizationExpired,
            Self::AuthorizationRevoked => DeadReason::AuthorizationRevoked,
            Self::RefreshOutcomeUnknown => DeadReason::RefreshOutcomeUnknown,
        }
    }
}

/// A failure, and the time at which it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastFailure {
    /// When the failure happened.
    pub at: UnixSeconds,
    /// What happened.
    pub failure: Failure,
}

/// Which shops a consent links. The policy also applies to shops that TikTok lists later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShopPolicy {
    /// Links every shop.
    All,
    /// Links the shop if the account has exactly one shop. If the account has several shops, no shop is linked until
    /// the customer chooses a shop.
    ExactlyOne,
}

words! {
    ShopStanding {
        Granted => "granted",
        Inactive => "inactive",
        NoLongerGranted => "no-longer-granted",
        Unconfirmed => "unconfirmed",
    }
}

words! {
    StatusKind {
        Active => "active",
        AuthorizationEnding => "authorization-ending",
        ReauthorizationRequired => "reauthorization-required",
    }
}

words! {
    ReauthorizationReason {
        AuthorizationExpired => "authorization-expired",
        AuthorizationRevoked => "authorization-revoked",
        RefreshOutcomeUnknown => "refresh-outcome-unknown",
    }
}

words! {
    ShopPolicy {
        All => "all",
        ExactlyOne => "exactly-one",
    }
}

impl ConnectionStatus {
    /// Returns the kind of this status.
    #[must_use]
    pub const fn kind(self) -> StatusKind {
        match self {
            Self::Active => StatusKind::Active,
            Self::AuthorizationEnding(_) => StatusKind::AuthorizationEnding,
            Self::ReauthorizationRequired(_) => StatusKind::ReauthorizationRequired,
        }
    }

    /// Returns the word for this status. [`from_parts`](Self::from_parts) accepts this word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.kind().as_str()
    }

    /// Returns when the authorization ends, if the status is [`AuthorizationEnding`](Self::AuthorizationEnding).
    #[must_use]
    pub const fn ends_at(self) -> Option<UnixSeconds> {
        match self {
            Self::AuthorizationEnding(at) => Some(at),
            Self::Active | Self::ReauthorizationRequired(_) => None,
        }
    }

    /// Returns why the connection no longer works, if the status is
    /// [`ReauthorizationRequired`](Self::ReauthorizationRequired).
    #[must_use]
    pub const fn reason(self) -> Option<ReauthorizationReason> {
        match self {
            Self::ReauthorizationRequired(reason) => Some(reason),
            Self::Active | Self::AuthorizationEnding(_) => None,
        }
    }

    /// Returns the [`reason`](Self::reason) as the core sees it.
    pub(crate) const fn dead(self) -> Option<DeadReason> {
        match self.reason() {
            Some(reason) => Some(reason.in_core()),
            None => None,
        }
    }

    /// Puts a status together from its three parts, for example from the columns of a database: the word, the time when
    /// the authorization ends, and the reason. `None` if the word is unknown, or if the status needs a time or a reason
    /// that is missing.
    #[must_use]
    pub fn from_parts(word: &str, ends_at: Option<UnixSeconds>, reason: Option<ReauthorizationReason>) -> Option<Self> {
        match word.parse().ok()? {
            StatusKind::Active => Some(Self::Active),
            StatusKind::AuthorizationEnding => ends_at.map(Self::AuthorizationEnding),
            StatusKind::ReauthorizationRequired => reason.map(Self::ReauthorizationRequired),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_parses_to_the_case_that_it_names() {
        for policy in [ShopPolicy::All, ShopPolicy::ExactlyOne] {
            assert_eq!(policy.as_str().parse(), Ok(policy));
        }
        let standings =
            [ShopStanding::Granted, ShopStanding::Inactive, ShopStanding::NoLongerGranted, ShopStanding::Unconfirmed];
        for standing in standings {
            assert_eq!(standing.as_str().parse(), Ok(standing));
        }
        let reasons = [
            ReauthorizationReason::AuthorizationExpired,
            ReauthorizationReason::AuthorizationRevoked,
            ReauthorizationReason::RefreshOutcomeUnknown,
        ];
        for reason in reasons {
            assert_eq!(reason.as_str().parse(), Ok(reason));
        }
        let ending = ConnectionStatus::AuthorizationEnding(UnixSeconds(7));
        let dead = reasons.map(ConnectionStatus::ReauthorizationRequired);
        for status in [ConnectionStatus::Active, ending].into_iter().chain(dead) {
            let read = ConnectionStatus::from_parts(status.as_str(), status.ends_at(), status.reason());
            assert_eq!(read, Some(status));
        }
    }

    #[test]
    fn a_linked_shop_that_tiktok_grants_may_be_used_while_the_connection_works() {
        let key = ConnectionKey { customer: "customer".parse().unwrap(), account: "account".parse().unwrap() };
        let dead = [
            ReauthorizationReason::AuthorizationExpired,
            ReauthorizationReason::AuthorizationRevoked,
            ReauthorizationReason::RefreshOutcomeUnknown,
        ];
        let dead = dead.map(|reason| (ConnectionStatus::ReauthorizationRequired(reason), false));
        let alive = [ConnectionStatus::Active, ConnectionStatus::AuthorizationEnding(UnixSeconds(7))];
        for (status, is_alive) in alive.map(|status| (status, true)).into_iter().chain(dead) {
            let connection = Connection { status, ..Connection::new(key.clone()) };
            for (standing, is_granted) in [
                (ShopStanding::Granted, true),
                (ShopStanding::Inactive, true),
                (ShopStanding::NoLongerGranted, false),
                (ShopStanding::Unconfirmed, false),
            ] {
                let mut shop = Shop::new("1".parse().unwrap(), key.account.clone());
                shop.standing = standing;
                assert!(!connection.allows(&shop), "not linked: {status:?} {standing:?}");
                shop.linked = true;
                assert_eq!(connection.allows(&shop), is_alive && is_granted, "{status:?} {standing:?}");
            }
        }
    }

    #[test]
    fn an_unknown_word_is_refused_with_a_list_of_the_known_words() {
        let unknown = "All".parse::<ShopPolicy>().unwrap_err();
        assert_eq!(unknown.to_string(), "not one of: all, exactly-one");
    }

    #[test]
    fn a_status_without_its_end_or_reason_is_refused() {
        for word in ["authorization-ending", "reauthorization-required", "Active", ""] {
            assert_eq!(ConnectionStatus::from_parts(word, None, None), None, "{word:?}");
        }
    }
}
