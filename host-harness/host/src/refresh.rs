//! Renews the tokens of a connection and reads its shops again.

use futures::FutureExt as _;
use tiktok_shop_connector_core::error::code;

use crate::connection::Connection;
use crate::error::{CallError, ConnectorError};
use crate::events::{Cause, Origin};
use crate::guest::{Operation, Scope, Secrets, refreshed};
use crate::host::ConnectorHost;
use crate::id::{AccountId, CustomerId, TenantId};

/// The condition under which `refresh` renews the access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshMode {
    /// Renews only if the renewal is due, and at most once in ten minutes.
    WhenDue,
    /// Renews now, unless another call holds a claim that has not expired.
    Forced,
}

/// The effect of a `refresh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshEffect {
    /// TikTok has issued new tokens, and they are stored. Then the shops were read.
    Renewed,
    /// This call did not renew the tokens, because the renewal was not due or another call had just renewed the tokens.
    /// The shops were read.
    ShopsRead,
    /// Nothing was sent to TikTok. The error says why, and when to call again. The access token is still valid, so the
    /// connection works. If you need the renewal itself, treat this effect like [`CallError::Connector`] with this
    /// error.
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
    /// The call sends nothing while another call holds the claim on the tokens. With [`RefreshMode::WhenDue`], it also
    /// sends nothing while the connection has to wait after failures. The answer is then [`RefreshEffect::NothingSent`]
    /// if the access token is still valid. If the request of a claim got no readable answer, the claim stays for 120 s.
    /// In this time, a forced refresh sends nothing either.
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
        let log = self.log(Operation::Refresh, &scope, account);
        let (customer, account) = (String::from(customer.clone()), account.cloned().map(String::from));
        let refreshing = self.sandbox.call(log, scope, Secrets::default(), refreshed, move |guest, wasm_store| {
            async move { guest.refresh(wasm_store, &customer, account.as_deref(), mode.into()).await }.boxed()
        });
        let (connection, effect) = refreshing.await?;
        let effect = effect.of(self.plugin());
        if matches!(&effect, RefreshEffect::NothingSent(error) if error.failure().code == code::REFRESH_IN_PROGRESS) {
            self.sandbox.metrics.claim_held(Operation::Refresh.as_str());
        }
        Ok(Refreshed { connection, effect })
    }
}
