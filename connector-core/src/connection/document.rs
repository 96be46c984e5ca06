//! Encodes and decodes the stored form of a row: a document, which is JSON text without secrets, and the secrets, which
//! are the ciphers of the shops. `docs/connection-document.md` describes the document for readers outside of this
//! crate.
//!
//! Rules for later versions:
//!
//! - A reader ignores members that it does not know. So a new member needs no new version if an older release may lose
//!   it, because an older release that writes the row again leaves the member out.
//! - A new member is optional, because rows without it are stored.
//! - A member that an older release must not lose or misread needs a new version. A release that reads version N+1
//!   ships before the release that writes version N+1.
//!
//! Golden files: `tests/golden/connection-v*.json`.

use super::{Connection, ListedShop, PastFailure, Row, Shop, ShopStanding, Status};
use crate::identity::ConnectionKey;
use crate::json::{self, Members};
use crate::record::{DeadReason, ShopPolicy};
use crate::secret::{SecretBytes, ShopCipher};
use crate::time::UnixSeconds;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use serde::Serialize;

/// The version of the document and of the secrets. This crate reads no newer version.
const VERSION: u32 = 1;

/// The reason why a stored row cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentError {
    /// A newer release wrote the row.
    TooNew,
    /// The document or the secrets do not have the form that this crate writes.
    Unreadable,
}

/// The kind of a [`Status`], without its time or reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusKind {
    /// See [`Status::Active`].
    Active,
    /// See [`Status::AuthorizationEnding`].
    AuthorizationEnding,
    /// See [`Status::ReauthorizationRequired`].
    ReauthorizationRequired,
}

impl StatusKind {
    /// Returns the word for this kind in the document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::AuthorizationEnding => "authorization-ending",
            Self::ReauthorizationRequired => "reauthorization-required",
        }
    }
}

/// A shop in a [`RowIndex`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedShop {
    /// The id of the shop.
    pub id: String,
    /// Whether the customer has linked the shop.
    pub linked: bool,
    /// Whether the customer may use the shop now (see [`super::ShopUse`]).
    pub usable: bool,
}

/// The values of a row that a host may index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowIndex {
    /// The kind of the status.
    pub status: StatusKind,
    /// When the authorization ends: the earlier one of the announced end and the end of the refresh token.
    pub ends_at: Option<UnixSeconds>,
    /// The app of the connection.
    pub app: Option<String>,
    /// The shops, in the order of the document.
    pub shops: Vec<IndexedShop>,
}

impl RowIndex {
    /// Returns the index of a row with this connection.
    #[must_use]
    pub fn of(connection: &Connection) -> Self {
        let shop = |shop: &Shop| IndexedShop {
            id: shop.listed.id.clone(),
            linked: shop.linked,
            usable: connection.use_of(shop).is_allowed(),
        };
        Self {
            status: connection.status.kind(),
            ends_at: [connection.authorization_ends, connection.refresh_ends].into_iter().flatten().min(),
            app: connection.app.clone(),
            shops: connection.shops.iter().map(shop).collect(),
        }
    }
}

impl Status {
    /// Returns the kind of this status.
    #[must_use]
    pub const fn kind(self) -> StatusKind {
        match self {
            Self::Active => StatusKind::Active,
            Self::AuthorizationEnding(_) => StatusKind::AuthorizationEnding,
            Self::ReauthorizationRequired(_) => StatusKind::ReauthorizationRequired,
        }
    }
}

impl ShopStanding {
    /// All standings.
    pub const ALL: [Self; 4] = [Self::Granted, Self::Inactive, Self::NoLongerGranted, Self::Unconfirmed];

    /// Returns the word for this standing in the document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Inactive => "inactive",
            Self::NoLongerGranted => "no-longer-granted",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.as_str() == word)
    }
}

#[derive(Serialize)]
struct Wire<'a> {
    version: u32,
    token_lineage: &'a str,
    token_generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_key: Option<&'a str>,
    seller_name: &'a str,
    seller_base_region: &'a str,
    granted_scopes: &'a [String],
    shop_policy: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_ends_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_expires_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorization_ends_at: Option<u64>,
    connected_at: u64,
    granted_at: u64,
    refreshed_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    shops_synced_at: Option<u64>,
    shops: Vec<WireShop<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_failure: Option<WireFailure<'a>>,
}

