//! Returns the link that a seller opens to consent, and turns the grant that comes back into a connection.

use futures::FutureExt as _;
use tiktok_shop_connector_core::credentials::only_app;
use tiktok_shop_connector_core::error::{Cause as CoreCause, Error as CoreError};
use tiktok_shop_connector_core::operation::no_credentials;

use crate::connection::{Connection, ShopPolicy};
use crate::error::{CallError, ConnectorError};
use crate::events::Cause;
use crate::existing_grant::ExistingGrant;
use crate::guest::{CallLog, Operation, Prepared, Scope, Secrets};
use crate::host::ConnectorHost;
use crate::id::{AppKey, CustomerId, TenantId};
use crate::install_tokens::InstallTokens;
use crate::secret::Secret;

/// The grant that `connect` turns into a connection. A grant can be used only once, so the type is not `Clone`.
#[derive(Debug)]
pub enum Grant {
    /// An authorization code. The caller has already checked the callback that contained the code.
    Code(Secret),
    /// A callback as it arrived.
    Callback {
        /// The raw query of the callback's address, without `?`.
        query: Secret,
        /// The state that the query must contain.
        state: Secret,
    },
    /// The tokens of a seller who has consented in another system. See [`ConnectorHost::import_grant`].
    Existing(ExistingGrant),
    /// The tokens of an install from TikTok's App Store that the customer has confirmed. Only
    /// [`ConnectorHost::confirm_install`] makes such a grant.
    Pending(InstallTokens),
}

impl ConnectorHost {
    /// Returns the link that a seller opens to consent to an app of the tenant. `None` means the tenant's only app. The
    /// link contains the state, so the link is secret. Sends no request.
    ///
    /// # Errors
    /// See [`CallError`]. `InvalidRequest` with the code `app-required` means that the tenant has several apps. The
    /// detail names them.
    pub async fn authorization_url(
        &self,
        tenant: &TenantId,
        app: Option<&AppKey>,
        state: Secret,
    ) -> Result<Secret, CallError> {
        let (scope, log) = self.link_call(tenant);
        let prepared = self.sandbox.prepare(&log, &scope).await;
        match prepared {
            Ok(prepared) => self.link(log, scope, prepared, app.cloned(), state).await,
            Err(error) => log.end(Err(error)),
        }
    }

    /// Returns the link of a consent and the app to which the link leads.
    pub(crate) async fn consent_link(
        &self,
        tenant: &TenantId,
        app: Option<&AppKey>,
        state: Secret,
    ) -> Result<(AppKey, Secret), CallError> {
        let (scope, log) = self.link_call(tenant);
        let prepared = self.sandbox.prepare(&log, &scope).await;
        let chosen = prepared.and_then(|prepared| {
            let app = app.cloned().map_or_else(|| self.only_app(&prepared), Ok)?;
            Ok((prepared, app))
        });
        match chosen {
            Ok((prepared, app)) => Ok((app.clone(), self.link(log, scope, prepared, Some(app), state).await?)),
            Err(error) => log.end(Err(error)),
        }
    }

    fn link_call(&self, tenant: &TenantId) -> (Scope, CallLog) {
        let scope = Scope::without_customer(tenant, self.origin(Cause::Read));
        let log = self.log(Operation::AuthorizationUrl, &scope, None);
        (scope, log)
    }

    /// Returns the keys of the tenant's apps, in the order of the credentials provider. Sends no request.
    ///
    /// # Errors
    /// See [`CallError`]. `Misconfigured` with the code `credentials-refused` means that the tenant has no app.
    pub async fn apps(&self, tenant: &TenantId) -> Result<Vec<AppKey>, CallError> {
        let scope = Scope::without_customer(tenant, self.origin(Cause::Read));
        let log = self.log(Operation::Apps, &scope, None);
        let prepared = self.sandbox.prepare(&log, &scope).await;
        let apps = prepared.and_then(|prepared| {
            let keys = self.app_keys(&prepared)?;
            keys.into_iter().map(|key| self.parse_app(key)).collect()
        });
        log.end(apps)
    }

    /// Returns the tenant's only app, from the credentials that the host has fetched for a call.
    fn only_app(&self, prepared: &Prepared) -> Result<AppKey, CallError> {
        let keys = self.app_keys(prepared)?;
        self.parse_app(only_app(&keys).map_err(|error| self.refused(&error))?)
    }

    /// Returns the keys of the tenant's apps, from the credentials that the host has fetched for a call.
    fn app_keys<'a>(&self, prepared: &'a Prepared) -> Result<Vec<&'a str>, CallError> {
        match &prepared.credentials {
            Some(Ok(apps)) => Ok(apps.iter().map(|app| app.app_key.as_str()).collect()),
            Some(Err(error)) => Err(self.refused(&no_credentials(error.clone().into()))),
            None => Ok(Vec::new()),
        }
    }

    fn parse_app(&self, key: &str) -> Result<AppKey, CallError> {
        key.parse().map_err(|_| self.refused(&CoreError::new(CoreCause::CredentialsRefused)))
    }

    fn refused(&self, error: &CoreError) -> CallError {
        CallError::Connector(ConnectorError::from_core(self.plugin().clone(), error))
    }

    async fn link(
        &self,
        log: CallLog,
        scope: Scope,
        prepared: Prepared,
        app: Option<AppKey>,
        state: Secret,
    ) -> Result<Secret, CallError> {
        let secrets = Secrets::of_link(&state);
        let read = |link| Ok(Secret::from(link));
        self.sandbox
            .call_prepared(log, scope, secrets, prepared, read, move |guest, wasm_store| {
                let app = app.map(String::from);
                async move { guest.authorization_url(wasm_store, app.as_deref(), state.expose()).await }.boxed()
            })
            .await
    }

    /// Turns a grant into a stored connection. `app` is the app that the seller consented to; `None` means the tenant's
    /// only app. Succeeds even if the shops could not be read. If the account is already connected under this app, the
    /// new grant replaces the stored one. An account that is connected under another app is refused
    /// (`account-of-another-app`).
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn connect(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        app: Option<&AppKey>,
        grant: Grant,
        shops: ShopPolicy,
    ) -> Result<Connection, CallError> {
        let scope = match &grant {
            Grant::Code(_) | Grant::Callback { .. } => {
                Scope::for_connect(tenant, customer, self.origin(Cause::Connect))
            }
            Grant::Existing(_) => Scope::for_connect(tenant, customer, self.origin(Cause::Import)),
            Grant::Pending(_) => Scope::for_confirmation(tenant, customer, self.origin(Cause::Connect)),
        };
        let log = self.log(Operation::Connect, &scope, None);
        let (customer, secrets) = (String::from(customer.clone()), Secrets::of_grant(&grant));
        let app = app.cloned().map(String::from);
        self.sandbox
            .call(log, scope, secrets, Connection::try_from, move |guest, wasm_store| {
                async move { guest.connect(wasm_store, &customer, app.as_deref(), &grant.into(), shops.into()).await }
                    .boxed()
            })
            .await
    }
}
