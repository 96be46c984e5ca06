//! Finds and opens the storage, the keys, the credentials and the component that a command uses. Options win over
//! environment variables, and environment variables win over the configuration file.

mod address;
mod browser_session;
mod component;
mod config_file;
mod configured_text;
mod credentials;
mod database;
mod environment;
mod fake;
mod folders;
mod key_check;
mod key_service;
mod keys;
mod lone_app;
mod proxy;
mod secret_file;
mod serve;
mod tenant;
mod toml_value;
mod variable_names;
mod webhooks;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use tiktok_shop_host::clock::{Clock, SystemClock};
use tiktok_shop_host::compiled_cache::CompiledCache;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::credentials::CredentialsProvider;
use tiktok_shop_host::egress::{EgressPolicy, Proxy};
use tiktok_shop_host::events::{Actor, StatedReason};
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::metrics::SharedRecorder;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::{KeyFile, KeyFileError, KeyProvider, Keyring};
use tiktok_shop_host::storage::{Environment, HostStorage, RequestStorage};
use tiktok_shop_host::{Component, ComponentDigest, ConnectorHost, TenantId};
use tiktok_shop_private_file::Access;
use tiktok_shop_server::delivery::DeliveryStorage;
use tiktok_shop_server::{ApiKeyEntry, Metrics};

pub(crate) use self::address::{Address, OpenedDatabase};
pub(crate) use self::browser_session::browser_session;
use self::component::build_failure;
pub(crate) use self::component::component_file;
use self::config_file::{ConfigFile, ExportRule, UnsealedRows};
use self::configured_text::trimmed;
pub(crate) use self::configured_text::visible_ascii;
pub(crate) use self::configured_text::{one_line, path};
use self::credentials::Credentials;
use self::database::Database;
pub(crate) use self::database::{Creation, DatabaseArgs};
pub(crate) use self::environment::{
    COMPONENT, CONTRACT_STORAGE, HOST_KEYS, LISTEN, PUBLIC_ADDRESS, check as check_variables, file_access, variable,
};
pub(crate) use self::fake::FakeAddress;
pub(crate) use self::folders::{browser_session_file, config_file, database, fake_database, fake_key_file, key_file};
pub(crate) use self::key_check::KeyNeed;
use self::key_check::{CheckedTenants, DatabaseOrigin, check_fit, prepare};
use self::key_service::KeyServiceTable;
pub(crate) use self::keys::HostKeySource;
use self::keys::{KeyPlace, KeySettings, NamedPlace};
pub(crate) use self::lone_app::{AppArgs, LoneApp};
use self::proxy::NamedProxy;
pub(crate) use self::serve::{ListenAddress, ServeTable};
pub(crate) use self::tenant::AllTenants;
use self::tenant::{NamedTenants, OneTenant, TenantArgs, TenantScope};
use crate::failure::Failure;
use crate::output::Report;

/// Before a command works with all tenants, the data keys of at most this number of tenants are checked.
const MAX_CHECKED_TENANTS: usize = 20;

/// The heading of the options that most commands share.
pub(crate) const SHARED: &str = "Shared options";

/// The options that say where the configuration is, and whether a fake is used.
#[derive(Args)]
struct ConfigArgs {
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

/// The options that say where the host keys and the configuration are.
#[derive(Args)]
pub(crate) struct KeyArgs {
    /// File of host keys; keys init makes it
    #[arg(long, value_name = "FILE", env = environment::KEY_FILE, hide_env_values = true, help_heading = SHARED)]
    #[arg(value_parser = OsStringValueParser::new().try_map(path))]
    key_file: Option<PathBuf>,

    #[command(flatten)]
    config: ConfigArgs,
}

/// The options of a command that works with stored connections.
#[derive(Args)]
pub(crate) struct StorageArgs<T: TenantArgs = OneTenant> {
    /// Database: sqlite:…, postgres:… or memory: [env: TIKTOK_SHOP_STORAGE]
    #[arg(long, value_name = "ADDRESS", value_parser = Address::without_password, help_heading = SHARED)]
    storage: Option<Address>,

    #[command(flatten)]
    tenant: T,

    #[command(flatten)]
    keys: KeyArgs,

    /// Who runs the command, for events and logs
    #[arg(long, value_name = "NAME", env = environment::ACTOR, hide_env_values = true, help_heading = SHARED)]
    #[arg(value_parser = trimmed::<Actor>)]
    actor: Option<Actor>,

