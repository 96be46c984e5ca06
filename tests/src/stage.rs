//! The stage of an end-to-end test: a fake TikTok Shop, the hosts that use it, and their storage, keys and clocks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use fake_tiktok_shop::{App, Clock as FakeClock, Control, Decision, FakeTikTokShop, Issued, IssuedToken, Options};
use tiktok_shop_canaries::{Canaries, Found};
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::connection::{Connection, ConnectionKey, ShopPolicy, UnixSeconds};
use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_host::existing_grant::ExistingGrant;
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::seal::{HostKeys, KeyProvider, Keyring};
use tiktok_shop_host::storage::{HostStorage, Intercepted, Interceptor, MemoryStorage};
use tiktok_shop_host::{CallError, Component, ConnectorHost, ConnectorHostBuilder, Secret};

use crate::database::{self, Database};
use crate::intercept::Watcher;
use crate::watch::Watch;
use crate::{BEGIN, STATE, component, credentials, customer_id, egress_to, grant, secrets, tenant};

/// A fake TikTok Shop, and a host that sends its requests to the fake.
pub struct Stage {
    /// The control of the fake TikTok Shop.
    pub fake: Control,
    /// The clock of every host on this stage.
    pub clock: Arc<ManualClock>,
    /// The storage of every host on this stage. Tokens and ciphers in it are sealed (encrypted).
    pub storage: Arc<dyn HostStorage>,
    /// The provider of the host keys. A host key wraps (encrypts) the data keys, which seal tokens and ciphers.
    pub keys: Arc<dyn KeyProvider>,
    /// The host that most tests use.
    pub host: ConnectorHost,
    /// The output of the process since the stage began.
    pub watch: Watch,
    watcher: Arc<Watcher>,
    database: Database,
    /// The `state` parameters of all consents on this stage.
    states: Mutex<BTreeSet<String>>,
    running: FakeTikTokShop,
}

