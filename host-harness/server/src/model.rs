//! The bodies of the API. Ids are text, and times are seconds since 1970. No body contains a token, except that of
//! `access-token`, and none contains a cipher.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use tiktok_shop_host::connection as host;
use tiktok_shop_host::connection::{ConnectionKey, ReauthorizationReason, UnixSeconds};
use tiktok_shop_host::disconnect::{DisconnectTarget, Disconnected, RemoteGrant, SharedConnections};
use tiktok_shop_host::error::{ConnectorError, Failure};
use tiktok_shop_host::events::{self, Actor, Cause, EventValues, StatedReason};
use tiktok_shop_host::list as host_list;
use tiktok_shop_host::refresh::{RefreshEffect, RefreshMode, Refreshed};
use tiktok_shop_host::{AccountId, AppKey, HostKeyId, ShopId};
use utoipa::ToSchema;

use crate::problem::{Problem, ProblemDetails};
use crate::session::{FailedConsent, Progress};
use crate::whole_number;

fn seconds(at: Option<UnixSeconds>) -> Option<u64> {
    at.map(|at| at.0)
}

/// Which shops a consent links, now and when TikTok Shop lists more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ShopPolicy {
    /// Every shop.
    #[default]
    All,
    /// The shop of an account that has exactly one. With several shops, none is linked until the customer chooses.
    ExactlyOne,
}

impl From<ShopPolicy> for host::ShopPolicy {
    fn from(policy: ShopPolicy) -> Self {
        match policy {
            ShopPolicy::All => Self::All,
            ShopPolicy::ExactlyOne => Self::ExactlyOne,
        }
    }
}

/// A connection: the consent of a seller account, and the shops that it covers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Connection {
    /// The platform's id of the customer.
    customer: String,
    /// TikTok Shop's id of the seller account, its `open_id`.
    account: String,
    /// The app that the seller consented to. `null` until the first refresh of a connection of version 0.1.
    #[schema(required)]
    app: Option<String>,
    /// The name of the seller.
    seller_name: String,
    /// The base region of the seller.
    seller_base_region: String,
    /// The scopes that the seller granted.
    granted_scopes: Vec<String>,
    /// Which shops the consent links: `all` or `exactly-one`.
    shop_policy: &'static str,
    /// `active`, `authorization-ending` or `reauthorization-required`.
    status: &'static str,
    /// Why a new consent is needed: `authorization-expired`, `authorization-revoked` or `refresh-outcome-unknown`.
    #[schema(required)]
    reason: Option<&'static str>,
    /// When the authorization ends, if the status is `authorization-ending`.
    #[schema(required)]
    ends_at: Option<u64>,
    /// When the access token ends.
    #[schema(required)]
    access_expires_at: Option<u64>,
    /// When the refresh token ends.
    #[schema(required)]
    refresh_expires_at: Option<u64>,
    /// When the authorization ends, according to TikTok Shop's webhooks.
    #[schema(required)]
    authorization_ends_at: Option<u64>,
    /// When the connection began.
    connected_at: u64,
    /// When the seller last consented.
    granted_at: u64,
    /// When TikTok Shop last issued tokens.
    refreshed_at: u64,
    /// When the shops were last read.
    #[schema(required)]
    shops_synced_at: Option<u64>,
    /// Every shop that TikTok Shop has ever listed for this consent.
    shops: Vec<Shop>,
    /// The last failure since the last success.
    #[schema(required)]
    last_failure: Option<PastFailure>,
}

/// A shop of a connection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Shop {
    /// TikTok Shop's id of the shop.
    id: String,
    /// The seller account of the shop.
    account: String,
    /// The name of the shop.
    name: String,
    /// The region of the shop.
    region: String,
    /// TikTok Shop's word for the type of seller.
    seller_type: String,
    /// TikTok Shop's short code of the shop.
    code: String,
    /// `granted`, `inactive`, `no-longer-granted` or `unconfirmed`.
    standing: &'static str,
    /// Whether the shop is linked to the customer.
    linked: bool,
    /// Whether the customer may use the shop now.
    usable: bool,
    /// The shop as TikTok Shop sent it: JSON as text, without the cipher.
    raw: String,
}

