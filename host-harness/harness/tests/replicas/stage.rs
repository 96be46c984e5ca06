//! The surroundings of a test: a fake TikTok Shop, a PostgreSQL database, one configuration file, three replicas, and a
//! proxy in front of them.
//!
//! All clocks stand still during a day. A night kills all replicas at once, and lets more than six days pass for the
//! fake, the database and the replicas. After it every connection is due for a refresh, and no claim lives.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fake_tiktok_shop::fixtures::numbered_seller;
use fake_tiktok_shop::{App, Clock as FakeClock, Control, FakeTikTokShop, Options, ReplacedRefreshToken};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;
use tiktok_shop_canaries::Canaries;
use tiktok_shop_connector_core::record::TokenRecord;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tiktok_shop_host::seal::{KeyFile, Keyring};
use tiktok_shop_host::storage::{HostStorage, TokenStorage as _};
use tiktok_shop_sql_storage::{OpenMode, PostgresOptions, SqlStorage};

use crate::REPLICAS;
use crate::activity::{Activity, Way};
use crate::http::{Answer, request, send};
use crate::proxy::{self, BROKEN, NOBODY, OWN};
use crate::receiver::Receiver;
use crate::replica::{Program, Replicas};

/// The time at which the fake's clock starts: 2026-01-01T00:00:00Z.
const BEGIN: u64 = 1_767_225_600;
/// The time that a night lets pass: 6 days and 3 hours. After this time, every token is due for a refresh, and no access
/// token that was issued the day before has ended.
const NIGHT: Duration = Duration::from_secs(6 * 86_400 + 3 * 3_600);
/// The address to which sellers are led back.
const RETURN: &str = "https://app.example/connected";
/// The secret with which webhooks to the platform are signed.
const SIGNING_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// A request that must succeed in the end is sent this often at most.
const MAX_TRIES: usize = 500;

pub(crate) struct Stage {
    pub(crate) fake: Control,
    pub(crate) app: App,
    pub(crate) replicas: Replicas,
    pub(crate) activity: Activity,
    pub(crate) way: Way,
    pub(crate) receiver: Receiver,
    pub(crate) storage: SqlStorage,
    pub(crate) tenant: TenantId,
    keyring: Keyring,
    proxy: SocketAddr,
    /// The API key of the platform.
    key: String,
    /// The address of the PostgreSQL server, and the schema.
    database: (String, String),
    /// The addresses, cookies and states that the service has issued.
    secrets: Mutex<Vec<(&'static str, String)>>,
    _running: FakeTikTokShop,
    _home: TempDir,
}

impl Stage {
    /// Prepares everything as docs/service.md says, and starts the replicas.
    pub(crate) async fn new(server: &str, sellers: usize, replaced: ReplacedRefreshToken) -> Self {
        let clock = FakeClock::fixed(BEGIN);
        let sellers = (0..sellers).map(numbered_seller).collect();
        let running = FakeTikTokShop::start(Options { clock, sellers, ..Options::default() }).unwrap();
        let fake = running.control();
        fake.update_switches(|switches| switches.replaced_refresh_token = replaced);
        let app = fake.apps().remove(0);
        let activity = Activity::new();
        let addresses = proxy::Addresses::default();
        let proxy = proxy::start(addresses.clone(), activity.clone()).await;
        let schema = new_schema(server).await;
        let separator = if server.contains('?') { '&' } else { '?' };
        let address = format!("{server}{separator}options=-c%20search_path%3D{schema},pg_catalog");

        let home = tempfile::tempdir().unwrap();
        let folder = home.path().to_owned();
        let receiver = Receiver::start(activity.clone()).await;
        let way = Way::to(fake.address(), activity.clone()).await;
        let fake_address = format!("http://{}", way.address);
        let program = Program { config: folder.join("service.toml"), home: folder.clone(), fake: fake_address };
        let write_config = |api_keys: &str| {
            fs::write(&program.config, config(&address, proxy, &app, &receiver) + api_keys).unwrap();
            fs::set_permissions(&program.config, fs::Permissions::from_mode(0o600)).unwrap();
        };
        write_config("");
        let created = program.ok("api-keys create --name platform --tenant default --scopes connect,read,call");
        let (key, api_keys) = created.split_once("\n\n").unwrap();
        write_config(api_keys);
        program.ok("keys init");
        program.ok("migrate");
        program.ok("check-config");

        let options = PostgresOptions { connections: 2, ..PostgresOptions::default() };
        let storage = SqlStorage::postgres(&address, OpenMode::Existing, options).await.unwrap();
        let keys = Arc::new(KeyFile::open(folder.join("host-keys")).unwrap());
        let shared: Arc<dyn HostStorage> = Arc::new(storage.clone());
        let keyring = Keyring::new(shared, keys, Arc::new(SystemRandomness));
        let replicas = Replicas::new(Arc::new(program), addresses);
        // The first replica compiles the component, and the others take it from the cache.
        for place in 0..REPLICAS {
            replicas.start(place).await;
        }
        Self {
            fake,
            app,
            replicas,
            activity,
            way,
            receiver,
            storage,
            tenant: "default".parse().unwrap(),
            keyring,
            proxy,
            key: key.to_owned(),
            database: (server.to_owned(), schema),
            secrets: Mutex::default(),
            _running: running,
            _home: home,
        }
    }

