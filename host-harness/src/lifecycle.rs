//! `link-shops`, `disconnect` and `receive-webhook`: what they take and give. Mirrors `wit/connector.wit`.

use futures::FutureExt as _;

use crate::bindings::{export, types};
use crate::call_log::{CallLog, Operation};
use crate::connection::{Connection, ConnectionKey, UnixSeconds};
use crate::error::{CallError, Failure};
use crate::host::ConnectorHost;
use crate::id::{AccountId, CustomerId, InvalidId, ShopId, TenantId};
use crate::imports::Scope;

/// What `disconnect` ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DisconnectTarget {
    /// The account with all its shops; `None`: every account of the customer.
    All(Option<AccountId>),
    /// One shop, in every connection of the customer that knows it. With the last linked shop the connection ends.
    Shop(ShopId),
}

/// Whether `disconnect` asks TikTok to take the shops back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteGrant {
    /// No. The seller can still remove the app in Seller Center.
    Keep,
    /// Yes, and the seller gets an e-mail. Other customers who have the same shop lose it, too.
    Revoke,
}

/// A shop that TikTok was to take back, and did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRevoked {
    /// Of which account.
    pub account: AccountId,
    /// `None`: the shops of this account are not known.
    pub shop: Option<ShopId>,
    /// Why.
    pub failure: Failure,
}

/// What came of a `disconnect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnected {
    /// Connections that go on without the shop. Empty after [`DisconnectTarget::All`].
    pub remaining: Vec<Connection>,
    /// The local side is done all the same.
    pub not_revoked: Vec<NotRevoked>,
}

/// What an event changed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookEffect {
    /// Nothing: another type, a shop nobody has, an event from before the latest consent.
    None,
    /// The seller has taken shops back. A `refresh` is due at once and verifies it.
    VerificationDue,
    /// The authorization ends soon, and the connection shows it.
    AuthorizationEnding,
}

/// A connection that knows the shop of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookOwner {
    /// Which.
    pub key: ConnectionKey,
    /// Whether its customer uses this shop. One that does not should not be shown the event.
    pub linked: bool,
}

/// An event that TikTok has signed, and whom it concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// The same in every repetition; `None` where TikTok sent none.
    pub notification_id: Option<String>,
    /// TikTok's number of the kind of event; an open list.
    pub event_type: u32,
    /// `None`: the event concerns no shop.
    pub shop: Option<ShopId>,
    /// The event's own time, not that of its delivery.
    pub occurred_at: Option<UnixSeconds>,
    /// `data` as sent, JSON; `null` where there is none.
    pub data: String,
    /// Connections of all customers that know the shop.
    pub owners: Vec<WebhookOwner>,
    /// What changed here.
    pub effect: WebhookEffect,
}

