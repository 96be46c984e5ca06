//! The customer's row: what `list-connections` and `list-shops` show. A projection of the token record and of what
//! TikTok lists; it holds no token.

use crate::error::Error;
use crate::identity::ConnectionKey;
use crate::record::{DeadReason, ShopPolicy, TokenRecord};
use crate::secret::ShopCipher;
use crate::time::UnixSeconds;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// An authorization that ends within this many seconds is shown as ending.
pub const ENDING_NOTICE: u64 = 30 * 86_400;

/// What TikTok says of a shop today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShopStanding {
    /// In the latest list.
    Granted,
    /// TikTok called it inactive. The grant lives.
    Inactive,
    /// Was in an earlier list, is not in the latest.
    NoLongerGranted,
}

/// A shop as TikTok lists it.
pub struct ListedShop {
    /// Digits as text.
    pub id: String,
    /// Display name.
    pub name: String,
    /// Two letters; an open list.
    pub region: String,
    /// `LOCAL`, `CROSS_BORDER`, or what comes after them.
    pub seller_type: String,
    /// None where TikTok sent none.
    pub cipher: Option<ShopCipher>,
    /// What the seller sees in Seller Center.
    pub code: String,
    /// The row as sent, JSON text, without its `cipher` member.
    pub raw: String,
}

impl ListedShop {
    /// A second copy, for a write that lost its race and is made again.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            id: self.id.clone(),
            name: self.name.clone(),
            region: self.region.clone(),
            seller_type: self.seller_type.clone(),
            cipher: self.cipher.as_ref().map(ShopCipher::duplicate),
            code: self.code.clone(),
            raw: self.raw.clone(),
        }
    }
}

/// A shop of a connection.
pub struct Shop {
    /// What TikTok listed last.
    pub listed: ListedShop,
    /// What TikTok says of it today.
    pub standing: ShopStanding,
    /// Whether the customer uses it.
    pub linked: bool,
}

/// What became of the grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Works.
    Active,
    /// Works, and ends at this time.
    AuthorizationEnding(UnixSeconds),
    /// Only a new consent helps.
    ReauthorizationRequired(DeadReason),
}

/// A failure as a row keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastFailure {
    /// When.
    pub at: UnixSeconds,
    /// A documented code.
    pub code: String,
    /// For a log.
    pub detail: String,
    /// HTTP status, where there was an answer.
    pub http_status: Option<u16>,
    /// TikTok's request id.
    pub request_id: Option<String>,
}

impl PastFailure {
    /// An error at a time.
    #[must_use]
    pub fn new(at: UnixSeconds, error: &Error) -> Self {
        Self {
            at,
            code: error.cause.code().to_string(),
            detail: error.detail(),
            http_status: error.http_status,
            request_id: error.request_id.clone(),
        }
    }
}

/// What the customer sees of a connection.
pub struct Connection {
    /// Whose, and to which account.
    pub key: ConnectionKey,
    /// Display name of the seller account.
    pub seller_name: String,
    /// Region of the seller account.
    pub base_region: String,
    /// As TikTok listed them at the latest pair.
    pub scopes: Vec<String>,
    /// As chosen at the latest consent.
    pub shop_policy: ShopPolicy,
    /// What became of the grant.
    pub status: Status,
    /// The access token's believed end.
    pub access_ends: Option<UnixSeconds>,
    /// The refresh token's end as TikTok named it.
    pub refresh_ends: Option<UnixSeconds>,
    /// As the latest notice since the consent says.
    pub authorization_ends: Option<UnixSeconds>,
    /// When this connection began.
    pub connected_at: UnixSeconds,
    /// The latest consent.
    pub granted_at: UnixSeconds,
    /// When the latest pair came.
    pub refreshed_at: UnixSeconds,
    /// When the shops were last read; none: never.
    pub shops_synced_at: Option<UnixSeconds>,
    /// Every shop ever listed.
    pub shops: Vec<Shop>,
    /// None after a success.
    pub last_failure: Option<PastFailure>,
}