    /// Reason why the command is run; events contain this reason
    #[arg(long, value_name = "TEXT", value_parser = trimmed::<StatedReason>, help_heading = SHARED)]
    reason: Option<StatedReason>,

    /// The clock of a fake that runs in this process. It replaces the clock that the fake shows.
    #[arg(skip)]
    clock: Option<FakeClock>,
}

/// The options of a command that runs the component.
#[derive(Args)]
pub(crate) struct HostArgs<T: TenantArgs = OneTenant> {
    #[command(flatten)]
    storage: StorageArgs<T>,

    /// File of the component
    #[arg(long, value_name = "FILE", env = environment::COMPONENT, hide_env_values = true, help_heading = SHARED)]
    #[arg(value_parser = OsStringValueParser::new().try_map(path))]
    component: Option<PathBuf>,

    /// SHA-256 the component must have
    #[arg(long, value_name = "HEX", env = environment::COMPONENT_SHA256, hide_env_values = true, help_heading = SHARED)]
    #[arg(value_parser = visible_ascii::<ComponentDigest>)]
    component_sha256: Option<ComponentDigest>,

    /// The recorder of the host's metrics, for the service.
    #[arg(skip)]
    recorder: Option<SharedRecorder>,
}

/// What a command needs from its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) keys: KeyNeed,
    pub(crate) tenant: TenantNeed,
}

/// Whether the tenant of a command must be known. A tenant is known if it has an app, or if something of it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TenantNeed {
    Known,
    Any,
}

impl Needs {
    /// The command seals or opens values of a known tenant.
    pub(crate) const EVERYTHING: Self = Self { keys: KeyNeed::Required, tenant: TenantNeed::Known };
    /// The command opens nothing, so it works without host keys.
    pub(crate) const NO_KEYS: Self = Self { keys: KeyNeed::None, tenant: TenantNeed::Known };
}

/// Whether a command may send requests to TikTok Shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Requests {
    None,
    Possible,
}

/// Who shares the instances of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// The calls of one command. A sweep may use all instances for the connections of one tenant.
    Command,
    /// The tenants of the service, as its settings say.
    Service,
}

/// An opened storage, with the host keys and the other settings of the command.
pub(crate) struct OpenedStorage {
    pub(crate) storage: Arc<dyn HostStorage>,
    /// Remembers requests to the service.
    pub(crate) requests: Arc<dyn RequestStorage>,
    pub(crate) keys: HostKeySource,
    pub(crate) tenant: TenantId,
    key_provider: Arc<dyn KeyProvider>,
    clock: Arc<dyn Clock>,
    credentials: Arc<dyn CredentialsProvider>,
    /// The SHA-256 that the component must have, according to the configuration file.
    component_sha256: Option<ComponentDigest>,
    /// The forward proxy through which TikTok Shop is reached.
    proxy: Option<Proxy>,
    /// Whether the configuration file allows exports.
    export: ExportRule,
    /// Whether the configuration file accepts rows without a seal.
    unsealed_rows: UnsealedRows,
    /// Who runs the command: the actor of the option or the variable, or else the user of this machine.
    actor: Option<Actor>,
    /// Why the command is run.
    reason: Option<StatedReason>,
    /// The path of the configuration file, for error texts. The file may not exist.
    config_file: PathBuf,
    /// The tenants that have an app.
    tenants: Vec<TenantId>,
    /// A note for each setting of an app that does not work. The service can start nevertheless.
    app_notes: Vec<String>,
    /// The settings of the service.
    serve: ServeTable,
    /// The API keys of the service.
    api_keys: Vec<ApiKeyEntry>,
    /// Who may read the files that the configuration names.
    file_access: Access,
    /// The storage of the webhooks that the service sends.
    deliveries: Arc<dyn DeliveryStorage>,
}

/// The settings of the service in the configuration.
pub(crate) struct ServiceSettings {
    /// The path of the configuration file, for error texts.
    pub(crate) file: PathBuf,
    pub(crate) table: ServeTable,
    pub(crate) api_keys: Vec<ApiKeyEntry>,
    /// The tenants that have an app.
    pub(crate) tenants: Vec<TenantId>,
    /// A note for each setting of an app that does not work. The service can start nevertheless.
    pub(crate) app_notes: Vec<String>,
    /// Who may read the files that the configuration names.
    pub(crate) file_access: Access,
}

