//! What every test that crosses boundaries needs: the shipped component, a fake TikTok Shop, and hosts between them whose
//! clocks move together.
//!
//! The component is built and compiled once per process. Nothing here sleeps: time moves when a test says so. When a
//! stage ends, all that was written meanwhile is searched for its secrets.
#![allow(clippy::expect_used, reason = "a test that can't set its stage has nothing to assert")]

pub mod crash;
mod database;
mod intercept;
pub mod kill_points;
mod secrets;
mod watch;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use fake_tiktok_shop::{App, Clock as FakeClock, Control, Decision, FakeTikTokShop, Options};
use tiktok_shop_canaries::{Canaries, Found};
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::connect::{Grant, StateCheck};
use tiktok_shop_host::connection::{Connection, ConnectionKey, ShopPolicy};
use tiktok_shop_host::credentials::{AppCredentials, StaticCredentials};
use tiktok_shop_host::egress::{Authority, EgressPolicy};
use tiktok_shop_host::randomness::Randomness as _;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::seal::{HostKeys, KeyProvider, Keyring};
use tiktok_shop_host::storage::{HostStorage, MemoryStorage};
use tiktok_shop_host::{CallError, Component, ConnectorHost, ConnectorHostBuilder, CustomerId, Secret, TenantId};

use database::Database;
pub use database::Schema;
pub use intercept::HoldsBackThePair;
use intercept::Watcher;
use tiktok_shop_host::storage::Intercepted;
pub use tiktok_shop_host::storage::{Access, Interceptor, Passage};
pub use watch::{Leak, LogBridge, Sink, Watch};

/// When every stage begins: 2026-01-01T00:00:00Z.
pub const BEGIN: u64 = 1_767_225_600;
/// A day, in seconds.
pub const DAY: u64 = 86_400;
/// The state of the consents that a stage starts.
pub const STATE: &str = "st-8kQ2vXw0Zr5LmN7pTfBh3A";

/// A fake TikTok Shop with a host in front of it.
pub struct Stage {
    /// The other side.
    pub fake: Control,
    /// The clock of every host on this stage.
    pub clock: Arc<ManualClock>,
    /// What the hosts share. Tokens and ciphers in it are sealed.
    pub storage: Arc<dyn HostStorage>,
    /// Under which they are.
    pub keys: Arc<dyn KeyProvider>,
    /// The host most tests need.
    pub host: ConnectorHost,
    /// What was written since the stage began.
    pub watch: Watch,
    watcher: Arc<Watcher>,
    database: Database,
    /// Of the consents that were started.
    states: Mutex<BTreeSet<String>>,
    running: FakeTikTokShop,
}

