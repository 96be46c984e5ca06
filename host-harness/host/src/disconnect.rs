//! Ends connections, and asks TikTok to withdraw the app's access if the caller wants it.

use std::collections::BTreeMap;

use futures::FutureExt as _;
use tiktok_shop_connector_core::operation::disconnect::TargetText;

use crate::connection::{Connection, ConnectionKey};
use crate::error::{CallError, Failure};
use crate::events::Cause;
use crate::guest::{CallLog, Found, Operation, Scope, Secrets};
use crate::host::ConnectorHost;
use crate::id::{AccountId, CustomerId, ShopId, TenantId};
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
    /// this list to the person who must confirm the revocation. The connections are in byte order. The function reads
    /// storage only, and it needs no keys. Connections that begin after the call are not in the list.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn shared_connections(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        target: &DisconnectTarget,
    ) -> Result<Vec<SharedConnection>, StorageError> {
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
            .connections(|key, shops| meant.in_core().names(key.account.as_str(), shops.iter().map(ShopId::as_str)));
        Ok(Disconnected { found, ..ended })
    }
}