impl Shop {
    pub(crate) fn new(shop: &host::Shop, usable: bool) -> Self {
        Self {
            id: shop.id.to_string(),
            account: shop.account.to_string(),
            name: shop.name.clone(),
            region: shop.region.clone(),
            seller_type: shop.seller_type.clone(),
            code: shop.code.clone(),
            standing: shop.standing.as_str(),
            linked: shop.linked,
            usable,
            raw: shop.raw.clone(),
        }
    }
}

/// A failure of a connection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PastFailure {
    /// When it happened.
    at: u64,
    /// The cause. Later versions add codes.
    code: String,
    /// An English text without secrets.
    detail: String,
    /// The HTTP status of TikTok Shop's answer.
    #[schema(required)]
    tiktok_http_status: Option<u16>,
    /// TikTok Shop's id of the request.
    #[schema(required)]
    tiktok_request_id: Option<String>,
}

impl From<&host::Connection> for Connection {
    fn from(connection: &host::Connection) -> Self {
        Self {
            customer: connection.key.customer.to_string(),
            account: connection.key.account.to_string(),
            app: connection.app.as_ref().map(AppKey::to_string),
            seller_name: connection.seller_name.clone(),
            seller_base_region: connection.seller_base_region.clone(),
            granted_scopes: connection.granted_scopes.clone(),
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
            shops: connection.shops.iter().map(|shop| Shop::new(shop, connection.allows(shop))).collect(),
            last_failure: connection.last_failure.as_ref().map(|past| PastFailure {
                at: past.at.0,
                code: past.failure.code.clone(),
                detail: past.failure.detail.clone(),
                tiktok_http_status: past.failure.http_status,
                tiktok_request_id: past.failure.request_id.clone(),
            }),
        }
    }
}

/// Connections of one customer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectionList {
    pub(crate) connections: Vec<Connection>,
    /// Connections that the list lacks because of their row. Missing if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) left_out: Vec<LeftOut>,
}

/// A connection whose tokens are stored, and which a list leaves out because its row is missing, was changed in the
/// database or can't be decoded. A refresh of the connection writes a missing row, and otherwise says what to do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LeftOut {
    customer: String,
    account: String,
    /// The fault of the row: `row-missing`, `row-changed` or `row-unreadable`.
    code: &'static str,
}

impl From<&host_list::LeftOut> for LeftOut {
    fn from(left_out: &host_list::LeftOut) -> Self {
        let ConnectionKey { customer, account } = &left_out.key;
        Self { customer: customer.to_string(), account: account.to_string(), code: left_out.fault.code() }
    }
}

/// A page of the tenant's connections.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectionPage {
    pub(crate) connections: Vec<Connection>,
    /// Pass it as `cursor` to read the next page. `null` at the end of the list.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
    /// Connections that the page lacks because of their row. Missing if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) left_out: Vec<LeftOut>,
}

/// Shops that a customer may use now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ShopList {
    pub(crate) shops: Vec<Shop>,
    /// Connections whose shops the list lacks because of their row. Missing if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) left_out: Vec<LeftOut>,
}

/// TikTok Shop's id of a shop.
#[derive(ToSchema)]
#[schema(as = ShopId, pattern = "^[0-9]{1,19}$")]
#[expect(dead_code, reason = "only describes the text in the OpenAPI document")]
pub(crate) struct ShopIdText(String);

/// The shops to link.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkShops {
    /// Exactly these shops of the account are linked afterwards. An empty list unlinks all shops and keeps the
    /// connection.
    #[schema(value_type = Vec<ShopIdText>, max_items = 1000)]
    pub(crate) shops: Vec<ShopId>,
}

/// When tokens are renewed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RefreshWhen {
    /// Only if the renewal is due, and at most once in ten minutes.
    #[default]
    WhenDue,
    /// Now, unless another call is renewing them.
    Forced,
}

