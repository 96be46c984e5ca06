//! The credentials of every tenant's app: from the configuration file, from the environment, or those of a fake's app.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tiktok_shop_host::credentials::{AppCredentials, CredentialsError, CredentialsProvider, StaticCredentials};
use tiktok_shop_host::{Secret, TenantId};

use super::environment::{APP_KEY, APP_SECRET, AUTHORIZATION_LINK, PREVIOUS_APP_SECRET, variable};
use crate::command_line::failure::Failure;

/// What one place says of an app.
#[derive(Default)]
pub(crate) struct App {
    pub(crate) app_key: Option<String>,
    pub(crate) app_secret: Option<String>,
    pub(crate) previous_app_secret: Option<String>,
    pub(crate) authorization_link: Option<String>,
}

impl App {
    /// Member by member, what the environment says goes before the file.
    fn overridden(self) -> Result<Self, Failure> {
        Ok(Self {
            app_key: variable(APP_KEY)?.or(self.app_key),
            app_secret: variable(APP_SECRET)?.or(self.app_secret),
            previous_app_secret: variable(PREVIOUS_APP_SECRET)?.or(self.previous_app_secret),
            authorization_link: variable(AUTHORIZATION_LINK)?.or(self.authorization_link),
        })
    }

    /// `None`: nothing is said of it.
    fn complete(self, tenant: &TenantId) -> Result<Option<AppCredentials>, Failure> {
        let missing = |member: &str, variable: &str| {
            Failure::Malformed(format!(
                "tenant {tenant}: no {member}: {variable} or the configuration file's tenants.{tenant}.{member} says it"
            ))
        };
        match self {
            Self { app_key: None, app_secret: None, previous_app_secret: None, authorization_link: None } => Ok(None),
            Self { app_key: None, .. } => Err(missing("app-key", APP_KEY)),
            Self { app_secret: None, .. } => Err(missing("app-secret", APP_SECRET)),
            Self { app_key: Some(app_key), app_secret: Some(app_secret), previous_app_secret, authorization_link } => {
                Ok(Some(AppCredentials {
                    app_key,
                    app_secret: app_secret.into(),
                    previous_app_secret: previous_app_secret.map(Secret::from),
                    authorization_link,
                }))
            }
        }
    }
}

/// The credentials of every tenant that is known, and of all others if there is a fake.
pub(crate) struct Credentials {
    known: StaticCredentials,
    of_the_fake: Option<AppCredentials>,
}

impl Credentials {
    /// The environment speaks of `tenant`'s app.
    ///
    /// # Errors
    /// An app has no key, or no secret.
    pub(crate) fn gather(mut configured: BTreeMap<TenantId, App>, tenant: &TenantId) -> Result<Self, Failure> {
        let own = configured.remove(tenant).unwrap_or_default().overridden()?;
        configured.insert(tenant.clone(), own);
        let mut known = StaticCredentials::new();
        for (tenant, app) in configured {
            if let Some(credentials) = app.complete(&tenant)? {
                known = known.with(tenant, credentials);
            }
        }
        Ok(Self { known, of_the_fake: None })
    }

    /// Of a fake: for tenants of which nothing is known.
    pub(crate) fn or(self, of_the_fake: Option<AppCredentials>) -> Self {
        Self { of_the_fake, ..self }
    }
}

#[async_trait]
impl CredentialsProvider for Credentials {
    async fn current(&self, tenant: &TenantId) -> Result<AppCredentials, CredentialsError> {
        let known = self.known.current(tenant).await;
        match &self.of_the_fake {
            Some(of_the_fake) => known.or_else(|_| Ok(of_the_fake.clone())),
            None => known,
        }
    }
}
