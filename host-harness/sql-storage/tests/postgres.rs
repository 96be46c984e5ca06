//! Tests of the storage in PostgreSQL: a server that stops answering or becomes a standby, a user who may not create
//! tables, the environment of a database, and how long states and webhooks are kept.
#![allow(clippy::unwrap_used, reason = "a broken expectation is a failed test")]

mod schema;

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::connection::{ConnectionKey, ShopPolicy};
use tiktok_shop_host::storage::{
    BrowserDigest, ConsentRecord, ConsentStorage as _, Environment, InstallDigest, InstallRecord, KeyStorage as _,
    StateDigest, StorageError, TenantKey, TokenStorage as _, WebhookDigest, WebhookStorage as _, WrappedKey,
};
use tiktok_shop_private_file::Access;
use tiktok_shop_sql_storage::{OpenError, OpenMode, PostgresOptions, SqlStorage};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use self::schema::new_schema;

/// Forwards connections to a server. The proxy can silence a connection: the connection stays open, but no more bytes
/// arrive. This imitates a server that has lost its power or its network.
struct Proxy {
    silence: watch::Sender<()>,
    /// The address of the database through the proxy.
    address: String,
}

impl Proxy {
    async fn in_front_of(address: &str) -> Self {
        let server = PgConnectOptions::from_str(address).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server_address = format!("{}:{}", server.get_host(), server.get_port());
        let proxy_address = listener.local_addr().unwrap().to_string();
        let through_proxy = address.replace(&server_address, &proxy_address);
        assert_ne!(through_proxy, address, "an address with a port is needed");
        let (silence, silenced) = watch::channel(());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut silenced = silenced.clone();
                silenced.mark_unchanged();
                let server = (server.get_host().to_owned(), server.get_port());
                tokio::spawn(async move {
                    let mut upstream = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ended = copy_bidirectional(&mut client, &mut upstream) => return,
                        _silent = silenced.changed() => (),
                    }
                    drop(silenced);
                    std::future::pending().await
                });
            }
        });
        Self { silence, address: through_proxy }
    }

    /// Silences the connections that are open now. Later connections reach the server.
    async fn silence_open_connections(&self) {
        self.silence.send_replace(());
        // Each open connection drops its receiver when it is silent. The receiver of the listener remains.
        while self.silence.receiver_count() > 1 {
            tokio::task::yield_now().await;
        }
    }
}