impl From<RefreshWhen> for RefreshMode {
    fn from(when: RefreshWhen) -> Self {
        match when {
            RefreshWhen::WhenDue => Self::WhenDue,
            RefreshWhen::Forced => Self::Forced,
        }
    }
}

/// A refresh.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Refresh {
    /// When the tokens are renewed. The shops are read in either case.
    #[serde(default)]
    pub(crate) mode: RefreshWhen,
}

/// The result of a refresh.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RefreshResult {
    /// The connection as it is stored now.
    connection: Connection,
    /// `renewed`, `shops-read`, or `nothing-sent` if the connection works and must not be refreshed now.
    effect: &'static str,
    /// Why nothing was sent to TikTok Shop, and when to try again.
    #[schema(required)]
    nothing_sent: Option<ProblemDetails>,
}

/// Returns the word for an effect, for the API and for metrics.
pub(crate) const fn effect_word(effect: &RefreshEffect) -> &'static str {
    match effect {
        RefreshEffect::Renewed => "renewed",
        RefreshEffect::ShopsRead => "shops-read",
        RefreshEffect::NothingSent(_) => "nothing-sent",
    }
}

impl From<&Refreshed> for RefreshResult {
    fn from(Refreshed { connection, effect }: &Refreshed) -> Self {
        let why: Option<&ConnectorError> = match effect {
            RefreshEffect::NothingSent(error) => Some(error),
            RefreshEffect::Renewed | RefreshEffect::ShopsRead => None,
        };
        Self {
            connection: connection.into(),
            effect: effect_word(effect),
            nothing_sent: why.map(|error| Problem::from(error).into_details()),
        }
    }
}

/// A request for an access token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    /// How long the token must stay valid at least, in seconds.
    #[serde(default, deserialize_with = "whole_number::u32")]
    #[schema(maximum = 3600)]
    pub(crate) min_validity_seconds: u32,
}

/// An access token. Secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccessToken {
    /// The seller account of the token.
    pub(crate) account: String,
    /// The token, for the header `x-tts-access-token`.
    pub(crate) token: String,
    /// When the token ends.
    #[schema(required)]
    pub(crate) expires_at: Option<u64>,
}

/// Whether TikTok Shop is asked to withdraw the app's access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TikTokAccess {
    /// The app keeps its access. The seller can remove the app in Seller Center.
    Keep,
    /// The app loses its access, and the seller gets an e-mail. Other customers with the same shops lose them, too.
    Revoke,
}

impl From<TikTokAccess> for RemoteGrant {
    fn from(access: TikTokAccess) -> Self {
        match access {
            TikTokAccess::Keep => Self::Keep,
            TikTokAccess::Revoke => Self::Revoke,
        }
    }
}

/// The connections to end, and what becomes of the app's access at TikTok Shop.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Disconnect {
    /// The account to disconnect. Without account and shop, all accounts of the customer are disconnected.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256)]
    account: Option<AccountId>,
    /// The shop to disconnect, in every account that has it.
    #[schema(value_type = Option<String>, pattern = "^[0-9]{1,19}$")]
    shop: Option<ShopId>,
    /// What happens at TikTok Shop.
    pub(crate) tiktok_access: TikTokAccess,
}

impl Disconnect {
    pub(crate) fn target(&self) -> Result<DisconnectTarget, Problem> {
        target(self.account.as_ref(), self.shop.as_ref())
    }
}

/// The target of a revocation that is only considered.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevocationTarget {
    /// The account. Without account and shop, all accounts of the customer.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256)]
    account: Option<AccountId>,
    /// The shop, in every account that has it.
    #[schema(value_type = Option<String>, pattern = "^[0-9]{1,19}$")]
    shop: Option<ShopId>,
}

impl RevocationTarget {
    pub(crate) fn target(&self) -> Result<DisconnectTarget, Problem> {
        target(self.account.as_ref(), self.shop.as_ref())
    }
}

