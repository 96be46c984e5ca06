//! Returns the link that a seller opens to consent, and turns the grant that comes back into a connection.

use futures::FutureExt as _;

use crate::connection::{Connection, ShopPolicy};
use crate::error::CallError;
use crate::events::Cause;
use crate::guest::{CallLog, Operation, Scope, Secrets};
use crate::host::ConnectorHost;
use crate::id::{CustomerId, TenantId};
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
        /// Which state the query must contain.
        state: StateCheck,
    },
}

/// Which state a callback must contain.
#[derive(Debug)]
pub enum StateCheck {
    /// The callback must contain exactly this state.
    Expected(Secret),
    /// The callback must contain no state. Use this variant only for an install from TikTok's App Store, after the host
    /// has signed the customer in.
    AppStoreInstall,
}

impl ConnectorHost {
    /// Returns the link that a seller of the tenant opens to consent. The link contains the state, so the link is
    /// secret. Sends no request.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn authorization_url(&self, tenant: &TenantId, state: Secret) -> Result<Secret, CallError> {
        let scope = Scope::without_customer(tenant, self.origin(Cause::Read));
        let log = CallLog::begin(Operation::AuthorizationUrl, &scope, None);
        let secrets = Secrets::of_link(&state);
        self.sandbox
            .call(
                log,
                scope,
                secrets,
                |link| Ok(Secret::from(link)),
                move |guest, wasm_store| {
                    async move { guest.call_authorization_url(wasm_store, state.expose()).await }.boxed()
                },
            )
            .await
    }

    /// Turns a grant into a stored connection. Succeeds even if the shops could not be read. If the account is already
    /// connected, the new grant replaces the stored one.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn connect(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        grant: Grant,
        shops: ShopPolicy,
    ) -> Result<Connection, CallError> {
        let scope = Scope::for_connect(tenant, customer, self.origin(Cause::Connect));
        let log = CallLog::begin(Operation::Connect, &scope, None);
        let (customer, secrets) = (String::from(customer.clone()), Secrets::of_grant(&grant));
        self.sandbox
            .call(log, scope, secrets, Connection::try_from, move |guest, wasm_store| {
                async move { guest.call_connect(wasm_store, &customer, &grant.into(), shops.into()).await }.boxed()
            })
            .await
    }
}
