//! The credentials of the tenants' apps, and the trait of a provider of credentials. A tenant has several apps if
//! TikTok issued it separate apps, for example for the US and for the rest of the world. The host asks the provider
//! once per call, so a rotated secret needs no restart. The host asks before the call takes an instance, so a slow
//! provider does not use up the instances.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tiktok_shop_connector_core::authorization_link::LinkScheme;
pub use tiktok_shop_connector_core::credentials::MAX_APPS;
use tiktok_shop_connector_core::credentials::{self, Credentials};
use tiktok_shop_connector_core::secret::AppSecret;

use crate::id::TenantId;
use crate::secret::Secret;
use crate::storage::Environment;

/// The credentials of one TikTok app.
#[derive(Debug, Clone)]
pub struct AppCredentials {
    /// The "App Key" of Partner Center: 1 to 64 bytes. It is not secret.
    pub app_key: String,
    /// The "App Secret" of Partner Center.
    pub app_secret: Secret,
    /// The app secret that was valid before the latest rotation. The connector also accepts webhooks that are signed
    /// with this secret. It never signs a request with this secret.
    pub previous_app_secret: Option<Secret>,
    /// The link that Partner Center shows under "Copy authorization link". Without this link, `authorization-url` fails
    /// with `misconfigured`.
    pub authorization_link: Option<String>,
}

impl From<&AppCredentials> for Credentials {
    fn from(credentials: &AppCredentials) -> Self {
        let AppCredentials { app_key, app_secret, previous_app_secret, authorization_link } = credentials;
        let secret = |secret: &Secret| AppSecret::new(secret.expose().to_owned());
        Self {
            app_key: app_key.clone(),
            app_secret: secret(app_secret),
            previous_app_secret: previous_app_secret.as_ref().map(secret),
            authorization_link: authorization_link.clone(),
            link_scheme: LinkScheme::Https,
        }
    }
}

/// Why a list of apps is not a tenant's list of apps. It contains the rule that the list breaks, and no secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidApps(String);

/// Checks the apps of a tenant: 1 to [`MAX_APPS`] apps, each key has 1 to 64 bytes, and no key is there twice. The host
/// checks each answer of a [`CredentialsProvider`] with this function. A program can call it when it reads its
/// configuration.
///
/// # Errors
/// The rule that the list breaks.
pub fn check_apps(apps: &[AppCredentials]) -> Result<(), InvalidApps> {
    let keys: Vec<_> = apps.iter().map(|app| app.app_key.as_str()).collect();
    credentials::check_apps(&keys).map_err(|error| InvalidApps(error.note().unwrap_or_default().to_owned()))
}

/// An authorization link is not valid. The text says how a link must look, and does not contain the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "it must begin with https:// (of a fake also http://), name a host, consist of at most 2048 visible ASCII \
     characters, and have no `#` and no parameter `state`"
)]
pub struct InvalidLink;

/// Checks an [`AppCredentials::authorization_link`]. Without this check, a wrong link is noticed only when a consent
/// begins. A fake has no TLS, so its link may begin with `http://`.
///
/// # Errors
/// The link is not valid.
pub fn check_link(link: &str, environment: Environment) -> Result<(), InvalidLink> {
    let scheme = match environment {
        Environment::TikTokShop => LinkScheme::Https,
        Environment::Fake => LinkScheme::HttpsOrHttp,
    };
    if scheme.accepts(link) { Ok(()) } else { Err(InvalidLink) }
}

/// Why an app is not an app of a fake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotOfFake {
    /// The fake has no app with this key.
    #[error("it is not an app of the fake")]
    UnknownApp,
    /// The fake has an app with this key, but with another secret.
    #[error("it has another secret at the fake")]
    OtherSecret,
}

