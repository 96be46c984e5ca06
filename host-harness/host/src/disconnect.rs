//! Ends connections, and asks TikTok to withdraw the app's access if the caller wants it.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use tiktok_shop_connector_core::operation::disconnect::TargetText;

use crate::connection::{Connection, ConnectionKey, ConnectionStatus, ShopStanding};
use crate::error::{CallError, Failure};
use crate::events::Cause;
use crate::guest::{CallLog, Found, Operation, Scope, Secrets};
use crate::host::ConnectorHost;
use crate::id::{AccountId, CustomerId, ShopId, TenantId};
use crate::refresh::RefreshMode;
use crate::storage::{StorageError, run_within};

/// The connections that `disconnect` ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DisconnectTarget {
    /// The account with all its shops. `None` means every account of the customer.
    All(Option<AccountId>),
    /// One shop, in every connection of the customer that contains it. A connection that loses its last linked shop
    /// ends.
    Shop(ShopId),
}

impl DisconnectTarget {
    /// Returns the target as the connector sees it. The connector decides which connections and shops the target means.
    fn in_core(&self) -> TargetText<'_> {
        match self {
            Self::All(account) => TargetText::All(account.as_ref().map(AccountId::as_str)),
            Self::Shop(shop) => TargetText::Shop(shop.as_str()),
        }
    }
}

/// Whether `disconnect` asks TikTok to withdraw the app's access to the shops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoteGrant {
    /// TikTok is not asked, and the app keeps its access. The seller can still remove the app in Seller Center.
    Keep,
    /// TikTok is asked to withdraw the access, and the seller gets an e-mail. Other customers who have connected the
    /// same shop lose access to the shop as well.
    Revoke,
}

/// A shop to which the app has lost its access.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RevokedShop {
    /// The account of the shop.
    pub account: AccountId,
    /// The shop.
    pub shop: ShopId,
}

/// A shop for which TikTok did not withdraw the access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotRevoked {
    /// The account of the shop.
    pub account: AccountId,
    /// The shop. `None` if the shops of this account are not known.
    pub shop: Option<ShopId>,
    /// Why TikTok did not withdraw the access.
    pub failure: Failure,
}

/// The result of `disconnect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disconnected {
    /// The connections that `target` named when the call began, in byte order. If this list is empty, the call found no
    /// such connection and changed nothing: the name may be misspelt, or an earlier call has already ended the
    /// connection.
    pub found: Vec<ConnectionKey>,
    /// The connections that continue without the shop of [`DisconnectTarget::Shop`]. Empty after
    /// [`DisconnectTarget::All`].
    pub remaining: Vec<Connection>,
    /// The shops that TikTok no longer grants because of this call, in byte order. Empty after [`RemoteGrant::Keep`].
    /// The list contains the shops that were stored when the call began. So call
    /// [`shared_connections`](ConnectorHost::shared_connections) before, which stores TikTok's latest list.
    pub revoked: Vec<RevokedShop>,
    /// The shops for which TikTok did not withdraw the access. These shops are disconnected in the storage
    /// nevertheless.
    pub not_revoked: Vec<NotRevoked>,
}

/// A connection of another customer that has shops in common with the target of a
/// [`disconnect`](ConnectorHost::disconnect). With [`RemoteGrant::Revoke`], that customer loses these shops, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedConnection {
    /// The connection of the other customer. It belongs to the same tenant.
    pub key: ConnectionKey,
    /// The shops in common. The list is never empty.
    pub shops: Vec<ShopId>,
}

