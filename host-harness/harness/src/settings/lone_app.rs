//! Finds the app that a command uses if the command needs no database, no host keys and no component.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::credentials::{AppCredentials, CredentialsProvider as _};
use tiktok_shop_private_file::Access;

use super::configured_text::{path, visible_ascii};
use super::credentials::Credentials;
use super::fake::FakeAddress;
use super::tenant::{NamedTenants, OneTenant, TenantArgs as _};
use super::{SHARED, environment, read_config};
use crate::failure::Failure;

/// The options that name an app.
#[derive(Args)]
pub(crate) struct AppArgs {
    #[command(flatten)]
    tenant: OneTenant,

    /// Who may read: owner, group, mounted
    #[arg(long, value_name = "WHO", env = environment::FILE_ACCESS, hide_env_values = true, help_heading = SHARED)]
    #[arg(value_parser = visible_ascii::<Access>)]
    file_access: Option<Access>,

    /// Configuration file in TOML
    #[arg(long, value_name = "FILE", env = environment::CONFIG, hide_env_values = true, help_heading = SHARED)]
    #[arg(value_parser = OsStringValueParser::new().try_map(path))]
    config: Option<PathBuf>,

    /// Use the fake TikTok Shop at this address
    #[arg(long, value_name = "URL", env = environment::FAKE, hide_env_values = true, help_heading = SHARED)]
    #[arg(value_parser = visible_ascii::<FakeAddress>)]
    fake: Option<FakeAddress>,
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
        self.fake.is_some()
    }

    /// Finds the app of the tenant. Opens no database and no file except the configuration.
    ///
    /// # Errors
    /// The tenant has no app, a setting is malformed, or a proxy is configured. The requests of such a command can't use
    /// a proxy.
    pub(crate) async fn find(self) -> Result<LoneApp, Failure> {
        let Self { tenant, file_access, config, fake } = self;
        let tenants = NamedTenants::find(tenant.named())?;
        let config = read_config(config, file_access)?;
        let credentials = Credentials::gather(config.tenants, &tenants.of_environment)?;
        let credentials = match fake {
            Some(fake) => credentials.for_fake(fake, fake.apps().await?, tenants.default.clone())?,
            None if config.proxy.with_environment()?.is_some() => {
                return Err(Failure::Malformed(format!(
                    "this command can't use a proxy; run it on a machine that reaches TikTok Shop directly, without {} \
                     and egress.proxy",
                    environment::PROXY
                )));
            }
            None => credentials,
        };
        let tenant = tenants.tenant;
        let found = credentials.current(&tenant).await;
        let credentials = found.map_err(|_| {
            Failure::Malformed(format!(
                "tenant {tenant} has no app; set {} and {}, or put the app into tenants.{tenant} of the configuration file",
                environment::APP_KEY,
                environment::APP_SECRET
            ))
        })?;
        Ok(LoneApp { tenant, credentials, fake })
    }
}
