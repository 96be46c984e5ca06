//! Imports the tokens of sellers who have consented in another system, so that these sellers need not consent again.

use crate::connect::Grant;
use crate::connection::{Connection, ShopPolicy};
use crate::error::CallError;
use crate::existing_grant::ExistingGrant;
use crate::host::ConnectorHost;
use crate::id::{AppKey, CustomerId, TenantId};

impl ConnectorHost {
    /// Connects a customer with the tokens that another system holds. `app` is the app that the seller consented to;
    /// `None` means the tenant's only app.
    ///
    /// The other system must have stopped its refreshes before this call. The call sends the refresh token to TikTok
    /// once, so that from then on only this connector has the tokens. Then it reads the shops. If TikTok rejects the
    /// token, or certainly did not act, nothing stays stored.
    ///
    /// # Errors
    /// See [`CallError`]. `InvalidRequest` with the code `already-connected` means that the account is connected
    /// already and keeps its own tokens. `RetryAfter` means that the same call may be made again after the pause.
    pub async fn import_grant(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        app: Option<&AppKey>,
        grant: ExistingGrant,
        shops: ShopPolicy,
    ) -> Result<Connection, CallError> {
        self.connect(tenant, customer, app, Grant::Existing(grant), shops).await
    }
}
