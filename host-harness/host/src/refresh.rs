//! Renews the tokens of a connection and reads its shops again.

use futures::FutureExt as _;

use crate::connection::Connection;
use crate::error::CallError;
use crate::events::{Cause, Origin};
use crate::guest::{CallLog, Operation, Scope};
use crate::host::ConnectorHost;
use crate::id::{AccountId, CustomerId, TenantId};

/// When `refresh` renews the access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshMode {
    /// Only when the renewal is due, and at most once in ten minutes.
    WhenDue,
    /// Now. The rules for claims still apply.
    Forced,
}

impl ConnectorHost {
    /// Renews the access token if `mode` says so, and reads the shops that TikTok lists. `account: None` means the
    /// customer's only account.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn refresh(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        account: Option<&AccountId>,
        mode: RefreshMode,
    ) -> Result<Connection, CallError> {
        self.refresh_from(self.origin(Cause::Refresh), tenant, customer, account, mode).await
    }

    /// Refreshes a connection, as a call of its own or as a part of a sweep.
    pub(crate) async fn refresh_from(
        &self,
        origin: Origin,
        tenant: &TenantId,
        customer: &CustomerId,
        account: Option<&AccountId>,
        mode: RefreshMode,
    ) -> Result<Connection, CallError> {
        let scope = Scope::for_refresh(tenant, customer, mode, origin);
        let log = CallLog::begin(Operation::Refresh, &scope, account);
        let (customer, account) = (String::from(customer.clone()), account.cloned().map(String::from));
        self.sandbox
            .call(log, scope, Connection::try_from, move |guest, wasm_store| {
                async move { guest.call_refresh(wasm_store, &customer, account.as_ref(), mode.into()).await }.boxed()
            })
            .await
    }
}
