//! The customer's row: the stored state of one connection, which `list-connections` and `list-shops` return. It is
//! calculated from the token record and from the shops that TikTok lists. It holds no token.

pub mod document;

use crate::contract::ENDING_NOTICE;
use crate::error::{Cause, Error};
use crate::identity::ConnectionKey;
use crate::record::{ConsentTime, DeadReason, ShopPolicy, TokenRecord};
use crate::secret::ShopCipher;
use crate::time::UnixSeconds;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// The largest number of shops that a connection may have: 1000. The shops that TikTok no longer lists are counted too.
/// A seller usually has only a handful of shops.
pub const MAX_SHOPS: usize = 1000;

/// The latest information from TikTok about a shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShopStanding {
    /// TikTok's latest list contains the shop.
    Granted,
    /// TikTok reported the shop as inactive. The grant is still valid.
    Inactive,
    /// An earlier list contained the shop, but the latest list does not contain it. Or TikTok has revoked the shop in a
    /// `disconnect`.
    NoLongerGranted,
    /// The latest list contains the shop, but the connection has ended since that list. If the connection works again,
    /// the shop stays unconfirmed until TikTok lists it.
    Unconfirmed,
}

impl ShopStanding {
    /// Returns whether a revocation asks TikTok about a shop with this standing. TikTok no longer grants the other
    /// shops, so there is nothing to revoke.
    #[must_use]
    pub const fn can_be_revoked(self) -> bool {
        match self {
            Self::Granted | Self::Inactive | Self::Unconfirmed => true,
            Self::NoLongerGranted => false,
        }
    }
}

/// The facts that decide whether a customer may use a shop now. `call`, `list-shops` and `receive-webhook` all use this
/// type for the decision. The host uses it for the events about lost and regained shops.
///
/// Whether a cipher is stored is no such fact. TikTok lists some shops without a cipher, and its documentation does not
/// agree whether calls for local shops need one. So a call without a cipher is sent, and TikTok decides. If TikTok asks
/// for the cipher, the row shows the failure `shop-cipher-missing`, and a refresh is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShopUse {
    /// Why the connection is dead; `None` if it is not dead.
    pub dead: Option<DeadReason>,
    /// The latest information from TikTok about the shop.
    pub standing: ShopStanding,
    /// Whether the customer has linked the shop.
    pub linked: bool,
}

impl ShopUse {
    /// Returns the reason why the customer may not use the shop now. `None` means that the customer may use it: the
    /// shop is linked, it is granted or inactive, and the connection is not dead.
    #[must_use]
    pub const fn refusal(self) -> Option<Cause> {
        match self {
            Self { linked: false, .. } => Some(Cause::ShopNotLinked),
            Self { dead: Some(reason), .. } => Some(reason.cause()),
            Self { standing: ShopStanding::NoLongerGranted, .. } => Some(Cause::ShopNoLongerGranted),
            Self { standing: ShopStanding::Unconfirmed, .. } => Some(Cause::ShopUnconfirmed),
            Self { standing: ShopStanding::Granted | ShopStanding::Inactive, .. } => None,
        }
    }

    /// Returns whether the customer may use the shop now.
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        self.refusal().is_none()
    }
}

/// Whether TikTok still grants a shop after a disconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShopGrant {
    /// TikTok has not revoked the shop, or TikTok was not asked to revoke it.
    Kept,
    /// TikTok has revoked the shop.
    Revoked,
}

/// A shop as TikTok lists it.
pub struct ListedShop {
    /// The id of the shop. It consists of digits and is kept as text.
    pub id: String,
    /// The display name.
    pub name: String,
    /// The region as two letters. TikTok may add new regions.
    pub region: String,
    /// `LOCAL`, `CROSS_BORDER`, or a value that TikTok adds in the future.
    pub seller_type: String,
    /// The cipher. `None` if TikTok sent no cipher. In a row, it is also `None` if the shop is unconfirmed or no longer
    /// granted.
    pub cipher: Option<ShopCipher>,
    /// The code that the seller sees in Seller Center.
    pub code: String,
    /// The list entry as TikTok sent it: JSON text without its `cipher` member.
    pub raw: String,
}

