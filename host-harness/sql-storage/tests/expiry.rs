//! Tests that expired entries block no call, however many there are, and that an expired entry does not count while it
//! is still stored.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken expectation is a failed test")]

mod schema;

use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _, Row as _};
use tempfile::TempDir;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::connection::ShopPolicy;
use tiktok_shop_host::storage::{
    BegunRequest, BrowserDigest, ConsentRecord, ConsentStorage as _, InstallDigest, InstallRecord, RequestDigest,
    RequestStorage as _, StateDigest, WebhookDigest, WebhookStorage as _,
};
use tiktok_shop_sql_storage::{OpenMode, PostgresOptions, SqlStorage};

use self::schema::new_schema;

/// The highest number of expired entries that one call deletes.
const LIMIT: i64 = 200;
/// The number of expired entries in a table at the beginning of a test.
const EXPIRED: i64 = 500;

const REQUESTS: &str = "tiktok_shop_requests";
const WEBHOOKS: &str = "tiktok_shop_webhooks";
const STATES: &str = "tiktok_shop_states";
const INSTALLS: &str = "tiktok_shop_installs";
/// The tables with entries that expire.
const TABLES: [&str; 4] = [REQUESTS, WEBHOOKS, STATES, INSTALLS];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

/// A storage, and the address for a connection that is not one of the storage.
struct Database {
    kind: Kind,
    storage: SqlStorage,
    address: String,
    _folder: Option<TempDir>,
}

impl Database {
    /// Creates a database of each kind that can be tried here.
    async fn all() -> Vec<Self> {
        sqlx::any::install_default_drivers();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("storage.db");
        let storage = SqlStorage::sqlite(&path, OpenMode::Create).await.unwrap();
        let address = format!("sqlite://{}", path.display());
        let mut databases = vec![Self { kind: Kind::Sqlite, storage, address, _folder: Some(folder) }];
        if let Some(server) = tiktok_shop_test_postgres::test_postgres() {
            let address = new_schema(&server).await;
            let storage = SqlStorage::postgres(&address, OpenMode::Migrate, PostgresOptions::default()).await.unwrap();
            databases.push(Self { kind: Kind::Postgres, storage, address, _folder: None });
        }
        databases
    }

    async fn connect(&self) -> AnyConnection {
        AnyConnection::connect(&self.address).await.unwrap()
    }

