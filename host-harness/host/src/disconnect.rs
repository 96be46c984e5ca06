//! Ends connections, and asks TikTok to withdraw the app's access if the caller wants it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;

use futures::FutureExt as _;
use tiktok_shop_connector_core::operation::disconnect::TargetText;

use crate::connection::{Connection, ConnectionKey};
use crate::error::{CallError, Failure};
use crate::events::Cause;
use crate::guest::{Found, FoundConnection, Operation, Scope, Secrets};
use crate::host::ConnectorHost;
use crate::id::{AccountId, CustomerId, ShopId, TenantId};
use crate::refresh::{RefreshEffect, RefreshMode, Refreshed};
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
    /// A shop can be in this list only if it was stored when the call began. So first call
    /// [`shared_connections`](ConnectorHost::shared_connections): it stores TikTok's latest list of shops. For a
    /// connection that was dead when the call began, nothing is sent to TikTok, so its shops are not in this list.
    pub revoked: Vec<RevokedShop>,
    /// The shops for which TikTok did not withdraw the access. These shops are disconnected in the storage
    /// nevertheless.
    pub not_revoked: Vec<NotRevoked>,
}

/// The result of [`shared_connections`](ConnectorHost::shared_connections).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedConnections {
    /// The connections of other customers, in byte order.
    pub connections: Vec<SharedConnection>,
    /// The customer's accounts whose complete list of shops this call did not get from TikTok, in byte order. Of these
    /// accounts, only the stored shops count, so `connections` may lack connections and shops. Show these accounts to
    /// the person who must confirm the revocation.
    pub shops_not_read: Vec<AccountId>,
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
    /// the result to the person who must confirm the revocation. Connections that begin after the call are not in the
    /// result.
    ///
    /// The end of an authorization takes away all shops that TikTok lists now, also shops that are not stored yet. So
    /// for [`DisconnectTarget::All`] the function first makes a `refresh` of each connection that works, one after
    /// another, which stores TikTok's list. A `refresh` may renew tokens. If TikTok's list was not read completely,
    /// [`SharedConnections::shops_not_read`] contains the account, and the log has a warning.
    ///
    /// If `stop` completes, the function finishes the `refresh` that has begun, and begins no other. The accounts that
    /// are left are then in `shops_not_read`. Do not drop the future to stop it, because a `refresh` that has begun
    /// continues, and may have to save new tokens. To read all lists, pass [`std::future::pending()`].
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn shared_connections(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        target: &DisconnectTarget,
        stop: impl Future<Output = ()>,
    ) -> Result<SharedConnections, StorageError> {
        let mut not_read = match target {
            DisconnectTarget::All(account) => self.read_shops_again(tenant, customer, account.as_ref(), stop).await?,
            DisconnectTarget::Shop(_) => BTreeSet::new(),
        };
        let (storage, timeout) = (self.storage(), self.storage_timeout());
        let mut shared: BTreeMap<ConnectionKey, Vec<ShopId>> = BTreeMap::new();
        for entry in run_within(timeout, storage.list_rows(tenant, customer)).await? {
            let Ok(row) = entry.row.decode() else { continue };
            let Connection { key, status, shops, .. } = row.connection;
            if status.dead().is_some() {
                // The refresh has found out that the connection does not work. A revocation takes nothing away then.
                not_read.remove(&key.account);
            }
            for shop in shops {
                let (account, id, standing) = (key.account.as_str(), shop.id.as_str(), shop.standing.in_core());
                if !target.in_core().revokes(account, status.dead(), id, standing) {
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
        let connections = shared.into_iter().map(|(key, shops)| SharedConnection { key, shops }).collect();
        Ok(SharedConnections { connections, shops_not_read: not_read.into_iter().collect() })
    }

    /// Stores TikTok's latest list of shops of the customer's account, or of all accounts of the customer. Returns the
    /// accounts whose complete list was not read. A connection that does not work keeps its shops, and is not returned.
    async fn read_shops_again(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        only: Option<&AccountId>,
        stop: impl Future<Output = ()>,
    ) -> Result<BTreeSet<AccountId>, StorageError> {
        let (storage, timeout) = (self.storage(), self.storage_timeout());
        // An interrupted `connect` may have stored tokens without a row. Their account counts as well, because a
        // revocation ends its authorization.
        let accounts = run_within(timeout, storage.accounts(tenant, customer)).await?;
        let mut accounts: BTreeSet<AccountId> = accounts.into_iter().collect();
        accounts.retain(|account| only.is_none_or(|only| only == account));
        for entry in run_within(timeout, storage.list_rows(tenant, customer)).await? {
            let Ok(row) = entry.row.decode() else { continue };
            let Connection { key, status, .. } = row.connection;
            if status.dead().is_some() {
                accounts.remove(&key.account);
            }
        }
        let mut stop = pin!(stop);
        let mut is_stopped = false;
        let mut not_read = BTreeSet::new();
        for account in accounts {
            is_stopped = is_stopped || stop.as_mut().now_or_never().is_some();
            if is_stopped || !self.has_read_shops(tenant, customer, &account).await {
                not_read.insert(account);
            }
        }
        Ok(not_read)
    }

    /// Makes a `refresh` of the connection to this account. Returns whether this `refresh` has read TikTok's complete
    /// list of shops. If not, the log has a warning.
    async fn has_read_shops(&self, tenant: &TenantId, customer: &CustomerId, account: &AccountId) -> bool {
        let origin = self.origin(Cause::Disconnect);
        let why = match self.refresh_from(origin, tenant, customer, Some(account), RefreshMode::WhenDue).await {
            Ok(Refreshed { effect: RefreshEffect::NothingSent(error), .. }) => error.to_string(),
            // If the seller is inactive, or if an entry of the list can't be read, the refresh succeeds. It then leaves
            // a failure in the row.
            Ok(Refreshed { connection, effect: RefreshEffect::Renewed | RefreshEffect::ShopsRead }) => {
                let Some(past) = connection.last_failure else { return true };
                past.failure.to_string()
            }
            Err(error) => error.to_string(),
        };
        tracing::warn!(tenant = tenant.as_str(), error = %why, "the shops could not be read before a revocation");
        false
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
        let log = self.log(Operation::Disconnect, &scope, account);
        let customer = String::from(customer.clone());
        let meant = target.clone();
        let disconnecting =
            self.sandbox.call(log, scope, Secrets::default(), Disconnected::try_from, move |guest, wasm_store| {
                async move { guest.disconnect(wasm_store, &customer, &target.into(), remote.into()).await }.boxed()
            });
        let ended = disconnecting.await?;
        let found = found.connections(|key, FoundConnection { shops, .. }| {
            meant.in_core().names(key.account.as_str(), shops.keys().map(ShopId::as_str))
        });
        let revoked = match remote {
            RemoteGrant::Keep => Vec::new(),
            RemoteGrant::Revoke => revoked(&found, &meant, &ended.not_revoked),
        };
        Ok(Disconnected { found: found.into_keys().collect(), revoked, ..ended })
    }
}

/// Returns the shops that TikTok was asked to revoke and that TikTok no longer grants.
fn revoked(
    found: &BTreeMap<ConnectionKey, FoundConnection>,
    target: &DisconnectTarget,
    not_revoked: &[NotRevoked],
) -> Vec<RevokedShop> {
    let is_kept = |account: &AccountId, shop: &ShopId| {
        let names = |kept: &NotRevoked| kept.account == *account && kept.shop.as_ref().is_none_or(|kept| kept == shop);
        not_revoked.iter().any(names)
    };
    let mut revoked = Vec::new();
    for (ConnectionKey { account, .. }, FoundConnection { dead, shops, .. }) in found {
        for (shop, standing) in shops {
            let is_asked = target.in_core().revokes(account.as_str(), *dead, shop.as_str(), standing.in_core());
            if is_asked && !is_kept(account, shop) {
                revoked.push(RevokedShop { account: account.clone(), shop: shop.clone() });
            }
        }
    }
    revoked
}