impl Stage {
    /// Creates a stage. Its storage is empty, the clocks of its hosts and of its fake stand at [`BEGIN`], and each app
    /// of the fake has one tenant.
    ///
    /// # Panics
    /// If the component can't be built, or the fake can't start.
    #[must_use]
    pub fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Duration::from_secs(BEGIN)));
        let (storage, database) = database::open(&clock);
        Self::with(clock, storage, database)
    }

    /// Creates a stage whose storage is always in memory, whatever storage the other tests use. The storage answers at
    /// once.
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

    /// Puts an interceptor between all hosts and their storage. The new interceptor replaces the interceptor of an
    /// earlier call.
    pub fn intercept(&self, interceptor: Arc<dyn Interceptor>) {
        self.watcher.intercept(interceptor);
    }

    /// Returns the builder of another host with the same storage, keys, clock and fake. The test may change each of
    /// these parts before it builds the host.
    #[must_use]
    pub fn host_builder(&self) -> ConnectorHostBuilder {
        builder(&self.running, &self.clock, &self.storage, &self.keys, credentials(&self.fake.apps()))
            .component(Component::SharedWith(self.host.clone()))
    }

    /// Builds another host with the same storage, keys, clock and fake.
    ///
    /// # Panics
    /// Never, because the parts of the stage fit together.
    #[must_use]
    pub fn another_host(&self) -> ConnectorHost {
        self.host_builder().build().expect("a host")
    }

    /// Builds another host that has these credentials.
    ///
    /// # Panics
    /// Never, because the parts of the stage fit together.
    #[must_use]
    pub fn host_with(&self, credentials: StaticCredentials) -> ConnectorHost {
        self.host_builder().credentials(Arc::new(credentials)).build().expect("a host")
    }

    /// Returns the decrypted token record of a connection of the first tenant, or `None` if no record is stored.
    ///
    /// # Panics
    /// If the record can't be read or decrypted.
    pub async fn token_record(&self, key: &ConnectionKey) -> Option<Vec<u8>> {
        let entry = self.storage.load_token(&tenant(0), key).await.expect("a storage that answers")?;
        let opened = self.keyring().open_token(&tenant(0), key, &entry.revision, &entry.value).await;
        Some(opened.expect("the stage's keys").to_vec())
    }

    /// Returns a keyring with the storage and the keys of this stage.
    #[must_use]
    pub fn keyring(&self) -> Keyring {
        let keyring = Keyring::new(Arc::clone(&self.storage), Arc::clone(&self.keys), Arc::new(SystemRandomness));
        keyring.clock(Arc::clone(&self.clock) as _)
    }

    /// Moves the clocks of the fake, of the storage and of every host forward.
    pub fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.database.follow(&self.clock);
        self.fake.advance(Duration::from_secs(seconds));
    }

    /// Lets a seller decide on the consent page of the first app, and returns the query of the callback. The consent
    /// has the state [`STATE`].
    ///
    /// # Panics
    /// If there is no such seller.
    #[must_use]
    pub fn callback(&self, seller: &str, decision: Decision) -> String {
        self.callback_of(0, seller, Some(STATE), decision)
    }

    /// Lets a seller decide on the consent page of an app, and returns the query of the callback. `app` is the index of
    /// the app. `state` may be any state. If it is `None`, the consent has no state.
    ///
    /// # Panics
    /// If there is no such app or seller.
    #[must_use]
    pub fn callback_of(&self, app: usize, seller: &str, state: Option<&str>, decision: Decision) -> String {
        let app = self.fake.apps().into_iter().nth(app).expect("an app");
        self.states.lock().unwrap_or_else(PoisonError::into_inner).extend(state.map(str::to_owned));
        self.fake.consent(&app.service_id, seller, state, decision).expect("a known seller")
    }

    /// Lets a seller consent, and connects a customer of the first tenant with the callback.
    ///
    /// # Errors
    /// As the host's `connect`.
    pub async fn connect(&self, customer: &str, seller: &str) -> Result<Connection, CallError> {
        self.connect_with(customer, &self.callback(seller, Decision::Allow), ShopPolicy::All).await
    }

    /// Connects a customer of the first tenant with the query of a callback.
    ///
    /// # Errors
    /// As the host's `connect`.
    pub async fn connect_with(&self, customer: &str, query: &str, policy: ShopPolicy) -> Result<Connection, CallError> {
        self.host.connect(&tenant(0), &customer_id(customer), None, grant(query), policy).await
    }

    /// Lets a seller consent to the app with this index, and connects a customer of that app's tenant with the
    /// callback.
    ///
    /// # Errors
    /// As the host's `connect`.
    pub async fn connect_app(&self, app: usize, customer: &str, seller: &str) -> Result<Connection, CallError> {
        let query = self.callback_of(app, seller, Some(STATE), Decision::Allow);
        self.host.connect(&tenant(app), &customer_id(customer), None, grant(&query), ShopPolicy::All).await
    }

    /// Lets a seller consent to the first app in another system, and returns the tokens that this system holds.
    ///
    /// # Panics
    /// If there is no such seller.
    pub async fn grant_in_another_system(&self, seller: &str) -> ExistingGrant {
        let storage = Arc::new(MemoryStorage::new(Arc::clone(&self.clock) as Arc<_>));
        let host = self.host_builder().storage(storage).build().expect("a host");
        let query = self.callback(seller, Decision::Allow);
        let connected = host.connect(&tenant(0), &customer_id(seller), None, grant(&query), ShopPolicy::All).await;
        let connection = connected.expect("a connection");
        let issued = self.issued(seller);
        let newest = |tokens: &[IssuedToken]| Secret::from(tokens.last().expect("a token").token.as_str());
        ExistingGrant {
            account: Some(connection.key.account),
            refresh_token: newest(&issued.refresh_tokens),
            access_token: Some(newest(&issued.access_tokens)),
            access_token_ends: connection.access_expires_at,
            refresh_token_ends: connection.refresh_expires_at,
        }
    }

    /// Refreshes the only connection of a customer of the first tenant.
    ///
    /// # Errors
    /// As the host's `refresh`.
    pub async fn refresh(&self, customer: &str, mode: RefreshMode) -> Result<Connection, CallError> {
        Ok(self.host.refresh(&tenant(0), &customer_id(customer), None, mode).await?.connection)
    }

    /// Lists the connections of a customer of the first tenant.
    ///
    /// # Panics
    /// If the host does not list them.
    pub async fn connections(&self, customer: &str) -> Vec<Connection> {
        self.host.list_connections(&tenant(0), &customer_id(customer)).await.expect("a list")
    }

    /// Returns the only connection of a customer of the first tenant.
    ///
    /// # Panics
    /// If the customer has no connection or several.
    pub async fn connection(&self, customer: &str) -> Connection {
        let mut connections = self.connections(customer).await;
        assert_eq!(connections.len(), 1, "connections of {customer}");
        connections.remove(0)
    }

    /// Returns how many connections a sweep would refresh now. If there are more than ten, returns ten.
    ///
    /// # Panics
    /// If the storage does not answer.
    pub async fn due(&self) -> usize {
        let now = UnixSeconds(self.fake.now());
        self.storage.due(now, None, 10).await.expect("a storage that answers").len()
    }

    /// Returns the tokens that TikTok Shop has issued to the first app for a seller.
    ///
    /// # Panics
    /// If there is no such seller.
    #[must_use]
    pub fn issued(&self, seller: &str) -> Issued {
        let app = self.fake.apps().into_iter().next().expect("an app");
        self.fake.issued(&app.service_id, seller).expect("a known seller")
    }

    /// Returns how many requests for this path TikTok Shop got since its request log was last cleared.
    #[must_use]
    pub fn requests_to(&self, path: &str) -> usize {
        self.fake.requests().iter().filter(|request| request.path == path).count()
    }

    /// Clears the fake's log of requests.
    ///
    /// # Panics
    /// If one of the cleared requests carried a secret where the secret does not belong.
    pub fn clear_requests(&self) {
        assert_eq!(self.misplaced_secrets(), BTreeSet::new());
        self.fake.clear_requests();
    }

    /// Waits until all network connections to the fake are closed. Then the fake's log contains every request of hosts
    /// that were dropped. A host that still exists keeps its network connections open, so this call waits until that
    /// host is dropped.
    ///
    /// # Panics
    /// If no connection to the fake can be opened.
    pub async fn quiet(&self) {
        self.running.quiet().await.expect("a connection to the fake");
    }

    /// Returns all secrets of this stage.
    #[must_use]
    pub fn canaries(&self) -> Canaries {
        let mut canaries = secrets::canaries(&self.fake);
        secrets::add_states(&mut canaries, &*self.states.lock().unwrap_or_else(PoisonError::into_inner));
        canaries
    }

    /// Asserts that no output and no database contains a secret of this stage, and that no request carried a secret
    /// where it does not belong. Every stage calls this function when it is dropped, unless the test has already
    /// failed.
    ///
    /// # Panics
    /// If a secret was found. The message contains the kind of the secret.
    pub fn assert_nothing_got_out(&self) {
        let canaries = self.canaries();
        let mut leaks: Vec<_> = self.watch.leaks(&canaries).iter().map(|(s, f)| format!("{f} in {s:?}")).collect();
        leaks.extend(self.leaks_in_database().iter().map(|found| format!("{found} in the database")));
        assert!(leaks.is_empty(), "secrets got out: {leaks:?}");
        let misplaced = secrets::misplaced(&self.fake, &canaries);
        assert_eq!(misplaced, BTreeSet::new(), "secrets in requests where they do not belong");
    }

    /// Returns the secrets of this stage that were found in a dump of the database.
    #[must_use]
    pub fn leaks_in_database(&self) -> BTreeSet<Found> {
        self.canaries().found_in(&self.database.dump())
    }

    /// Returns true if the storage is a database, and false if it is in the memory of this process.
    #[must_use]
    pub fn has_database(&self) -> bool {
        !matches!(self.database, Database::Memory)
    }

    /// Releases the database. After this call, the test must not store anything. When the stage is dropped, it does not
    /// search the database for secrets any more.
    pub fn release_database(&mut self) {
        self.database = Database::Memory;
    }

    /// Returns the secrets that requests carried where they do not belong, each described in words.
    #[must_use]
    pub fn misplaced_secrets(&self) -> BTreeSet<String> {
        secrets::misplaced(&self.fake, &self.canaries())
    }
}