impl Stage {
    /// Both clocks at [`BEGIN`], empty storage, a tenant for each app of the fake.
    ///
    /// # Panics
    /// If the component can't be built, or the fake can't start.
    #[must_use]
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Duration::from_secs(BEGIN)));
        let (storage, database) = database::open(&clock);
        Self::with(clock, storage, database)
    }

    /// The same with storage in memory, whatever other tests run on: it answers at once.
    ///
    /// # Panics
    /// As [`Stage::new`].
    #[must_use]
    pub fn in_memory() -> Self {
        let clock = Arc::new(ManualClock::at(Duration::from_secs(BEGIN)));
        let storage = Arc::new(MemoryStorage::new(Arc::clone(&clock) as Arc<_>));
        Self::with(clock, storage, Database::Memory)
    }

    fn with(clock: Arc<ManualClock>, storage: Arc<dyn HostStorage>, database: Database) -> Self {
        let watch = Watch::begin();
        let watcher = Arc::new(Watcher::default());
        let storage: Arc<dyn HostStorage> = Arc::new(Intercepted::new(storage, Arc::clone(&watcher) as Arc<_>));
        let keys: Arc<dyn KeyProvider> = Arc::new(HostKeys::draw().expect("randomness"));
        let options = Options { clock: FakeClock::fixed(BEGIN), apps: apps(), ..Options::default() };
        let running = FakeTikTokShop::start(options).expect("a fake TikTok Shop on loopback");
        let fake = running.control();
        let parts = || builder(&running, &clock, &storage, &keys, credentials(&fake.apps()));
        let first = first_host(parts);
        let host = parts().component(Component::SharedWith(first)).build().expect("a host");
        let states = Mutex::new(BTreeSet::from([STATE.to_owned()]));
        Self { fake, clock, storage, keys, host, watch, watcher, database, states, running }
    }

    /// Lets every access of the storage, from now on and by all hosts, pass through this one instead of an earlier one.
    pub fn intercept(&self, interceptor: Arc<dyn Interceptor>) {
        self.watcher.intercept(interceptor);
    }

    /// A further host over the same storage, clock and fake, to be changed at will.
    #[must_use]
    pub fn host_builder(&self) -> ConnectorHostBuilder {
        builder(&self.running, &self.clock, &self.storage, &self.keys, credentials(&self.fake.apps()))
            .component(Component::SharedWith(self.host.clone()))
    }

    /// A further host with credentials of its own.
    ///
    /// # Panics
    /// Never: its parts fit.
    #[must_use]
    pub fn host_with(&self, credentials: StaticCredentials) -> ConnectorHost {
        self.host_builder().credentials(Arc::new(credentials)).build().expect("a host")
    }

    /// The token record of a connection of the first tenant, in clear.
    ///
    /// # Panics
    /// If it can't be read, or does not open.
    pub async fn token_record(&self, key: &ConnectionKey) -> Option<Vec<u8>> {
        let entry = self.storage.load_token(&tenant(0), key).await.expect("storage that answers")?;
        let opened = self.keyring().open_token(&tenant(0), key, &entry.revision, &entry.value).await;
        Some(opened.expect("the stage's keys").to_vec())
    }

    /// Opens and seals what the hosts share.
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        Keyring::new(Arc::clone(&self.storage), Arc::clone(&self.keys), Arc::new(SystemRandomness))
    }

    /// Lets time pass for TikTok Shop and for every host.
    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.database.follow(&self.clock);
        self.fake.advance(Duration::from_secs(seconds));
    }

    /// The query of the callback after this seller decided on the first app's consent page.
    ///
    /// # Panics
    /// If there is no such seller.
    #[must_use]
    pub fn callback(&self, seller: &str, decision: Decision) -> String {
        self.callback_of(0, seller, Some(STATE), decision)
    }

    /// The same for one of the apps and any state.
    ///
    /// # Panics
    /// If there is no such app or seller.
    #[must_use]
    pub fn callback_of(&self, app: usize, seller: &str, state: Option<&str>, decision: Decision) -> String {
        let app = self.fake.apps().into_iter().nth(app).expect("an app");
        self.states.lock().unwrap_or_else(PoisonError::into_inner).extend(state.map(str::to_owned));
        self.fake.consent(&app.service_id, seller, state, decision).expect("a known seller")
    }

    /// Connects a seller to a customer of the first tenant.
    ///
    /// # Errors
    /// As the host's `connect`.
    pub async fn connect(&self, customer: &str, seller: &str) -> Result<Connection, CallError> {
        let grant = grant(&self.callback(seller, Decision::Allow));
        self.host.connect(&tenant(0), &customer_id(customer), grant, ShopPolicy::All).await
    }

    /// Refreshes the only connection of a customer of the first tenant.
    ///
    /// # Errors
    /// As the host's `refresh`.
    pub async fn refresh(&self, customer: &str, rotation: Rotation) -> Result<Connection, CallError> {
        self.host.refresh(&tenant(0), &customer_id(customer), None, rotation).await
    }

    /// How many requests TikTok Shop saw at this path.
    #[must_use]
    pub fn requests_to(&self, path: &str) -> usize {
        self.fake.requests().iter().filter(|request| request.path == path).count()
    }

    /// Forgets the requests seen so far, once they are found to carry no secret where it does not belong.
    ///
    /// # Panics
    /// If one does.
    pub fn clear_requests(&self) {
        assert_eq!(self.misplaced_secrets(), BTreeSet::new());
        self.fake.clear_requests();
    }

    /// Waits until whatever hosts that are gone had sent is in TikTok Shop's log, or never will be. A host that lives keeps
    /// its connections open, and is waited for.
    ///
    /// # Panics
    /// If the fake can't be connected to.
    pub async fn quiet(&self) {
        self.running.quiet().await.expect("a connection to the fake");
    }

    /// All that is secret on this stage.
    #[must_use]
    pub fn canaries(&self) -> Canaries {
        let mut canaries = secrets::canaries(&self.fake);
        secrets::add_states(&mut canaries, &*self.states.lock().unwrap_or_else(PoisonError::into_inner));
        canaries
    }

    /// What the end of a stage asserts: nothing that was written holds a secret of this stage, and no request held one
    /// where it does not belong.
    ///
    /// # Panics
    /// If there is such a secret; the text names its kind.
    pub fn assert_nothing_got_out(&self) {
        let canaries = self.canaries();
        let mut leaks: Vec<_> = self.watch.leaks(&canaries).iter().map(|(s, f)| format!("{f} in {s:?}")).collect();
        leaks.extend(self.leaks_in_database().iter().map(|found| format!("{found} in the database")));
        assert!(leaks.is_empty(), "secrets got out: {leaks:?}");
        let misplaced = secrets::misplaced(&self.fake, &canaries);
        assert_eq!(misplaced, BTreeSet::new(), "secrets in requests where they do not belong");
    }

    /// Which secrets of this stage a copy of the database would show.
    #[must_use]
    pub fn leaks_in_database(&self) -> BTreeSet<Found> {
        self.canaries().found_in(&self.database.dump())
    }

    /// Whether it is stored outside of this process's memory.
    #[must_use]
    pub fn has_database(&self) -> bool {
        !matches!(self.database, Database::Memory)
    }

    /// The database may go: nothing is stored from here on, and nobody looks at it any more.
    pub fn release_database(&mut self) {
        self.database = Database::Memory;
    }

    /// Secrets that requests carried where they do not belong, in words.
    #[must_use]
    pub fn misplaced_secrets(&self) -> BTreeSet<String> {
        secrets::misplaced(&self.fake, &self.canaries())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.assert_nothing_got_out();
        }
    }
}

