//! Finds and opens the storage, the keys, the credentials and the component that a command uses. Options win over
//! environment variables, and environment variables win over the configuration file.

mod address;
mod browser_session;
mod component;
mod config_file;
mod credentials;
mod database;
mod environment;
mod fake;
mod folders;
mod key_service;
mod keys;
mod proxy;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tiktok_shop_host::clock::{Clock, SystemClock};
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::credentials::CredentialsProvider;
use tiktok_shop_host::egress::{EgressPolicy, Proxy};
use tiktok_shop_host::events::{Actor, StatedReason};
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::{KeyProvider, Keyring};
use tiktok_shop_host::storage::{Environment, HostStorage};
use tiktok_shop_host::{Component, ComponentDigest, ConnectorHost, TenantId};

pub(crate) use self::address::Address;
pub(crate) use self::browser_session::browser_session;
pub(crate) use self::component::component_file;
use self::config_file::ConfigFile;
use self::credentials::Credentials;
use self::database::Database;
pub(crate) use self::database::{Creation, DatabaseArgs};
pub(crate) use self::environment::{COMPONENT, CONTRACT_STORAGE, HOST_KEYS, variable};
pub(crate) use self::fake::FakeAddress;
pub(crate) use self::folders::{browser_session_file, config_file, database, fake_database, fake_key_file, key_file};
pub(crate) use self::keys::HostKeySource;
use crate::failure::Failure;
use crate::output::Report;

/// The heading of the options that most commands share.
pub(crate) const SHARED: &str = "Shared options";

/// The options of a command that works with stored connections.
#[derive(Args)]
pub(crate) struct StorageArgs {
    /// Database: sqlite:…, postgres:… or memory: [env: TIKTOK_SHOP_STORAGE]
    #[arg(long, value_name = "ADDRESS", value_parser = Address::without_password, help_heading = SHARED)]
    storage: Option<Address>,

    /// Tenant whose app and connections are used
    #[arg(long, value_name = "ID", env = "TIKTOK_SHOP_TENANT", hide_env_values = true, help_heading = SHARED)]
    pub(crate) tenant: Option<TenantId>,

    /// File of host keys, created on first use
    #[arg(long, value_name = "FILE", env = "TIKTOK_SHOP_KEY_FILE", hide_env_values = true, help_heading = SHARED)]
    key_file: Option<PathBuf>,

    /// Configuration file in TOML
    #[arg(long, value_name = "FILE", env = "TIKTOK_SHOP_CONFIG", hide_env_values = true, help_heading = SHARED)]
    config: Option<PathBuf>,

    /// Address of a fake TikTok Shop
    #[arg(long, value_name = "URL", env = "TIKTOK_SHOP_FAKE", hide_env_values = true, help_heading = SHARED)]
    fake: Option<FakeAddress>,

    /// Who runs the command, for events and logs
    #[arg(long, value_name = "NAME", env = "TIKTOK_SHOP_ACTOR", hide_env_values = true, help_heading = SHARED)]
    actor: Option<Actor>,

    /// Reason why the command is run; events contain this reason
    #[arg(long, value_name = "TEXT", help_heading = SHARED)]
    reason: Option<StatedReason>,
}

/// The options of a command that runs the component.
#[derive(Args)]
pub(crate) struct HostArgs {
    #[command(flatten)]
    storage: StorageArgs,

    /// Component file, from cargo xtask dist
    #[arg(long, value_name = "FILE", env = "TIKTOK_SHOP_COMPONENT", hide_env_values = true, help_heading = SHARED)]
    component: Option<PathBuf>,

    /// SHA-256 of the component
    #[arg(long, value_name = "HEX", env = "TIKTOK_SHOP_COMPONENT_SHA256", hide_env_values = true, help_heading = SHARED)]
    component_sha256: Option<ComponentDigest>,
}