/// The storage checks each idle connection before it uses it.
const OPTIONS: PostgresOptions = PostgresOptions {
    connections: 4,
    connect: Duration::from_secs(4),
    statement: Duration::from_secs(4),
    check_after_idle: Duration::ZERO,
    key_file_access: Access::Owner,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_gives_up_a_silent_server_and_the_next_call_reconnects() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let server = new_schema(&server).await;
    let proxy = Proxy::in_front_of(&server).await;
    let storage = SqlStorage::postgres(&proxy.address, OpenMode::Migrate, OPTIONS).await.unwrap();
    let tenant: TenantId = "t".parse().unwrap();
    let key = ConnectionKey { customer: "c".parse().unwrap(), account: "a".parse().unwrap() };
    let load = async || storage.load_token(&tenant, &key).await;

    // If an idle connection is dead, the next call takes longer, but it succeeds.
    assert_eq!(load().await, Ok(None));
    proxy.silence_open_connections().await;
    assert_eq!(load().await, Ok(None));

    // If a connection dies during a statement, the call gives the connection up, and the place of the connection in the
    // pool becomes free.
    let mut other = PgConnection::connect(&server).await.unwrap();
    other.execute("BEGIN; LOCK TABLE tiktok_shop_tokens").await.unwrap();
    let silence_during_statement = async {
        let count = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND relation = 'tiktok_shop_tokens'::regclass";
        while other.fetch_one(count).await.unwrap().get::<i64, _>(0) == 0 {}
        proxy.silence_open_connections().await;
        other.execute("ROLLBACK").await.unwrap();
    };
    let (answer, ()) = tokio::join!(load(), silence_during_statement);
    assert_eq!(answer, Err(StorageError::Unavailable("the database did not answer in time".to_owned())));
    for _ in 0..2 * OPTIONS.connections {
        assert_eq!(load().await, Ok(None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_belongs_to_one_environment_and_if_an_earlier_release_has_used_it_to_tiktok_shop() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let server = new_schema(&server).await;
    let open = async || SqlStorage::postgres(&server, OpenMode::Migrate, OPTIONS).await.unwrap();
    let storage = open().await;
    assert_eq!(storage.belongs_to(Environment::Fake).await, Ok(true));
    assert_eq!(open().await.belongs_to(Environment::TikTokShop).await, Ok(false));
    assert_eq!(storage.belongs_to(Environment::Fake).await, Ok(true));

    let wrapped = WrappedKey { host_key: "h".parse().unwrap(), bytes: vec![1] };
    let key = TenantKey { id: "k".parse().unwrap(), wrapped: Some(wrapped) };
    assert_eq!(storage.add_key(&"t".parse().unwrap(), None, &key).await, Ok(true));
    let mut earlier = PgConnection::connect(&server).await.unwrap();
    let undo = "DROP FUNCTION tiktok_shop_check_document CASCADE; \
                ALTER TABLE tiktok_shop_connections DROP COLUMN document; \
                ALTER TABLE tiktok_shop_connections DROP COLUMN document_revision; \
                ALTER TABLE tiktok_shop_events DROP COLUMN actor; \
                ALTER TABLE tiktok_shop_events DROP COLUMN stated_reason; \
                ALTER TABLE tiktok_shop_events DROP COLUMN cause; \
                ALTER TABLE tiktok_shop_events DROP COLUMN shops; \
                ALTER TABLE tiktok_shop_events DROP COLUMN host_key; DROP TABLE tiktok_shop_environment; \
                DROP INDEX tiktok_shop_connections_status; DROP INDEX tiktok_shop_connections_account; \
                    DROP INDEX tiktok_shop_connections_seller; \
                ALTER TABLE tiktok_shop_connections DROP COLUMN app_key; \
                ALTER TABLE tiktok_shop_states DROP COLUMN app_key; \
                DROP TABLE tiktok_shop_installs; DROP TABLE tiktok_shop_requests; DROP TABLE tiktok_shop_deliveries; \
                DROP TABLE tiktok_shop_delivery_queues; DROP TABLE tiktok_shop_delivery_positions; \
                    DELETE FROM tiktok_shop_migrations WHERE version > 1";
    earlier.execute(undo).await.unwrap();
    assert_eq!(open().await.belongs_to(Environment::Fake).await, Ok(false));
}

/// An operator may take away the right to create tables after the tables exist.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_without_the_right_to_create_tables_opens_a_database_that_has_them() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let server = new_schema(&server).await;
    SqlStorage::postgres(&server, OpenMode::Migrate, PostgresOptions::default()).await.unwrap().close().await;
    let mut operator = PgConnection::connect(&server).await.unwrap();
    let schema: String = operator.fetch_one("SELECT current_schema()").await.unwrap().get(0);
    // The role has the name of the schema.
    let grants = format!(
        "CREATE ROLE {schema} LOGIN; GRANT USAGE ON SCHEMA {schema} TO {schema}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {schema}"
    );
    operator.execute(AssertSqlSafe(grants)).await.unwrap();
    let (_, host_and_database) = server.split_once('@').unwrap();
    let as_role = format!("postgres://{schema}@{host_and_database}");
    let storage = SqlStorage::postgres(&as_role, OpenMode::Migrate, PostgresOptions::default()).await.unwrap();
    assert_eq!(storage.tenant_keys(&"t".parse().unwrap()).await, Ok(Vec::new()));
    storage.close().await;
    let drop_role = format!("DROP OWNED BY {schema}; DROP ROLE {schema}");
    operator.execute(AssertSqlSafe(drop_role)).await.unwrap();
}

/// A connection that was just used is not checked, so the call that meets the failure fails. Every other idle connection
/// is then checked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_in_a_connection_that_was_just_used_costs_one_call() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let server = new_schema(&server).await;
    let schema = server.rsplit_once("%3D").unwrap().1.to_owned();
    let options = PostgresOptions { check_after_idle: Duration::from_secs(3_600), ..OPTIONS };
    let named = format!("{server}&application_name={schema}");
    let storage = SqlStorage::postgres(&named, OpenMode::Migrate, options).await.unwrap();
    let tenant: TenantId = "t".parse().unwrap();
    let key = ConnectionKey { customer: "c".parse().unwrap(), account: "a".parse().unwrap() };
    let load = async || storage.load_token(&tenant, &key).await;
    // Three calls that wait for the same lock use three connections at the same time.
    let mut operator = PgConnection::connect(&server).await.unwrap();
    operator.execute("BEGIN; LOCK TABLE tiktok_shop_tokens").await.unwrap();
    let unlock = async {
        let count = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND relation = 'tiktok_shop_tokens'::regclass";
        while operator.fetch_one(count).await.unwrap().get::<i64, _>(0) < 3 {}
        operator.execute("ROLLBACK").await.unwrap();
    };
    assert_eq!(tokio::join!(load(), load(), load(), unlock), (Ok(None), Ok(None), Ok(None), ()));

    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{schema}'");
    operator.execute(AssertSqlSafe(end)).await.unwrap();
    assert!(matches!(load().await, Err(StorageError::Unavailable(_))));
    assert_eq!(load().await, Ok(None));
    assert_eq!(load().await, Ok(None));
}

/// Opens a schema in which the test decides what `pg_is_in_recovery()` returns. Returns a connection to the schema, and
/// an address that looks up every name first in the schema and then in `pg_catalog`.
async fn schema_with_recovery(server: &str) -> (PgConnection, String) {
    let address = format!("{},pg_catalog", new_schema(server).await);
    let mut operator = PgConnection::connect(&address).await.unwrap();
    let sql = "CREATE TABLE recovery (is_standby BOOLEAN NOT NULL); INSERT INTO recovery VALUES (TRUE); \
               CREATE FUNCTION pg_is_in_recovery() RETURNS BOOLEAN LANGUAGE sql AS 'SELECT is_standby FROM recovery'";
    operator.execute(sql).await.unwrap();
    (operator, address)
}

/// A running host can get connections to a standby, for example because a proxy sends new connections to another server
/// after a failover.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_is_refused_at_the_start_and_on_every_new_connection() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let (mut operator, address) = schema_with_recovery(&server).await;
    let refused = SqlStorage::postgres(&address, OpenMode::Migrate, PostgresOptions::default()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Standby), "{refused}");

    operator.execute("UPDATE recovery SET is_standby = FALSE").await.unwrap();
    let options = PostgresOptions { connect: Duration::from_secs(2), ..OPTIONS };
    let schema: String = operator.fetch_one("SELECT current_schema()").await.unwrap().get(0);
    let named = format!("{address}&application_name={schema}");
    let storage = SqlStorage::postgres(&named, OpenMode::Migrate, options).await.unwrap();
    // The server ends the open connections. A real server does the same when it becomes a standby.
    operator.execute("UPDATE recovery SET is_standby = TRUE").await.unwrap();
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{schema}'");
    operator.execute(AssertSqlSafe(end)).await.unwrap();
    let tenant: TenantId = "t".parse().unwrap();
    let no_connection = "no connection to the database in time: the server is a standby: connect to the primary";
    let no_connection = StorageError::Unavailable(no_connection.to_owned());
    assert_eq!(storage.tenant_keys(&tenant).await, Err(no_connection));
    operator.execute("UPDATE recovery SET is_standby = FALSE").await.unwrap();
    assert_eq!(storage.tenant_keys(&tenant).await, Ok(Vec::new()));
}

