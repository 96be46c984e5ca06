//! Asks the credentials provider for a tenant's app, and keeps the answer until the guest asks for it.

use std::sync::Arc;
use std::time::Duration;

use crate::credentials::{AppCredentials, CredentialsError, CredentialsProvider};
use crate::id::TenantId;
use crate::storage::{StorageError, run_within};

/// The app's credentials, or the error with which the host failed to fetch them.
pub(crate) type FetchedCredentials = Result<AppCredentials, StorageError>;

/// Gives the app's credentials to the guest.
pub(super) struct GuestCredentials {
    /// The credentials that the host has fetched before the call. The guest gets them when it asks for the first time.
    pub(super) fetched: Option<FetchedCredentials>,
    /// The provider that the host asks if nothing was fetched, or if the guest asks again.
    pub(super) provider: Arc<dyn CredentialsProvider>,
}

/// Asks the provider for the credentials of a tenant's app. Waits at most `timeout` for the answer.
pub(super) async fn fetch_credentials(
    provider: &dyn CredentialsProvider,
    tenant: &TenantId,
    timeout: Duration,
) -> FetchedCredentials {
    let current = async {
        provider.current(tenant).await.map_err(|error| match error {
            CredentialsError::Unavailable(why) => StorageError::Unavailable(why),
            CredentialsError::Refused(why) => StorageError::Refused(why),
        })
    };
    run_within(timeout, current).await
}