/// An opened storage, with the host keys and the other settings of the command.
pub(crate) struct OpenedStorage {
    pub(crate) storage: Arc<dyn HostStorage>,
    pub(crate) keys: HostKeySource,
    pub(crate) tenant: TenantId,
    key_provider: Arc<dyn KeyProvider>,
    clock: Arc<dyn Clock>,
    credentials: Arc<dyn CredentialsProvider>,
    /// The SHA-256 that the component must have, according to the configuration file.
    component_sha256: Option<ComponentDigest>,
    /// The forward proxy through which TikTok Shop is reached.
    proxy: Option<Proxy>,
    /// Who runs the command. `None` if neither the options nor the environment name anybody.
    actor: Option<Actor>,
    /// Why the command is run.
    reason: Option<StatedReason>,
}

/// A host that runs the component with an opened storage.
pub(crate) struct OpenedHost {
    pub(crate) host: ConnectorHost,
    pub(crate) opened: OpenedStorage,
    pub(crate) fake: Option<FakeAddress>,
}

impl StorageArgs {
    /// Opens a storage that exists.
    pub(crate) async fn open(self, report: &Report) -> Result<OpenedStorage, Failure> {
        self.open_or_create(Creation::Nothing, report).await
    }

    /// Opens the storage. `creation` says which database the command creates if there is none. The function reads the
    /// settings before it creates a file or connects to anything.
    pub(crate) async fn open_or_create(self, creation: Creation, report: &Report) -> Result<OpenedStorage, Failure> {
        let Self { storage, tenant, key_file, config, fake, actor, reason } = self;
        let tenant = match tenant {
            Some(tenant) => tenant,
            None => "default".parse().map_err(|error| Failure::Malformed(format!("{error}")))?,
        };
        let config = match config {
            Some(path) => ConfigFile::read(&path)?,
            None => ConfigFile::read_if_exists(&config_file()?)?,
        };
        let credentials = Credentials::gather(config.tenants, &tenant)?;
        let proxy = config.proxy.with_environment()?;
        let database = Database::find(storage, config.storage, fake)?;
        // With a key service, the other host keys only unwrap what they wrapped earlier. No default file is looked for.
        let service = config.key_service.map(key_service::KeyServiceTable::open).transpose()?;
        let key_source = match (HostKeySource::from_environment()?, key_file) {
            (Some(_), Some(_)) => {
                return Err(Failure::Malformed(format!("{HOST_KEYS} and --key-file are both given; use only one")));
            }
            (Some(keys), None) => Err(Some(keys)),
            (None, Some(path)) => Ok(path),
            (None, None) => match config.key_file {
                Some(path) => Ok(path),
                None if service.is_some() => Err(None),
                None if fake.is_some() => Ok(fake_key_file()?),
                None => Ok(folders::key_file()?),
            },
        };
        let (clock, credentials): (Arc<dyn Clock>, _) = match fake {
            Some(fake) => (fake.clock().await?, credentials.for_fake(fake, fake.apps().await?)?),
            None => (Arc::new(SystemClock::new()), credentials),
        };
        // The storage is opened before the keys, so that no key is made for a database that does not exist.
        let storage = database.open(creation, Arc::clone(&clock)).await?;
        let keys = match (service, key_source) {
            (None, Ok(path)) => HostKeySource::open_file(&path, report)?,
            (Some(service), Ok(path)) => {
                HostKeySource::Service { service, earlier: Some(Box::new(HostKeySource::open_earlier_file(&path)?)) }
            }
            (Some(service), Err(keys)) => HostKeySource::Service { service, earlier: keys.map(Box::new) },
            (None, Err(keys)) => keys.ok_or_else(|| Failure::Malformed("no host keys are named".to_owned()))?,
        };
        if matches!(database.address, Address::Memory) {
            report.note("storage memory: nothing is kept after this command");
        }
        check_environment(&*storage, if fake.is_some() { Environment::Fake } else { Environment::TikTokShop }).await?;
        let key_provider = keys.provider(report.last_key_error.clone());
        let credentials = Arc::new(credentials);
        let component_sha256 = config.component_sha256;
        let actor = actor.or_else(environment::user);
        report.check_stop()?;
        Ok(OpenedStorage {
            storage,
            keys,
            tenant,
            key_provider,
            clock,
            credentials,
            component_sha256,
            proxy,
            actor,
            reason,
        })
    }
}

