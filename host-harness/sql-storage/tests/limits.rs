//! Tests that a PostgreSQL server with few connections makes calls slower, but lets none of them fail.
#![allow(clippy::unwrap_used, reason = "a broken expectation is a failed test")]

mod schema;

use futures::future::join_all;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::events::{EventKind, NewEvent, Origin};
use tiktok_shop_host::storage::{
    ConnectionStorage as _, KeyStorage as _, OnceDigest, StorageError, TenantKey, TokenStorage as _, WrappedKey,
};
use tiktok_shop_sql_storage::{OpenMode, PostgresOptions, SqlStorage};

use self::schema::new_schema;

const CALLERS: u8 = 12;
const ROUNDS: u8 = 20;

/// Creates the tables in a new schema, and a role that may have only `limit` connections. Returns the name of the role,
/// and the address with which this role connects to the database.
async fn role_with_limit(server: &str, limit: u32) -> (String, String) {
    let address = new_schema(server).await;
    SqlStorage::postgres(&address, OpenMode::Migrate, PostgresOptions::default()).await.unwrap().close().await;
    let mut operator = PgConnection::connect(&address).await.unwrap();
    // The role gets the same name as the schema.
    let role: String = operator.fetch_one("SELECT current_schema()").await.unwrap().get(0);
    let grants = format!(
        "CREATE ROLE {role} LOGIN CONNECTION LIMIT {limit}; GRANT USAGE ON SCHEMA {role} TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {role} TO {role}"
    );
    operator.execute(AssertSqlSafe(grants)).await.unwrap();
    let (_, host_and_database) = address.split_once('@').unwrap();
    let as_role = format!("postgres://{role}@{host_and_database}");
    (role, as_role)
}

/// Reads and writes with single statements and with transactions.
async fn work(storage: &SqlStorage, caller: u8) -> Result<(), StorageError> {
    let tenant: TenantId = format!("tenant-{caller}").parse().unwrap();
    let key = ConnectionKey { customer: "c".parse().unwrap(), account: "a".parse().unwrap() };
    let wrapped = Some(WrappedKey { host_key: "h".parse().unwrap(), bytes: vec![1] });
    assert!(storage.add_key(&tenant, None, &TenantKey { id: "k".parse().unwrap(), wrapped }).await?);
    for round in 0..ROUNDS {
        assert_eq!(storage.load_token(&tenant, &key).await?, None);
        let kind = EventKind::Connected;
        let event = NewEvent { at: UnixSeconds(7), key: Some(key.clone()), kind, origin: Origin::default() };
        assert!(storage.append_once(&tenant, &OnceDigest::new([round; 32]), &event, None).await?);
    }
    assert_eq!(storage.events(&tenant, None, 99).await?.len(), usize::from(ROUNDS));
    Ok(())
}

async fn assert_all_work(storage: &SqlStorage) {
    for done in join_all((0..CALLERS).map(|caller| work(storage, caller))).await {
        assert_eq!(done, Ok(()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twelve_callers_share_the_three_connections_that_the_server_gives_to_the_role() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let (_, address) = role_with_limit(&server, 3).await;
    let storage = SqlStorage::postgres(&address, OpenMode::Existing, PostgresOptions::default()).await.unwrap();
    assert_all_work(&storage).await;
    storage.close().await;
}

/// The role may have only one connection, so the storage can't check whether a connection pooler shares sessions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twelve_callers_share_a_single_connection() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let (_, address) = role_with_limit(&server, 1).await;
    let storage = SqlStorage::postgres(&address, OpenMode::Existing, PostgresOptions::default()).await.unwrap();
    assert_all_work(&storage).await;
    storage.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pool_opens_no_more_connections_than_the_address_says() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let (role, address) = role_with_limit(&server, 50).await;
    let address = format!("{address}&pool-size=2");
    let storage = SqlStorage::postgres(&address, OpenMode::Existing, PostgresOptions::default()).await.unwrap();
    assert_all_work(&storage).await;
    let mut operator = PgConnection::connect(&server).await.unwrap();
    let count = format!("SELECT COUNT(*) FROM pg_stat_activity WHERE usename = '{role}'");
    let open: i64 = operator.fetch_one(AssertSqlSafe(count)).await.unwrap().get(0);
    assert_eq!(open, 2);
    storage.close().await;
}

/// Another program uses the only connection of the role. The error says why no connection is free, and what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_connection_the_error_says_what_to_change() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let (_, address) = role_with_limit(&server, 1).await;
    let _other = PgConnection::connect(&address).await.unwrap();
    let options = PostgresOptions { connect: std::time::Duration::from_millis(300), ..PostgresOptions::default() };
    let error = SqlStorage::postgres(&address, OpenMode::Existing, options).await.unwrap_err().to_string();
    let expected = "the database can't be opened: the server has no connection left: raise max_connections or the role's \
                    limit, or lower pool-size (PostgreSQL error 53300: ";
    assert!(error.starts_with(expected), "{error}");
}