fn target(account: Option<&AccountId>, shop: Option<&ShopId>) -> Result<DisconnectTarget, Problem> {
    match (account, shop) {
        (Some(_), Some(_)) => Err(Problem::refused("one-target", "name an account or a shop, and not both")),
        (account, None) => Ok(DisconnectTarget::All(account.cloned())),
        (None, Some(shop)) => Ok(DisconnectTarget::Shop(shop.clone())),
    }
}

/// Names a connection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConnectionName {
    customer: String,
    account: String,
}

impl From<&ConnectionKey> for ConnectionName {
    fn from(key: &ConnectionKey) -> Self {
        Self { customer: key.customer.to_string(), account: key.account.to_string() }
    }
}

/// A shop to which the app has lost its access.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RevokedShop {
    account: String,
    shop: String,
}

/// A shop for which TikTok Shop did not withdraw the access. It is disconnected nevertheless.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NotRevoked {
    account: String,
    /// `null` if the shops of the account are not known.
    #[schema(required)]
    shop: Option<String>,
    /// The cause. Later versions add codes.
    code: String,
    detail: String,
}

/// The result of a disconnection.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DisconnectResult {
    /// The connections that the target named. Empty if there was none, so nothing changed.
    found: Vec<ConnectionName>,
    /// The connections that continue without the shop.
    remaining: Vec<Connection>,
    /// The shops to which the app has lost its access.
    revoked: Vec<RevokedShop>,
    /// The shops for which TikTok Shop did not withdraw the access.
    not_revoked: Vec<NotRevoked>,
}

impl From<&Disconnected> for DisconnectResult {
    fn from(ended: &Disconnected) -> Self {
        Self {
            found: ended.found.iter().map(ConnectionName::from).collect(),
            remaining: ended.remaining.iter().map(Connection::from).collect(),
            revoked: ended
                .revoked
                .iter()
                .map(|shop| RevokedShop { account: shop.account.to_string(), shop: shop.shop.to_string() })
                .collect(),
            not_revoked: ended
                .not_revoked
                .iter()
                .map(|kept| {
                    let Failure { code, detail, .. } = kept.failure.clone();
                    let shop = kept.shop.as_ref().map(ShopId::to_string);
                    NotRevoked { account: kept.account.to_string(), shop, code, detail }
                })
                .collect(),
        }
    }
}

/// A connection of another customer that loses shops by a revocation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SharedConnection {
    customer: String,
    account: String,
    /// The shops in common.
    shops: Vec<String>,
}

/// The connections of other customers that lose shops by a revocation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SharedConnectionList {
    connections: Vec<SharedConnection>,
    /// Accounts whose complete list of shops TikTok Shop did not give. More connections may be concerned.
    shops_not_read: Vec<String>,
}

impl From<&SharedConnections> for SharedConnectionList {
    fn from(shared: &SharedConnections) -> Self {
        let connections = shared.connections.iter().map(|shared| SharedConnection {
            customer: shared.key.customer.to_string(),
            account: shared.key.account.to_string(),
            shops: shared.shops.iter().map(ShopId::to_string).collect(),
        });
        Self {
            connections: connections.collect(),
            shops_not_read: shared.shops_not_read.iter().map(AccountId::to_string).collect(),
        }
    }
}

/// Tokens that another system holds. That system must have stopped its refreshes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImportRequest {
    /// TikTok Shop's `open_id`, if the other system knows it. With it, the import is safe against a crash.
    #[schema(value_type = Option<String>, min_length = 1, max_length = 256)]
    pub(crate) account: Option<AccountId>,
    /// The newest refresh token.
    pub(crate) refresh_token: String,
    /// The newest access token.
    pub(crate) access_token: Option<String>,
    /// When the access token ends.
    #[serde(default, deserialize_with = "whole_number::optional_seconds")]
    pub(crate) access_token_ends: Option<u64>,
    /// When the refresh token ends.
    #[serde(default, deserialize_with = "whole_number::optional_seconds")]
    pub(crate) refresh_token_ends: Option<u64>,
    /// The app that the seller consented to. Needed if the tenant has several.
    #[schema(value_type = Option<String>, pattern = "^[!-~]{1,64}$")]
    pub(crate) app: Option<AppKey>,
    /// Which shops are linked.
    #[serde(default)]
    pub(crate) shop_policy: ShopPolicy,
}

