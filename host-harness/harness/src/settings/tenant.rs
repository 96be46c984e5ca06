//! The tenant of a command, and the check that the tenant is known. Without the check, a command with a mistyped tenant
//! would begin a new tenant, or would show no connections.

use std::path::Path;

use clap::Args;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::storage::{HostStorage, StorageError};

use super::SHARED;
use super::configured_text::one_line;
use super::credentials::Credentials;
use super::environment::{APP_KEY, APP_SECRET, AUTHORIZATION_LINK, PREVIOUS_APP_SECRET, TENANT, variable};
use crate::failure::Failure;
use crate::output::Report;

/// The maximum number of known tenants that an error names.
const MAX_NAMED: usize = 5;

/// The options that name the tenant of a command.
pub(crate) trait TenantArgs: Args {
    /// Returns the tenant that the option or its environment variable names.
    fn named(&self) -> Option<TenantId>;

    /// Whether the command works with one tenant or with all.
    const SCOPE: TenantScope;
}

/// The tenants with which a command works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TenantScope {
    One,
    All,
}

/// The option of a command that works with one tenant.
#[derive(Args)]
pub(crate) struct OneTenant {
    /// Tenant whose app and connections are used
    #[arg(long, value_name = "ID", env = TENANT, hide_env_values = true, help_heading = SHARED)]
    #[arg(value_parser = one_line::<TenantId>)]
    tenant: Option<TenantId>,
}

/// A command that works with all tenants has no option for a tenant.
#[derive(Args)]
pub(crate) struct AllTenants {}

impl TenantArgs for OneTenant {
    const SCOPE: TenantScope = TenantScope::One;

    fn named(&self) -> Option<TenantId> {
        self.tenant.clone()
    }
}

impl TenantArgs for AllTenants {
    const SCOPE: TenantScope = TenantScope::All;

    fn named(&self) -> Option<TenantId> {
        None
    }
}

/// The tenants that the settings name.
pub(crate) struct NamedTenants {
    /// The tenant of the command.
    pub(crate) tenant: TenantId,
    /// Whether the option or the variable names the tenant of the command.
    pub(crate) is_named: bool,
    /// The tenant whose app is in the environment variables.
    pub(crate) of_environment: TenantId,
    /// The tenant that a command uses if nothing names a tenant.
    pub(crate) default: TenantId,
}

impl NamedTenants {
    /// Reads the variable [`TENANT`]. If the variable is set, the app in the environment belongs to the tenant that the
    /// variable names, even if an option names another tenant for the command.
    pub(crate) fn find(named: Option<TenantId>) -> Result<Self, Failure> {
        let malformed = |error: &dyn std::fmt::Display| Failure::Malformed(format!("{TENANT}: {error}"));
        let default: TenantId = "default".parse().map_err(|error| malformed(&error))?;
        let of_variable = variable(TENANT)?.map(|text| text.parse()).transpose().map_err(|error| malformed(&error))?;
        let is_named = named.is_some() || of_variable.is_some();
        let tenant = named.or_else(|| of_variable.clone()).unwrap_or_else(|| default.clone());
        let of_environment = of_variable.unwrap_or_else(|| tenant.clone());
        Ok(Self { tenant, is_named, of_environment, default })
    }

    /// Checks the variable [`TENANT`] for a command that works with all tenants. If the environment contains an app,
    /// the variable says whose app it is, and a note says that the command is not limited to this tenant.
    ///
    /// # Errors
    /// The environment contains no app, so the variable does nothing. The user probably expects that it limits the
    /// command to the tenant.
    pub(crate) fn check_for_all(&self, report: &Report) -> Result<(), Failure> {
        if !self.is_named {
            return Ok(());
        }
        let tenant = &self.of_environment;
        for app in [APP_KEY, APP_SECRET, PREVIOUS_APP_SECRET, AUTHORIZATION_LINK] {
            if variable(app)?.is_some() {
                report.note(&format!(
                    "this command works with all tenants; {TENANT} only says that the app of {app} belongs to tenant \
                     {tenant}"
                ));
                return Ok(());
            }
        }
        Err(Failure::Malformed(format!(
            "{TENANT} names tenant {tenant}, but this command works with all tenants; unset the variable"
        )))
    }

    /// Checks that the tenant has an app, for a command that is about to create the database. Nothing of the tenant is
    /// stored yet. A mistake must not leave a database and a host key behind.
    pub(crate) fn check_without_a_database(&self, credentials: &Credentials, file: &Path) -> Result<(), Failure> {
        let known: Vec<_> = credentials.tenants().collect();
        if known.contains(&&self.tenant) {
            return Ok(());
        }
        Err(if self.is_named || !known.is_empty() { self.unknown(&known, file) } else { no_app(&self.tenant, file) })
    }

    /// Checks that the tenant has an app, or that something of it is stored. If no tenant is named and no app is
    /// configured, the check accepts the tenant `default`, so that the error of a first command can say where to put
    /// the app.
    pub(crate) async fn check(
        &self,
        credentials: &Credentials,
        file: &Path,
        storage: &dyn HostStorage,
    ) -> Result<(), Failure> {
        let Self { tenant, is_named, .. } = self;
        let known: Vec<_> = credentials.tenants().collect();
        let may_have_no_app = !is_named && known.is_empty();
        if may_have_no_app || known.contains(&tenant) || is_stored(tenant, storage).await? {
            return Ok(());
        }
        Err(self.unknown(&known, file))
    }

    fn unknown(&self, known: &[&TenantId], file: &Path) -> Failure {
        let tenant = &self.tenant;
        let known = match known.len() {
            0 => String::new(),
            number => {
                let named: Vec<_> = known.iter().take(MAX_NAMED).map(ToString::to_string).collect();
                let others =
                    if number > MAX_NAMED { format!(" and {} others", number - MAX_NAMED) } else { String::new() };
                format!("; apps are configured for {}{others}", named.join(", "))
            }
        };
        Failure::Malformed(format!(
            "tenant {tenant} is unknown: it has no app, and nothing is stored of it{known}; correct --tenant or {TENANT}, \
             or put the app into tenants.{tenant} of the configuration file {}",
            file.display()
        ))
    }
}

/// Returns the error for a tenant without an app. `file` is the configuration file, which need not exist.
pub(crate) fn no_app(tenant: &TenantId, file: &Path) -> Failure {
    Failure::Malformed(format!(
        "tenant {tenant} has no app; set {APP_KEY} and {APP_SECRET}, or put the app into tenants.{tenant} of the \
         configuration file {}",
        file.display()
    ))
}

/// Returns whether the storage contains a data key or an event of the tenant. The storage also contains an event of a
/// tenant that was erased.
async fn is_stored(tenant: &TenantId, storage: &dyn HostStorage) -> Result<bool, StorageError> {
    Ok(!storage.tenant_keys(tenant).await?.is_empty() || !storage.events(tenant, None, 1).await?.is_empty())
}