/// The test sets the stored time back, because it can't set the server's clock forward.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pending_install_is_kept_for_30_minutes() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let server = new_schema(&server).await;
    let storage = SqlStorage::postgres(&server, OpenMode::Migrate, PostgresOptions::default()).await.unwrap();
    let mut operator = PgConnection::connect(&server).await.unwrap();
    let tenant: TenantId = "t".parse().unwrap();
    let record = InstallRecord { browser: BrowserDigest::new([7; 32]), sealed: vec![1, 2, 3] };
    let [first, second, third] = [1, 2, 3].map(|byte| InstallDigest::new([byte; 32]));
    storage.put_install(&tenant, &first, &record).await.unwrap();
    operator.execute("UPDATE tiktok_shop_installs SET begun_at = begun_at - INTERVAL '29 minutes'").await.unwrap();
    storage.put_install(&tenant, &second, &record).await.unwrap();
    let stored = storage.load_install(&tenant, &first).await.unwrap().unwrap();
    assert_eq!(stored.sealed, Some(vec![1, 2, 3]));
    assert!(stored.age >= Duration::from_secs(29 * 60), "{:?}", stored.age);
    operator.execute("UPDATE tiktok_shop_installs SET begun_at = begun_at - INTERVAL '1 minute'").await.unwrap();
    storage.put_install(&tenant, &third, &record).await.unwrap();
    assert_eq!(storage.load_install(&tenant, &first).await, Ok(None));
    assert!(storage.load_install(&tenant, &second).await.unwrap().is_some());
    operator.execute("UPDATE tiktok_shop_installs SET begun_at = begun_at - INTERVAL '29 minutes'").await.unwrap();
    storage.delete_expired().await.unwrap();
    assert_eq!(storage.load_install(&tenant, &second).await, Ok(None));
    assert!(storage.load_install(&tenant, &third).await.unwrap().is_some());
}

