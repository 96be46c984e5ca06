//! The credentials of the tenants' apps: from the configuration file, from the environment, or from a fake.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tiktok_shop_host::credentials::{AppCredentials, CredentialsError, CredentialsProvider, check_apps};
use tiktok_shop_host::{Secret, TenantId};

use super::environment::{APP_KEY, APP_SECRET, AUTHORIZATION_LINK, PREVIOUS_APP_SECRET, variable};
use super::fake::FakeAddress;
use crate::failure::Failure;

/// The settings of an app. Each member may be missing.
#[derive(Default)]
pub(crate) struct App {
    /// The place of the app in the list `tenants.NAME.apps` of the configuration file. `None` if the app is not from
    /// such a list.
    pub(crate) place: Option<usize>,
    pub(crate) app_key: Option<String>,
    pub(crate) app_secret: Option<String>,
    pub(crate) previous_app_secret: Option<String>,
    pub(crate) authorization_link: Option<String>,
}

impl App {
    /// Returns the settings of the environment. If a variable is not set, takes this setting from the configuration
    /// file.
    fn with_environment(self) -> Result<Self, Failure> {
        Ok(Self {
            place: self.place,
            app_key: variable(APP_KEY)?.or(self.app_key),
            app_secret: variable(APP_SECRET)?.or(self.app_secret),
            previous_app_secret: variable(PREVIOUS_APP_SECRET)?.or(self.previous_app_secret),
            authorization_link: variable(AUTHORIZATION_LINK)?.or(self.authorization_link),
        })
    }

    /// Checks that the app has a key and a secret, and returns its credentials. Returns `None` if no member is set.
    fn complete(self, tenant: &TenantId) -> Result<Option<AppCredentials>, Failure> {
        let missing = |member: &str, variable: &str| {
            Failure::Malformed(match self.place {
                None => format!(
                    "tenant {tenant}: no {member}; set {variable}, or tenants.{tenant}.{member} in the configuration \
                     file"
                ),
                Some(place) => format!(
                    "tenant {tenant}: no {member}; set tenants.{tenant}.apps[{place}].{member} in the configuration \
                     file"
                ),
            })
        };
        match self {
            Self {
                place: None,
                app_key: None,
                app_secret: None,
                previous_app_secret: None,
                authorization_link: None,
            } => Ok(None),
            Self { app_key: None, .. } => Err(missing("app-key", APP_KEY)),
            Self { app_secret: None, .. } => Err(missing("app-secret", APP_SECRET)),
            Self {
                place: _,
                app_key: Some(app_key),
                app_secret: Some(app_secret),
                previous_app_secret,
                authorization_link,
            } => Ok(Some(AppCredentials {
                app_key,
                app_secret: app_secret.into(),
                previous_app_secret: previous_app_secret.map(Secret::from),
                authorization_link,
            })),
        }
    }
}

/// Returns the name of a variable that is set and describes an app.
fn variable_of_an_app() -> Result<Option<&'static str>, Failure> {
    for name in [APP_KEY, APP_SECRET, PREVIOUS_APP_SECRET, AUTHORIZATION_LINK] {
        if variable(name)?.is_some() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// The credentials of the tenants. They come from the settings, and if a fake is used, also from the fake's apps.
pub(crate) struct Credentials {
    by_tenant: BTreeMap<TenantId, Vec<AppCredentials>>,
}

impl Credentials {
    /// Combines the apps of the configuration file with the environment. The environment variables describe the only
    /// app of `tenant`.
    ///
    /// # Errors
    /// An app has no key or no secret, a tenant has an app twice or more than 16 apps, or the environment describes an
    /// app of a tenant with several apps.
    pub(crate) fn gather(mut tenants: BTreeMap<TenantId, Vec<App>>, tenant: &TenantId) -> Result<Self, Failure> {
        let mut apps = tenants.remove(tenant).unwrap_or_default();
        if apps.len() < 2 {
            apps = vec![apps.pop().unwrap_or_default().with_environment()?];
        } else if let Some(name) = variable_of_an_app()? {
            return Err(Failure::Malformed(format!(
                "tenant {tenant} has several apps in the configuration file, and {name} does not say which of them it \
                 describes; unset {name}"
            )));
        }
        tenants.insert(tenant.clone(), apps);
        let mut by_tenant = BTreeMap::new();
        for (tenant, apps) in tenants {
            let complete = apps.into_iter().filter_map(|app| app.complete(&tenant).transpose());
            let complete = complete.collect::<Result<Vec<_>, _>>()?;
            if !complete.is_empty() {
                check_apps(&complete).map_err(|invalid| Failure::Malformed(format!("tenant {tenant}: {invalid}")))?;
                by_tenant.insert(tenant, complete);
            }
        }
        Ok(Self { by_tenant })
    }

    /// Prepares the credentials for a fake. The fake has sent `apps`, with their secrets. If no app is configured for
    /// the tenant `default`, this tenant uses the first of `apps`. If no app is configured for a tenant whose name is
    /// the app key of one of `apps`, this tenant uses that app. All other tenants need a configured app, as with TikTok
    /// Shop.
    ///
    /// # Errors
    /// A configured app is not in `apps`, or has another secret in `apps`. Any program could listen at the fake's
    /// address. Such a program learns no secret from a request, because it must have sent each secret itself before.
    pub(crate) fn for_fake(
        mut self,
        fake: FakeAddress,
        apps: Vec<AppCredentials>,
        default: TenantId,
    ) -> Result<Self, Failure> {
        let is_shown = |configured: &AppCredentials| {
            apps.iter().any(|app| app.app_key == configured.app_key && app.app_secret == configured.app_secret)
        };
        let mut configured = self.by_tenant.iter().flat_map(|(tenant, apps)| apps.iter().map(move |app| (tenant, app)));
        if let Some((tenant, app)) = configured.find(|(_, configured)| !is_shown(configured)) {
            let key = &app.app_key;
            let what = if apps.iter().any(|shown| shown.app_key == *key) {
                format!("the configured app {key} has another secret at the fake at {fake}")
            } else {
                format!("the configured app is not an app of the fake at {fake}")
            };
            return Err(Failure::Malformed(format!(
                "tenant {tenant}: {what}, and its secret is not sent to a fake; unset {APP_KEY} and {APP_SECRET}, name another configuration file with --config, or use neither \
                 --fake nor TIKTOK_SHOP_FAKE"
            )));
        }
        if let Some(first) = apps.first() {
            self.by_tenant.entry(default).or_insert_with(|| vec![first.clone()]);
        }
        for app in apps {
            if let Ok(tenant) = app.app_key.parse() {
                self.by_tenant.entry(tenant).or_insert_with(|| vec![app]);
            }
        }
        Ok(self)
    }

    /// Returns the keys of the tenant's apps.
    pub(crate) fn keys_of(&self, tenant: &TenantId) -> impl Iterator<Item = &str> {
        self.by_tenant.get(tenant).into_iter().flatten().map(|app| app.app_key.as_str())
    }

    /// Returns the tenants that have an app.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.by_tenant.keys()
    }
}

#[async_trait]
impl CredentialsProvider for Credentials {
    async fn apps(&self, tenant: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        let apps = self.by_tenant.get(tenant).cloned();
        apps.ok_or_else(|| CredentialsError::Refused("no credentials for this tenant".to_owned()))
    }
}
