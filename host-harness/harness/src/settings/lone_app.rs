//! Finds the app that a command uses if the command needs no database, no host keys and no component.

use clap::Args;
use tiktok_shop_host::credentials::{AppCredentials, CredentialsProvider as _};
use tiktok_shop_host::{AppKey, TenantId};

use super::configured_text::one_line;
use super::credentials::Credentials;
use super::fake::FakeAddress;
use super::tenant::{NamedTenants, OneTenant, TenantArgs as _, no_app};
use super::{ConfigArgs, environment, read_config};
use crate::failure::Failure;

/// The options that name an app.
#[derive(Args)]
pub(crate) struct AppArgs {
    #[command(flatten)]
    tenant: OneTenant,

    /// Key of the app; needed only if the tenant has several apps
    #[arg(long, value_name = "KEY", value_parser = one_line::<AppKey>)]
    app: Option<AppKey>,

    #[command(flatten)]
    config: ConfigArgs,
}

/// An app, and the fake that it is used with, if any.
pub(crate) struct LoneApp {
    pub(crate) tenant: TenantId,
    pub(crate) credentials: AppCredentials,
    pub(crate) fake: Option<FakeAddress>,
}

impl AppArgs {
    /// Returns whether the option or the variable names a fake.
    pub(crate) const fn names_fake(&self) -> bool {
        self.config.fake.is_some()
    }

    /// Finds the app of the tenant. Opens no database and no file except the configuration.
    ///
    /// # Errors
    /// The tenant has no app, or it has several and `--app` names none of them. Or a setting is malformed. Or a proxy is
    /// configured: the requests of such a command can't use a proxy.
    pub(crate) async fn find(self) -> Result<LoneApp, Failure> {
        let Self { tenant, app, config: ConfigArgs { file_access, config, fake } } = self;
        let tenants = NamedTenants::find(tenant.named())?;
        let config = read_config(config, file_access)?;
        let file = config.file.clone();
        let credentials = Credentials::gather(config.tenants, &config.file, &tenants.of_environment)?;
        let credentials = match fake {
            Some(fake) => credentials.for_fake(fake, fake.apps().await?, tenants.default.clone())?,
            None if config.proxy.with_environment(&config.file)?.is_some() => {
                return Err(Failure::Malformed(format!(
                    "this command can't use a proxy; run it on a machine that reaches TikTok Shop directly, without {} \
                     and egress.proxy",
                    environment::PROXY
                )));
            }
            None => credentials,
        };
        let tenant = tenants.tenant;
        let apps = credentials.apps(&tenant).await.map_err(|_| no_app(&tenant, &file))?;
        let keys = apps.iter().map(|app| app.app_key.as_str()).collect::<Vec<_>>().join(", ");
        let mut candidates =
            apps.into_iter().filter(|found| app.as_ref().is_none_or(|app| app.as_str() == found.app_key));
        let credentials = match (candidates.next(), candidates.next()) {
            (Some(only), None) => only,
            (Some(_), Some(_)) => {
                return Err(Failure::Malformed(format!(
                    "tenant {tenant} has several apps; name one with --app: {keys}"
                )));
            }
            (None, _) => {
                return Err(Failure::Malformed(format!(
                    "--app: tenant {tenant} has no such app; its apps are: {keys}"
                )));
            }
        };
        Ok(LoneApp { tenant, credentials, fake })
    }
}