/// Checks that a fake has shown the key and the secret of this app. `shown` are the apps of the fake, as it has shown
/// them with their secrets. Check all apps in this way before a host uses a fake: any program could listen at the
/// fake's address. Such a program learns no secret from a request, because it must have sent each secret itself before.
///
/// # Errors
/// The fake has not shown this app.
pub fn check_app_of_fake(app: &AppCredentials, shown: &[AppCredentials]) -> Result<(), NotOfFake> {
    match shown.iter().find(|shown| shown.app_key == app.app_key) {
        None => Err(NotOfFake::UnknownApp),
        Some(shown) if shown.app_secret != app.app_secret => Err(NotOfFake::OtherSecret),
        Some(_) => Ok(()),
    }
}

/// Why there are no credentials. The text reaches error details and logs, so it must not contain a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The credentials could not be read now. The call fails with `storage-failed`.
    #[error("credentials unavailable: {0}")]
    Unavailable(String),
    /// The tenant has no app. The call fails with `misconfigured`.
    #[error("credentials refused: {0}")]
    Refused(String),
}

/// Provides credentials, for example from a vault, a table or a file.
#[async_trait]
pub trait CredentialsProvider: Send + Sync {
    /// Returns the credentials of this tenant's apps: 1 to [`MAX_APPS`] apps, each with another key. The host refuses
    /// any other list ([`check_apps`]), and the call fails with `misconfigured`. If an app is missing from the list,
    /// its connections stay stored, and their calls fail with `misconfigured` (`app-unknown`). Only a limited number of
    /// calls of one tenant ask at the same time: see [`Limits::tenant_percent`](crate::limits::Limits::tenant_percent).
    /// The host also asks when a webhook arrives whose signature has the right form, even if the webhook is forged. So
    /// answer quickly, for example from a cache of some seconds.
    ///
    /// # Errors
    /// See [`CredentialsError`]. A provider that panics, or takes longer than
    /// [`Deadlines::save`](crate::deadlines::Deadlines::save), counts as unavailable.
    async fn apps(&self, tenant: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError>;
}

/// Credentials that do not change while the host runs.
#[derive(Debug, Default)]
pub struct StaticCredentials {
    by_tenant: BTreeMap<TenantId, Vec<AppCredentials>>,
}

impl StaticCredentials {
    /// Creates a provider without tenants.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an app to a tenant. If the tenant already has an app with this key, replaces its credentials.
    #[must_use]
    pub fn with(mut self, tenant: TenantId, credentials: AppCredentials) -> Self {
        let apps = self.by_tenant.entry(tenant).or_default();
        apps.retain(|app| app.app_key != credentials.app_key);
        apps.push(credentials);
        self
    }
}

#[async_trait]
impl CredentialsProvider for StaticCredentials {
    async fn apps(&self, tenant: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        self.by_tenant
            .get(tenant)
            .cloned()
            .ok_or_else(|| CredentialsError::Refused("no credentials for this tenant".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_app_that_a_fake_has_shown_is_an_app_of_the_fake() {
        let app = |app_key: &str, app_secret: &str| AppCredentials {
            app_key: app_key.to_owned(),
            app_secret: app_secret.into(),
            previous_app_secret: None,
            authorization_link: None,
        };
        let shown = [app("6fakeapp00001", "one"), app("6fakeapp00002", "two")];
        for (app, expected) in [
            (app("6fakeapp00001", "one"), Ok(())),
            (app("6fakeapp00002", "two"), Ok(())),
            (app("6fakeapp00002", "one"), Err(NotOfFake::OtherSecret)),
            (app("6realapp00001", "one"), Err(NotOfFake::UnknownApp)),
        ] {
            assert_eq!(check_app_of_fake(&app, &shown), expected, "{}", app.app_key);
        }
    }

    #[test]
    fn only_a_fake_has_a_consent_page_without_tls() {
        let (tls, no_tls) = ("https://services.tiktokshop.com/open/authorize?service_id=1", "http://127.0.0.1:4010/a");
        assert_eq!(check_link(tls, Environment::TikTokShop), Ok(()));
        assert_eq!(check_link(no_tls, Environment::TikTokShop), Err(InvalidLink));
        assert_eq!(check_link(no_tls, Environment::Fake), Ok(()));
        assert_eq!(check_link("https://services.tiktokshop.com/…", Environment::Fake), Err(InvalidLink));
    }
}