/// Checks that the database belongs to `environment`. A database that belongs to no environment yet belongs to
/// `environment` from now on. The host library makes the same check, but its error can't say which option to use.
async fn check_environment(storage: &dyn HostStorage, environment: Environment) -> Result<(), Failure> {
    if storage.belongs_to(environment).await? {
        return Ok(());
    }
    Err(Failure::Unavailable(match environment {
        Environment::Fake => "storage: this database belongs to TikTok Shop, so a fake must not get its tokens; \
                              name another database with --storage, or use neither --fake nor TIKTOK_SHOP_FAKE"
            .to_owned(),
        Environment::TikTokShop => {
            "storage: this database belongs to a fake; name another database with --storage, or \
                                    name the fake with --fake"
                .to_owned()
        }
    }))
}

impl HostArgs {
    /// Opens a storage that exists, and builds a host with the component.
    pub(crate) async fn open(self, report: &Report) -> Result<OpenedHost, Failure> {
        self.open_or_create(Creation::Nothing, report).await
    }

    /// Opens the storage and builds a host with the component. `creation` says which database the command creates if
    /// there is none.
    pub(crate) async fn open_or_create(self, creation: Creation, report: &Report) -> Result<OpenedHost, Failure> {
        let Self { storage, component, component_sha256 } = self;
        let component = Component::File(component_file(component.as_deref())?);
        let fake = storage.fake;
        let opened = storage.open_or_create(creation, report).await?;
        // A fake is on this machine, so no proxy is needed to reach it.
        let egress = match (fake, &opened.proxy) {
            (Some(fake), _) => fake.egress()?,
            (None, Some(proxy)) => EgressPolicy::production().proxy(proxy.clone()),
            (None, None) => EgressPolicy::production(),
        };
        let mut builder = ConnectorHost::builder();
        if let Some(digest) = component_sha256.or(opened.component_sha256) {
            builder = builder.component_sha256(digest);
        }
        let host = builder
            .component(component)
            .storage(Arc::clone(&opened.storage))
            .keys(Arc::clone(&opened.key_provider))
            .credentials(Arc::clone(&opened.credentials))
            .clock(Arc::clone(&opened.clock))
            .egress(egress)
            // A command makes one call, or sweeps. A sweep may use all instances for the connections of one tenant.
            .limits(Limits { tenant_percent: 100, ..Limits::default() })
            .build()?;
        let host = match &opened.actor {
            Some(actor) => host.acting_as(actor.clone()),
            None => host,
        };
        let host = match &opened.reason {
            Some(reason) => host.because(reason.clone()),
            None => host,
        };
        // Compiling the component takes a while. A signal may have arrived meanwhile.
        report.check_stop()?;
        Ok(OpenedHost { host, opened, fake })
    }
}

impl OpenedStorage {
    /// Returns the current time. If a fake is used, this is the fake's time.
    pub(crate) fn now(&self) -> UnixSeconds {
        UnixSeconds(self.clock.wall().as_secs())
    }

    /// Returns the keyring, which counts, rotates and erases the data keys of all tenants.
    pub(crate) fn keyring(&self) -> Keyring {
        let (storage, provider) = (Arc::clone(&self.storage), Arc::clone(&self.key_provider));
        let keyring = Keyring::new(storage, provider, Arc::new(SystemRandomness)).clock(Arc::clone(&self.clock));
        let keyring = match &self.actor {
            Some(actor) => keyring.acting_as(actor.clone()),
            None => keyring,
        };
        match &self.reason {
            Some(reason) => keyring.because(reason.clone()),
            None => keyring,
        }
    }
}
