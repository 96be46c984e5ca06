//! Eight processes on one PostgreSQL database, as a fleet of hosts would be, under a provider that ends everything as soon as
//! a refresh token is presented twice.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken expectation is a failed test")]

mod silence;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fake_tiktok_shop::{App, Clock as FakeClock, Control, Decision, FakeTikTokShop, Options, ReplacedRefreshToken};
use futures::stream::{self, StreamExt as _};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tiktok_shop_connector_core::record::TokenRecord;
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::connection::{ConnectionStatus, ShopPolicy, UnixSeconds};
use tiktok_shop_host::credentials::{AppCredentials, StaticCredentials};
use tiktok_shop_host::egress::{Authority, EgressPolicy};
use tiktok_shop_host::randomness::Randomness as _;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::{HostKeys, Keyring};
use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_host::{Component, ConnectorHost, CustomerId, TenantId};
use tiktok_shop_sql_storage::{PostgresOptions, SqlStorage};
use tokio::sync::{Mutex, mpsc};

const PROCESSES: usize = 8;
const CONNECTIONS: usize = 500;
/// After this time every access token is due, and none has ended.
const DUE: Duration = Duration::from_secs(6 * 86_400 + 3 * 3_600);
/// 2026-01-01T00:00:00Z.
const BEGIN: u64 = 1_767_225_600;
const REFRESH: &str = "/api/v2/token/refresh";
const HOST_KEYS: &str = "fleet:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// The server is one test's alone: another restarts it.
static SERVER: Mutex<()> = Mutex::const_new(());

/// A database with connections that are due, and TikTok Shop beside it.
struct Fleet {
    fake: FakeTikTokShop,
    app: App,
    /// Of a schema of its own.
    address: String,
    storage: SqlStorage,
    keyring: Keyring,
    tenant: TenantId,
}

impl Fleet {
    /// Every connection from a consent of its own.
    async fn set(server: &str) -> Self {
        let options = Options { clock: FakeClock::fixed(BEGIN), ..Options::default() };
        let fake = FakeTikTokShop::start(options).unwrap();
        let control = fake.control();
        control.update_switches(|switches| switches.replaced_refresh_token = ReplacedRefreshToken::RevokesFamily);
        let app = control.apps().remove(0);
        let address = schema(server).await;
        let storage = SqlStorage::postgres(&address, PostgresOptions::default()).await.unwrap();
        let shared: Arc<dyn HostStorage> = Arc::new(storage.clone());
        let keys = Arc::new(HostKeys::parse(HOST_KEYS).unwrap());
        let tenant: TenantId = "default".parse().unwrap();
        let egress = [Authority::Auth, Authority::Api].into_iter();
        let egress = egress.fold(EgressPolicy::production(), |policy, at| policy.stand_in(at, fake.address()).unwrap());
        let host = ConnectorHost::builder()
            .component(Component::File(xtask::component().unwrap()))
            .storage(Arc::clone(&shared))
            .keys(Arc::clone(&keys) as Arc<_>)
            .credentials(Arc::new(StaticCredentials::new().with(tenant.clone(), credentials(&app))))
            .clock(Arc::new(ManualClock::at(Duration::from_secs(BEGIN))))
            .egress(egress)
            .build()
            .unwrap();
        stream::iter(0..CONNECTIONS)
            .for_each_concurrent(8, async |number| {
                let query = control.consent(&app.service_id, "one-shop", None, Decision::Allow).unwrap();
                let id = customer(number);
                host.finish_app_store_install(&tenant, &id, query.into(), ShopPolicy::All).await.unwrap();
            })
            .await;
        control.clear_requests();
        control.advance(DUE);
        let keyring = Keyring::new(shared, keys, Arc::new(SystemRandomness));
        Self { fake, app, address, storage, keyring, tenant }
    }

    fn control(&self) -> Control {
        self.fake.control()
    }

    /// A process that refreshes all that is due, and ends.
    fn sweep(&self) -> Child {
        #[expect(clippy::disallowed_methods, reason = "the subject is a fleet of processes")]
        let mut command = Command::new(env!("CARGO_BIN_EXE_tiktok-shop-harness"));
        let AppCredentials { app_key, app_secret, .. } = credentials(&self.app);
        command
            .args(["sweep", "--json"])
            .env("TIKTOK_SHOP_STORAGE", &self.address)
            .env("TIKTOK_SHOP_HOST_KEYS", HOST_KEYS)
            .env("TIKTOK_SHOP_COMPONENT", xtask::component().unwrap())
            .env("TIKTOK_SHOP_FAKE", format!("http://{}", self.fake.address()))
            .env("TIKTOK_SHOP_APP_KEY", app_key)
            .env("TIKTOK_SHOP_APP_SECRET", app_secret.expose())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// All processes at once. `on_line` hears of each line that one of them says: a connection is done.
    async fn sweep_with_all(&self, mut on_line: impl FnMut()) -> Vec<Ended> {
        let (said, mut lines) = mpsc::unbounded_channel();
        let processes: Vec<_> = (0..PROCESSES)
            .map(|_| {
                let (mut child, said) = (self.sweep(), said.clone());
                tokio::task::spawn_blocking(move || {
                    let stdout = BufReader::new(child.stdout.take().unwrap());
                    let mut failed = Vec::new();
                    for line in stdout.lines().map(Result::unwrap) {
                        failed.extend(line.contains("\"why\"").then(|| line.clone()));
                        said.send(line).unwrap();
                    }
                    let output = child.wait_with_output().unwrap();
                    failed.extend(String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned));
                    Ended { status: output.status, failed }
                })
            })
            .collect();
        drop(said);
        while lines.recv().await.is_some() {
            on_line();
        }
        let mut ended = Vec::new();
        for process in processes {
            ended.push(process.await.unwrap());
        }
        ended
    }