/// The clock of a fake that runs in this process.
type FakeClock = Arc<dyn Clock>;

/// A host that runs the component with an opened storage.
pub(crate) struct OpenedHost {
    pub(crate) host: ConnectorHost,
    pub(crate) opened: OpenedStorage,
    pub(crate) fake: Option<FakeAddress>,
}

impl KeyArgs {
    /// Creates the key file that these settings name, with one new key. Opens nothing else.
    ///
    /// # Errors
    /// The file exists, or the settings name host keys that are not in a file.
    pub(crate) fn create_key_file(self) -> Result<KeyFile, Failure> {
        let Self { key_file, config: ConfigArgs { file_access, config, fake } } = self;
        let config = read_config(config, file_access)?;
        let file = config.file.display();
        let needless = || {
            Failure::Malformed(format!(
                "configuration {file}: key-service: the key service makes the host keys itself, so no key file is needed; \
                 go on with migrate"
            ))
        };
        // The key service is not opened, because its secrets may be missing where this command runs.
        if config.key_service.is_some() {
            return Err(needless());
        }
        let service = KeyServiceTable::open_if_configured(None, fake)?;
        let settings = KeySettings { option: key_file, configured: config.key_file, service, fake };
        match KeyPlace::find(settings)? {
            KeyPlace::Named(NamedPlace::File(path)) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.is_dir());
                match folder {
                    // The folder is probably misspelt. Only the program's own folder is created.
                    Some(folder) => Err(Failure::Unavailable(format!(
                        "host keys: there is no folder {} for the key file: correct the path, or create the folder",
                        folder.display()
                    ))),
                    None => new_key_file(path, file_access.or(config.file_access).unwrap_or_default()),
                }
            }
            KeyPlace::Default(path) => new_key_file(path, file_access.or(config.file_access).unwrap_or_default()),
            KeyPlace::Service { .. } => Err(needless()),
            KeyPlace::Named(NamedPlace::Environment(_)) => Err(Failure::Malformed(format!(
                "the host keys come from {HOST_KEYS}; unset it to make a key file, or keep the keys there"
            ))),
        }
    }
}

/// Creates a key file with one new key.
///
/// # Errors
/// The file exists. If it is no key file, for example a folder or an empty file, the error says so.
fn new_key_file(path: PathBuf, access: Access) -> Result<KeyFile, Failure> {
    match KeyFile::create(path) {
        Err(KeyFileError::Exists(path)) => {
            KeyFile::open_with_access(&path, access)?;
            Err(KeyFileError::Exists(path).into())
        }
        created => Ok(created?),
    }
}

fn read_config(path: Option<PathBuf>, access: Option<Access>) -> Result<ConfigFile, Failure> {
    match path {
        Some(path) => ConfigFile::read(&path, access.unwrap_or_default()),
        None => ConfigFile::read_if_exists(&config_file()?, access.unwrap_or_default()),
    }
}

impl<T: TenantArgs> StorageArgs<T> {
    /// Returns true if the option or its environment variable names a tenant.
    pub(crate) fn names_tenant(&self) -> bool {
        self.tenant.named().is_some()
    }

    /// Opens the storage for a command with these needs. Never creates a database.
    pub(crate) async fn open_for(self, needs: Needs, report: &Report) -> Result<OpenedStorage, Failure> {
        self.open_or_create_for(needs, Creation::Nothing, Requests::None, report).await
    }

