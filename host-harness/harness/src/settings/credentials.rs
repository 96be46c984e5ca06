//! The credentials of the tenants' apps: from the configuration file, from the environment, or from a fake.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use tiktok_shop_host::credentials::{
    AppCredentials, CredentialsError, CredentialsProvider, MAX_APPS, NotOfFake, check_app_of_fake, check_apps,
    check_link,
};
use tiktok_shop_host::storage::Environment;
use tiktok_shop_host::{Secret, TenantId};

use super::environment::{APP_KEY, APP_SECRET, AUTHORIZATION_LINK, FAKE, PREVIOUS_APP_SECRET, variable};
use super::fake::FakeAddress;
use crate::failure::Failure;

/// The place of an app in the configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum AppPlace {
    /// The file does not contain the app.
    #[default]
    Nowhere,
    /// The table of a tenant, such as `tenants.acme`. The table may be empty.
    Tenant(String),
    /// An item of a tenant's list, such as `tenants.acme.apps[1]`.
    Listed(String),
}

/// The settings of an app. Each member may be missing.
#[derive(Default)]
pub(crate) struct App {
    pub(crate) place: AppPlace,
    pub(crate) app_key: Option<String>,
    pub(crate) app_secret: Option<String>,
    pub(crate) previous_app_secret: Option<String>,
    pub(crate) authorization_link: Option<String>,
}

/// Whether the environment variables describe the apps of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variables {
    Apply,
    DoNotApply,
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
    /// `file` is the configuration file.
    fn complete(self, tenant: &TenantId, file: &Path, variables: Variables) -> Result<Option<ConfiguredApp>, Failure> {
        let missing = |member: &str, variable: &str| {
            let file = file.display();
            Failure::Malformed(match (&self.place, variables) {
                (AppPlace::Nowhere, _) => format!(
                    "tenant {tenant}: no {member}; set {variable}, or tenants.{tenant}.{member} in the configuration \
                     file"
                ),
                (AppPlace::Tenant(place) | AppPlace::Listed(place), Variables::Apply) => {
                    format!("configuration {file}: {place}.{member}: missing; add it, or set {variable}")
                }
                (AppPlace::Tenant(place) | AppPlace::Listed(place), Variables::DoNotApply) => {
                    format!("configuration {file}: {place}.{member}: missing; add it")
                }
            })
        };
        let is_empty = self.app_key.is_none()
            && self.app_secret.is_none()
            && self.previous_app_secret.is_none()
            && self.authorization_link.is_none();
        if is_empty && !matches!(self.place, AppPlace::Listed(_)) {
            return Ok(None);
        }
        let Some(app_key) = self.app_key.clone() else { return Err(missing("app-key", APP_KEY)) };
        let Some(app_secret) = self.app_secret.clone() else { return Err(missing("app-secret", APP_SECRET)) };
        let source_of = |member: &str, name: &'static str| -> Result<AppSource, Failure> {
            let is_set = variables == Variables::Apply && variable(name)?.is_some();
            Ok(match &self.place {
                AppPlace::Tenant(place) | AppPlace::Listed(place) if !is_set => {
                    AppSource::File(format!("configuration {}: {place}.{member}", file.display()))
                }
                AppPlace::Nowhere | AppPlace::Tenant(_) | AppPlace::Listed(_) => AppSource::Variable(name),
            })
        };
        let (key_from, secret_from) = (source_of("app-key", APP_KEY)?, source_of("app-secret", APP_SECRET)?);
        let credentials = AppCredentials {
            app_key,
            app_secret: app_secret.into(),
            previous_app_secret: self.previous_app_secret.map(Secret::from),
            authorization_link: self.authorization_link,
        };
        Ok(Some(ConfiguredApp { credentials, key_from, secret_from }))
    }
}

/// The setting from which a key or a secret comes. An error about the key or the secret begins with the name of the
/// setting.
#[derive(Debug, Clone, PartialEq, Eq)]
enum AppSource {
    Variable(&'static str),
    /// The configuration file. The text contains the path of the file and the key path of the member.
    File(String),
    /// The fake has sent the app.
    Fake,
}

impl fmt::Display for AppSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Variable(name) => name,
            Self::File(place) => place,
            Self::Fake => "the fake",
        })
    }
}

/// An app that is complete.
struct ConfiguredApp {
    credentials: AppCredentials,
    key_from: AppSource,
    secret_from: AppSource,
}

impl ConfiguredApp {
    const fn of_fake(credentials: AppCredentials) -> Self {
        Self { credentials, key_from: AppSource::Fake, secret_from: AppSource::Fake }
    }
}

/// Checks the list of a tenant's apps. An error names the first app that breaks a rule. `list` names the list.
fn check(apps: &[ConfiguredApp], list: impl Fn() -> String) -> Result<(), Failure> {
    let mut checked = Vec::new();
    for app in apps {
        checked.push(app.credentials.clone());
        if let Err(invalid) = check_apps(&checked) {
            return Err(Failure::Malformed(if checked.len() > MAX_APPS {
                format!("{}: {invalid}; remove some of them, or give them to another tenant", list())
            } else {
                format!("{}: {invalid}; correct this key, or remove this app", app.key_from)
            }));
        }
    }
    Ok(())
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
    by_tenant: BTreeMap<TenantId, Vec<ConfiguredApp>>,
}

