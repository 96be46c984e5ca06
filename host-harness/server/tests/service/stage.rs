//! The surroundings of a test: a fake TikTok Shop, a storage in memory, the shipped component and a running service.
//! Clocks stand still until a test moves them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use fake_tiktok_shop::{Clock as FakeClock, Control, Decision, FakeTikTokShop, Options};
use serde_json::{Value, json};
use tiktok_shop_canaries::Canaries;
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::credentials::{AppCredentials, StaticCredentials};
use tiktok_shop_host::egress::{Authority, EgressPolicy};
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::{HostKeys, Keyring};
use tiktok_shop_host::storage::{HostStorage, Intercepted, Interceptor, MemoryStorage};
use tiktok_shop_host::{Component, ConnectorHost, TenantId};
use tiktok_shop_server::delivery::{DeliveryStorage, Endpoint, Endpoints, MemoryDeliveries};
use tiktok_shop_server::{ApiKey, ApiKeyEntry, ApiKeys, Metrics, Parts, Scope, Server, Settings};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::http::{Answer, Request};
use crate::log::Log;
use crate::receiver::SECRETS;

/// The time at which every stage begins: 2026-01-01T00:00:00Z.
pub(crate) const BEGIN: u64 = 1_767_225_600;
pub(crate) const DAY: u64 = 86_400;
/// The only shop of the seller `one-shop`.
pub(crate) const SHOP: &str = "7490000000000000001";
/// An address that the allow list contains.
pub(crate) const RETURN: &str = "https://app.example/connected";

/// The address of the platform at which an install continues.
pub(crate) const INSTALL: &str = "https://app.example/install";

/// What a test changes before the service starts.
pub(crate) type Change = fn(&mut Settings);

pub(crate) struct Stage {
    pub(crate) fake: Control,
    pub(crate) host: ConnectorHost,
    pub(crate) address: SocketAddr,
    /// The key of the tenant `acme` with every scope.
    pub(crate) key: String,
    /// The key of another tenant with every scope.
    pub(crate) other_key: String,
    /// The key of a tenant with two apps.
    pub(crate) several_key: String,
    /// The key of the tenant `acme` with only this scope, in the order of [`Scope::ALL`].
    pub(crate) scoped: Vec<(Scope, String)>,
    /// What another process of the service needs.
    again: (Box<dyn Fn() -> Parts + Send + Sync>, Settings),
    clock: Arc<ManualClock>,
    /// The addresses, cookies and states that the service has issued.
    secrets: Mutex<Vec<(&'static str, String)>>,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinHandle<()>,
    _running: FakeTikTokShop,
}

/// A service beside the one of the stage.
pub(crate) struct Another {
    pub(crate) address: SocketAddr,
    key: String,
    pub(crate) stop: CancellationToken,
    pub(crate) serving: JoinHandle<()>,
}

impl Another {
    pub(crate) fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.address, method, target).key(&self.key)
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.request("GET", target).send().await
    }

    pub(crate) async fn post(&self, target: &str, body: &Value) -> Answer {
        self.request("POST", target).json(body).send().await
    }

    /// Ends the service, and waits until it has ended.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        (&mut self.serving).await.unwrap();
    }
}

