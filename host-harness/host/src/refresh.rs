//! Renews the tokens of a connection and reads its shops again.

use futures::FutureExt as _;

use crate::connection::Connection;
use crate::error::{CallError, ConnectorError};
use crate::events::{Cause, Origin};
use crate::guest::{CallLog, Operation, Scope, Secrets, refreshed};
use crate::host::ConnectorHost;
use crate::id::{AccountId, CustomerId, TenantId};

/// When `refresh` renews the access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshMode {
    /// Only when the renewal is due, and at most once in ten minutes.
    WhenDue,
    /// Now. But while another call is renewing the tokens of the connection, nothing is sent.
    Forced,
}

/// The effect of a `refresh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshEffect {
    /// TikTok has issued new tokens, and they are stored. Then the shops were read.
    Renewed,
    /// This call did not renew the tokens, because they were not due or another call had just renewed them. The shops
    /// were read.
    ShopsRead,
    /// Nothing was sent to TikTok. The error says why, and when to call again. The access token is still valid, so the
    /// connection works. If the renewal itself matters, treat this like [`CallError::Connector`] with this error.
    NothingSent(ConnectorError),
}

/// A refreshed connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refreshed {
    /// The connection as it is stored now.
    pub connection: Connection,
    /// The effect of this call.
    pub effect: RefreshEffect,
}

impl ConnectorHost {
    /// Renews the access token if `mode` says so, and reads the shops that TikTok lists. `account: None` means the
    /// customer's only account.
    ///
    /// While another call holds the claim on the tokens, or while the connection is held back after failures, the call
    /// sends nothing. The answer is then [`RefreshEffect::NothingSent`] if the access token is still valid. A claim
    /// whose request got no readable answer lasts 120 s, and a forced refresh in this time sends nothing either.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn refresh(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        account: Option<&AccountId>,
        mode: RefreshMode,
    ) -> Result<Refreshed, CallError> {
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
    ) -> Result<Refreshed, CallError> {
        let scope = Scope::for_refresh(tenant, customer, mode, origin);
        let log = CallLog::begin(Operation::Refresh, &scope, account);
        let (customer, account) = (String::from(customer.clone()), account.cloned().map(String::from));
        let refreshing = self.sandbox.call(log, scope, Secrets::default(), refreshed, move |guest, wasm_store| {
            async move { guest.call_refresh(wasm_store, &customer, account.as_ref(), mode.into()).await }.boxed()
        });
        let (connection, effect) = refreshing.await?;
        Ok(Refreshed { connection, effect: effect.of(self.plugin()) })
    }
}
