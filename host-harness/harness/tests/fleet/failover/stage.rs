//! A primary and its standby, connections of several customers that are due for a refresh, and the fake that issued
//! their tokens.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fake_tiktok_shop::fixtures::{numbered_seller, seller_id, shop_id};
use fake_tiktok_shop::{App, Clock as FakeClock, Control, FakeTikTokShop, Options, ReplacedRefreshToken};
use futures::stream::{self, StreamExt as _};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};
use tiktok_shop_connector_core::record::TokenRecord;
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::connection::{Connection, ConnectionKey, ConnectionStatus, ReauthorizationReason, ShopPolicy};
use tiktok_shop_host::disconnect::{DisconnectTarget, RemoteGrant};
use tiktok_shop_host::events::EventPosition;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::refresh::{RefreshEffect, RefreshMode};
use tiktok_shop_host::seal::{HostKeys, Keyring};
use tiktok_shop_host::storage::{ConnectionStorage as _, HostStorage, RowFilter, TokenStorage as _};
use tiktok_shop_host::{ConnectorHost, CustomerId, TenantId};
use tiktok_shop_sql_storage::{OpenMode, PostgresOptions, SqlStorage};
use tiktok_shop_test_postgres::{Replicated, Replication};
use tokio::task::block_in_place;
use tokio::time::{interval, timeout};

use super::PATIENCE;
use super::gate::Gate;
use super::line::Line;
use super::process::Sweeping;
use crate::{BEGIN, HOST_KEYS, UNTIL_DUE, code, host, new_schema, sweep_command};

/// The number of customers. Each of them has connected the same number of sellers.
const CUSTOMERS: usize = 8;
pub(crate) const CONNECTIONS: usize = 40;
/// A customer and a seller who connect later. The seller's number follows those of the connections.
pub(crate) const LATE_CUSTOMER: &str = "customer-late";
pub(crate) const LATE_SELLER: usize = CONNECTIONS;
const PAUSE: Duration = Duration::from_millis(10);

pub(crate) struct Stage {
    servers: Replicated,
    /// The schema of the database, as the parameter of an address.
    schema: String,
    line: Line,
    pub(crate) gate: Gate,
    fake: FakeTikTokShop,
    app: App,
    pub(crate) tenant: TenantId,
    /// The database as the processes reach it.
    pub(crate) storage: SqlStorage,
    keyring: Keyring,
    /// A host in this process, which also uses the database as the processes reach it.
    host: ConnectorHost,
}

impl Stage {
    /// Starts the servers, connects all sellers, and advances the fake's clock until all connections are due. `None` if
    /// this machine has no PostgreSQL.
    pub(crate) async fn new(replication: Replication, replaced: ReplacedRefreshToken) -> Option<Self> {
        let servers = block_in_place(|| Replicated::start(replication))?;
        let address = new_schema(servers.primary()).await;
        let (_, schema) = address.split_once('?').unwrap();
        // In this schema, the server's clock stands still until the test moves it.
        let mut operator = PgConnection::connect(&address).await.unwrap();
        let clock = "CREATE TABLE test_time (seconds BIGINT NOT NULL); INSERT INTO test_time VALUES (0); \
                     CREATE FUNCTION clock_timestamp() RETURNS TIMESTAMPTZ LANGUAGE sql VOLATILE AS \
                     'SELECT to_timestamp(seconds) FROM test_time'";
        operator.execute(clock).await.unwrap();
        operator.close().await.unwrap();
        let schema = format!("{schema},pg_catalog");

        let sellers = (0..=CONNECTIONS).map(numbered_seller).collect();
        let options = Options { clock: FakeClock::fixed(BEGIN), sellers, ..Options::default() };
        let fake = FakeTikTokShop::start(options).unwrap();
        let control = fake.control();
        control.update_switches(|switches| switches.replaced_refresh_token = replaced);
        let app = control.apps().remove(0);
        let gate = Gate::to(fake.address()).await;
        let line = Line::to(socket_address(servers.primary())).await;
        let database = format!("postgres://tester@{}/postgres?{schema}", line.address);
        // Otherwise the first call after the failover could fail, because it is not repeated here.
        let options = PostgresOptions { check_after_idle: Duration::ZERO, ..PostgresOptions::default() };
        let storage = SqlStorage::postgres(&database, OpenMode::Create, options).await.unwrap();
        let shared: Arc<dyn HostStorage> = Arc::new(storage.clone());
        let keys = Arc::new(HostKeys::parse(HOST_KEYS).unwrap());
        let tenant: TenantId = "default".parse().unwrap();
        let clock = Arc::new(ManualClock::at(Duration::from_secs(BEGIN)));
        let host = host(&shared, &keys, Arc::clone(&clock), &tenant, &fake);
        let keyring = Keyring::new(shared, keys, Arc::new(SystemRandomness));
        let stage = Self { servers, schema, line, gate, fake, app, tenant, storage, keyring, host };
        stream::iter(0..CONNECTIONS)
            .for_each_concurrent(8, async |number| stage.connect(customer(number).as_str(), number).await)
            .await;
        control.advance(UNTIL_DUE);
        clock.advance(UNTIL_DUE);
        Some(stage)
    }