impl ListedShop {
    /// Copies the shop, including its cipher. A write that is repeated after a lost race needs the copy.
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

/// A list of shops as TikTok sent it.
pub struct ShopList {
    /// The shops whose entries can be read, in the order of the list.
    pub shops: Vec<ListedShop>,
    /// The number of entries that cannot be read. Such an entry may be any shop, even a shop that is already known.
    pub unreadable: usize,
}

/// A shop of a connection.
pub struct Shop {
    /// The shop's entry in the latest list that contains the shop.
    pub listed: ListedShop,
    /// The latest information from TikTok about the shop.
    pub standing: ShopStanding,
    /// Whether the customer has linked the shop.
    pub linked: bool,
}

/// The state of the grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The connection works.
    Active,
    /// The connection works until this time.
    AuthorizationEnding(UnixSeconds),
    /// The connection does not work. It needs a new consent, unless a forced refresh succeeds.
    ReauthorizationRequired(DeadReason),
}

/// A failure as a row stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastFailure {
    /// When the failure happened.
    pub at: UnixSeconds,
    /// The code of the failure's cause.
    pub code: String,
    /// One line for a log.
    pub detail: String,
    /// The HTTP status, if there was an answer.
    pub http_status: Option<u16>,
    /// TikTok's request id, if the answer had one.
    pub request_id: Option<String>,
}

impl PastFailure {
    /// Describes an error that happened at this time.
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

/// A connection as the customer sees it.
pub struct Connection {
    /// The customer and the account.
    pub key: ConnectionKey,
    /// The key of the app that the seller consented to. `None` in a row of an earlier version, until a call writes the
    /// row again. The app in the token record decides which app a call uses.
    pub app: Option<String>,
    /// The display name of the seller account.
    pub seller_name: String,
    /// The region of the seller account.
    pub base_region: String,
    /// The scopes that TikTok listed with the latest tokens.
    pub scopes: Vec<String>,
    /// The policy that was chosen at the latest consent.
    pub shop_policy: ShopPolicy,
    /// The state of the grant.
    pub status: Status,
    /// When the access token expires. `None` if TikTok sent no time, or a time that cannot be true.
    pub access_ends: Option<UnixSeconds>,
    /// When the refresh token expires. `None` if TikTok sent no time, or a time that cannot be true.
    pub refresh_ends: Option<UnixSeconds>,
    /// When the authorization ends, if TikTok has announced the time by webhook since the latest consent. If several
    /// webhooks announced a time, the latest of these times counts.
    pub authorization_ends: Option<UnixSeconds>,
    /// When this connection was first made.
    pub connected_at: UnixSeconds,
    /// When the latest consent was given.
    pub granted_at: UnixSeconds,
    /// When the latest tokens were received.
    pub refreshed_at: UnixSeconds,
    /// When the shops were last read; `None` if they were never read.
    pub shops_synced_at: Option<UnixSeconds>,
    /// Every shop that TikTok has ever listed for this grant.
    pub shops: Vec<Shop>,
    /// The latest failure; `None` after a success.
    pub last_failure: Option<PastFailure>,
}

/// A connection as it is stored, with `lineage` and `generation`, which show which of two rows is newer.
pub struct Row {
    /// The connection as the customer sees it.
    pub connection: Connection,
    /// The [`crate::record::Lineage`] of the token record that this row was made from, as text.
    pub lineage: String,
    /// The [`TokenRecord::generation`] of the token record that this row was made from.
    pub generation: u64,
}

/// The change that a call makes to the shops of a row.
pub enum ShopUpdate {
    /// TikTok sent its list of shops.
    Listed(ShopList),
    /// TikTok reported the seller or the shops as inactive.
    Inactive,
    /// The customer has linked exactly the shops with these ids.
    Linked(Vec<String>),
    /// The customer has unlinked one shop.
    Unlinked {
        /// The id of the shop.
        id: String,
        /// Whether TikTok still grants the shop.
        grant: ShopGrant,
        /// The consent to which the call applies. If the record has another one, the seller has consented again during
        /// the call, and the shop stays linked.
        consent: ConsentTime,
    },
    /// The shops were not read. They stay as they are.
    Unread,
}

/// The change that a call makes to the last failure of a row.
pub enum Outcome {
    /// The call succeeded. The row has no last failure any more.
    Success,
    /// The call failed. This failure becomes the last failure.
    Failure(PastFailure),
    /// The call does not change the last failure.
    Unchanged,
}

impl Outcome {
    /// Returns `Failure` if there is a failure, else `Success`.
    #[must_use]
    pub fn of(failure: Option<PastFailure>) -> Self {
        failure.map_or(Self::Success, Self::Failure)
    }
}

/// The occasion on which a row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// This call stores a new consent. The end of the authorization that was announced before the consent does not
    /// count any more.
    Consent,
    /// Any call after the consent.
    LaterCall,
}

