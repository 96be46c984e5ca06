//! Tests that eight processes can sweep one PostgreSQL database at the same time, like the hosts of a fleet. A fake
//! takes the place of TikTok Shop and has the strictest policy: if the same refresh token is sent twice, the fake
//! revokes every token of the consent.
//!
//! [`failover`] tests a failover of the database during a sweep.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken expectation is a failed test")]

#[cfg(unix)]
mod failover;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use fake_tiktok_shop::{App, Clock as FakeClock, Control, Decision, FakeTikTokShop, Options, ReplacedRefreshToken};
use futures::stream::{self, StreamExt as _};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tiktok_shop_connector_core::record::TokenRecord;
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::connect::Grant;
use tiktok_shop_host::connection::{ConnectionStatus, ShopPolicy, UnixSeconds};
use tiktok_shop_host::credentials::{AppCredentials, StaticCredentials};
use tiktok_shop_host::egress::{Authority, EgressPolicy};
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tiktok_shop_host::seal::{HostKeys, Keyring};
use tiktok_shop_host::storage::{ConnectionStorage as _, HostStorage, TokenStorage as _};
use tiktok_shop_host::{Component, ConnectorHost, CustomerId, TenantId};
use tiktok_shop_sql_storage::{OpenMode, PostgresOptions, SqlStorage};
use tokio::sync::{Mutex, mpsc};

const PROCESSES: usize = 8;
const CONNECTIONS: usize = 500;
/// The time from the consents to the sweep: 6 days and 3 hours. After this time, every connection is due for a refresh,
/// and no access token has ended.
const UNTIL_DUE: Duration = Duration::from_secs(6 * 86_400 + 3 * 3_600);
/// The time at which the fake's clock starts: 2026-01-01T00:00:00Z.
const BEGIN: u64 = 1_767_225_600;
const REFRESH: &str = "/api/v2/token/refresh";
const HOST_KEYS: &str = "fleet:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Each test locks this mutex while it runs. One test restarts the database server, so no other test may use the server
/// at the same time. A test of a failover has servers of its own, and locks the mutex only if its failover must take
/// less time than a process has for a save.
static SERVER: Mutex<()> = Mutex::const_new(());

/// A database whose connections are all due for a refresh, and the fake TikTok Shop that issued their tokens.
struct Fleet {
    fake: FakeTikTokShop,
    app: App,
    /// The address of the database. It names a schema that only this fleet uses.
    address: String,
    storage: SqlStorage,
    keyring: Keyring,
    tenant: TenantId,
}

impl Fleet {
    /// Connects 500 customers, each with a consent of its own, and advances the fake's clock until all connections are
    /// due.
    async fn new(server: &str) -> Self {
        let options = Options { clock: FakeClock::fixed(BEGIN), ..Options::default() };
        let fake = FakeTikTokShop::start(options).unwrap();
        let control = fake.control();
        control.update_switches(|switches| switches.replaced_refresh_token = ReplacedRefreshToken::RevokesFamily);
        let app = control.apps().remove(0);
        let address = new_schema(server).await;
        let storage = SqlStorage::postgres(&address, OpenMode::Create, PostgresOptions::default()).await.unwrap();
        let shared: Arc<dyn HostStorage> = Arc::new(storage.clone());
        let keys = Arc::new(HostKeys::parse(HOST_KEYS).unwrap());
        let tenant: TenantId = "default".parse().unwrap();
        let clock = Arc::new(ManualClock::at(Duration::from_secs(BEGIN)));
        let host = host(&shared, &keys, clock, &tenant, &fake);
        stream::iter(0..CONNECTIONS)
            .for_each_concurrent(8, async |number| {
                let code = code(&control, &app, "one-shop");
                host.connect(&tenant, &customer(number), None, code, ShopPolicy::All).await.unwrap();
            })
            .await;
        control.clear_requests();
        control.advance(UNTIL_DUE);
        let keyring = Keyring::new(shared, keys, Arc::new(SystemRandomness));
        Self { fake, app, address, storage, keyring, tenant }
    }

    fn control(&self) -> Control {
        self.fake.control()
    }

    /// Runs all sweep processes at the same time. Calls `on_line` for each line that a process prints. A process prints
    /// one line for each connection that it handled, and a summary at the end.
    async fn sweep_with_all(&self, mut on_line: impl FnMut()) -> Vec<SweepResult> {
        let (line_sender, mut lines) = mpsc::unbounded_channel();
        let processes: Vec<_> = (0..PROCESSES)
            .map(|_| {
                let sweep = sweep_command(&self.address, self.fake.address(), &self.app).spawn();
                let (mut child, line_sender) = (sweep.unwrap(), line_sender.clone());
                tokio::task::spawn_blocking(move || {
                    let stdout = BufReader::new(child.stdout.take().unwrap());
                    let mut complaints = Vec::new();
                    for line in stdout.lines().map(Result::unwrap) {
                        // If another process holds the claim on a connection, this child process sends nothing for the
                        // connection, and prints a line with `held`. Such a line is no failure.
                        let failed = line.contains("\"why\"") && !line.contains("\"outcome\":\"held\"");
                        complaints.extend(failed.then(|| line.clone()));
                        line_sender.send(line).unwrap();
                    }
                    let output = child.wait_with_output().unwrap();
                    complaints.extend(String::from_utf8(output.stderr).unwrap().lines().map(str::to_owned));
                    SweepResult { status: output.status, complaints }
                })
            })
            .collect();
        drop(line_sender);
        while lines.recv().await.is_some() {
            on_line();
        }
        let mut results = Vec::new();
        for process in processes {
            results.push(process.await.unwrap());
        }
        results
    }