#[derive(Serialize)]
struct WireShop<'a> {
    id: &'a str,
    name: &'a str,
    region: &'a str,
    seller_type: &'a str,
    code: &'a str,
    raw: &'a str,
    standing: &'static str,
    linked: bool,
}

#[derive(Serialize)]
struct WireFailure<'a> {
    at: u64,
    code: &'a str,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct WireSecrets<'a> {
    version: u32,
    ciphers: BTreeMap<&'a str, &'a str>,
}

/// Returns the document of a row. Returns `None` if the encoder fails; the caller must then store nothing. The encoder
/// does not fail for any row that this crate can hold.
#[must_use]
pub fn encode(row: &Row) -> Option<String> {
    let Connection {
        key: _,
        app,
        seller_name,
        base_region,
        scopes,
        shop_policy,
        status,
        access_ends,
        refresh_ends,
        authorization_ends,
        connected_at,
        granted_at,
        refreshed_at,
        shops_synced_at,
        shops,
        last_failure,
    } = &row.connection;
    let seconds = |at: &Option<UnixSeconds>| at.map(UnixSeconds::seconds);
    let wire = Wire {
        version: VERSION,
        token_lineage: &row.lineage,
        token_generation: row.generation,
        app_key: app.as_deref(),
        seller_name,
        seller_base_region: base_region,
        granted_scopes: scopes,
        shop_policy: shop_policy.as_str(),
        status: status.kind().as_str(),
        status_ends_at: match status {
            Status::AuthorizationEnding(at) => Some(at.seconds()),
            Status::Active | Status::ReauthorizationRequired(_) => None,
        },
        status_reason: row.connection.dead().map(DeadReason::as_str),
        access_expires_at: seconds(access_ends),
        refresh_expires_at: seconds(refresh_ends),
        authorization_ends_at: seconds(authorization_ends),
        connected_at: connected_at.seconds(),
        granted_at: granted_at.seconds(),
        refreshed_at: refreshed_at.seconds(),
        shops_synced_at: seconds(shops_synced_at),
        shops: shops.iter().map(shop_to_wire).collect(),
        last_failure: last_failure.as_ref().map(|failure| WireFailure {
            at: failure.at.seconds(),
            code: &failure.code,
            detail: &failure.detail,
            http_status: failure.http_status,
            request_id: failure.request_id.as_deref(),
        }),
    };
    serde_json::to_string(&wire).ok()
}

fn shop_to_wire(shop: &Shop) -> WireShop<'_> {
    let Shop { listed, standing, linked } = shop;
    let ListedShop { id, name, region, seller_type, cipher: _, code, raw } = listed;
    WireShop { id, name, region, seller_type, code, raw, standing: standing.as_str(), linked: *linked }
}

/// Returns the ciphers of the shops as bytes. Empty if no shop has a cipher. Returns `None` if the encoder fails; the
/// caller must then store nothing.
#[must_use]
pub fn encode_secrets(row: &Row) -> Option<SecretBytes> {
    // The map is filled one by one, for the reason that `places_of` has.
    let mut ciphers = BTreeMap::new();
    for (id, cipher) in row.connection.shops.iter().filter_map(id_and_cipher) {
        ciphers.insert(id, cipher);
    }
    if ciphers.is_empty() {
        return Some(SecretBytes::new(Vec::new()));
    }
    serde_json::to_vec(&WireSecrets { version: VERSION, ciphers }).ok().map(SecretBytes::new)
}

fn id_and_cipher(shop: &Shop) -> Option<(&str, &str)> {
    Some((shop.listed.id.as_str(), shop.listed.cipher.as_ref()?.expose()))
}