    fn control(&self) -> Control {
        self.fake.control()
    }

    /// Returns the address of the database as the processes reach it.
    fn database(&self) -> String {
        format!("postgres://tester@{}/postgres?{}", self.line.address, self.schema)
    }

    /// Starts a process that refreshes the due connections, `at_once` at the same time.
    pub(crate) fn sweep(&self, at_once: usize) -> Sweeping {
        let mut command = sweep_command(&self.database(), self.gate.address, &self.app);
        command.args(["--concurrency", &at_once.to_string()]);
        Sweeping::start(command)
    }

    /// Waits until the standby has every write of the primary.
    pub(crate) async fn standby_has_everything(&self) {
        let sql = "SELECT replay_lsn = pg_current_wal_lsn() FROM pg_stat_replication";
        until(self.servers.primary(), "the standby has everything", sql).await;
    }

    /// Ends the replication, as a broken network between the servers does.
    pub(crate) async fn cut_replication(&self) {
        let mut standby = PgConnection::connect(self.servers.standby()).await.unwrap();
        standby.execute("ALTER SYSTEM SET primary_conninfo = ''").await.unwrap();
        standby.execute("SELECT pg_reload_conf()").await.unwrap();
        standby.close().await.unwrap();
        let sql = "SELECT NOT EXISTS (SELECT FROM pg_stat_replication)";
        until(self.servers.primary(), "the standby gets nothing", sql).await;
    }

