//! A host with its storage, keys and apps, and the requests that are under way.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tiktok_shop_fake_client::FakeAddress;
use tiktok_shop_host::clock::{Clock, SystemClock};
use tiktok_shop_host::compiled_cache::CompiledCache;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::credentials::{
    AppCredentials, CredentialsProvider, StaticCredentials, check_app_of_fake, check_apps, check_link,
};
use tiktok_shop_host::egress::{Authority, EgressPolicy, Proxy};
use tiktok_shop_host::events::{Actor, StatedReason};
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::{KeyFile, Keyring};
use tiktok_shop_host::storage::{Environment, HostStorage, MemoryStorage};
use tiktok_shop_host::{Component, ComponentDigest, ConnectorHost, TenantId};
use tiktok_shop_sql_storage::{OpenMode, PostgresOptions, SqlStorage};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::clock::MovableClock;
use crate::error::BindingError;
use crate::fake::{ForFake, apps_of, not_of_fake};
use crate::foreign::{Foreign, ForeignCredentials};
use crate::foreign_storage::ForeignStorage;
use crate::host_keys::{OpenKeys, check_key_options};
use crate::operations::{self, WebhookHead};
use crate::options::{HostOptions, SecretText, StorageOption, Tables, TenantApp, read};
use crate::request::{Reply, Request};
use crate::webhooks;

/// The parts of a host that options can't express.
pub struct Parts {
    /// The file of the component.
    pub component: PathBuf,
    /// The SHA-256 of the component. The host runs no other component.
    pub component_sha256: Option<ComponentDigest>,
    /// The storage, if an object of the other language is the storage.
    pub storage: Option<Arc<dyn Foreign>>,
    /// The provider of host keys, if an object of the other language is the provider.
    pub keys: Option<Arc<dyn Foreign>>,
    /// The provider of app credentials, if a function of the other language is the provider.
    pub apps: Option<Arc<dyn Foreign>>,
}

/// A host that is open.
pub struct Binding {
    /// `None` after [`close`](Self::close). The instances of a host reserve much address space, and the other language may
    /// keep a closed host.
    host: Mutex<Option<ConnectorHost>>,
    plugin: String,
    storage: Arc<dyn HostStorage>,
    database: Option<Arc<SqlStorage>>,
    keys: OpenKeys,
    clock: Arc<dyn Clock>,
    /// The clock of a host that uses a fake.
    movable: Option<Arc<MovableClock>>,
    /// Cancelled when the host accepts no further requests.
    closed: CancellationToken,
    running: TaskTracker,
}

/// A request that has begun. The host is closed only after all of them have ended.
#[derive(Debug)]
pub struct Begun {
    _token: TaskTrackerToken,
}

impl Binding {
    /// Opens the storage and the keys, compiles the component, and checks that the parts fit. A host with a fake first
    /// asks the fake for its apps, and gives it no other credentials.
    ///
    /// # Errors
    /// An option is wrong (`invalid-argument`), or a part can't be opened with it (`misconfigured`).
    pub async fn open(options: HostOptions, parts: Parts) -> Result<Self, BindingError> {
        let movable = options.fake.is_some().then(|| Arc::new(MovableClock::default()));
        let clock: Arc<dyn Clock> = match &movable {
            Some(clock) => Arc::clone(clock) as _,
            None => Arc::new(SystemClock::new()),
        };
        let is_database = matches!(options.storage, StorageOption::Sqlite(_) | StorageOption::Postgres(_));
        check_key_options(&options.keys, options.earlier_keys.as_ref(), is_database)?;
        let fake = options.fake.as_deref().map(|text| text.parse().map_err(|_| malformed_fake())).transpose()?;
        let egress = egress(fake, options.proxy)?;
        let environment = if movable.is_some() { Environment::Fake } else { Environment::TikTokShop };
        let shown = match fake {
            Some(fake) => Some((fake, apps_of(fake).await?)),
            None => None,
        };
        let credentials = credentials(options.apps, parts.apps, shown)?;
        let (storage, database) = open_storage(options.storage, options.tables, parts.storage, &clock).await?;
        if !storage.belongs_to(environment).await? {
            return Err(other_environment(environment));
        }
        let keys = OpenKeys::open(options.keys, options.earlier_keys, parts.keys, movable.is_some())?;
        let mut builder = ConnectorHost::builder()
            .component(Component::File(parts.component))
            .storage(Arc::clone(&storage))
            .keys(Arc::clone(&keys.provider))
            .credentials(credentials)
            .clock(Arc::clone(&clock))
            .egress(egress)
            .limits(options.limits.limits())
            .deadlines(options.deadlines.deadlines());
        if let Some(digest) = parts.component_sha256 {
            builder = builder.component_sha256(digest);
        }
        if let Some(folder) = options.compiled_cache {
            if folder.as_os_str().is_empty() {
                return Err(BindingError::arguments("the options: `compiled_cache` is empty, and must name a folder"));
            }
            builder = builder.compiled_cache(CompiledCache::in_folder(folder));
        }
        if options.allow_export {
            builder = builder.allow_export();
        }
        if options.refuse_unsealed_rows {
            builder = builder.refuse_unsealed_rows();
        }
        let building = tokio::task::spawn_blocking(move || builder.build());
        let built = building.await.map_err(|_panic| BindingError::settings("host-not-built", "the host panicked"))?;
        let host = built.map_err(|error| BindingError::settings("host-not-built", error.to_string()))?;
        let (closed, running) = (CancellationToken::new(), TaskTracker::new());
        let (plugin, host) = (host.plugin().to_string(), Mutex::new(Some(host)));
        Ok(Self { host, plugin, storage, database, keys, clock, movable, closed, running })
    }

