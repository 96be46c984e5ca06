//! What commands work with: options, variables of the environment and the configuration file, put together.

mod address;
mod component;
mod config_file;
mod credentials;
mod environment;
mod fake;
mod folders;
mod keys;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tiktok_shop_host::clock::{Clock, SystemClock};
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::credentials::CredentialsProvider;
use tiktok_shop_host::egress::EgressPolicy;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::{KeyProvider, Keyring};
use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_host::{Component, ConnectorHost, TenantId};

pub(crate) use self::address::Address;
pub(crate) use self::component::component_file;
use self::config_file::ConfigFile;
use self::credentials::Credentials;
pub(crate) use self::environment::{CONTRACT_STORAGE, HOST_KEYS, variable};
pub(crate) use self::fake::FakeAddress;
pub(crate) use self::folders::{browser_session, config_file, database, key_file};
pub(crate) use self::keys::Keys;
use super::failure::Failure;
use super::output::Report;

/// Over the options that nearly all commands have.
pub(crate) const SHARED: &str = "Where it works";

/// For a command that reads what is stored.
#[derive(Args)]
pub(crate) struct Place {
    /// sqlite:PATH, postgres:…, memory: [env: TIKTOK_SHOP_STORAGE]
    #[arg(long, value_name = "ADDRESS", value_parser = Address::without_password, help_heading = SHARED)]
    storage: Option<Address>,

    /// Whose app and connections
    #[arg(long, value_name = "ID", env = "TIKTOK_SHOP_TENANT", hide_env_values = true, help_heading = SHARED)]
    pub(crate) tenant: Option<TenantId>,

    /// Host keys; made on first use
    #[arg(long, value_name = "FILE", env = "TIKTOK_SHOP_KEY_FILE", hide_env_values = true, help_heading = SHARED)]
    key_file: Option<PathBuf>,

    /// TOML: storage, keys, apps of tenants
    #[arg(long, value_name = "FILE", env = "TIKTOK_SHOP_CONFIG", hide_env_values = true, help_heading = SHARED)]
    config: Option<PathBuf>,

    /// A fake's address, in place of TikTok Shop
    #[arg(long, value_name = "URL", env = "TIKTOK_SHOP_FAKE", hide_env_values = true, help_heading = SHARED)]
    fake: Option<FakeAddress>,
}

/// For a command that runs the component.
#[derive(Args)]
pub(crate) struct Setting {
    #[command(flatten)]
    place: Place,

    /// The connector, as cargo xtask dist makes it
    #[arg(long, value_name = "FILE", env = "TIKTOK_SHOP_COMPONENT", hide_env_values = true, help_heading = SHARED)]
    component: Option<PathBuf>,
}

/// What is stored, and the keys to it.
pub(crate) struct Stored {
    pub(crate) storage: Arc<dyn HostStorage>,
    pub(crate) keys: Keys,
    pub(crate) tenant: TenantId,
    provider: Arc<dyn KeyProvider>,
    clock: Arc<dyn Clock>,
    credentials: Arc<dyn CredentialsProvider>,
}

/// The component, running over what is stored.
pub(crate) struct Host {
    pub(crate) host: ConnectorHost,
    pub(crate) stored: Stored,
    pub(crate) fake: Option<FakeAddress>,
}

impl Place {
    /// Nothing is made or asked for before all that is said is known to be sound.
    pub(crate) async fn open(self, report: &Report) -> Result<Stored, Failure> {
        let Self { storage, tenant, key_file, config, fake } = self;
        let tenant = match tenant {
            Some(tenant) => tenant,
            None => "default".parse().map_err(|error| Failure::Malformed(format!("{error}")))?,
        };
        let config = match config {
            Some(path) => ConfigFile::read(&path, true)?,
            None => ConfigFile::read(&config_file()?, false)?,
        };
        let credentials = Credentials::gather(config.tenants, &tenant)?;
        let address = match storage {
            Some(address) => address,
            None => match variable(environment::STORAGE)? {
                Some(text) => Address::parse(&text)
                    .map_err(|what| Failure::Malformed(format!("{}: {what}", environment::STORAGE)))?,
                None => match config.storage {
                    Some(address) => address,
                    None => Address::Sqlite(database(fake.is_some())?),
                },
            },
        };
        let key_file = match (Keys::listed()?, key_file) {
            (Some(_), Some(_)) => {
                return Err(Failure::Malformed(format!("{HOST_KEYS} and --key-file are both given: which?")));
            }
            (Some(keys), None) => Err(keys),
            (None, Some(path)) => Ok(path),
            (None, None) => Ok(config.key_file.map_or_else(folders::key_file, Ok)?),
        };
        let (clock, of_the_fake): (Arc<dyn Clock>, _) = match fake {
            Some(fake) => (fake.clock().await?, Some(fake.first_app().await?)),
            None => (Arc::new(SystemClock::new()), None),
        };
        let keys = key_file.map_or_else(Ok, |path| Keys::of_file(&path, report))?;
        if matches!(address, Address::Memory) {
            report.note("storage memory: nothing is kept when this command ends");
        }
        let storage = address.open(Arc::clone(&clock)).await?;
        let provider = keys.provider(report.key_trouble.clone());
        Ok(Stored { storage, keys, tenant, provider, clock, credentials: Arc::new(credentials.or(of_the_fake)) })
    }
}

impl Setting {
    pub(crate) async fn open(self, report: &Report) -> Result<Host, Failure> {
        let Self { place, component } = self;
        let component = Component::File(component_file(component.as_deref())?);
        let fake = place.fake;
        let egress = fake.map_or_else(|| Ok(EgressPolicy::production()), FakeAddress::egress)?;
        let stored = place.open(report).await?;
        let host = ConnectorHost::builder()
            .component(component)
            .storage(Arc::clone(&stored.storage))
            .keys(Arc::clone(&stored.provider))
            .credentials(Arc::clone(&stored.credentials))
            .clock(Arc::clone(&stored.clock))
            .egress(egress)
            .build()?;
        Ok(Host { host, stored, fake })
    }
}

impl Stored {
    pub(crate) fn now(&self) -> UnixSeconds {
        UnixSeconds(self.clock.wall().as_secs())
    }

    pub(crate) fn keyring(&self) -> Keyring {
        Keyring::new(Arc::clone(&self.storage), Arc::clone(&self.provider), Arc::new(SystemRandomness))
    }
}