    /// Waits until this number of commits on the primary wait for the standby.
    pub(crate) async fn commits_wait(&self, number: usize) {
        let sql = format!("SELECT COUNT(*) >= {number} FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        until(self.servers.primary(), "commits wait for the standby", &sql).await;
    }

    pub(crate) fn kill_primary(&self) {
        block_in_place(|| self.servers.kill_primary());
    }

    pub(crate) fn promote_standby(&self) {
        block_in_place(|| self.servers.promote_standby());
    }

    /// Leads the address that the processes know to the server that was the standby.
    pub(crate) fn lead_to_standby(&self) {
        self.line.lead_to(socket_address(self.servers.standby()));
    }

    /// Raises the positions of the events on the server that was the standby, as docs/storage.md says. Returns the
    /// position of the last event before.
    pub(crate) async fn raise_event_positions(&self) -> EventPosition {
        let mut standby = self.standby().await;
        let last: i64 = standby.fetch_one("SELECT last FROM tiktok_shop_event_positions").await.unwrap().get(0);
        let raise = "UPDATE tiktok_shop_event_positions SET last = last + 1000000";
        assert_eq!(standby.execute(raise).await.unwrap().rows_affected(), 1);
        standby.close().await.unwrap();
        EventPosition(last.try_into().unwrap())
    }

    /// Moves the clock of the server that was the standby.
    pub(crate) async fn advance_server_clock(&self, seconds: u32) {
        let mut standby = self.standby().await;
        let advance = format!("UPDATE test_time SET seconds = seconds + {seconds}");
        standby.execute(AssertSqlSafe(advance)).await.unwrap();
        standby.close().await.unwrap();
    }

    /// Connects to the server that was the standby.
    async fn standby(&self) -> PgConnection {
        PgConnection::connect(&format!("{}?{}", self.servers.standby(), self.schema)).await.unwrap()
    }

    /// Lets a seller consent, and connects the seller to the customer. A connected seller consents anew.
    pub(crate) async fn connect(&self, customer: &str, number: usize) {
        let code = code(&self.control(), &self.app, &seller_id(number));
        let customer = customer.parse().unwrap();
        let connected = self.host.connect(&self.tenant, &customer, None, code, ShopPolicy::All).await.unwrap();
        assert_eq!(connected.status, ConnectionStatus::Active, "{}", seller_id(number));
    }

    /// Lets the seller of a connection consent anew.
    pub(crate) async fn connect_again(&self, number: usize) {
        self.connect(customer(number).as_str(), number).await;
    }

    /// Ends a connection. TikTok Shop still grants access.
    pub(crate) async fn disconnect(&self, number: usize) {
        let ConnectionKey { customer, account } = self.key(number);
        let target = DisconnectTarget::All(Some(account));
        let ended = self.host.disconnect(&self.tenant, &customer, target, RemoteGrant::Keep).await.unwrap();
        assert_eq!(ended.found, [self.key(number)]);
    }

    /// Returns the position of the last event.
    pub(crate) async fn last_event(&self) -> EventPosition {
        let events = self.storage.events(&self.tenant, None, 10 * CONNECTIONS).await.unwrap();
        events.last().unwrap().position
    }

    /// Returns the numbers of the connections whose refresh tokens were sent, in the order of the requests.
    pub(crate) fn connections_sent(&self) -> Vec<usize> {
        let owners: BTreeMap<_, _> = (0..CONNECTIONS)
            .flat_map(|number| self.issued(number).into_iter().map(move |token| (token, number)))
            .collect();
        self.gate.tokens().iter().map(|token| owners[token]).collect()
    }

    /// Returns the refresh tokens that TikTok Shop has issued for a connection, oldest first.
    fn issued(&self, number: usize) -> Vec<String> {
        let issued = self.control().issued(&self.app.service_id, &seller_id(number)).unwrap();
        issued.refresh_tokens.into_iter().map(|issued| issued.token).collect()
    }

    fn key(&self, number: usize) -> ConnectionKey {
        let issued = self.control().issued(&self.app.service_id, &seller_id(number)).unwrap();
        ConnectionKey { customer: customer(number), account: issued.open_id.unwrap().parse().unwrap() }
    }

    /// Returns the accounts of connections.
    pub(crate) fn accounts(&self, numbers: &BTreeSet<usize>) -> BTreeSet<String> {
        numbers.iter().map(|number| self.key(*number).account.as_str().to_owned()).collect()
    }

    /// Returns a connection as its customer sees it.
    async fn connection(&self, number: usize) -> Connection {
        let key = self.key(number);
        let listed = self.host.listed_connections(&self.tenant, &key.customer).await.unwrap();
        listed.entries.into_iter().find(|connection| connection.key == key).unwrap()
    }

    /// Asserts that a connection is active, that nobody has a claim on its tokens, and that its refresh token is the
    /// newest one that TikTok Shop has issued for its seller.
    pub(crate) async fn assert_works(&self, number: usize) {
        let connection = self.connection(number).await;
        let (status, failure) = (connection.status, &connection.last_failure);
        assert_eq!((status, failure), (ConnectionStatus::Active, &None), "{}", seller_id(number));
        let key = &connection.key;
        let stored = self.storage.load_token(&self.tenant, key).await.unwrap().unwrap();
        let record = self.keyring.open_token(&self.tenant, key, &stored.revision, &stored.value).await.unwrap();
        let record = TokenRecord::decode(&record).unwrap();
        assert_eq!(record.current_claim(), None, "{}", seller_id(number));
        let token = record.into_current().refresh.unwrap();
        assert!(self.issued(number).last().is_some_and(|newest| newest == token.expose()), "{}", seller_id(number));
    }

    /// Asserts that a connection needs a new consent, for this reason.
    pub(crate) async fn assert_needs_consent(&self, number: usize, reason: ReauthorizationReason) {
        let status = self.connection(number).await.status;
        assert_eq!(status, ConnectionStatus::ReauthorizationRequired(reason), "{}", seller_id(number));
    }

    /// Asserts that each customer has exactly its own connections with exactly their own shops, and may use the shops
    /// of those connections that work.
    pub(crate) async fn assert_each_customer_has_its_own(&self, works: impl Fn(usize) -> bool) {
        for first in 0..CUSTOMERS {
            let customer = customer(first);
            let numbers: Vec<_> = (first..CONNECTIONS).step_by(CUSTOMERS).collect();
            let listed = self.host.listed_connections(&self.tenant, &customer).await.unwrap();
            assert_eq!(listed.left_out, [], "{customer:?}");
            let found = listed.entries.into_iter().map(|connection| {
                let shops: Vec<_> = connection.shops.into_iter().map(|shop| shop.id.as_str().to_owned()).collect();
                (connection.key, shops)
            });
            let own = numbers.iter().map(|number| (self.key(*number), vec![shop_id(*number)]));
            assert_eq!(BTreeSet::from_iter(found), BTreeSet::from_iter(own), "{customer:?}");
            let usable = self.host.listed_shops(&self.tenant, &customer).await.unwrap();
            let usable = usable.entries.into_iter().map(|shop| shop.id.as_str().to_owned());
            let own = numbers.iter().filter(|number| works(**number)).map(|number| shop_id(*number));
            assert_eq!(BTreeSet::from_iter(usable), BTreeSet::from_iter(own), "{customer:?}");
        }
        for number in 0..CONNECTIONS {
            let owners = self.storage.owners(&self.tenant, &shop_id(number).parse().unwrap()).await.unwrap();
            assert_eq!(owners, [self.key(number)]);
        }
        let all = self.host.tenant_page(&self.tenant, &RowFilter::default(), None, 10 * CONNECTIONS).await.unwrap();
        let own = |connection: &&Connection| connection.key.customer.as_str() != LATE_CUSTOMER;
        assert_eq!(all.entries.iter().filter(own).count(), CONNECTIONS);
    }

    /// Asserts that a customer has no connection.
    pub(crate) async fn assert_unknown(&self, customer: &str) {
        let listed = self.host.listed_connections(&self.tenant, &customer.parse().unwrap()).await.unwrap();
        assert_eq!((listed.entries, listed.left_out), (vec![], vec![]), "{customer}");
    }

    /// Asserts that TikTok Shop accepts the stored refresh token.
    pub(crate) async fn refresh_by_force(&self, number: usize) {
        let ConnectionKey { customer, account } = self.key(number);
        let refreshed = self.host.refresh(&self.tenant, &customer, Some(&account), RefreshMode::Forced).await.unwrap();
        assert_eq!(refreshed.effect, RefreshEffect::Renewed, "{}", seller_id(number));
    }
}

/// Asks a server again and again, until it answers that the state has come.
async fn until(server: &str, state: &str, sql: &str) {
    let mut server = PgConnection::connect(server).await.unwrap();
    let waiting = async {
        let mut pause = interval(PAUSE);
        while !server.fetch_one(AssertSqlSafe(sql.to_owned())).await.unwrap().get::<bool, _>(0) {
            pause.tick().await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "not within {PATIENCE:?}: {state}");
    server.close().await.unwrap();
}

fn socket_address(server: &str) -> SocketAddr {
    let (_, rest) = server.split_once('@').unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

/// Returns the customer of a connection.
fn customer(number: usize) -> CustomerId {
    format!("customer-{}", number % CUSTOMERS).parse().unwrap()
}