    /// Begins a request. Call this function when the other language makes the request, before any other task runs. From
    /// then on [`close`](Self::close) waits for the request.
    ///
    /// # Errors
    /// The host is closed (`host-closed`).
    pub fn begin(&self) -> Result<Begun, BindingError> {
        // The token comes first, so that `close` waits for a request that begins at the same moment.
        let token = self.running.token();
        if self.closed.is_cancelled() { Err(BindingError::closed()) } else { Ok(Begun { _token: token }) }
    }

    /// Makes the call that the request names. Run this future on a task of its own, so that the call continues when the
    /// other language stops waiting.
    ///
    /// # Errors
    /// See [`BindingError`].
    pub async fn perform(&self, _begun: Begun, request: Request) -> Result<Reply, BindingError> {
        let host = self.host_of(&request)?;
        operations::perform(self, &host, request).await
    }

    /// Receives a webhook. Unless it was handled before, calls the function `handle` of `platform` with it. The request
    /// has the head of the webhook as its arguments, and its body.
    ///
    /// # Errors
    /// The arguments are wrong. Every other failure is in the reply.
    pub async fn accept_webhook(
        &self,
        _begun: Begun,
        request: Request,
        platform: &dyn Foreign,
    ) -> Result<Reply, BindingError> {
        let host = self.host_of(&request)?;
        let head: WebhookHead = read("the arguments of accept-webhook", request.arguments)?;
        Ok(webhooks::accept(&host, head, request.body, platform).await.into())
    }

    /// Returns the host for a request, with its actor and its reason.
    fn host_of(&self, request: &Request) -> Result<ConnectorHost, BindingError> {
        let host = self.host.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(BindingError::closed)?;
        let host = request.actor.iter().fold(host, |host, actor| host.acting_as(actor.clone()));
        Ok(request.reason.iter().fold(host, |host, reason| host.because(reason.clone())))
    }

    /// Accepts no further requests. Stops running sweeps and `shared-connections`, and ends rotations at their pause.
    pub fn stop(&self) {
        self.closed.cancel();
    }