impl ConnectorHost {
    /// Sets which shops of an account the customer uses: these, no others. None of them is allowed, and keeps the tokens.
    /// No network.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn link_shops(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        account: Option<&AccountId>,
        shops: &[ShopId],
    ) -> Result<Connection, CallError> {
        let scope = Scope::of(tenant, customer);
        let log = CallLog::begin(Operation::LinkShops, &scope, account);
        let (account, named) = (account.cloned().map(String::from), String::from(customer.clone()));
        let shops: Vec<_> = shops.iter().cloned().map(String::from).collect();
        self.in_fresh_instance(log, scope, Connection::try_from, move |guest, wasm_store| {
            async move { guest.call_link_shops(wasm_store, &named, account.as_ref(), &shops).await }.boxed()
        })
        .await
    }

    /// Ends connections here, whatever TikTok says: tokens first, then the row. Twice is once.
    ///
    /// # Errors
    /// See [`CallError`]. What was not deleted is deleted by a repetition.
    pub async fn disconnect(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        target: DisconnectTarget,
        remote: RemoteGrant,
    ) -> Result<Disconnected, CallError> {
        let scope = Scope::of(tenant, customer);
        let account = if let DisconnectTarget::All(Some(account)) = &target { Some(account) } else { None };
        let log = CallLog::begin(Operation::Disconnect, &scope, account);
        let (target, remote, named) = (target.into(), remote.into(), String::from(customer.clone()));
        self.in_fresh_instance(log, scope, Disconnected::try_from, move |guest, wasm_store| {
            async move { guest.call_disconnect(wasm_store, &named, &target, remote).await }.boxed()
        })
        .await
    }

    /// Checks the signature of a webhook of the tenant's app, says whom it concerns, and records what it means for their
    /// connections. `authorization` is the value of that header, `body` every byte as it arrived. No network. Doing it
    /// twice is doing it once.
    ///
    /// # Errors
    /// See [`CallError`]. `InvalidRequest` with code `webhook-signature-invalid`: it is not TikTok's.
    pub async fn receive_webhook(
        &self,
        tenant: &TenantId,
        authorization: &str,
        body: Vec<u8>,
    ) -> Result<Webhook, CallError> {
        let scope = Scope::owners(tenant);
        let log = CallLog::begin(Operation::ReceiveWebhook, &scope, None);
        let authorization = authorization.to_owned();
        self.in_fresh_instance(log, scope, Webhook::try_from, move |guest, wasm_store| {
            async move { guest.call_receive_webhook(wasm_store, &authorization, &body).await }.boxed()
        })
        .await
    }
}

impl From<DisconnectTarget> for export::DisconnectTarget {
    fn from(target: DisconnectTarget) -> Self {
        match target {
            DisconnectTarget::All(account) => Self::All(account.map(Into::into)),
            DisconnectTarget::Shop(shop) => Self::Shop(shop.into()),
        }
    }
}

impl From<RemoteGrant> for export::RemoteGrant {
    fn from(remote: RemoteGrant) -> Self {
        match remote {
            RemoteGrant::Keep => Self::Keep,
            RemoteGrant::Revoke => Self::Revoke,
        }
    }
}

impl TryFrom<export::NotRevoked> for NotRevoked {
    type Error = InvalidId;

    fn try_from(shop: export::NotRevoked) -> Result<Self, InvalidId> {
        let export::NotRevoked { account, shop, failure } = shop;
        Ok(Self {
            account: account.try_into()?,
            shop: shop.map(ShopId::try_from).transpose()?,
            failure: failure.into(),
        })
    }
}

impl TryFrom<export::Disconnected> for Disconnected {
    type Error = InvalidId;

    fn try_from(ended: export::Disconnected) -> Result<Self, InvalidId> {
        let export::Disconnected { remaining, not_revoked } = ended;
        Ok(Self {
            remaining: remaining.into_iter().map(Connection::try_from).collect::<Result<_, _>>()?,
            not_revoked: not_revoked.into_iter().map(NotRevoked::try_from).collect::<Result<_, _>>()?,
        })
    }
}

impl From<export::WebhookEffect> for WebhookEffect {
    fn from(effect: export::WebhookEffect) -> Self {
        match effect {
            export::WebhookEffect::None => Self::None,
            export::WebhookEffect::VerificationDue => Self::VerificationDue,
            export::WebhookEffect::AuthorizationEnding => Self::AuthorizationEnding,
        }
    }
}

impl TryFrom<export::Webhook> for Webhook {
    type Error = InvalidId;

    fn try_from(webhook: export::Webhook) -> Result<Self, InvalidId> {
        let export::Webhook { notification_id, event_type, shop, occurred_at, data, owners, effect } = webhook;
        let owner = |owner: export::WebhookOwner| {
            let types::ConnectionKey { customer, account } = owner.key;
            let key = ConnectionKey { customer: customer.try_into()?, account: account.try_into()? };
            Ok(WebhookOwner { key, linked: owner.linked })
        };
        Ok(Self {
            notification_id,
            event_type,
            shop: shop.map(ShopId::try_from).transpose()?,
            occurred_at: occurred_at.map(UnixSeconds),
            data,
            owners: owners.into_iter().map(owner).collect::<Result<_, _>>()?,
            effect: effect.into(),
        })
    }
}