/// A connection as stored, with what orders rows.
pub struct Row {
    /// What the customer sees.
    pub connection: Connection,
    /// [`crate::record::Lineage`] of the token record this row was made from, as text.
    pub lineage: String,
    /// [`TokenRecord::generation`] of that record.
    pub generation: u64,
}

/// What this call learnt of the shops.
pub enum ShopNews {
    /// TikTok's complete list.
    Listed(Vec<ListedShop>),
    /// TikTok calls them inactive.
    Inactive,
    /// The customer uses these, and no others.
    Linked(Vec<String>),
    /// The customer uses this one no longer.
    Unlinked {
        /// Its id.
        id: String,
        /// TikTok has taken it back as well.
        revoked: bool,
    },
    /// Not read.
    Unread,
}

/// What the call says of the connection's last failure.
pub enum Outcome {
    /// It went well: no failure is shown any longer.
    Success,
    /// This went wrong.
    Failure(PastFailure),
    /// The call had nothing to do with it.
    Unchanged,
}

impl Outcome {
    /// None: success.
    #[must_use]
    pub fn of(failure: Option<PastFailure>) -> Self {
        failure.map_or(Self::Success, Self::Failure)
    }
}

/// Everything a row takes from the call that writes it.
pub struct News {
    /// When.
    pub at: UnixSeconds,
    /// Of the shops.
    pub shops: ShopNews,
    /// Of the call.
    pub outcome: Outcome,
    /// TikTok announces that the authorization ends at this time.
    pub ends: Option<UnixSeconds>,
    /// A consent was just given: what was said of the grant before it is void.
    pub consented: bool,
}

impl News {
    /// Only how the call went.
    #[must_use]
    pub const fn outcome(at: UnixSeconds, outcome: Outcome) -> Self {
        Self::shops(at, ShopNews::Unread, outcome)
    }

    /// And what it learnt of the shops.
    #[must_use]
    pub const fn shops(at: UnixSeconds, shops: ShopNews, outcome: Outcome) -> Self {
        Self { at, shops, outcome, ends: None, consented: false }
    }
}

/// The row that follows from the token record, the row before, and the news.
///
/// A row of an earlier lineage is replaced whole, so no cipher of an earlier grant survives. Within one lineage a row
/// made from a newer record keeps what it says of the grant.
#[must_use]
pub fn project(key: &ConnectionKey, record: &TokenRecord, before: Option<Row>, news: &News) -> Row {
    let lineage = record.lineage.to_text();
    let before = before.filter(|row| row.lineage == lineage);
    let is_newer = before.as_ref().is_some_and(|row| row.generation > record.generation);
    let generation = before.as_ref().map_or(0, |row| row.generation).max(record.generation);
    let before = before.map(|row| row.connection);

    let announced = before.as_ref().filter(|_| !news.consented).and_then(|c| c.authorization_ends);
    // Notices come out of order; one that names an earlier end was sent before.
    let authorization_ends = announced.max(news.ends);
    let connected_at = before.as_ref().map_or(record.granted_at, |c| c.connected_at);
    let shops_synced_at = match news.shops {
        ShopNews::Listed(_) => Some(news.at),
        ShopNews::Inactive | ShopNews::Linked(_) | ShopNews::Unlinked { .. } | ShopNews::Unread => {
            before.as_ref().and_then(|c| c.shops_synced_at)
        }
    };
    let mut connection = Connection {
        key: key.clone(),
        seller_name: record.profile.seller_name.clone(),
        base_region: record.profile.base_region.clone(),
        scopes: record.profile.scopes.clone(),
        shop_policy: record.profile.shop_policy,
        status: status(record, authorization_ends, news.at),
        access_ends: record.current.access_ends,
        refresh_ends: record.current.refresh_ends,
        authorization_ends,
        connected_at,
        granted_at: record.granted_at,
        refreshed_at: record.rotated_at,
        shops_synced_at,
        shops: Vec::new(),
        last_failure: match &news.outcome {
            Outcome::Success => None,
            Outcome::Failure(failure) => Some(failure.clone()),
            Outcome::Unchanged => before.as_ref().and_then(|c| c.last_failure.clone()),
        },
    };
    let known = match before {
        Some(before) if is_newer => {
            connection.seller_name = before.seller_name;
            connection.base_region = before.base_region;
            connection.scopes = before.scopes;
            connection.shop_policy = before.shop_policy;
            connection.status = before.status;
            connection.access_ends = before.access_ends;
            connection.refresh_ends = before.refresh_ends;
            connection.granted_at = before.granted_at;
            connection.refreshed_at = before.refreshed_at;
            before.shops
        }
        Some(before) => before.shops,
        None => Vec::new(),
    };
    connection.shops = match &news.shops {
        ShopNews::Listed(listed) => merged(known, listed, connection.shop_policy, news.consented),
        ShopNews::Inactive => known.into_iter().map(Shop::called_inactive).collect(),
        ShopNews::Linked(chosen) => {
            known.into_iter().map(|shop| Shop { linked: chosen.contains(&shop.listed.id), ..shop }).collect()
        }
        ShopNews::Unlinked { id, revoked } => known.into_iter().map(|shop| shop.unlinked(id, *revoked)).collect(),
        ShopNews::Unread => known,
    };
    Row { connection, lineage, generation }
}

