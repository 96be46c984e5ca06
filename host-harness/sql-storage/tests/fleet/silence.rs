//! A server that is gone without a word, as one that lost its power or its network: connections stay open and say nothing.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::storage::HostStorage as _;
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_sql_storage::{PostgresOptions, SqlStorage};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// In front of a server.
struct Proxy {
    silence: watch::Sender<()>,
    /// The database's, through the proxy.
    address: String,
}

impl Proxy {
    async fn before(address: &str) -> Self {
        let server = PgConnectOptions::from_str(address).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let of_the_server = format!("{}:{}", server.get_host(), server.get_port());
        let through = address.replace(&of_the_server, &listener.local_addr().unwrap().to_string());
        assert_ne!(through, address, "an address with a port is needed");
        let (silence, fallen) = watch::channel(());
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (mut fallen, to) = (fallen.clone(), (server.get_host().to_owned(), server.get_port()));
                fallen.mark_unchanged();
                tokio::spawn(async move {
                    let mut upstream = TcpStream::connect(to).await.unwrap();
                    tokio::select! {
                        _ended = copy_bidirectional(&mut client, &mut upstream) => return,
                        _silent = fallen.changed() => (),
                    }
                    drop(fallen);
                    std::future::pending().await
                });
            }
        });
        Self { silence, address: through }
    }

    /// What is connected now hears nothing any more. What connects from now on reaches the server.
    async fn fall_silent(&self) {
        self.silence.send_replace(());
        // All have heard of it but the one that listens.
        while self.silence.receiver_count() > 1 {
            tokio::task::yield_now().await;
        }
    }
}

const OPTIONS: PostgresOptions =
    PostgresOptions { connections: 4, connect: Duration::from_secs(4), statement: Duration::from_secs(4) };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_gives_a_server_up_that_says_nothing_and_the_next_finds_it_again() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let _alone = super::SERVER.lock().await;
    let server = super::schema(&server).await;
    let proxy = Proxy::before(&server).await;
    let storage = SqlStorage::postgres(&proxy.address, OPTIONS).await.unwrap();
    let (tenant, key): (TenantId, _) =
        ("t".parse().unwrap(), ConnectionKey { customer: "c".parse().unwrap(), account: "a".parse().unwrap() });
    let load = async || storage.load_token(&tenant, &key).await;

    // An idle connection that is dead costs its call a moment, and no error.
    assert_eq!(load().await, Ok(None));
    proxy.fall_silent().await;
    assert_eq!(load().await, Ok(None));

    // A statement that is under way is given up, and holds nothing that others need.
    let mut other = PgConnection::connect(&server).await.unwrap();
    other.execute("BEGIN; LOCK TABLE tiktok_shop_tokens").await.unwrap();
    let waiting = async {
        let count = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND relation = 'tiktok_shop_tokens'::regclass";
        while other.fetch_one(count).await.unwrap().get::<i64, _>(0) == 0 {}
        proxy.fall_silent().await;
        other.execute("ROLLBACK").await.unwrap();
    };
    let (answer, ()) = tokio::join!(load(), waiting);
    assert_eq!(answer, Err(StorageError::Unavailable("the database did not answer in time".to_owned())));
    for _ in 0..2 * OPTIONS.connections {
        assert_eq!(load().await, Ok(None));
    }
}

/// The tables are there: an operator may have taken the right away to make any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_may_not_make_tables_opens_a_database_that_has_them() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let _alone = super::SERVER.lock().await;
    let server = super::schema(&server).await;
    SqlStorage::postgres(&server, PostgresOptions::default()).await.unwrap().close().await;
    let mut operator = PgConnection::connect(&server).await.unwrap();
    let named: String = operator.fetch_one("SELECT current_schema()").await.unwrap().get(0);
    let grants = format!(
        "CREATE ROLE {named} LOGIN; GRANT USAGE ON SCHEMA {named} TO {named}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {named} TO {named}"
    );
    operator.execute(sqlx::AssertSqlSafe(grants)).await.unwrap();
    let (_, place) = server.split_once('@').unwrap();
    let role = format!("postgres://{named}@{place}");
    let storage = SqlStorage::postgres(&role, PostgresOptions::default()).await.unwrap();
    assert_eq!(storage.tenant_keys(&"t".parse().unwrap()).await, Ok(Vec::new()));
    storage.close().await;
    let gone = format!("DROP OWNED BY {named}; DROP ROLE {named}");
    operator.execute(sqlx::AssertSqlSafe(gone)).await.unwrap();
}