impl ConnectorHost {
    /// Returns which connections of the tenant's other customers lose shops if `disconnect` revokes this target. Show
    /// this list to the person who must confirm the revocation. The connections are in byte order. Connections that
    /// begin after the call are not in the list.
    ///
    /// The end of an authorization takes away all shops that TikTok lists now, also shops that are not stored yet. So
    /// for [`DisconnectTarget::All`] the function first makes a `refresh` of each connection that works, which stores
    /// TikTok's list. If a list can't be read, the stored shops count, and the log has a warning.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn shared_connections(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        target: &DisconnectTarget,
    ) -> Result<Vec<SharedConnection>, StorageError> {
        if let DisconnectTarget::All(account) = target {
            self.read_shops_again(tenant, customer, account.as_ref()).await?;
        }
        let (storage, timeout) = (self.storage(), self.storage_timeout());
        let mut shared: BTreeMap<ConnectionKey, Vec<ShopId>> = BTreeMap::new();
        for entry in run_within(timeout, storage.list_rows(tenant, customer)).await? {
            let Connection { key, shops, .. } = entry.row.connection;
            for shop in shops {
                if !target.in_core().revokes(key.account.as_str(), shop.id.as_str(), shop.standing.in_core()) {
                    continue;
                }
                let shop = shop.id;
                for owner in run_within(timeout, storage.owners(tenant, &shop)).await? {
                    let shops = if owner.customer == *customer { continue } else { shared.entry(owner).or_default() };
                    if !shops.contains(&shop) {
                        shops.push(shop.clone());
                    }
                }
            }
        }
        Ok(shared.into_iter().map(|(key, shops)| SharedConnection { key, shops }).collect())
    }

    /// Stores TikTok's latest list of shops of the customer's account, or of all accounts of the customer. A connection
    /// that does not work keeps its shops.
    async fn read_shops_again(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        only: Option<&AccountId>,
    ) -> Result<(), StorageError> {
        for entry in run_within(self.storage_timeout(), self.storage().list_rows(tenant, customer)).await? {
            let Connection { key, status, .. } = entry.row.connection;
            let is_meant = only.is_none_or(|account| *account == key.account);
            if !is_meant || matches!(status, ConnectionStatus::ReauthorizationRequired(_)) {
                continue;
            }
            let origin = self.origin(Cause::Disconnect);
            let refreshing = self.refresh_from(origin, tenant, customer, Some(&key.account), RefreshMode::WhenDue);
            if let Err(error) = refreshing.await {
                tracing::warn!(tenant = tenant.as_str(), %error, "the shops could not be read before a revocation");
            }
        }
        Ok(())
    }

    /// Deletes connections from storage, whatever TikTok answers. For each connection, it deletes the tokens first, and
    /// then the row. The call is idempotent: it also succeeds if `target` names no connection, and then
    /// [`Disconnected::found`] is empty.
    ///
    /// With [`DisconnectTarget::All`] and [`RemoteGrant::Keep`], the call needs no key of the tenant. So connections
    /// can be ended even after the host keys are lost.
    ///
    /// # Errors
    /// See [`CallError`]. After an error, call again: the repetition deletes what is left.
    pub async fn disconnect(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        target: DisconnectTarget,
        remote: RemoteGrant,
    ) -> Result<Disconnected, CallError> {
        let origin = self.origin(Cause::Disconnect);
        let scope = match (remote, &target) {
            (RemoteGrant::Keep, DisconnectTarget::All(_)) => Scope::for_deletion(tenant, customer, origin),
            // The connection may continue with its other shops. Their ciphers are then sealed again.
            (RemoteGrant::Keep, DisconnectTarget::Shop(_)) => Scope::of_customer(tenant, customer, origin),
            (RemoteGrant::Revoke, _) => Scope::with_credentials(tenant, customer, origin),
        };
        let found = Found::default();
        let scope = scope.recording(found.clone());
        let account = if let DisconnectTarget::All(Some(account)) = &target { Some(account) } else { None };
        let log = CallLog::begin(Operation::Disconnect, &scope, account);
        let customer = String::from(customer.clone());
        let meant = target.clone();
        let disconnecting =
            self.sandbox.call(log, scope, Secrets::default(), Disconnected::try_from, move |guest, wasm_store| {
                async move { guest.call_disconnect(wasm_store, &customer, &target.into(), remote.into()).await }.boxed()
            });
        let ended = disconnecting.await?;
        let found = found
            .connections(|key, shops| meant.in_core().names(key.account.as_str(), shops.keys().map(ShopId::as_str)));
        let revoked = match remote {
            RemoteGrant::Keep => Vec::new(),
            RemoteGrant::Revoke => revoked(&found, &meant, &ended.not_revoked),
        };
        Ok(Disconnected { found: found.into_keys().collect(), revoked, ..ended })
    }
}

/// Returns the shops that TikTok granted before the call and no longer grants.
fn revoked(
    found: &BTreeMap<ConnectionKey, BTreeMap<ShopId, ShopStanding>>,
    target: &DisconnectTarget,
    not_revoked: &[NotRevoked],
) -> Vec<RevokedShop> {
    let is_kept = |account: &AccountId, shop: &ShopId| {
        let names = |kept: &NotRevoked| kept.account == *account && kept.shop.as_ref().is_none_or(|kept| kept == shop);
        not_revoked.iter().any(names)
    };
    let shops = found.iter().flat_map(|(key, shops)| shops.iter().map(move |(shop, standing)| (key, shop, standing)));
    let ended = shops.filter(|&(key, shop, standing)| {
        let revokes = target.in_core().revokes(key.account.as_str(), shop.as_str(), standing.in_core());
        revokes && !is_kept(&key.account, shop)
    });
    ended.map(|(key, shop, _)| RevokedShop { account: key.account.clone(), shop: shop.clone() }).collect()
}