fn status(record: &TokenRecord, authorization_ends: Option<UnixSeconds>, now: UnixSeconds) -> Status {
    match record.dead {
        Some(reason) => Status::ReauthorizationRequired(reason),
        None => living(authorization_ends, record.current.refresh_ends, now),
    }
}

/// An end that TikTok announced is near in any case; one that came with the tokens, once it is.
fn living(announced: Option<UnixSeconds>, refresh_ends: Option<UnixSeconds>, now: UnixSeconds) -> Status {
    let near = refresh_ends.filter(|end| *end <= now.plus(ENDING_NOTICE));
    match [announced, near].into_iter().flatten().min() {
        Some(end) => Status::AuthorizationEnding(end),
        None => Status::Active,
    }
}

impl Connection {
    /// The same as it is to be shown later: an end has come near since the row was written.
    #[must_use]
    pub fn at(mut self, now: UnixSeconds) -> Self {
        if self.status == Status::Active {
            self.status = living(self.authorization_ends, self.refresh_ends, now);
        }
        self
    }
}

impl Shop {
    fn unlinked(mut self, id: &str, revoked: bool) -> Self {
        if self.listed.id == id {
            self.linked = false;
            if revoked {
                self.standing = ShopStanding::NoLongerGranted;
            }
        }
        self
    }

    fn called_inactive(mut self) -> Self {
        if self.standing == ShopStanding::Granted {
            self.standing = ShopStanding::Inactive;
        }
        self
    }
}

/// TikTok's list in its order, each id once, then the shops it no longer lists. Everything but `linked` comes from the
/// list, the cipher's absence included. A consent that brings a shop back links it like a new one.
fn merged(mut known: Vec<Shop>, listed: &[ListedShop], policy: ShopPolicy, consented: bool) -> Vec<Shop> {
    let first_list = known.is_empty();
    let mut shops: Vec<Shop> = Vec::with_capacity(listed.len());
    for listed in listed {
        if shops.iter().any(|shop| shop.listed.id == listed.id) {
            continue;
        }
        let before = known.iter().position(|shop| shop.listed.id == listed.id).map(|at| known.remove(at));
        let is_back = |shop: &Shop| consented && shop.standing == ShopStanding::NoLongerGranted;
        let linked = match before {
            Some(shop) if shop.linked || !is_back(&shop) => shop.linked,
            Some(_) | None => policy == ShopPolicy::All,
        };
        shops.push(Shop { listed: listed.duplicate(), standing: ShopStanding::Granted, linked });
    }
    // The only shop there ever was needs no choice.
    if let ([only], ShopPolicy::ExactlyOne, true) = (shops.as_mut_slice(), policy, first_list) {
        only.linked = true;
    }
    shops.extend(known.into_iter().map(|shop| Shop { standing: ShopStanding::NoLongerGranted, ..shop }));
    shops
}