    fn refreshes(&self) -> usize {
        self.control().requests().iter().filter(|request| request.path == REFRESH).count()
    }

    /// Every connection is active, none is due, and TikTok Shop honours the refresh token that is stored.
    async fn nothing_is_lost(&self) {
        let control = self.control();
        let now = UnixSeconds(control.now());
        assert_eq!(self.storage.due(now, None, CONNECTIONS).await.unwrap(), []);
        for number in 0..CONNECTIONS {
            let rows = self.storage.list_rows(&self.tenant, &customer(number)).await.unwrap();
            let [entry] = rows.as_slice() else { panic!("{number}: {rows:?}") };
            let connection = &entry.row.connection;
            assert_eq!((connection.status, &connection.last_failure), (ConnectionStatus::Active, &None), "{number}");
            let key = &connection.key;
            let token = self.storage.load_token(&self.tenant, key).await.unwrap().unwrap();
            let record = self.keyring.open_token(&self.tenant, key, &token.revision, &token.value).await.unwrap();
            let record = TokenRecord::decode(&record).unwrap();
            assert!(record.into_current().refresh.is_some_and(|token| control.honours(token.expose())), "{number}");
        }
    }
}

fn customer(number: usize) -> CustomerId {
    format!("customer-{number}").parse().unwrap()
}

fn credentials(app: &App) -> AppCredentials {
    AppCredentials {
        app_key: app.app_key.clone(),
        app_secret: app.app_secret.as_str().into(),
        previous_app_secret: None,
        authorization_link: None,
    }
}

/// A schema of its own in this database. It stays behind: the server is thrown away.
async fn schema(server: &str) -> String {
    let mut bits = [0; 8];
    SystemRandomness.fill(&mut bits).unwrap();
    let name = format!("fleet_{:016x}", u64::from_be_bytes(bits));
    let mut connection = PgConnection::connect(server).await.unwrap();
    connection.execute(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).await.unwrap();
    connection.close().await.unwrap();
    let mark = if server.contains('?') { '&' } else { '?' };
    format!("{server}{mark}options=-c%20search_path%3D{name}")
}

/// How a process ended.
#[derive(Debug)]
struct Ended {
    status: ExitStatus,
    /// Lines about connections that could not be refreshed, and what it complained of.
    failed: Vec<String>,
}

impl Ended {
    fn is_in_order(&self) -> bool {
        self.status.success() && self.failed.is_empty()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_processes_spend_each_of_500_refresh_tokens_once() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let _alone = SERVER.lock().await;
    let fleet = Fleet::set(&server).await;
    let ended = fleet.sweep_with_all(|| ()).await;
    assert!(ended.iter().all(Ended::is_in_order), "{ended:?}");
    assert_eq!(fleet.refreshes(), CONNECTIONS);
    fleet.nothing_is_lost().await;
}

/// What the restart interrupts is repeated within the ten seconds of a save, or left to the next sweep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_restarted_under_eight_processes_loses_nothing() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let Some(restart) = tiktok_shop_test_postgres::test_postgres_restart() else { return };
    let _alone = SERVER.lock().await;
    let fleet = Fleet::set(&server).await;
    let (mut done, restart) = (0, Arc::new(restart));
    let mut restarting = None;
    let ended = fleet
        .sweep_with_all(|| {
            done += 1;
            if done == CONNECTIONS / 4 {
                let (restart, before) = (Arc::clone(&restart), fleet.refreshes());
                restarting = Some((before, tokio::task::spawn_blocking(move || restart.run())));
            }
        })
        .await;
    let (before, restarting) = restarting.unwrap();
    restarting.await.unwrap();
    let first = fleet.refreshes();
    println!("restarted after {before} of {CONNECTIONS} refreshes, {first} by the end of the first sweep: {ended:?}");
    assert!(before < CONNECTIONS, "the fleet was done before");

    // A claim whose process could not store what it got would lapse only after two minutes: there is none.
    let again = fleet.sweep_with_all(|| ()).await;
    assert!(again.iter().all(Ended::is_in_order), "{again:?}");
    assert_eq!(fleet.refreshes(), CONNECTIONS);
    fleet.nothing_is_lost().await;
}