    /// Calls [`stop`](Self::stop), waits until all requests have ended, drops the host and closes the database.
    pub async fn close(&self) {
        self.stop();
        self.settled().await;
        drop(self.host.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(database) = &self.database {
            database.close().await;
        }
    }

    /// Waits until all requests that have begun have ended.
    pub async fn settled(&self) {
        self.running.close();
        self.running.wait().await;
    }

    /// Returns the name and version of the component.
    #[must_use]
    pub fn plugin(&self) -> String {
        self.plugin.clone()
    }

    pub(crate) fn storage(&self) -> &dyn HostStorage {
        &*self.storage
    }

    /// Completes when the host is closed.
    pub(crate) fn closing(&self) -> impl Future<Output = ()> + use<> {
        self.closed.clone().cancelled_owned()
    }

    pub(crate) fn now(&self) -> UnixSeconds {
        UnixSeconds(self.clock.wall().as_secs())
    }

    pub(crate) fn advance_clock(&self, by: Duration) -> Result<(), BindingError> {
        let real = || BindingError::arguments("only a host with a fake has a clock that can be moved");
        self.movable.as_ref().ok_or_else(real)?.advance(by);
        Ok(())
    }

    pub(crate) fn keyring(&self, actor: Option<Actor>, reason: Option<StatedReason>) -> Keyring {
        let (storage, provider) = (Arc::clone(&self.storage), Arc::clone(&self.keys.provider));
        let mut keyring = Keyring::new(storage, provider, Arc::new(SystemRandomness)).clock(Arc::clone(&self.clock));
        if let Some(actor) = actor {
            keyring = keyring.acting_as(actor);
        }
        if let Some(reason) = reason {
            keyring = keyring.because(reason);
        }
        keyring
    }

    pub(crate) fn key_file(&self) -> Result<&KeyFile, BindingError> {
        let no_file = || BindingError::arguments("the host keys of this host are not in a file");
        self.keys.file.as_ref().ok_or_else(no_file)
    }
}

fn other_environment(environment: Environment) -> BindingError {
    let text = match environment {
        Environment::Fake => {
            "this database belongs to TikTok Shop, so a fake must not get its tokens; use another database"
        }
        Environment::TikTokShop => "this database belongs to a fake; use another database, or name the fake",
    };
    BindingError::settings("other-environment", text)
}

/// Returns the provider of the app credentials. `shown` is the fake that the host uses, and the apps that it has shown.
fn credentials(
    apps: Option<Vec<TenantApp>>,
    foreign: Option<Arc<dyn Foreign>>,
    shown: Option<(FakeAddress, Vec<AppCredentials>)>,
) -> Result<Arc<dyn CredentialsProvider>, BindingError> {
    let apps = match (apps, foreign) {
        (Some(apps), None) => apps,
        (None, Some(foreign)) => {
            let provider = Arc::new(ForeignCredentials(foreign));
            return Ok(match shown {
                Some((fake, shown)) => Arc::new(ForFake::new(provider, fake, shown)),
                None => provider,
            });
        }
        _ => return Err(BindingError::arguments("apps: give a list of apps, or a function that returns one")),
    };
    let mut of_tenants = BTreeMap::<TenantId, Vec<AppCredentials>>::new();
    for (tenant, app) in apps.into_iter().map(TenantApp::into_parts) {
        of_tenants.entry(tenant).or_default().push(app);
    }
    let environment = if shown.is_some() { Environment::Fake } else { Environment::TikTokShop };
    let mut all = StaticCredentials::new();
    for (tenant, apps) in of_tenants {
        let wrong = |what: &dyn fmt::Display| BindingError::arguments(format!("apps: tenant {tenant}: {what}"));
        check_apps(&apps).map_err(|error| wrong(&error))?;
        for (place, app) in (1..).zip(&apps) {
            if app.app_secret.expose().is_empty() {
                return Err(wrong(&"`app_secret` is empty; copy it from Partner Center"));
            }
            if let Some(link) = &app.authorization_link {
                check_link(link, environment).map_err(|error| {
                    wrong(&format_args!("`authorization_link` is not valid: {error}; copy it from Partner Center"))
                })?;
            }
            if let Some((fake, shown)) = &shown {
                check_app_of_fake(app, shown).map_err(|why| {
                    let text = format!("apps: tenant {tenant}: {}", not_of_fake(why, place, *fake));
                    BindingError::settings("app-not-of-fake", text)
                })?;
            }
        }
        all = apps.into_iter().fold(all, |all, app| all.with(tenant.clone(), app));
    }
    Ok(Arc::new(all))
}

fn malformed_fake() -> BindingError {
    BindingError::arguments("fake: write http://127.0.0.1:PORT; a fake runs on this machine")
}

fn egress(fake: Option<FakeAddress>, proxy: Option<SecretText>) -> Result<EgressPolicy, BindingError> {
    let policy = match proxy {
        Some(SecretText(text)) => {
            let proxy: Result<Proxy, _> = text.expose().parse();
            EgressPolicy::production().proxy(proxy.map_err(|error| BindingError::arguments(format!("proxy: {error}")))?)
        }
        None => EgressPolicy::production(),
    };
    let Some(address) = fake.map(FakeAddress::socket) else { return Ok(policy) };
    let policy = policy.stand_in(Authority::Auth, address).and_then(|policy| policy.stand_in(Authority::Api, address));
    policy.map_err(|_| malformed_fake())
}

type Opened = (Arc<dyn HostStorage>, Option<Arc<SqlStorage>>);

async fn open_storage(
    option: StorageOption,
    tables: Tables,
    foreign: Option<Arc<dyn Foreign>>,
    clock: &Arc<dyn Clock>,
) -> Result<Opened, BindingError> {
    let mode = match tables {
        Tables::Existing => OpenMode::Existing,
        Tables::Create => OpenMode::Create,
        Tables::Migrate => OpenMode::Migrate,
    };
    let database = match option {
        StorageOption::Memory => return Ok((Arc::new(MemoryStorage::new(Arc::clone(clock))), None)),
        StorageOption::Foreign => {
            let missing = || BindingError::arguments("storage: no object is given");
            return Ok((Arc::new(ForeignStorage::new(foreign.ok_or_else(missing)?)), None));
        }
        StorageOption::Sqlite(path) => SqlStorage::sqlite(path, mode).await,
        StorageOption::Postgres(address) => SqlStorage::postgres(&address, mode, PostgresOptions::default()).await,
    };
    let database = database.map_err(|error| BindingError::settings("storage-not-opened", error.to_string()))?;
    let database = Arc::new(database);
    Ok((Arc::clone(&database) as _, Some(database)))
}