    /// Counts the refresh requests that the fake received.
    fn refresh_requests(&self) -> usize {
        self.control().requests().iter().filter(|request| request.path == REFRESH).count()
    }

    /// Asserts that every connection is active, that no connection is due, and that the fake still accepts the current
    /// refresh token of every connection.
    async fn assert_nothing_is_lost(&self) {
        let control = self.control();
        let now = UnixSeconds(control.now());
        assert_eq!(self.storage.due(now, None, CONNECTIONS).await.unwrap(), []);
        for number in 0..CONNECTIONS {
            let rows = self.storage.list_rows(&self.tenant, &customer(number)).await.unwrap();
            let [entry] = rows.as_slice() else { panic!("{number}: {rows:?}") };
            let connection = &entry.row.decode().unwrap().connection;
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

/// Returns a host in this process, with the credentials of the fake's first app.
fn host(
    storage: &Arc<dyn HostStorage>,
    keys: &Arc<HostKeys>,
    clock: Arc<ManualClock>,
    tenant: &TenantId,
    fake: &FakeTikTokShop,
) -> ConnectorHost {
    let mut egress = EgressPolicy::production();
    for authority in [Authority::Auth, Authority::Api] {
        egress = egress.stand_in(authority, fake.address()).unwrap();
    }
    let credentials = credentials(&fake.control().apps().remove(0));
    ConnectorHost::builder()
        .component(Component::File(xtask::component().unwrap()))
        .storage(Arc::clone(storage))
        .keys(Arc::clone(keys) as Arc<_>)
        .credentials(Arc::new(StaticCredentials::new().with(tenant.clone(), credentials)))
        .clock(clock)
        .egress(egress)
        .build()
        .unwrap()
}

/// Lets the seller consent, and returns the authorization code.
fn code(fake: &Control, app: &App, seller: &str) -> Grant {
    let query = fake.consent(&app.service_id, seller, None, Decision::Allow).unwrap();
    let code = query.split('&').find_map(|pair| pair.strip_prefix("code=")).unwrap();
    Grant::Code(code.into())
}

/// Returns the command of a process that refreshes all connections that are due, and then ends.
fn sweep_command(database: &str, fake: SocketAddr, app: &App) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the subject is a fleet of processes")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_tiktok-shop-harness"));
    let AppCredentials { app_key, app_secret, .. } = credentials(app);
    command
        .args(["sweep", "--json"])
        .env("TIKTOK_SHOP_STORAGE", database)
        .env("TIKTOK_SHOP_HOST_KEYS", HOST_KEYS)
        .env("TIKTOK_SHOP_COMPONENT", xtask::component().unwrap())
        .env("TIKTOK_SHOP_FAKE", format!("http://{fake}"))
        .env("TIKTOK_SHOP_APP_KEY", app_key)
        .env("TIKTOK_SHOP_APP_SECRET", app_secret.expose())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Creates a schema with a random name, and returns an address that uses it. The test doesn't delete the schema,
/// because the server is temporary.
async fn new_schema(server: &str) -> String {
    let mut bits = [0; 8];
    SystemRandomness.fill(&mut bits).unwrap();
    let name = format!("fleet_{:016x}", u64::from_be_bytes(bits));
    let mut connection = PgConnection::connect(server).await.unwrap();
    connection.execute(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).await.unwrap();
    connection.close().await.unwrap();
    let separator = if server.contains('?') { '&' } else { '?' };
    format!("{server}{separator}options=-c%20search_path%3D{name}")
}

/// How a process ended.
#[derive(Debug)]
struct SweepResult {
    status: ExitStatus,
    /// The lines about connections that could not be refreshed, and the lines on standard error.
    complaints: Vec<String>,
}

impl SweepResult {
    fn is_clean(&self) -> bool {
        self.status.success() && self.complaints.is_empty()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_processes_spend_each_of_500_refresh_tokens_once() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let _lock = SERVER.lock().await;
    let fleet = Fleet::new(&server).await;
    let results = fleet.sweep_with_all(|| ()).await;
    assert!(results.iter().all(SweepResult::is_clean), "{results:?}");
    assert_eq!(fleet.refresh_requests(), CONNECTIONS);
    fleet.assert_nothing_is_lost().await;
}

/// A host repeats an interrupted save for up to ten seconds. If the refresh of a connection fails nevertheless, the
/// second sweep refreshes the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_server_during_a_sweep_of_eight_processes_loses_nothing() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let Some(restart) = tiktok_shop_test_postgres::test_postgres_restart() else { return };
    let _lock = SERVER.lock().await;
    let fleet = Fleet::new(&server).await;
    let (mut done, restart) = (0, Arc::new(restart));
    let mut restarting = None;
    let first = fleet
        .sweep_with_all(|| {
            done += 1;
            if done == CONNECTIONS / 4 {
                let (restart, before) = (Arc::clone(&restart), fleet.refresh_requests());
                restarting = Some((before, tokio::task::spawn_blocking(move || restart.run())));
            }
        })
        .await;
    let (before, restarting) = restarting.unwrap();
    restarting.await.unwrap();
    let after_first = fleet.refresh_requests();
    println!(
        "restarted after {before} of {CONNECTIONS} refreshes, {after_first} by the end of the first sweep: {first:?}"
    );
    assert!(before < CONNECTIONS, "the fleet was done before the restart");

    // A process that could not save a new pair of tokens would leave its claim in the token record. For two minutes,
    // this claim would keep the second sweep from renewing these tokens, and the assertions below would fail.
    let second = fleet.sweep_with_all(|| ()).await;
    assert!(second.iter().all(SweepResult::is_clean), "{second:?}");
    assert_eq!(fleet.refresh_requests(), CONNECTIONS);
    fleet.assert_nothing_is_lost().await;
}