/// The fake's apps, their secrets drawn for one stage.
fn apps() -> Vec<App> {
    let drawn = |app| {
        let mut secret = [0; 20];
        SystemRandomness.fill(&mut secret).expect("randomness");
        App { app_secret: secret.iter().map(|byte| format!("{byte:02x}")).collect(), ..app }
    };
    fake_tiktok_shop::fixtures::apps().into_iter().map(drawn).collect()
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

/// Where a code is exchanged.
pub const TOKEN_GET: &str = "/api/v2/token/get";
/// Where a refresh token is spent.
pub const TOKEN_REFRESH: &str = "/api/v2/token/refresh";
/// Where the shops are listed.
pub const SHOPS: &str = "/authorization/202309/shops";

/// The tenant of the fake's app at this place.
///
/// # Panics
/// Never: the names are valid.
#[must_use]
pub fn tenant(app: usize) -> TenantId {
    format!("tenant-{app}").parse().expect("a tenant id")
}

/// A customer id.
///
/// # Panics
/// If the text is none.
#[must_use]
pub fn customer_id(text: &str) -> CustomerId {
    text.parse().expect("a customer id")
}

/// A callback that must carry [`STATE`].
#[must_use]
pub fn grant(query: &str) -> Grant {
    Grant::Callback { query: query.into(), state: StateCheck::Expected(STATE.into()) }
}

/// One tenant per app, as Partner Center would have it.
#[must_use]
pub fn credentials(apps: &[App]) -> StaticCredentials {
    apps.iter().enumerate().fold(StaticCredentials::new(), |all, (at, app)| all.with(tenant(at), app_credentials(app)))
}

/// The credentials of one app.
#[must_use]
pub fn app_credentials(app: &App) -> AppCredentials {
    AppCredentials {
        app_key: app.app_key.clone(),
        app_secret: Secret::from(app.app_secret.as_str()),
        previous_app_secret: Some(secrets::previous_app_secret(app).into()),
        authorization_link: Some(format!(
            "https://services.tiktokshop.com/open/authorize?service_id={}",
            app.service_id
        )),
    }
}

/// Case and code of the connector's error.
///
/// # Panics
/// If the call succeeded or the host ended it.
#[must_use]
pub fn refusal<T>(outcome: Result<T, CallError>) -> (&'static str, String) {
    match outcome {
        Err(CallError::Connector(error)) => (error.action().as_str(), error.failure().code.clone()),
        Err(other) => ("ended by the host", other.to_string()),
        Ok(_) => ("no error", String::new()),
    }
}

/// The component as shipped.
///
/// # Panics
/// If it can't be built.
#[must_use]
pub fn component() -> std::path::PathBuf {
    xtask::component().expect("the component")
}

fn builder(
    fake: &FakeTikTokShop,
    clock: &Arc<ManualClock>,
    storage: &Arc<dyn HostStorage>,
    keys: &Arc<dyn KeyProvider>,
    credentials: StaticCredentials,
) -> ConnectorHostBuilder {
    let egress = [Authority::Auth, Authority::Api].into_iter().fold(EgressPolicy::production(), |policy, authority| {
        policy.stand_in(authority, fake.address()).expect("the fake listens on loopback")
    });
    ConnectorHost::builder()
        .storage(Arc::clone(storage))
        .keys(Arc::clone(keys))
        .credentials(Arc::new(credentials))
        .clock(Arc::clone(clock) as Arc<_>)
        .egress(egress)
}

/// The first host of the process, whose compiled component all others share.
fn first_host(builder: impl Fn() -> ConnectorHostBuilder) -> ConnectorHost {
    static FIRST: OnceLock<ConnectorHost> = OnceLock::new();
    FIRST.get_or_init(|| builder().component(Component::File(component())).build().expect("a host")).clone()
}