    /// Kills all replicas, lets time pass, and starts them again. Answers of TikTok Shop that are still on the way are
    /// lost.
    pub(crate) async fn night(&self) {
        self.replicas.kill_all().await;
        self.way.release_answers();
        self.fake.advance(NIGHT);
        let (_, schema) = &self.database;
        let seconds = NIGHT.as_secs();
        self.sql(&format!("UPDATE {schema}.test_time SET seconds = seconds + {seconds}")).await;
        self.replicas.start_all().await;
    }

    async fn sql(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.database.0).await.unwrap();
        connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Sends a request to the proxy once. If no replica accepts a connection, waits for one.
    pub(crate) async fn once(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        loop {
            let answer = send(self.proxy, request(method, target, headers, body.to_owned())).await;
            if answer.header(OWN) != Some(NOBODY) {
                return answer;
            }
            self.replicas.some_runs().await;
        }
    }

    /// Sends a request of the platform until a service answers. Only for requests that may be repeated
    /// (docs/service.md).
    pub(crate) async fn ask(&self, method: &str, target: &str, body: &str) -> Answer {
        let key = format!("Bearer {}", self.key);
        for _ in 0..MAX_TRIES {
            let answer = self.once(method, target, &[("authorization", &key)], body).await;
            if answer.header(OWN) != Some(BROKEN) {
                return answer;
            }
        }
        panic!("no answer to {method} {target}");
    }

    /// Returns the API's answer, which must have the status 200.
    pub(crate) async fn get(&self, target: &str) -> serde_json::Value {
        let answer = self.ask("GET", target, "").await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        answer.json()
    }

    /// Delivers a webhook as TikTok Shop does: again and again until it is acknowledged.
    pub(crate) async fn deliver(&self, number: u64) {
        let due = self.fake.webhooks_due().into_iter().find(|delivery| delivery.number == number).unwrap();
        let headers: Vec<_> = due.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        for _ in 0..MAX_TRIES {
            let answer = self.once("POST", "/webhooks/default", &headers, &due.body).await;
            match answer.status.as_u16() {
                200 => {
                    self.fake.webhook_answered(number, Some(200)).unwrap();
                    return;
                }
                // The connection broke, or the service asks for a repetition.
                502 | 503 => {}
                _ => panic!("a signed webhook got {}: {}", answer.status, answer.text()),
            }
        }
        panic!("the webhook {number} was never acknowledged");
    }

    /// Returns the number of complete sweeps of a replica since its start.
    pub(crate) async fn complete_sweeps(&self, replica: SocketAddr) -> u64 {
        let metrics = send(replica, request("GET", "/metrics", &[], "")).await.text();
        let count =
            metrics.lines().find_map(|line| line.strip_prefix("tiktok_shop_sweeps_total{result=\"complete\"} "));
        count.map_or(0, |count| count.parse().unwrap())
    }