impl Default for Stage {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.assert_nothing_got_out();
        }
    }
}

/// Returns the fake's apps. Their app secrets are drawn at random for each stage.
fn apps() -> Vec<App> {
    let with_drawn_secret = |app| {
        let mut secret = [0; 20];
        SystemRandomness.fill(&mut secret).expect("randomness");
        App { app_secret: secret.iter().map(|byte| format!("{byte:02x}")).collect(), ..app }
    };
    fake_tiktok_shop::fixtures::apps().into_iter().map(with_drawn_secret).collect()
}

fn builder(
    fake: &FakeTikTokShop,
    clock: &Arc<ManualClock>,
    storage: &Arc<dyn HostStorage>,
    keys: &Arc<dyn KeyProvider>,
    credentials: StaticCredentials,
) -> ConnectorHostBuilder {
    ConnectorHost::builder()
        .storage(Arc::clone(storage))
        .keys(Arc::clone(keys))
        .credentials(Arc::new(credentials))
        .clock(Arc::clone(clock) as Arc<_>)
        .egress(egress_to(fake.address()))
}

/// Returns the first host of the process, and builds it at the first call. All other hosts share its compiled component
/// and its instances. The tests have few tenants, so each tenant may use all instances.
fn first_host(builder: impl Fn() -> ConnectorHostBuilder) -> ConnectorHost {
    static FIRST: OnceLock<ConnectorHost> = OnceLock::new();
    FIRST
        .get_or_init(|| {
            let limits = Limits { tenant_percent: 100, ..Limits::default() };
            builder().component(Component::File(component())).limits(limits).build().expect("a host")
        })
        .clone()
}