/// Everything that a call changes in a row.
pub struct RowUpdate {
    /// The time of the call.
    pub at: UnixSeconds,
    /// The change to the shops.
    pub shops: ShopUpdate,
    /// The change to the last failure.
    pub outcome: Outcome,
    /// When the authorization ends, if a webhook has announced that time.
    pub authorization_ends: Option<UnixSeconds>,
    /// The occasion on which the row is written.
    pub occasion: Occasion,
}

impl RowUpdate {
    /// Builds an update that changes only the last failure.
    #[must_use]
    pub const fn outcome(at: UnixSeconds, outcome: Outcome) -> Self {
        Self::shops(at, ShopUpdate::Unread, outcome)
    }

    /// Builds an update that changes the shops and the last failure.
    #[must_use]
    pub const fn shops(at: UnixSeconds, shops: ShopUpdate, outcome: Outcome) -> Self {
        Self { at, shops, outcome, authorization_ends: None, occasion: Occasion::LaterCall }
    }
}

/// Builds the new row from the token record, the previous row (`before`) and the update.
///
/// If the previous row has another lineage, nothing of it is kept, so no cipher of an earlier grant survives. If the
/// previous row has the same lineage and a higher generation than the record, the new row keeps the facts about the
/// grant from the previous row. If the new row shows the connection as dead, no shop in it has a cipher or the standing
/// `Granted`.
///
/// # Errors
/// Upstream: `too-many-shops` if a list adds a shop and the row would then have more than [`MAX_SHOPS`] shops.
pub fn project(
    key: &ConnectionKey,
    record: &TokenRecord,
    before: Option<Row>,
    update: &RowUpdate,
) -> Result<Row, Error> {
    let lineage = record.lineage().to_text();
    let before = before.filter(|row| row.lineage == lineage);
    let is_newer = before.as_ref().is_some_and(|row| row.generation > record.generation());
    let generation = before.as_ref().map_or(0, |row| row.generation).max(record.generation());
    let before = before.map(|row| row.connection);

    let announced = before.as_ref().filter(|_| update.occasion != Occasion::Consent).and_then(|c| c.authorization_ends);
    // Webhooks may arrive out of order. A webhook that TikTok sent later announces a later time. So the latest
    // announced time counts.
    let authorization_ends = announced.max(update.authorization_ends).filter(|end| !record.has_outlived(*end));
    let connected_at = before.as_ref().map_or_else(|| record.granted_at(), |c| c.connected_at);
    let shops_synced_at = match update.shops {
        ShopUpdate::Listed(_) => Some(update.at),
        ShopUpdate::Inactive | ShopUpdate::Linked(_) | ShopUpdate::Unlinked { .. } | ShopUpdate::Unread => {
            before.as_ref().and_then(|c| c.shops_synced_at)
        }
    };
    let mut connection = Connection {
        key: key.clone(),
        app: Some(record.app_key().to_string()),
        seller_name: record.profile().seller_name.clone(),
        base_region: record.profile().base_region.clone(),
        scopes: record.profile().scopes.clone(),
        shop_policy: record.profile().shop_policy,
        status: status(record, authorization_ends, update.at),
        access_ends: record.current().access_ends,
        refresh_ends: record.current().refresh_ends,
        authorization_ends,
        connected_at,
        granted_at: record.granted_at(),
        refreshed_at: if record.is_unconfirmed() { record.granted_at() } else { record.rotated_at() },
        shops_synced_at,
        shops: Vec::new(),
        last_failure: match &update.outcome {
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
    connection.shops = match &update.shops {
        ShopUpdate::Listed(list) => merged(known, list, connection.shop_policy, update.occasion)?,
        ShopUpdate::Inactive => known.into_iter().map(Shop::reported_inactive).collect(),
        ShopUpdate::Linked(chosen) => linked_as(known, chosen),
        ShopUpdate::Unlinked { id, grant, consent } if consent.is_that_of(record) => {
            known.into_iter().map(|shop| shop.unlinked(id, *grant)).collect()
        }
        ShopUpdate::Unlinked { .. } | ShopUpdate::Unread => known,
    };
    let dead = connection.dead();
    connection.shops.iter_mut().for_each(|shop| shop.keep_what_holds(dead));
    Ok(Row { connection, lineage, generation })
}

fn status(record: &TokenRecord, authorization_ends: Option<UnixSeconds>, now: UnixSeconds) -> Status {
    match record.dead() {
        Some(reason) => Status::ReauthorizationRequired(reason),
        None => status_while_alive(authorization_ends, record.current().refresh_ends, now),
    }
}

/// Returns the status of a grant that is not dead. There are two times at which the grant may end: the time that TikTok
/// announced, and the expiry of the refresh token if it is at most 30 days away. The status shows the earlier of these
/// times. If neither time exists, the status is `Active`.
fn status_while_alive(announced: Option<UnixSeconds>, refresh_ends: Option<UnixSeconds>, now: UnixSeconds) -> Status {
    let near = refresh_ends.filter(|end| *end <= now.plus(ENDING_NOTICE));
    match [announced, near].into_iter().flatten().min() {
        Some(end) => Status::AuthorizationEnding(end),
        None => Status::Active,
    }
}

impl Connection {
    /// Returns why the connection is dead; `None` if it is not dead.
    #[must_use]
    pub const fn dead(&self) -> Option<DeadReason> {
        match self.status {
            Status::Active | Status::AuthorizationEnding(_) => None,
            Status::ReauthorizationRequired(reason) => Some(reason),
        }
    }

    /// Returns the facts that decide whether the customer may use this shop of the connection.
    #[must_use]
    pub const fn use_of(&self, shop: &Shop) -> ShopUse {
        ShopUse { dead: self.dead(), standing: shop.standing, linked: shop.linked }
    }

    /// Returns the connection with its status at `now`. The status in the row may be out of date: since the row was
    /// written, the refresh token may have reached its last 30 days.
    #[must_use]
    pub fn at(mut self, now: UnixSeconds) -> Self {
        if self.status == Status::Active {
            self.status = status_while_alive(self.authorization_ends, self.refresh_ends, now);
        }
        self
    }
}

impl Shop {
    fn unlinked(mut self, id: &str, grant: ShopGrant) -> Self {
        if self.listed.id == id {
            self.linked = false;
            if grant == ShopGrant::Revoked {
                self.standing = ShopStanding::NoLongerGranted;
            }
        }
        self
    }

    /// Removes from the shop what is no longer true. In a dead connection, a granted or inactive shop becomes
    /// unconfirmed. A shop that is neither granted nor inactive loses its cipher.
    fn keep_what_holds(&mut self, dead: Option<DeadReason>) {
        match self.standing {
            ShopStanding::Granted | ShopStanding::Inactive if dead.is_none() => return,
            ShopStanding::Granted | ShopStanding::Inactive => self.standing = ShopStanding::Unconfirmed,
            ShopStanding::NoLongerGranted | ShopStanding::Unconfirmed => {}
        }
        self.listed.cipher = None;
    }

    fn reported_inactive(mut self) -> Self {
        if self.standing == ShopStanding::Granted {
            self.standing = ShopStanding::Inactive;
        }
        self
    }
}

/// Merges TikTok's list with the known shops. The result contains first the shops of the list, in the list's order and
/// each id once, and then the known shops that the list does not contain. If the list contains a known shop, only
/// `linked` is kept from the known shop. Everything else comes from the list, even a missing cipher. If a shop was no
/// longer granted and not linked, and a consent brings it back, the policy decides whether it is linked, as for a new
/// shop. An entry of the list that cannot be read may be any known shop. So if there is such an entry, the known shops
/// that are not in the list keep their standing.
fn merged(known: Vec<Shop>, list: &ShopList, policy: ShopPolicy, occasion: Occasion) -> Result<Vec<Shop>, Error> {
    let known_shops = known.len();
    let mut places = places_of(&known);
    let mut known: Vec<Option<Shop>> = known.into_iter().map(Some).collect();
    let mut shops: Vec<Shop> = Vec::with_capacity(list.shops.len());
    let mut new_shops = 0_usize;
    for listed in &list.shops {
        let before = match places.get(&listed.id).map(|place| known.get_mut(*place).and_then(Option::take)) {
            Some(Some(shop)) => Some(shop),
            // The list contains the shop twice.
            Some(None) => continue,
            None => {
                places.insert(listed.id.clone(), usize::MAX);
                new_shops += 1;
                None
            }
        };
        let is_back = |shop: &Shop| occasion == Occasion::Consent && shop.standing == ShopStanding::NoLongerGranted;
        let linked = match before {
            Some(shop) if shop.linked || !is_back(&shop) => shop.linked,
            Some(_) | None => policy == ShopPolicy::All,
        };
        shops.push(Shop { listed: listed.duplicate(), standing: ShopStanding::Granted, linked });
    }
    if new_shops > 0 && known_shops + new_shops > MAX_SHOPS {
        return Err(Error::new(Cause::TooManyShops));
    }
    // If the first list contains exactly one shop, the customer does not need to choose.
    if let ([only], ShopPolicy::ExactlyOne, 0, 0) = (shops.as_mut_slice(), policy, known_shops, list.unreadable) {
        only.linked = true;
    }
    let unlisted = |shop: Shop| match list.unreadable {
        0 => Shop { standing: ShopStanding::NoLongerGranted, ..shop },
        _ => shop,
    };
    shops.extend(known.into_iter().flatten().map(unlisted));
    Ok(shops)
}

/// Links exactly the shops with these ids.
fn linked_as(mut known: Vec<Shop>, chosen: &[String]) -> Vec<Shop> {
    let places = places_of(&known);
    known.iter_mut().for_each(|shop| shop.linked = false);
    for id in chosen {
        if let Some(shop) = places.get(id).and_then(|place| known.get_mut(*place)) {
            shop.linked = true;
        }
    }
    known
}

/// Returns a map from the id of each shop to the index of the shop in `shops`. With this map, two lists are merged in
/// one pass over each list.
pub(crate) fn places_of(shops: &[Shop]) -> BTreeMap<String, usize> {
    // `collect` would sort the list first, and the code of that sort has 6 kB in the component.
    let mut places = BTreeMap::new();
    for (place, shop) in shops.iter().enumerate() {
        places.insert(shop.listed.id.clone(), place);
    }
    places
}