impl Drop for Another {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Returns a host whose component the hosts of all tests share, because compiling it takes a while.
fn compiled(builder: tiktok_shop_host::ConnectorHostBuilder) -> ConnectorHost {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    let bytes = BYTES.get_or_init(|| std::fs::read(xtask::component().unwrap()).unwrap());
    builder.component(Component::Bytes(bytes.clone())).build().unwrap()
}

fn entry(name: &str, tenant: &str, scopes: &[Scope], key: &ApiKey) -> ApiKeyEntry {
    let (name, tenant) = (name.parse().unwrap(), tenant.parse().unwrap());
    ApiKeyEntry { name, tenant, scopes: scopes.to_vec(), digest: key.digest() }
}

impl Stage {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}, None).await
    }

    pub(crate) async fn with(change: Change, interceptor: Option<Arc<dyn Interceptor>>) -> Self {
        Log::of_process();
        let options = Options { clock: FakeClock::fixed(BEGIN), ..Options::default() };
        let running = FakeTikTokShop::start(options).unwrap();
        let fake = running.control();
        let clock = Arc::new(ManualClock::at(Duration::from_secs(BEGIN)));
        let memory = Arc::new(MemoryStorage::new(clock.clone()));
        let mut storage: Arc<dyn HostStorage> = memory.clone();
        if let Some(interceptor) = interceptor {
            storage = Arc::new(Intercepted::new(storage, interceptor));
        }
        let mut egress = EgressPolicy::production();
        for authority in [Authority::Auth, Authority::Api] {
            egress = egress.stand_in(authority, running.address()).unwrap();
        }
        let app_key = fake.apps().remove(0).app_key;
        let [acme, other, third] = <[_; 3]>::try_from(fake.apps()).unwrap().map(|app| AppCredentials {
            authorization_link: Some(app.authorization_link()),
            app_key: app.app_key,
            app_secret: app.app_secret.as_str().into(),
            previous_app_secret: None,
        });
        let tenants: [TenantId; 3] = ["acme", "other", "several"].map(|tenant| tenant.parse().unwrap());
        let credentials =
            StaticCredentials::new().with(tenants[0].clone(), acme).with(tenants[1].clone(), other.clone());
        let credentials = credentials.with(tenants[2].clone(), other).with(tenants[2].clone(), third);
        let host_keys = Arc::new(HostKeys::draw().unwrap());
        let metrics = Metrics::new();
        let host = compiled(
            ConnectorHost::builder()
                .storage(storage.clone())
                .keys(host_keys.clone())
                .credentials(Arc::new(credentials))
                .clock(clock.clone())
                .egress(egress)
                .metrics(metrics.recorder())
                .allow_export(),
        );
        let [key, other_key, several_key] = [(); 3].map(|()| ApiKey::draw(&SystemRandomness).unwrap());
        let scoped = Scope::ALL.map(|scope| (scope, ApiKey::draw(&SystemRandomness).unwrap()));
        let mut entries = vec![
            entry("everything", "acme", &Scope::ALL, &key),
            entry("another tenant's", "other", &Scope::ALL, &other_key),
            entry("several apps", "several", &Scope::ALL, &several_key),
        ];
        entries.extend(scoped.iter().map(|(scope, key)| entry(scope.as_str(), "acme", &[*scope], key)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut settings = Settings::new(format!("http://{address}").parse().unwrap());
        settings.return_addresses = vec![RETURN.parse().unwrap()];
        settings.install_addresses.insert(app_key, INSTALL.parse().unwrap());
        settings.sweep_every = None;
        change(&mut settings);
        let again = {
            let (host, clock) = (host.clone(), clock.clone());
            move || Parts {
                host: host.clone(),
                storage: storage.clone(),
                requests: memory.clone(),
                keyring: Keyring::new(storage.clone(), host_keys.clone(), Arc::new(SystemRandomness)),
                clock: clock.clone(),
                tenants: tenants.to_vec(),
                keys: ApiKeys::new(entries.clone()).unwrap(),
                consent_page: None,
                deliveries: Arc::new(MemoryDeliveries::new(clock.clone())),
                endpoints: Endpoints::default(),
            }
        };
        let server = Server::new(again(), settings.clone());
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.metrics(metrics).serve(listener, stop.clone().cancelled_owned()));
        Self {
            fake,
            host,
            address,
            key: key.expose().to_owned(),
            other_key: other_key.expose().to_owned(),
            several_key: several_key.expose().to_owned(),
            scoped: scoped.into_iter().map(|(scope, key)| (scope, key.expose().to_owned())).collect(),
            again: (Box::new(again), settings),
            clock,
            secrets: Mutex::default(),
            stop,
            serving,
            _running: running,
        }
    }

    /// Starts another service with the same host, storage and API keys, which sends webhooks.
    pub(crate) async fn serve_another(
        &self,
        deliveries: Arc<dyn DeliveryStorage>,
        endpoints: Vec<Endpoint>,
        change: impl FnOnce(&mut Settings),
    ) -> Another {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut settings = Settings::new(format!("http://{address}").parse().unwrap());
        settings.sweep_every = None;
        settings.delivery_poll = Duration::from_millis(5);
        change(&mut settings);
        let parts =
            Parts { tenants: Vec::new(), deliveries, endpoints: Endpoints::new(endpoints).unwrap(), ..self.again.0() };
        let stop = CancellationToken::new();
        let serving = tokio::spawn(Server::new(parts, settings).serve(listener, stop.clone().cancelled_owned()));
        let another = Another { address, key: self.key.clone(), stop, serving };
        assert_eq!(another.get("/healthz").await.status, 200);
        another
    }

    /// Returns the storage of the service. Rows in it are sealed.
    pub(crate) fn storage(&self) -> Arc<dyn HostStorage> {
        (self.again.0)().storage
    }

    /// Returns a keyring that seals and opens as the service does.
    pub(crate) fn keyring(&self) -> Keyring {
        (self.again.0)().keyring
    }

    /// Returns the clock of the services.
    pub(crate) fn clock(&self) -> Arc<ManualClock> {
        self.clock.clone()
    }

    /// Starts another process of the service over the same storage. Later requests go to it.
    pub(crate) async fn restart(&mut self) {
        self.restart_with(|parts| parts).await;
    }

    /// Does the same with changed parts.
    pub(crate) async fn restart_with(&mut self, change: impl FnOnce(Parts) -> Parts) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        self.address = listener.local_addr().unwrap();
        self.stop = CancellationToken::new();
        let (parts, settings) = &self.again;
        let server = Server::new(change(parts()), settings.clone());
        self.serving = tokio::spawn(server.serve(listener, self.stop.clone().cancelled_owned()));
    }

    /// Begins a request to this path with the key of `acme`.
    pub(crate) fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.address, method, target).key(&self.key)
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.request("GET", target).send().await
    }

    pub(crate) async fn post(&self, target: &str, body: &Value) -> Answer {
        self.request("POST", target).json(body).send().await
    }

    /// Begins a connect session for a customer. Returns its id and the path of its address.
    pub(crate) async fn session(&self, customer: &str) -> (String, String) {
        let path = format!("/v1/customers/{customer}/connect-sessions");
        let answer = self.post(&path, &json!({ "return_to": RETURN })).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let session = answer.json();
        let address = session["address"].as_str().unwrap();
        let path = address.strip_prefix(&format!("http://{}", self.address)).unwrap();
        self.keep("address", path.strip_prefix("/connect/").unwrap());
        (session["id"].as_str().unwrap().to_owned(), path.to_owned())
    }

    /// Opens the address of a session in a new browser. Returns the state of the consent, and the browser's cookie.
    pub(crate) async fn open(&self, path: &str) -> (String, String) {
        let answer = Request::new(self.address, "GET", path).send().await;
        assert_eq!(answer.status, 303, "{}", answer.text());
        let link = answer.header("location").unwrap();
        assert!(link.starts_with("https://services.tiktokshop.com/open/authorize?service_id="), "{link}");
        let state = link.split_once("&state=").unwrap().1.to_owned();
        let cookie = answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        self.keep("state", &state);
        self.keep("cookie", cookie.split_once('=').unwrap().1);
        (state, cookie)
    }

    pub(crate) fn keep(&self, kind: &'static str, secret: &str) {
        self.secrets.lock().unwrap().push((kind, secret.to_owned()));
    }

    /// Decides in the role of a seller. Returns the path of the callback.
    pub(crate) fn decide(&self, state: &str, seller: &str, decision: Decision) -> String {
        let service = self.fake.apps().remove(0).service_id;
        format!("/callback?{}", self.fake.consent(&service, seller, Some(state), decision).unwrap())
    }

    pub(crate) async fn callback(&self, path: &str, cookie: &str) -> Answer {
        Request::new(self.address, "GET", path).header("cookie", cookie).send().await
    }

    /// Connects a customer with the consent of a seller. Returns the account.
    pub(crate) async fn connect(&self, customer: &str, seller: &str) -> String {
        let (_, path) = self.session(customer).await;
        let (state, cookie) = self.open(&path).await;
        let answer = self.callback(&self.decide(&state, seller, Decision::Allow), &cookie).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let listed = self.get(&format!("/v1/customers/{customer}/connections")).await.json();
        listed["connections"][0]["account"].as_str().unwrap().to_owned()
    }

    /// Lets time pass for the fake and for the service.
    pub(crate) fn pass(&self, seconds: u64) {
        self.fake.advance(Duration::from_secs(seconds));
        self.clock.advance(Duration::from_secs(seconds));
    }
}

impl Drop for Stage {
    /// Searches the log of the process for the secrets of this stage.
    fn drop(&mut self) {
        self.stop.cancel();
        if std::thread::panicking() {
            return;
        }
        let mut canaries = Canaries::default();
        let keys =
            [&self.key, &self.other_key, &self.several_key].into_iter().chain(self.scoped.iter().map(|(_, key)| key));
        keys.for_each(|key| canaries.add("API key", key));
        self.fake.apps().iter().for_each(|app| canaries.add("app secret", &app.app_secret));
        self.fake.issued_secrets().into_iter().for_each(|secret| canaries.add("issued by TikTok", secret.value));
        self.secrets.lock().unwrap().iter().for_each(|(kind, secret)| canaries.add(kind, secret));
        SECRETS.iter().for_each(|secret| canaries.add("webhook secret", secret));
        let log = Log::of_process().text();
        let text = String::from_utf8_lossy(&log);
        assert!(text.contains("answered"), "the service logs its requests");
        let found: Vec<_> = canaries.found_in(&log).iter().map(ToString::to_string).collect();
        assert_eq!(found, [""; 0]);
    }
}
