//! The library's types as JSON. Members have the names of the WIT package, with underscores in place of hyphens. Times
//! are Unix seconds. The JSON contains no token, and a cipher only if the user asked for it.

use serde::Serialize;
use tiktok_shop_host::connection::{Connection, PastFailure, ReauthorizationReason, Shop, UnixSeconds};
use tiktok_shop_host::error::Failure;
use tiktok_shop_host::events::{Actor, Cause, Event, EventValues, NewEvent, StatedReason};
use tiktok_shop_host::{AppKey, HostKeyId, ShopId};

/// Whether the output contains the ciphers themselves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ciphers {
    /// The output contains no cipher. A word says whether a shop has a cipher.
    Hidden,
    /// The output contains the ciphers, because the user asked for them.
    Revealed,
}

/// Returns `none` if the shop has no cipher. Otherwise returns the cipher if ciphers are revealed, and `present` if
/// they are hidden.
pub(crate) fn cipher(shop: &Shop, ciphers: Ciphers) -> &str {
    match (&shop.cipher, ciphers) {
        (None, _) => "none",
        (Some(_), Ciphers::Hidden) => "present",
        (Some(cipher), Ciphers::Revealed) => cipher.expose(),
    }
}

/// A connection.
#[derive(Serialize)]
pub(crate) struct ConnectionLine<'a> {
    customer: &'a str,
    account: &'a str,
    /// `null` in a row that version 0.1 wrote, until the next refresh.
    app: Option<&'a str>,
    seller_name: &'a str,
    seller_base_region: &'a str,
    granted_scopes: &'a [String],
    shop_policy: &'static str,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<u64>,
    access_expires_at: Option<u64>,
    refresh_expires_at: Option<u64>,
    authorization_ends_at: Option<u64>,
    connected_at: u64,
    granted_at: u64,
    refreshed_at: u64,
    shops_synced_at: Option<u64>,
    shops: Vec<ShopLine<'a>>,
    last_failure: Option<PastFailureLine<'a>>,
}

/// A shop of a connection.
#[derive(Serialize)]
pub(crate) struct ShopLine<'a> {
    id: &'a str,
    account: &'a str,
    app: Option<&'a str>,
    name: &'a str,
    region: &'a str,
    seller_type: &'a str,
    cipher: &'a str,
    code: &'a str,
    standing: &'static str,
    linked: bool,
    raw: &'a str,
}

/// The latest failure of a connection.
#[derive(Serialize)]
struct PastFailureLine<'a> {
    at: u64,
    #[serde(flatten)]
    failure: FailureLine<'a>,
}

/// A failure, as the connector reports it.
#[derive(Serialize)]
pub(crate) struct FailureLine<'a> {
    code: &'a str,
    detail: &'a str,
    http_status: Option<u16>,
    request_id: Option<&'a str>,
}

/// An event of a tenant.
#[derive(Serialize)]
pub(crate) struct EventLine<'a> {
    position: u64,
    at: u64,
    /// `null` if the event concerns the whole tenant. In this case, `account` is `null`, too.
    customer: Option<&'a str>,
    account: Option<&'a str>,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shops: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host_key: Option<&'a str>,
    /// `null` if the platform itself caused the event.
    actor: Option<&'a str>,
    stated_reason: Option<&'a str>,
    /// `null` if an earlier release wrote the event.
    cause: Option<&'static str>,
}

fn seconds(at: Option<UnixSeconds>) -> Option<u64> {
    at.map(|at| at.0)
}

impl<'a> From<&'a Connection> for ConnectionLine<'a> {
    fn from(connection: &'a Connection) -> Self {
        Self {
            customer: connection.key.customer.as_str(),
            account: connection.key.account.as_str(),
            app: connection.app.as_ref().map(AppKey::as_str),
            seller_name: &connection.seller_name,
            seller_base_region: &connection.seller_base_region,
            granted_scopes: &connection.granted_scopes,
            shop_policy: connection.shop_policy.as_str(),
            status: connection.status.as_str(),
            reason: connection.status.reason().map(ReauthorizationReason::as_str),
            ends_at: seconds(connection.status.ends_at()),
            access_expires_at: seconds(connection.access_expires_at),
            refresh_expires_at: seconds(connection.refresh_expires_at),
            authorization_ends_at: seconds(connection.authorization_ends_at),
            connected_at: connection.connected_at.0,
            granted_at: connection.granted_at.0,
            refreshed_at: connection.refreshed_at.0,
            shops_synced_at: seconds(connection.shops_synced_at),
            shops: connection
                .shops
                .iter()
                .map(|shop| ShopLine::new(shop, connection.app.as_ref(), Ciphers::Hidden))
                .collect(),
            last_failure: connection
                .last_failure
                .as_ref()
                .map(|PastFailure { at, failure }| PastFailureLine { at: at.0, failure: failure.into() }),
        }
    }
}

impl<'a> ShopLine<'a> {
    pub(crate) fn new(shop: &'a Shop, app: Option<&'a AppKey>, ciphers: Ciphers) -> Self {
        Self {
            id: shop.id.as_str(),
            account: shop.account.as_str(),
            app: app.map(AppKey::as_str),
            name: &shop.name,
            region: &shop.region,
            seller_type: &shop.seller_type,
            cipher: cipher(shop, ciphers),
            code: &shop.code,
            standing: shop.standing.as_str(),
            linked: shop.linked,
            raw: &shop.raw,
        }
    }
}

impl<'a> From<&'a Failure> for FailureLine<'a> {
    fn from(failure: &'a Failure) -> Self {
        Self {
            code: &failure.code,
            detail: &failure.detail,
            http_status: failure.http_status,
            request_id: failure.request_id.as_deref(),
        }
    }
}

impl<'a> From<&'a Event> for EventLine<'a> {
    fn from(Event { position, event: NewEvent { at, key, kind, origin } }: &'a Event) -> Self {
        let EventValues { reason, days, ends_at, shops, host_key, .. } = kind.values();
        Self {
            position: position.0,
            at: at.0,
            customer: key.as_ref().map(|key| key.customer.as_str()),
            account: key.as_ref().map(|key| key.account.as_str()),
            event: kind.as_str(),
            reason: reason.map(ReauthorizationReason::as_str),
            days,
            ends_at: seconds(ends_at),
            shops: shops.map(|shops| shops.iter().map(ShopId::as_str).collect()),
            host_key: host_key.map(HostKeyId::as_str),
            actor: origin.actor.as_ref().map(Actor::as_str),
            stated_reason: origin.stated_reason.as_ref().map(StatedReason::as_str),
            cause: origin.cause.map(Cause::as_str),
        }
    }
}