/// A page of the tenant's events.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventPage {
    pub(crate) events: Vec<Event>,
    /// Pass it as `cursor` to read later events. Keep it after the events are processed. `null` before the first
    /// event.
    #[schema(required)]
    pub(crate) next_cursor: Option<String>,
}

/// Something that happened to a connection or to the tenant's keys.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Event {
    /// The position of the event. A later event has a greater one.
    position: u64,
    /// When it happened.
    at: u64,
    /// The kind of event, for example `connected`. Later versions add kinds.
    event: &'static str,
    /// `null` if the event concerns the whole tenant.
    #[schema(required)]
    customer: Option<String>,
    /// `null` if the event concerns the whole tenant.
    #[schema(required)]
    account: Option<String>,
    /// Why a new consent is needed.
    #[schema(required)]
    reason: Option<&'static str>,
    /// The days that are left, of an expiry notice.
    #[schema(required)]
    days: Option<u8>,
    /// When the authorization ends.
    #[schema(required)]
    ends_at: Option<u64>,
    /// The shops of the event.
    #[schema(required)]
    shops: Option<Vec<String>>,
    /// The host key of the event.
    #[schema(required)]
    host_key: Option<String>,
    /// The API key that caused the event, or the user under whom the service or a command ran.
    #[schema(required)]
    actor: Option<String>,
    /// Why the actor did it.
    #[schema(required)]
    stated_reason: Option<String>,
    /// The call during which it happened.
    #[schema(required)]
    cause: Option<&'static str>,
}

impl From<&events::Event> for Event {
    fn from(events::Event { position, event }: &events::Event) -> Self {
        let (key, origin) = (event.key.as_ref(), &event.origin);
        let EventValues { reason, days, ends_at, shops, host_key, .. } = event.kind.values();
        Self {
            position: position.0,
            at: event.at.0,
            event: event.kind.as_str(),
            customer: key.map(|key| key.customer.to_string()),
            account: key.map(|key| key.account.to_string()),
            reason: reason.map(ReauthorizationReason::as_str),
            days,
            ends_at: seconds(ends_at),
            shops: shops.map(|shops| shops.iter().map(ShopId::to_string).collect()),
            host_key: host_key.map(HostKeyId::to_string),
            actor: origin.actor.as_ref().map(Actor::to_string),
            stated_reason: origin.stated_reason.as_ref().map(StatedReason::to_string),
            cause: origin.cause.map(Cause::as_str),
        }
    }
}

/// The name of a customer, as a page shows it to the seller.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct CustomerName(String);

/// The maximum length of a customer's name, in characters.
const MAX_NAME_CHARACTERS: usize = 100;
/// The characters that change the direction of the text around them. With them, a name could look like another one.
const TURNING: [RangeInclusive<char>; 4] =
    ['\u{61c}'..='\u{61c}', '\u{200e}'..='\u{200f}', '\u{202a}'..='\u{202e}', '\u{2066}'..='\u{2069}'];

impl TryFrom<String> for CustomerName {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let turns = |character: char| TURNING.iter().any(|range| range.contains(&character));
        let is_plain = !name.chars().any(|character| character.is_control() || turns(character));
        let fits = (1..=MAX_NAME_CHARACTERS).contains(&name.chars().count());
        if fits && is_plain {
            Ok(Self(name))
        } else {
            Err(
                "a name has 1 to 100 characters; control characters, and those that change the direction of the text, are refused",
            )
        }
    }
}

impl From<CustomerName> for String {
    fn from(CustomerName(name): CustomerName) -> Self {
        name
    }
}

