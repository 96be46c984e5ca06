//! Hands credentials only to a host whose egress fits its storage. Without credentials, the connector sends no request.
//! So a stand-in gets no token from a storage that belongs to TikTok Shop, and TikTok Shop gets no token from a storage
//! that belongs to a fake.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use crate::credentials::{AppCredentials, CredentialsError, CredentialsProvider};
use crate::id::TenantId;
use crate::storage::{Environment, HostStorage, StorageError};

/// A provider of credentials that first asks the storage whether the storage belongs to the environment of the host's
/// egress. The guest may get credentials only from this provider, or after [`check`](Self::check) has succeeded.
pub(crate) struct EnvironmentGuard {
    credentials: Arc<dyn CredentialsProvider>,
    storage: Arc<dyn HostStorage>,
    environment: Environment,
    /// Set when the storage has answered that it belongs to the environment. This never changes, so the storage is not
    /// asked again.
    fits: OnceCell<()>,
}

impl EnvironmentGuard {
    pub(crate) fn new(
        credentials: Arc<dyn CredentialsProvider>,
        storage: Arc<dyn HostStorage>,
        environment: Environment,
    ) -> Self {
        Self { credentials, storage, environment, fits: OnceCell::new() }
    }

    /// Returns the provider without the check. The host itself needs the credentials to check the signature of a
    /// webhook, and a webhook that is not signed must not reach the storage.
    pub(crate) fn unguarded(&self) -> &dyn CredentialsProvider {
        &*self.credentials
    }

    /// Checks that the storage belongs to the environment of the host's egress.
    pub(crate) async fn check(&self) -> Result<(), CredentialsError> {
        self.fits.get_or_try_init(|| self.ask()).await.copied()
    }

    async fn ask(&self) -> Result<(), CredentialsError> {
        let belongs = self.storage.belongs_to(self.environment).await.map_err(|error| match error {
            StorageError::Unavailable(why) => CredentialsError::Unavailable(why),
            StorageError::Refused(_) | StorageError::KeyGone | StorageError::RowChanged(_) => {
                CredentialsError::Refused(error.to_string())
            }
        })?;
        if belongs {
            return Ok(());
        }
        Err(CredentialsError::Refused(match self.environment {
            Environment::TikTokShop => {
                "the storage belongs to a fake, but this host has no stand-in; use another storage".to_owned()
            }
            Environment::Fake => {
                "the storage belongs to TikTok Shop, but this host has a stand-in; use another storage".to_owned()
            }
        }))
    }
}

#[async_trait]
impl CredentialsProvider for EnvironmentGuard {
    async fn apps(&self, tenant: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        self.check().await?;
        self.credentials.apps(tenant).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;
    use crate::credentials::StaticCredentials;
    use crate::storage::MemoryStorage;

    #[tokio::test]
    async fn only_a_host_of_the_storages_own_environment_gets_credentials() {
        let tenant: TenantId = "t".parse().unwrap();
        let app = AppCredentials {
            app_key: "k".to_owned(),
            app_secret: "s".into(),
            previous_app_secret: None,
            authorization_link: None,
        };
        let credentials = Arc::new(StaticCredentials::new().with(tenant.clone(), app));
        let (real, fake) = (Environment::TikTokShop, Environment::Fake);
        let belongs_to_fake = "the storage belongs to a fake, but this host has no stand-in; use another storage";
        let belongs_to_real = "the storage belongs to TikTok Shop, but this host has a stand-in; use another storage";
        let keys = |apps: Vec<AppCredentials>| apps.into_iter().map(|app| app.app_key).collect::<Vec<_>>();
        for (first, other, why) in [(real, fake, belongs_to_real), (fake, real, belongs_to_fake)] {
            let memory = Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO))));
            let guard = |environment| {
                EnvironmentGuard::new(Arc::clone(&credentials) as _, Arc::clone(&memory) as _, environment)
            };
            let (first, other) = (guard(first), guard(other));
            for _ in 0..2 {
                assert_eq!(first.apps(&tenant).await.map(keys), Ok(vec!["k".to_owned()]));
                let refused = other.apps(&tenant).await.map(keys);
                assert_eq!(refused, Err(CredentialsError::Refused(why.to_owned())));
            }
        }
    }
}