/// The test sets the stored times back, because it can't set the server's clock forward.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_is_kept_for_one_hour_and_a_webhook_for_three_days() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let server = new_schema(&server).await;
    let storage = SqlStorage::postgres(&server, OpenMode::Migrate, PostgresOptions::default()).await.unwrap();
    let mut operator = PgConnection::connect(&server).await.unwrap();
    let tenant: TenantId = "t".parse().unwrap();
    let put_state = async |state: u8| {
        let browser = BrowserDigest::new([7; 32]);
        let record = ConsentRecord { customer: "c".parse().unwrap(), app: None, browser, shops: ShopPolicy::All };
        storage.put_state(&tenant, &StateDigest::new([state; 32]), &record).await.unwrap();
    };
    let has_state =
        async |state: u8| storage.load_state(&tenant, &StateDigest::new([state; 32])).await.unwrap().is_some();
    put_state(1).await;
    operator.execute("UPDATE tiktok_shop_states SET begun_at = begun_at - INTERVAL '59 minutes'").await.unwrap();
    put_state(2).await;
    assert_eq!((has_state(1).await, has_state(2).await), (true, true));
    operator.execute("UPDATE tiktok_shop_states SET begun_at = begun_at - INTERVAL '1 minute'").await.unwrap();
    put_state(3).await;
    assert_eq!((has_state(1).await, has_state(2).await), (false, true));

    let [first, other] = [WebhookDigest::new([1; 32]), WebhookDigest::new([2; 32])];
    storage.remember_webhook(&tenant, &first).await.unwrap();
    operator.execute("UPDATE tiktok_shop_webhooks SET handled_at = handled_at - INTERVAL '3 days'").await.unwrap();
    storage.remember_webhook(&tenant, &other).await.unwrap();
    assert_eq!(storage.knows_webhook(&tenant, &first).await, Ok(true));
}
