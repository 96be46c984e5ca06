//! Exports the tokens of a connection, so that another installation of the connector can take it over. The tokens are
//! returned only after an event about the export was stored. An embedder must allow exports when it builds the host.

use futures::FutureExt as _;

use crate::connection::{ConnectionKey, UnixSeconds};
use crate::error::CallError;
use crate::events::{Cause, EventKind, NewEvent};
use crate::existing_grant::ExistingGrant;
use crate::guest::{Operation, Scope, Secrets};
use crate::host::ConnectorHost;
use crate::id::{AccountId, CustomerId, TenantId};

/// Whether a host exports grants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum GrantExport {
    /// Every export is refused.
    #[default]
    Refused,
    Allowed,
}

/// Why a grant was not exported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// This host exports no grants. Build a host with
    /// [`allow_export`](crate::ConnectorHostBuilder::allow_export) for the move to another installation.
    #[error("this host exports no grants; build it with allow_export")]
    NotAllowed,
    /// The call failed. `RetryAfter` with the code `refresh-in-progress` means that the tokens are being renewed.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl ExportError {
    /// Returns a short name of the error, for counting and for programs: the code of the call's error, or
    /// `export-not-allowed`.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::NotAllowed => "export-not-allowed",
            Self::Call(error) => error.code(),
        }
    }
}

impl ConnectorHost {
    /// Returns the newest tokens of a connection, for [`import_grant`](Self::import_grant) of another installation.
    /// Sends no request and changes nothing. `None` as the account means the customer's only account.
    ///
    /// Before you call this function, stop everything that refreshes this connection: the sweep and all other hosts with
    /// the same storage. TikTok may end an authorization whose refresh token is used twice. Only the current refresh
    /// token is exported, and not its fallbacks. So keep the connection here until the other installation has connected
    /// the customer. Then [disconnect](Self::disconnect) it here without a revocation.
    ///
    /// Each exported grant causes an event [`EventKind::GrantExported`]. If the event can't be stored, the grant is not
    /// returned.
    ///
    /// # Errors
    /// See [`ExportError`]. `Reauthorize` means that the connection is dead, so there is nothing to export.
    /// [`CallError::NotRecorded`] means that the event could not be stored.
    pub async fn export_grant(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        account: Option<&AccountId>,
    ) -> Result<ExistingGrant, ExportError> {
        if self.grant_export == GrantExport::Refused {
            tracing::warn!(tenant = tenant.as_str(), customer = customer.as_str(), "an export was refused");
            return Err(ExportError::NotAllowed);
        }
        let origin = self.origin(Cause::Export);
        let scope = Scope::of_customer(tenant, customer, origin.clone());
        let log = self.log(Operation::ExportGrant, &scope, account);
        let once = match self.draw_event_name() {
            Ok(once) => once,
            Err(error) => return log.end(Err(error)).map_err(ExportError::Call),
        };
        let (owner, named) = (customer.clone(), account.cloned());
        let (customer, account) = (String::from(customer.clone()), account.cloned().map(String::from));
        let exported = self
            .sandbox
            .call(log, scope, Secrets::default(), ExistingGrant::try_from, move |guest, wasm_store| {
                async move { guest.export_grant(wasm_store, &customer, account.as_deref()).await }.boxed()
            })
            .await?;
        let at = UnixSeconds(self.sandbox.clock.wall().as_secs());
        // The component names the account. The account that the caller has named counts more.
        let account = named.or_else(|| exported.account.clone());
        let key = account.map(|account| ConnectionKey { customer: owner, account });
        self.record(tenant, &once, &NewEvent { at, key, kind: EventKind::GrantExported, origin }).await?;
        Ok(exported)
    }
}
