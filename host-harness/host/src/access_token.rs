//! Gets a valid access token, for a platform that sends its own requests to TikTok Shop. A token is returned only after
//! an event about the token was stored.

use std::time::Duration;

use futures::FutureExt as _;

use crate::connection::{ConnectionKey, UnixSeconds};
use crate::error::CallError;
use crate::events::{Cause, EventKind, NewEvent};
use crate::guest::{Operation, Scope, Secrets};
use crate::host::ConnectorHost;
use crate::id::{AccountId, CustomerId, TenantId};
use crate::secret::Secret;

/// An access token that is valid now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidToken {
    /// The seller account to which the token belongs.
    pub account: AccountId,
    /// The token. Send it to TikTok's API server in the header `x-tts-access-token`.
    pub token: Secret,
    /// When the token ends. `None` if TikTok sent no believable time.
    pub expires_at: Option<UnixSeconds>,
}

impl ConnectorHost {
    /// Returns an access token that stays valid for at least `min_validity`, which may be up to one hour. Renews the
    /// token if necessary. If the token can't be renewed now but is still valid, returns it although it ends earlier
    /// than `min_validity` requires.
    ///
    /// Each returned token causes an event [`EventKind::TokenShown`]. If the event can't be stored, the token is not
    /// returned. A platform that makes many requests should use [`call`](Self::call), which causes no event, or keep
    /// the token until it ends.
    ///
    /// # Errors
    /// See [`CallError`]. [`CallError::NotRecorded`] means that the event could not be stored.
    pub async fn access_token(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        account: Option<&AccountId>,
        min_validity: Duration,
    ) -> Result<ValidToken, CallError> {
        let origin = self.origin(Cause::AccessToken);
        let scope = Scope::with_credentials(tenant, customer, origin.clone());
        let log = self.log(Operation::AccessToken, &scope, account);
        let once = match self.draw_event_name() {
            Ok(once) => once,
            Err(error) => return log.end(Err(error)),
        };
        let owner = customer.clone();
        let (customer, account) = (String::from(customer.clone()), account.cloned().map(String::from));
        // A duration that is too long for `u32` is also too long for the connector, which refuses it.
        let seconds = u32::try_from(min_validity.as_millis().div_ceil(1000)).unwrap_or(u32::MAX);
        let shown = self
            .sandbox
            .call(log, scope, Secrets::default(), ValidToken::try_from, move |guest, wasm_store| {
                async move { guest.access_token(wasm_store, &customer, account.as_deref(), seconds).await }.boxed()
            })
            .await?;
        let at = UnixSeconds(self.sandbox.clock.wall().as_secs());
        let key = ConnectionKey { customer: owner, account: shown.account.clone() };
        self.record(tenant, &once, &NewEvent { at, key: Some(key), kind: EventKind::TokenShown, origin }).await?;
        Ok(shown)
    }
}