/// Reads a stored row. If `secrets` is empty, no shop of the row has a cipher.
///
/// # Errors
/// [`DocumentError::TooNew`] if a newer release wrote the row. [`DocumentError::Unreadable`] for anything else that is
/// not a row.
pub fn decode(key: ConnectionKey, document: &str, secrets: &[u8]) -> Result<Row, DocumentError> {
    let wire = versioned(Members::of(document))?;
    let mut row = read(&wire, key).ok_or(DocumentError::Unreadable)?;
    if secrets.is_empty() {
        return Ok(row);
    }
    let ciphers = versioned(Members::parse(secrets))?.members("ciphers").ok_or(DocumentError::Unreadable)?;
    for shop in &mut row.connection.shops {
        if ciphers.raw(&shop.listed.id).is_some() {
            let cipher = ciphers.text(&shop.listed.id).ok_or(DocumentError::Unreadable)?;
            shop.listed.cipher = Some(ShopCipher::new(cipher));
        }
    }
    Ok(row)
}

/// Checks that this release or an older one wrote the object.
fn versioned(members: Option<Members<'_>>) -> Result<Members<'_>, DocumentError> {
    let members = members.ok_or(DocumentError::Unreadable)?;
    match members.raw("version").and_then(|version| version.parse::<u64>().ok()) {
        Some(0) | None => Err(DocumentError::Unreadable),
        Some(version) if version > u64::from(VERSION) => Err(DocumentError::TooNew),
        Some(_) => Ok(members),
    }
}

fn read(wire: &Members<'_>, key: ConnectionKey) -> Option<Row> {
    let status = match &*wire.word("status")? {
        "active" => Status::Active,
        "authorization-ending" => Status::AuthorizationEnding(point(wire, "status_ends_at")?),
        "reauthorization-required" => Status::ReauthorizationRequired(DeadReason::parse(&wire.word("status_reason")?)?),
        _ => return None,
    };
    let shops = wire.list("shops")?;
    let connection = Connection {
        key,
        app: optional(wire, "app_key", Members::text)?,
        seller_name: wire.text("seller_name")?,
        base_region: wire.text("seller_base_region")?,
        scopes: wire.list("granted_scopes")?.iter().map(|item| json::text(item.get())).collect::<Option<_>>()?,
        shop_policy: ShopPolicy::parse(&wire.word("shop_policy")?)?,
        status,
        access_ends: optional(wire, "access_expires_at", point)?,
        refresh_ends: optional(wire, "refresh_expires_at", point)?,
        authorization_ends: optional(wire, "authorization_ends_at", point)?,
        connected_at: point(wire, "connected_at")?,
        granted_at: point(wire, "granted_at")?,
        refreshed_at: point(wire, "refreshed_at")?,
        shops_synced_at: optional(wire, "shops_synced_at", point)?,
        shops: shops.iter().map(|item| read_shop(&Members::of(item.get())?)).collect::<Option<_>>()?,
        last_failure: optional(wire, "last_failure", |wire, name| read_failure(&wire.members(name)?))?,
    };
    Some(Row {
        connection,
        lineage: wire.text("token_lineage")?,
        generation: wire.raw("token_generation")?.parse().ok()?,
    })
}

fn read_shop(wire: &Members<'_>) -> Option<Shop> {
    let listed = ListedShop {
        id: wire.text("id")?,
        name: wire.text("name")?,
        region: wire.text("region")?,
        seller_type: wire.text("seller_type")?,
        cipher: None,
        code: wire.text("code")?,
        raw: wire.text("raw")?,
    };
    Some(Shop { listed, standing: ShopStanding::parse(&wire.word("standing")?)?, linked: wire.flag("linked")? })
}

fn read_failure(wire: &Members<'_>) -> Option<PastFailure> {
    Some(PastFailure {
        at: point(wire, "at")?,
        code: wire.text("code")?,
        detail: wire.text("detail")?,
        http_status: optional(wire, "http_status", |wire, name| wire.raw(name)?.parse().ok())?,
        request_id: optional(wire, "request_id", Members::text)?,
    })
}

/// Reads a member that may be missing or `null`. Returns `None` if the member cannot be read.
fn optional<'a, T>(
    wire: &Members<'a>,
    name: &str,
    read: impl Fn(&Members<'a>, &str) -> Option<T>,
) -> Option<Option<T>> {
    match wire.raw(name) {
        None | Some("null") => Some(None),
        Some(_) => read(wire, name).map(Some),
    }
}

fn point(wire: &Members<'_>, name: &str) -> Option<UnixSeconds> {
    wire.raw(name)?.parse().ok().map(UnixSeconds::new)
}