impl Credentials {
    /// Combines the apps of the configuration file `file` with the environment. The environment variables describe the
    /// only app of `tenant`.
    ///
    /// # Errors
    /// An app has no key or no secret, a tenant has an app twice or more than 16 apps, or the environment describes an
    /// app of a tenant with several apps.
    pub(crate) fn gather(
        mut tenants: BTreeMap<TenantId, Vec<App>>,
        file: &Path,
        tenant: &TenantId,
    ) -> Result<Self, Failure> {
        let mut apps = tenants.remove(tenant).unwrap_or_default();
        if apps.len() < 2 {
            apps = vec![apps.pop().unwrap_or_default().with_environment()?];
        } else if let Some(name) = variable_of_an_app()? {
            return Err(Failure::Malformed(format!(
                "configuration {}: tenants.{tenant}.apps: the tenant has several apps, and {name} does not say which of \
                 them it describes; unset {name}",
                file.display()
            )));
        }
        // The variables add nothing to several apps, as checked above.
        let described = if apps.len() == 1 { Variables::Apply } else { Variables::DoNotApply };
        tenants.insert(tenant.clone(), apps);
        let mut by_tenant = BTreeMap::new();
        for (name, apps) in tenants {
            let variables = if name == *tenant { described } else { Variables::DoNotApply };
            let complete = apps.into_iter().filter_map(|app| app.complete(&name, file, variables).transpose());
            let complete = complete.collect::<Result<Vec<_>, _>>()?;
            if !complete.is_empty() {
                check(&complete, || format!("configuration {}: tenants.{name}.apps", file.display()))?;
                by_tenant.insert(name, complete);
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
        let mut configured = self.by_tenant.values().flatten();
        if let Some((app, why)) =
            configured.find_map(|app| Some((app, check_app_of_fake(&app.credentials, &apps).err()?)))
        {
            let key = &app.credentials.app_key;
            let (source, what) = match why {
                NotOfFake::OtherSecret => {
                    (&app.secret_from, format!("the configured app {key} has another secret at the fake at {fake}"))
                }
                NotOfFake::UnknownApp => {
                    (&app.key_from, format!("the configured app is not an app of the fake at {fake}"))
                }
            };
            let next = match source {
                AppSource::Variable(_) => format!("unset {APP_KEY} and {APP_SECRET}"),
                AppSource::File(_) | AppSource::Fake => {
                    "copy the app from the fake's page, or name another configuration file with --config".to_owned()
                }
            };
            return Err(Failure::Malformed(format!(
                "{source}: {what}, and its secret is not sent to a fake; {next}, or use neither --fake nor {FAKE}"
            )));
        }
        if let Some(first) = apps.first() {
            self.by_tenant.entry(default).or_insert_with(|| vec![ConfiguredApp::of_fake(first.clone())]);
        }
        for app in apps {
            if let Ok(tenant) = app.app_key.parse() {
                self.by_tenant.entry(tenant).or_insert_with(|| vec![ConfiguredApp::of_fake(app)]);
            }
        }
        Ok(self)
    }

    /// Returns the keys of the tenant's apps.
    pub(crate) fn keys_of(&self, tenant: &TenantId) -> impl Iterator<Item = &str> {
        self.by_tenant.get(tenant).into_iter().flatten().map(|app| app.credentials.app_key.as_str())
    }

    /// Returns a note for each authorization link with which no consent can begin.
    pub(crate) fn notes_about_links(&self, environment: Environment) -> Vec<String> {
        let apps = self.by_tenant.iter().flat_map(|(tenant, apps)| apps.iter().map(move |app| (tenant, app)));
        apps.filter_map(|(tenant, ConfiguredApp { credentials, .. })| {
            let invalid = check_link(credentials.authorization_link.as_deref()?, environment).err()?;
            Some(format!(
                "tenant {tenant}: the authorization link of the app {} is not valid, so this app can begin no consent: \
                 {invalid}; copy it from Partner Center into the app's setting authorization-link",
                credentials.app_key
            ))
        })
        .collect()
    }

    /// Returns a note for each of these keys of apps that no tenant has. They have an address for installs, and nobody
    /// is led to it.
    pub(crate) fn notes_about_installs<'a>(&self, app_keys: impl Iterator<Item = &'a str>) -> Vec<String> {
        let known = |key: &str| self.by_tenant.values().flatten().any(|app| app.credentials.app_key == key);
        let unknown = app_keys.filter(|key| !known(key)).map(|key| {
            format!(
                "serve.install-addresses.{key}: no tenant has an app with this key, so no seller is led to this address; \
                 correct the key, or put the app into a tenant of the configuration file"
            )
        });
        unknown.collect()
    }

    /// Returns the tenants that have an app.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.by_tenant.keys()
    }
}

#[async_trait]
impl CredentialsProvider for Credentials {
    async fn apps(&self, tenant: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        let apps = self.by_tenant.get(tenant).map(|apps| apps.iter().map(|app| app.credentials.clone()).collect());
        apps.ok_or_else(|| CredentialsError::Refused("no credentials for this tenant".to_owned()))
    }
}