    async fn run(&self, sql: String) {
        let mut connection = self.connect().await;
        connection.execute(AssertSqlSafe(sql)).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn count(&self, table: &str) -> i64 {
        let mut connection = self.connect().await;
        let row = connection.fetch_one(AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"))).await.unwrap();
        connection.close().await.unwrap();
        row.get(0)
    }

    /// Stores expired entries of the tenant `old`.
    async fn fill(&self, table: &str) {
        let (numbers, digest, time) = match self.kind {
            Kind::Sqlite => (
                format!(
                    "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {EXPIRED}) \
                     SELECT i FROM n)"
                ),
                "CAST(i AS BLOB)",
                "0",
            ),
            Kind::Postgres => {
                (format!("generate_series(1, {EXPIRED}) AS n(i)"), "int4send(i)", "now() - INTERVAL '5 days'")
            }
        };
        let (bytes, begun, begun_time, no) = match self.kind {
            Kind::Sqlite => ("x'00'", "begun_boot, begun_ms", "'earlier', 0", "0"),
            Kind::Postgres => (r"'\x00'", "begun_at", time, "FALSE"),
        };
        let (columns, values) = match table {
            REQUESTS => ("fingerprint, attempt, begun_at".to_owned(), format!("{bytes}, {bytes}, {time}")),
            WEBHOOKS => ("handled_at".to_owned(), time.to_owned()),
            STATES => (
                format!("customer, browser, shop_policy, used, {begun}"),
                format!("'c', {bytes}, 'all', {no}, {begun_time}"),
            ),
            INSTALLS => (format!("browser, sealed, {begun}"), format!("{bytes}, {bytes}, {begun_time}")),
            other => panic!("{other}"),
        };
        self.run(format!(
            "INSERT INTO {table} (tenant, digest, {columns}) SELECT 'old', {digest}, {values} FROM {numbers}"
        ))
        .await;
        assert_eq!(self.count(table).await, EXPIRED, "{table}");
    }

    /// Lets every deletion from these tables fail.
    async fn refuse_deletions(&self) {
        for table in TABLES {
            let sql = match self.kind {
                Kind::Sqlite => format!(
                    "CREATE TRIGGER keep_{table} BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, 'kept'); END"
                ),
                Kind::Postgres => format!(
                    "CREATE FUNCTION keep_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'kept'; END $$; \
                     CREATE TRIGGER keep BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION keep_{table}()"
                ),
            };
            self.run(sql).await;
        }
    }

    /// Stores one entry with the call of the platform that does this.
    async fn store(&self, table: &str, number: u8) {
        let (storage, tenant, browser) = (&self.storage, tenant(), BrowserDigest::new([7; 32]));
        match table {
            REQUESTS => {
                let found = storage.begin_request(&tenant, &request(number), &attempt(number)).await;
                assert_eq!(found, Ok(None));
            }
            WEBHOOKS => storage.remember_webhook(&tenant, &WebhookDigest::new([number; 32])).await.unwrap(),
            STATES => {
                let (customer, shops) = ("c".parse().unwrap(), ShopPolicy::All);
                let record = ConsentRecord { customer, app: None, browser, shops };
                storage.put_state(&tenant, &StateDigest::new([number; 32]), &record).await.unwrap();
            }
            INSTALLS => {
                let record = InstallRecord { browser, sealed: vec![1, 2, 3] };
                storage.put_install(&tenant, &InstallDigest::new([number; 32]), &record).await.unwrap();
            }
            other => panic!("{other}"),
        }
    }
}

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

fn request(number: u8) -> RequestDigest {
    RequestDigest::of(&number.to_string())
}

fn attempt(number: u8) -> BegunRequest {
    BegunRequest { fingerprint: [7; 32], attempt: [number; 16] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_deletes_at_most_200_expired_entries_until_none_is_left() {
    for database in Database::all().await {
        for table in TABLES {
            database.fill(table).await;
            for (number, expired) in [(1, EXPIRED - LIMIT), (2, EXPIRED - 2 * LIMIT), (3, 0), (4, 0)] {
                database.store(table, number).await;
                let expected = expired + i64::from(number);
                assert_eq!(database.count(table).await, expected, "{:?} {table} {number}", database.kind);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_of_expired_entries_that_fails_lets_no_call_fail() {
    for database in Database::all().await {
        database.refuse_deletions().await;
        for table in TABLES {
            database.fill(table).await;
            database.store(table, 1).await;
            assert_eq!(database.count(table).await, EXPIRED + 1, "{:?} {table}", database.kind);
        }
        assert_eq!(database.storage.knows_webhook(&tenant(), &WebhookDigest::new([1; 32])).await, Ok(true));
    }
}

/// Another call may be deleting the same entries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_does_not_wait_for_expired_entries_that_are_locked() {
    for database in Database::all().await {
        if database.kind == Kind::Sqlite {
            continue;
        }
        for table in TABLES {
            database.fill(table).await;
            let mut other = database.connect().await;
            let mut transaction = other.begin().await.unwrap();
            let lock = format!("SELECT COUNT(*) FROM (SELECT 1 FROM {table} FOR UPDATE) AS locked");
            transaction.execute(AssertSqlSafe(lock)).await.unwrap();
            let stored = tokio::time::timeout(Duration::from_secs(3), database.store(table, 1)).await;
            assert!(stored.is_ok(), "{table}");
            transaction.rollback().await.unwrap();
            assert_eq!(database.count(table).await, EXPIRED + 1, "{table}");
        }
    }
}

/// The host calls this function in every sweep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_deletes_all_expired_consents_and_installs() {
    for database in Database::all().await {
        for table in [STATES, INSTALLS] {
            database.fill(table).await;
            database.store(table, 1).await;
        }
        database.storage.delete_expired().await.unwrap();
        let left = (database.count(STATES).await, database.count(INSTALLS).await);
        assert_eq!(left, (1, 1), "{:?}", database.kind);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expired_request_or_webhook_that_is_still_stored_does_not_count() {
    for database in Database::all().await {
        database.refuse_deletions().await;
        let (storage, tenant, webhook) = (&database.storage, tenant(), WebhookDigest::new([1; 32]));
        database.store(REQUESTS, 1).await;
        storage.finish_request(&tenant, &request(1), &[1; 16], b"answer").await.unwrap();
        database.store(WEBHOOKS, 1).await;
        // (what is set back, by how many seconds, whether the request and the webhook still count)
        for (table, column, seconds, counts) in [
            (REQUESTS, "begun_at", 86_300, true),
            (WEBHOOKS, "handled_at", 345_500, true),
            (REQUESTS, "begun_at", 200, false),
            (WEBHOOKS, "handled_at", 200, false),
        ] {
            let time = match database.kind {
                Kind::Sqlite => format!("{seconds}"),
                Kind::Postgres => format!("INTERVAL '{seconds} seconds'"),
            };
            database.run(format!("UPDATE {table} SET {column} = {column} - {time}")).await;
            if table == WEBHOOKS {
                assert_eq!(storage.knows_webhook(&tenant, &webhook).await, Ok(counts), "{:?}", database.kind);
                continue;
            }
            let found = storage.begin_request(&tenant, &request(1), &attempt(2)).await.unwrap();
            assert_eq!(found.is_some(), counts, "{:?}", database.kind);
            if let Some(found) = found {
                assert_eq!(found.answer.as_deref(), Some(b"answer".as_slice()));
            }
        }
        // Both are stored anew, in the place of the expired ones.
        let found = storage.begin_request(&tenant, &request(1), &attempt(3)).await.unwrap().unwrap();
        assert_eq!((found.begun, found.answer), (attempt(2), None));
        assert!(found.age < Duration::from_secs(60), "{:?}", found.age);
        database.store(WEBHOOKS, 1).await;
        assert_eq!(storage.knows_webhook(&tenant, &webhook).await, Ok(true));
        assert_eq!((database.count(REQUESTS).await, database.count(WEBHOOKS).await), (1, 1));
    }
}
