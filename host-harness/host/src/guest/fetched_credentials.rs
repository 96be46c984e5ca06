//! Asks the credentials provider for a tenant's apps, and keeps the answer until the guest asks for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::credentials::{AppCredentials, CredentialsError, CredentialsProvider, check_apps};
use crate::id::TenantId;
use crate::storage::{Environment, StorageError, run_within};

/// The credentials of a tenant's apps, or the error with which the host failed to fetch them.
pub(crate) type FetchedCredentials = Result<Vec<AppCredentials>, StorageError>;

/// Gives the apps and their credentials to the guest.
pub(super) struct GuestCredentials {
    /// The answer of the provider. The host may have fetched it before the call.
    fetched: Option<FetchedCredentials>,
    /// The questions that `fetched` has answered: the key of an app, or `None` for the list of apps. If the guest asks
    /// the same question again, the host asks the provider again.
    answered: BTreeSet<Option<String>>,
    provider: Arc<dyn CredentialsProvider>,
    environment: Environment,
}

impl GuestCredentials {
    pub(super) fn new(fetched: Option<FetchedCredentials>, provider: Arc<dyn CredentialsProvider>) -> Self {
        Self { fetched, answered: BTreeSet::new(), provider, environment: Environment::TikTokShop }
    }

    /// Returns these credentials for a host whose requests go to this environment.
    pub(super) const fn in_environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    pub(super) const fn environment(&self) -> Environment {
        self.environment
    }

    /// Returns the keys of the tenant's apps.
    pub(super) async fn keys(&mut self, tenant: &TenantId, timeout: Duration) -> Result<Vec<String>, StorageError> {
        let apps = self.answer(None, tenant, timeout).await?;
        Ok(apps.iter().map(|app| app.app_key.clone()).collect())
    }

    /// Returns the credentials of one app.
    pub(super) async fn of_app(
        &mut self,
        app_key: &str,
        tenant: &TenantId,
        timeout: Duration,
    ) -> Result<AppCredentials, StorageError> {
        let apps = self.answer(Some(app_key), tenant, timeout).await?;
        let found = apps.iter().find(|app| app.app_key == app_key).cloned();
        found.ok_or_else(|| StorageError::Refused("the tenant has no such app".to_owned()))
    }

    async fn answer(
        &mut self,
        question: Option<&str>,
        tenant: &TenantId,
        timeout: Duration,
    ) -> Result<&[AppCredentials], StorageError> {
        let question = question.map(str::to_owned);
        let fetched = match self.fetched.take() {
            Some(fetched) if !self.answered.contains(&question) => fetched,
            Some(_) | None => {
                self.answered.clear();
                fetch_credentials(&*self.provider, tenant, timeout).await
            }
        };
        // A guest may ask for any number of apps that do not exist. Only questions about existing apps are remembered.
        let exists =
            |app_key: &String| fetched.as_ref().is_ok_and(|apps| apps.iter().any(|app| app.app_key == *app_key));
        if question.as_ref().is_none_or(exists) {
            self.answered.insert(question);
        }
        match self.fetched.insert(fetched) {
            Ok(apps) => Ok(apps),
            Err(error) => Err(error.clone()),
        }
    }
}

/// Asks the provider for the credentials of a tenant's apps, and checks the list. Waits at most `timeout` for the
/// answer.
pub(super) async fn fetch_credentials(
    provider: &dyn CredentialsProvider,
    tenant: &TenantId,
    timeout: Duration,
) -> FetchedCredentials {
    let apps = async {
        let apps = provider.apps(tenant).await.map_err(not_fetched)?;
        check_apps(&apps).map_err(|invalid| StorageError::Refused(invalid.to_string()))?;
        Ok(apps)
    };
    run_within(timeout, apps).await
}

/// Returns the error that the guest gets in place of credentials.
pub(super) fn not_fetched(error: CredentialsError) -> StorageError {
    match error {
        CredentialsError::Unavailable(why) => StorageError::Unavailable(why),
        CredentialsError::Refused(why) => StorageError::Refused(why),
    }
}
