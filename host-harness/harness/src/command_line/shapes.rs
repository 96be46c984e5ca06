//! The library's types as JSON: names as in the WIT package with underscores, times in Unix seconds. No token and, unless it
//! is asked for, no cipher.

use serde::Serialize;
use tiktok_shop_host::connection::{Connection, ConnectionStatus, PastFailure, Shop, UnixSeconds};
use tiktok_shop_host::error::Failure;
use tiktok_shop_host::events::{Event, EventKind};

use super::words;

/// Whether ciphers are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ciphers {
    /// Only whether there is one.
    Hidden,
    /// As asked for.
    Revealed,
}

/// A cipher, or a word for it.
pub(crate) fn cipher(shop: &Shop, ciphers: Ciphers) -> &str {
    match (&shop.cipher, ciphers) {
        (None, _) => "none",
        (Some(_), Ciphers::Hidden) => "present",
        (Some(cipher), Ciphers::Revealed) => cipher.expose(),
    }
}

#[derive(Serialize)]
pub(crate) struct ConnectionLine<'a> {
    customer: &'a str,
    account: &'a str,
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

#[derive(Serialize)]
pub(crate) struct ShopLine<'a> {
    id: &'a str,
    account: &'a str,
    name: &'a str,
    region: &'a str,
    seller_type: &'a str,
    cipher: &'a str,
    code: &'a str,
    standing: &'static str,
    linked: bool,
    raw: &'a str,
}

#[derive(Serialize)]
struct PastFailureLine<'a> {
    at: u64,
    #[serde(flatten)]
    failure: FailureLine<'a>,
}

#[derive(Serialize)]
pub(crate) struct FailureLine<'a> {
    code: &'a str,
    detail: &'a str,
    http_status: Option<u16>,
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct EventLine<'a> {
    position: u64,
    at: u64,
    customer: &'a str,
    account: &'a str,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<u64>,
}

fn seconds(at: Option<UnixSeconds>) -> Option<u64> {
    at.map(|at| at.0)
}

impl<'a> From<&'a Connection> for ConnectionLine<'a> {
    fn from(connection: &'a Connection) -> Self {
        let (reason, ends_at) = match connection.status {
            ConnectionStatus::Active => (None, None),
            ConnectionStatus::AuthorizationEnding(at) => (None, Some(at.0)),
            ConnectionStatus::ReauthorizationRequired(why) => (Some(words::reason(why)), None),
        };
        Self {
            customer: connection.key.customer.as_str(),
            account: connection.key.account.as_str(),
            seller_name: &connection.seller_name,
            seller_base_region: &connection.seller_base_region,
            granted_scopes: &connection.granted_scopes,
            shop_policy: words::policy(connection.shop_policy),
            status: words::status(connection.status),
            reason,
            ends_at,
            access_expires_at: seconds(connection.access_expires_at),
            refresh_expires_at: seconds(connection.refresh_expires_at),
            authorization_ends_at: seconds(connection.authorization_ends_at),
            connected_at: connection.connected_at.0,
            granted_at: connection.granted_at.0,
            refreshed_at: connection.refreshed_at.0,
            shops_synced_at: seconds(connection.shops_synced_at),
            shops: connection.shops.iter().map(|shop| ShopLine::of(shop, Ciphers::Hidden)).collect(),
            last_failure: connection
                .last_failure
                .as_ref()
                .map(|PastFailure { at, failure }| PastFailureLine { at: at.0, failure: failure.into() }),
        }
    }
}

impl<'a> ShopLine<'a> {
    pub(crate) fn of(shop: &'a Shop, ciphers: Ciphers) -> Self {
        Self {
            id: shop.id.as_str(),
            account: shop.account.as_str(),
            name: &shop.name,
            region: &shop.region,
            seller_type: &shop.seller_type,
            cipher: cipher(shop, ciphers),
            code: &shop.code,
            standing: words::standing(shop.standing),
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
    fn from(Event { position, event }: &'a Event) -> Self {
        let (reason, days, ends_at) = match event.kind {
            EventKind::AuthorizationEnding { ends } => (None, None, Some(ends.0)),
            EventKind::ReauthorizationRequired(why) => (Some(words::reason(why)), None, None),
            EventKind::Notice { days, ends } => (None, Some(days), Some(ends.0)),
            EventKind::Connected | EventKind::Recovered | EventKind::Disconnected | _ => (None, None, None),
        };
        Self {
            position: position.0,
            at: event.at.0,
            customer: event.key.customer.as_str(),
            account: event.key.account.as_str(),
            event: words::event(event.kind),
            reason,
            days,
            ends_at,
        }
    }
}