    /// Returns the number of refreshes that TikTok Shop has received.
    pub(crate) fn refreshes(&self) -> usize {
        self.fake.requests().iter().filter(|request| request.path == "/api/v2/token/refresh").count()
    }

    /// Returns the token record of a connection, decrypted.
    pub(crate) async fn record(&self, key: &ConnectionKey) -> Option<TokenRecord> {
        let stored = self.storage.load_token(&self.tenant, key).await.unwrap()?;
        let opened = self.keyring.open_token(&self.tenant, key, &stored.revision, &stored.value).await.unwrap();
        Some(TokenRecord::decode(&opened).unwrap())
    }

    pub(crate) fn return_to() -> &'static str {
        RETURN
    }

    /// Remembers a secret that no log may contain.
    pub(crate) fn keep(&self, kind: &'static str, secret: &str) {
        self.secrets.lock().unwrap().push((kind, secret.to_owned()));
    }

    /// Asserts that the logs of the replicas contain no secret.
    pub(crate) fn assert_no_secret_was_logged(&self) {
        let mut canaries = Canaries::default();
        canaries.add("API key", &self.key);
        canaries.add("signing secret", SIGNING_SECRET);
        canaries.add("app secret", &self.app.app_secret);
        self.fake.issued_secrets().into_iter().for_each(|secret| canaries.add("issued by TikTok", secret.value));
        self.secrets.lock().unwrap().iter().for_each(|(kind, secret)| canaries.add(kind, secret));
        for place in 0..REPLICAS {
            let log = fs::read(self.replicas.program.log(place)).unwrap();
            assert!(!log.is_empty(), "the service logs its requests");
            let found: Vec<_> = canaries.found_in(&log).iter().map(ToString::to_string).collect();
            assert_eq!(found, [""; 0]);
        }
    }

    /// Ends the replicas, and deletes the tables.
    pub(crate) async fn end(self) {
        self.replicas.kill_all().await;
        self.storage.clone().close().await;
        self.sql(&format!("DROP SCHEMA {} CASCADE", self.database.1)).await;
    }
}

fn config(storage: &str, proxy: SocketAddr, app: &App, receiver: &Receiver) -> String {
    let link = app.authorization_link();
    let App { app_key, app_secret, .. } = app;
    let webhooks = receiver.address;
    // Sweeps come often, so that they are disturbed, too. The limits must not be reached: one API key has all requests.
    format!(
        "storage = \"{storage}\"\n\
         key-file = \"host-keys\"\n\
         [serve]\n\
         public-address = \"http://{proxy}\"\n\
         return-addresses = [\"{RETURN}\"]\n\
         sweep-seconds = 1\n\
         requests-per-second = 1000000\n\
         requests-in-flight = 1000000\n\
         [[serve.webhooks]]\n\
         tenant = \"default\"\n\
         name = \"main\"\n\
         address = \"http://{webhooks}/webhooks\"\n\
         secret = \"{SIGNING_SECRET}\"\n\
         [tenants.default]\n\
         app-key = \"{app_key}\"\n\
         app-secret = \"{app_secret}\"\n\
         authorization-link = \"{link}\"\n"
    )
}

/// Creates a schema with a random name, whose clock stands still until a night moves it.
async fn new_schema(server: &str) -> String {
    let mut bits = [0; 8];
    SystemRandomness.fill(&mut bits).unwrap();
    let name = format!("replicas_{:016x}", u64::from_be_bytes(bits));
    let mut connection = PgConnection::connect(server).await.unwrap();
    let sql = format!(
        "CREATE SCHEMA {name}; SET search_path = {name}, pg_catalog; \
         CREATE TABLE test_time (seconds BIGINT NOT NULL); INSERT INTO test_time VALUES ({BEGIN}); \
         CREATE FUNCTION clock_timestamp() RETURNS TIMESTAMPTZ LANGUAGE sql VOLATILE AS \
         'SELECT to_timestamp(seconds) FROM test_time'"
    );
    connection.execute(AssertSqlSafe(sql)).await.unwrap();
    connection.close().await.unwrap();
    name
}
