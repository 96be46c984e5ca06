//! Ends connections, and asks TikTok to withdraw the app's access if the caller wants it.

use futures::FutureExt as _;

use crate::connection::Connection;
use crate::error::{CallError, Failure};
use crate::events::Cause;
use crate::guest::{CallLog, Operation, Scope, Secrets};
use crate::host::ConnectorHost;
use crate::id::{AccountId, CustomerId, ShopId, TenantId};

/// The connections that `disconnect` ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DisconnectTarget {
    /// The account with all its shops. `None` means every account of the customer.
    All(Option<AccountId>),
    /// One shop, in every connection of the customer that contains it. A connection that loses its last linked shop
    /// ends.
    Shop(ShopId),
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
    /// The connections that continue without the shop of [`DisconnectTarget::Shop`]. Empty after
    /// [`DisconnectTarget::All`].
    pub remaining: Vec<Connection>,
    /// The shops for which TikTok did not withdraw the access. These shops are disconnected in the storage
    /// nevertheless.
    pub not_revoked: Vec<NotRevoked>,
}

impl ConnectorHost {
    /// Deletes connections from storage, whatever TikTok answers. For each connection, it deletes the tokens first, and
    /// then the row. The call is idempotent.
    ///
    /// With [`DisconnectTarget::All`] and [`RemoteGrant::Keep`], the call needs no key of the tenant. So connections can
    /// be ended even after the host keys are lost.
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
        let account = if let DisconnectTarget::All(Some(account)) = &target { Some(account) } else { None };
        let log = CallLog::begin(Operation::Disconnect, &scope, account);
        let customer = String::from(customer.clone());
        self.sandbox
            .call(log, scope, Secrets::default(), Disconnected::try_from, move |guest, wasm_store| {
                async move { guest.call_disconnect(wasm_store, &customer, &target.into(), remote.into()).await }.boxed()
            })
            .await
    }
}