/// A connect session to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionRequest {
    /// The app that the seller is asked to consent to. Needed if the tenant has several.
    #[schema(value_type = Option<String>, pattern = "^[!-~]{1,64}$")]
    pub(crate) app: Option<AppKey>,
    /// Which shops the consent links.
    #[serde(default)]
    pub(crate) shop_policy: ShopPolicy,
    /// Where the seller is led back afterwards, with the parameters `outcome` and `session`. It must be in the list of
    /// return addresses.
    #[schema(max_length = 1024)]
    pub(crate) return_to: Option<String>,
    /// The name of the customer, in words that the seller knows. If it is given, the address first shows a page with
    /// this name and a button. The address is used up when the seller presses the button, and not when the page is
    /// loaded. Control characters, and characters that change the direction of the text, are refused.
    #[schema(value_type = Option<String>, pattern = "^[^\\u0000-\\u001f\\u007f-\\u009f\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069]{1,100}$")]
    pub(crate) customer_name: Option<CustomerName>,
}

/// A connect session that has begun.
#[derive(Serialize, ToSchema)]
pub(crate) struct BegunSession {
    /// The id of the session. It is not secret.
    pub(crate) id: String,
    /// The address to which to redirect the browser of the signed-in customer, at once. It is secret: whoever opens it
    /// connects a seller account to this customer. So do not show or send it. It works once.
    pub(crate) address: String,
    /// When the address ends.
    pub(crate) expires_at: u64,
}

/// A connect session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionState {
    pub(crate) id: String,
    /// `waiting`, `opened`, `connected`, `refused`, `failed` or `expired`.
    pub(crate) state: &'static str,
    /// What to do next, if the state is `refused` or `failed`: an `action` as in a problem. Missing in every other state,
    /// and if the reason is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "invalid-request")]
    pub(crate) action: Option<&'static str>,
    /// Why the consent was refused or has failed: a `code` as in a problem. Later versions add codes. Missing if `action`
    /// is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "not-a-seller")]
    pub(crate) code: Option<String>,
}

impl SessionState {
    pub(crate) fn new(id: String, progress: Progress) -> Self {
        let state = progress.as_str();
        let failure = match progress {
            Progress::Ended(end) => end.failure,
            Progress::Waiting | Progress::Opened | Progress::Expired => None,
        };
        let (action, code) = failure.map(|FailedConsent { next, code }| (next.as_str(), code)).unzip();
        Self { id, state, action, code }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_customer_has_1_to_100_characters_without_control_characters() {
        for name in ["A", "Alpine Teapots & Co. <AG>", "\u{e9}\u{5e97}\u{1f6d2}", &"\u{e9}".repeat(100)] {
            assert_eq!(CustomerName::try_from(name.to_owned()).map(String::from), Ok(name.to_owned()), "{name}");
        }
        for wrong in ["", "a\nb", "a\0", "a\u{202e}b", "a\u{2066}b", &"a".repeat(101)] {
            assert!(CustomerName::try_from(wrong.to_owned()).is_err(), "{wrong:?}");
        }
    }

    /// The list has all characters to which Unicode gives the property `Bidi_Control`.
    #[test]
    fn a_name_of_a_customer_has_no_character_that_changes_the_direction_of_the_text() {
        let refused = "a name has 1 to 100 characters; control characters, and those that change the direction of the \
                       text, are refused";
        let turning = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        for character in turning.chars() {
            for name in [format!("{character}Alpine"), format!("Alp{character}ine"), format!("Alpine{character}")] {
                assert_eq!(CustomerName::try_from(name.clone()).map(String::from), Err(refused), "{name:?}");
            }
        }
        // Letters that are written from right to left, and the joiners that some languages and emojis need.
        for name in ["\u{5d0}\u{5d1}", "\u{645}\u{6cc}\u{200c}\u{6a9}", "\u{1f469}\u{200d}\u{1f373}"] {
            assert_eq!(CustomerName::try_from(name.to_owned()).map(String::from), Ok(name.to_owned()), "{name:?}");
        }
    }
}