    /// Opens the storage. `creation` says which database the command creates if there is none. The function reads the
    /// settings before it creates a file or connects to anything.
    async fn open_or_create_for(
        self,
        needs: Needs,
        creation: Creation,
        requests: Requests,
        report: &Report,
    ) -> Result<OpenedStorage, Failure> {
        let Self { storage, tenant, keys, actor, reason, clock: clock_of_fake } = self;
        let KeyArgs { key_file, config: ConfigArgs { file_access, config, fake } } = keys;
        let tenants = NamedTenants::find(tenant.named())?;
        if T::SCOPE == TenantScope::All {
            tenants.check_for_all(report)?;
        }
        let config = read_config(config, file_access)?;
        let credentials = Credentials::gather(config.tenants, &config.file, &tenants.of_environment)?;
        let proxy = match (config.proxy.with_environment(&config.file)?, requests, fake) {
            (Some(proxy), Requests::Possible, None) => Some(proxy.with_authorities()?),
            (proxy, _, _) => proxy.map(NamedProxy::without_authorities),
        };
        let database = Database::find(storage, config.storage, fake)?;
        let database_origin = DatabaseOrigin::of(database.named(), fake);
        let service = KeyServiceTable::open_if_configured(config.key_service, fake)?;
        let settings = KeySettings { option: key_file, configured: config.key_file, service, fake };
        let place = KeyPlace::find(settings)?;
        let (clock, credentials): (Arc<dyn Clock>, _) = match fake {
            Some(fake) => {
                let apps = fake.apps().await?;
                let clock = match clock_of_fake {
                    Some(clock) => clock,
                    None => fake.clock().await?,
                };
                (clock, credentials.for_fake(fake, apps, tenants.default.clone())?)
            }
            None => (Arc::new(SystemClock::new()), credentials),
        };
        let file_access = file_access.or(config.file_access).unwrap_or_default();
        let found = place.open(file_access)?;
        let prepared = prepare(found, database_origin, needs.keys, report)?;
        if database.is_created_by(creation) {
            tenants.check_without_a_database(&credentials, &config.file)?;
        }
        // The storage is opened before a key is made, so that no key is made for a database that does not exist.
        let OpenedDatabase { storage, requests, deliveries } =
            database.open(creation, file_access, Arc::clone(&clock)).await?;
        if matches!(database.address, Address::Memory) {
            report.note("storage memory: everything is in memory, and ends with this command");
        }
        let environment = if fake.is_some() { Environment::Fake } else { Environment::TikTokShop };
        check_environment(&*storage, environment).await?;
        if (T::SCOPE, needs.tenant) == (TenantScope::One, TenantNeed::Known) {
            tenants.check(&credentials, &config.file, &*storage).await?;
        }
        let keys = prepared.for_database(&*storage, database_origin, report).await?;
        if needs.keys == KeyNeed::Required {
            let checked: Vec<_> = match T::SCOPE {
                TenantScope::One => vec![tenants.tenant.clone()],
                TenantScope::All => credentials.tenants().take(MAX_CHECKED_TENANTS).cloned().collect(),
            };
            check_fit(&storage, &keys, CheckedTenants { tenants: &checked, scope: T::SCOPE }, report).await?;
        }
        let key_provider = keys.recording_provider(report.last_key_errors.clone());
        let with_apps = credentials.tenants().cloned().collect();
        let mut app_notes = credentials.notes_about_links(environment);
        app_notes.extend(credentials.notes_about_installs(config.serve.install_apps()));
        let (credentials, tenant) = (Arc::new(credentials), tenants.tenant);
        let component_sha256 = config.component_sha256;
        let actor = actor.or_else(environment::user);
        report.check_stop()?;
        Ok(OpenedStorage {
            storage,
            requests,
            keys,
            tenant,
            key_provider,
            clock,
            credentials,
            component_sha256,
            proxy,
            export: config.export,
            unsealed_rows: config.unsealed_rows,
            actor,
            reason,
            config_file: config.file,
            tenants: with_apps,
            app_notes,
            serve: config.serve,
            api_keys: config.api_keys,
            file_access,
            deliveries,
        })
    }
}

/// Checks that the database belongs to `environment`. If the database belongs to no environment, this function assigns
/// it to `environment`. The host library makes the same check, but its error can't say which option to use.
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

impl<T: TenantArgs> HostArgs<T> {
    /// Returns whether the options or the variable name a fake.
    pub(crate) const fn names_fake(&self) -> bool {
        self.storage.keys.config.fake.is_some()
    }

    /// Returns the tenant of the command and the keys of its apps, in no order. There is none if no app is configured.
    /// Opens no database and no host keys.
    pub(crate) async fn configured_apps(self) -> Result<(TenantId, Vec<String>), Failure> {
        let StorageArgs { tenant, keys: KeyArgs { config: ConfigArgs { file_access, config, fake }, .. }, .. } =
            self.storage;
        let tenants = NamedTenants::find(tenant.named())?;
        let config = read_config(config, file_access)?;
        let credentials = Credentials::gather(config.tenants, &config.file, &tenants.of_environment)?;
        let credentials = match fake {
            Some(fake) => credentials.for_fake(fake, fake.apps().await?, tenants.default.clone())?,
            None => credentials,
        };
        let keys = credentials.keys_of(&tenants.tenant).map(str::to_owned).collect();
        Ok((tenants.tenant, keys))
    }

    /// Opens the storage and builds a host with the component, for a command that seals or opens values. Never creates
    /// a database.
    pub(crate) async fn open(self, report: &Report) -> Result<OpenedHost, Failure> {
        self.open_for(Needs::EVERYTHING, report).await
    }

    /// Opens the storage and builds a host with the component, for a command with these needs. Never creates a
    /// database.
    pub(crate) async fn open_for(self, needs: Needs, report: &Report) -> Result<OpenedHost, Failure> {
        self.open_or_create_for(needs, Creation::Nothing, Sharing::Command, report).await
    }

    /// Uses a fake that runs in this process, with its clock. If no option names a database, uses one in memory,
    /// because the fake keeps nothing either.
    pub(crate) fn use_fake(&mut self, fake: FakeAddress, clock: Arc<dyn Clock>) {
        self.storage.keys.config.fake = Some(fake);
        self.storage.clock = Some(clock);
        self.storage.storage.get_or_insert(Address::Memory);
    }

    /// Opens the storage and builds a host with the component, for the service. Never creates a database.
    pub(crate) async fn open_for_service(mut self, metrics: &Metrics, report: &Report) -> Result<OpenedHost, Failure> {
        self.recorder = Some(metrics.recorder());
        self.open_or_create_for(Needs::EVERYTHING, Creation::Nothing, Sharing::Service, report).await
    }

    /// Opens the storage and builds a host with the component, for a command that seals or opens values. `creation`
    /// says which database the command creates if there is none.
    pub(crate) async fn open_or_create(self, creation: Creation, report: &Report) -> Result<OpenedHost, Failure> {
        self.open_or_create_for(Needs::EVERYTHING, creation, Sharing::Command, report).await
    }

    async fn open_or_create_for(
        self,
        needs: Needs,
        creation: Creation,
        sharing: Sharing,
        report: &Report,
    ) -> Result<OpenedHost, Failure> {
        let Self { storage, component, component_sha256, recorder } = self;
        let file = component_file(component.as_deref())?;
        let fake = storage.keys.config.fake;
        // Every request needs a token or seals one, so a command that needs no host keys sends no request.
        let requests = if needs.keys == KeyNeed::Required { Requests::Possible } else { Requests::None };
        let opened = storage.open_or_create_for(needs, creation, requests, report).await?;
        let limits = match sharing {
            Sharing::Command => Limits { tenant_percent: 100, ..Limits::default() },
            Sharing::Service => opened.serve.limits(opened.tenants.len()),
        };
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
        if let Some(folder) = folders::compiled_cache()? {
            builder = builder.compiled_cache(CompiledCache::in_folder(folder));
        }
        if let Some(recorder) = recorder {
            builder = builder.metrics(recorder);
        }
        if opened.export == ExportRule::Allowed {
            builder = builder.allow_export();
        }
        if opened.unsealed_rows == UnsealedRows::Refused {
            builder = builder.refuse_unsealed_rows();
        }
        let host = builder
            .component(Component::File(file.clone()))
            .storage(Arc::clone(&opened.storage))
            .keys(Arc::clone(&opened.key_provider))
            .credentials(Arc::clone(&opened.credentials))
            .clock(Arc::clone(&opened.clock))
            .egress(egress)
            .limits(limits)
            .build()
            .map_err(|error| build_failure(&file, &error))?;
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

    /// Returns the clock. If a fake is used, it shows the fake's time.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// Takes what the configuration says about the service.
    pub(crate) fn take_service(&mut self) -> ServiceSettings {
        ServiceSettings {
            file: std::mem::take(&mut self.config_file),
            table: std::mem::take(&mut self.serve),
            api_keys: std::mem::take(&mut self.api_keys),
            tenants: std::mem::take(&mut self.tenants),
            app_notes: std::mem::take(&mut self.app_notes),
            file_access: self.file_access,
        }
    }

    /// Returns the storage of the webhooks that the service sends.
    pub(crate) fn deliveries(&self) -> Arc<dyn DeliveryStorage> {
        Arc::clone(&self.deliveries)
    }

    /// Returns whether the configuration file allows exports.
    pub(crate) fn allows_export(&self) -> bool {
        self.export == ExportRule::Allowed
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
