//! The tables of a database, and how they are created and changed.

use std::future::{Future, ready};
use std::time::Duration;

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, AssertSqlSafe, Error, Executor as _, PgConnection, Row as _, SqlSafeStr as _};
use tiktok_shop_host::storage::StorageError;
use tokio::time::{Instant, sleep};

use super::error::OpenError;
use super::mode::{OpenMode, SchemaChange};
use crate::sql::error::{postgres_code, storage_error};
use crate::storage::SqlStorage;

/// The table that records which versions of the schema were applied. The name is not sqlx's default, because the
/// database may belong to a platform that has migrations of its own.
const TABLE: &str = "tiktok_shop_migrations";
/// In [`TABLE`], the name of each version of the schema ends with these words and a release. So an earlier release can
/// say which release the database needs.
const SINCE: &str = ", since release ";

/// PostgreSQL's SQLSTATE of a statement that has waited for a lock until its time limit.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// How a migration waits for the users of a table in PostgreSQL. A statement that changes a table waits until every
/// earlier transaction that uses the table has ended, and all later users of the table wait behind this statement. So
/// one long reader, for example `pg_dump`, would stop every host. Therefore each statement waits only for a short time.
/// If the time is over, the migration pauses, so that the hosts get their turn, and then tries again.
#[derive(Clone, Copy)]
struct LockWait {
    /// How long a statement waits. The statements of a host wait up to 4 s, so they outlast the wait.
    statement: Duration,
    /// The pause between two attempts.
    pause: Duration,
    /// After this time, no further attempt begins.
    total: Duration,
}

const LOCK_WAIT: LockWait =
    LockWait { statement: Duration::from_secs(3), pause: Duration::from_millis(500), total: Duration::from_secs(60) };

/// A version of the schema.
#[derive(Clone, Copy)]
struct Version {
    number: i64,
    name: &'static str,
    /// The first release that knows this version.
    since: &'static str,
    sql: &'static str,
}

/// The versions of the schema. `$folder` contains their files for one kind of database.
macro_rules! versions {
    ($folder:literal: $($number:literal $name:literal since $since:literal in $file:literal),+) => {
        [$(Version {
            number: $number,
            name: $name,
            since: $since,
            sql: include_str!(concat!("../../migrations/", $folder, "/", $file)),
        }),+]
    };
    ($folder:literal) => {
        versions!($folder:
            1 "storage" since "0.1.0" in "0001_storage.sql",
            2 "environment" since "0.1.0" in "0002_environment.sql",
            3 "audit" since "0.1.0" in "0003_audit.sql",
            4 "tenant lists" since "0.1.0" in "0004_tenant_lists.sql",
            5 "apps" since "0.2.0" in "0005_apps.sql",
            6 "documents" since "0.2.0" in "0006_documents.sql",
            7 "installs" since "0.2.0" in "0007_installs.sql",
            8 "deliveries" since "0.2.0" in "0008_deliveries.sql",
            9 "requests" since "0.2.0" in "0009_requests.sql",
            10 "counts" since "0.2.0" in "0010_counts.sql",
            11 "deliveries of a customer" since "0.2.0" in "0011_deliveries_of_a_customer.sql",
            12 "lists of deliveries" since "0.2.0" in "0012_lists_of_deliveries.sql"
        )
    };
}

const SQLITE: [Version; 12] = versions!("sqlite");
const POSTGRES: [Version; 12] = versions!("postgres");

impl SqlStorage {
    /// The version of the schema that this release needs.
    pub const SCHEMA_VERSION: i64 = 12;
}

fn migrator(versions: &[Version]) -> Migrator {
    let migrations = versions.iter().map(|&Version { number, name, since, sql }| {
        let name = format!("{name}{SINCE}{since}");
        Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

/// A connection on which the tables can be examined, created and changed.
pub(super) trait SchemaConnection: Migrate + Send + Sized {
    /// Returns the versions of the schema for this kind of database.
    fn migrator() -> Migrator;

    /// Returns whether the database has [`TABLE`].
    fn has_table(&mut self) -> impl Future<Output = Result<bool, Error>> + Send;

    /// Returns the name of a version that was applied.
    fn name_of(&mut self, version: i64) -> impl Future<Output = Result<String, Error>> + Send;

    /// Limits how long each of the next statements waits for a lock. In SQLite, does nothing.
    fn limit_lock_wait(&mut self, limit: Duration) -> impl Future<Output = Result<(), Error>> + Send;
}

impl SchemaConnection for AnyConnection {
    fn migrator() -> Migrator {
        migrator(&SQLITE)
    }

    async fn has_table(&mut self) -> Result<bool, Error> {
        let sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'tiktok_shop_migrations'";
        Ok(sqlx::query(sql).fetch_optional(self).await?.is_some())
    }

    async fn name_of(&mut self, version: i64) -> Result<String, Error> {
        let sql = "SELECT description FROM tiktok_shop_migrations WHERE version = $1";
        sqlx::query(sql).bind(version).fetch_one(self).await?.try_get(0)
    }

    fn limit_lock_wait(&mut self, _limit: Duration) -> impl Future<Output = Result<(), Error>> + Send {
        ready(Ok(()))
    }
}

impl SchemaConnection for PgConnection {
    fn migrator() -> Migrator {
        migrator(&POSTGRES)
    }

    async fn has_table(&mut self) -> Result<bool, Error> {
        sqlx::query("SELECT to_regclass('tiktok_shop_migrations') IS NOT NULL").fetch_one(self).await?.try_get(0)
    }

    async fn name_of(&mut self, version: i64) -> Result<String, Error> {
        let sql = "SELECT description FROM tiktok_shop_migrations WHERE version = $1";
        sqlx::query(sql).bind(version).fetch_one(self).await?.try_get(0)
    }

    async fn limit_lock_wait(&mut self, limit: Duration) -> Result<(), Error> {
        let sql = format!("SET lock_timeout = {}", limit.as_millis());
        self.execute(AssertSqlSafe(sql)).await.map(drop)
    }
}

/// The tables that a database has.
enum Schema {
    Absent,
    Older(i64),
    Current,
}

/// Checks the tables of a database, and creates or changes them if `mode` allows it. In PostgreSQL, a change leaves a
/// time limit for locks on the connection.
pub(super) async fn prepare<C: SchemaConnection>(
    connection: &mut C,
    mode: OpenMode,
) -> Result<SchemaChange, OpenError> {
    prepare_with(connection, mode, LOCK_WAIT).await
}

async fn prepare_with<C: SchemaConnection>(
    connection: &mut C,
    mode: OpenMode,
    wait: LockWait,
) -> Result<SchemaChange, OpenError> {
    if matches!(read(connection).await?, Schema::Current) {
        return Ok(SchemaChange::None);
    }
    // Another process may be creating or changing the tables at this moment. That process holds this lock until it has
    // finished. For SQLite, the caller already holds a lock.
    connection.lock().await.map_err(unreadable)?;
    let prepared = prepare_locked(connection, mode, wait).await;
    let unlocked = connection.unlock().await.map_err(unreadable);
    let change = prepared?;
    unlocked?;
    Ok(change)
}

async fn prepare_locked<C: SchemaConnection>(
    connection: &mut C,
    mode: OpenMode,
    wait: LockWait,
) -> Result<SchemaChange, OpenError> {
    let change = match (read(connection).await?, mode) {
        (Schema::Current, _) => return Ok(SchemaChange::None),
        (Schema::Absent, OpenMode::Existing) => return Err(OpenError::NoTables),
        (Schema::Older(found), OpenMode::Existing | OpenMode::Create) => {
            return Err(OpenError::Older { found, needed: SqlStorage::SCHEMA_VERSION });
        }
        (Schema::Absent, OpenMode::Create | OpenMode::Migrate) => SchemaChange::Created,
        (Schema::Older(from), OpenMode::Migrate) => SchemaChange::Migrated { from },
    };
    migrate(connection, wait).await?;
    Ok(change)
}

/// Applies the versions that the database does not have yet. The caller holds the lock. If a statement of a version has
/// waited too long for a table, the database undoes this version, and the next attempt begins with it.
async fn migrate<C: SchemaConnection>(connection: &mut C, wait: LockWait) -> Result<(), OpenError> {
    // The limit also holds for the lock that the caller has taken, so it is set only now.
    connection.limit_lock_wait(wait.statement).await?;
    let mut migrator = C::migrator();
    // The migrator would take the lock again, and would keep it after an error.
    migrator.set_locking(false);
    let until = Instant::now() + wait.total;
    loop {
        let Err(error) = migrator.run_direct(None, connection, false).await else { return Ok(()) };
        if !is_locked(&error) {
            return Err(failed(error));
        }
        if Instant::now() + wait.pause >= until {
            return Err(OpenError::Locked(wait.total));
        }
        sleep(wait.pause).await;
    }
}

/// Returns whether a statement of a migration has waited too long for a lock.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's open list")]
fn is_locked(error: &MigrateError) -> bool {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            postgres_code(error).as_deref() == Some(LOCK_NOT_AVAILABLE)
        }
        _ => false,
    }
}

/// Reads which versions were applied. Writes nothing, and needs only the right to read.
async fn read<C: SchemaConnection>(connection: &mut C) -> Result<Schema, OpenError> {
    if !connection.has_table().await? {
        return Ok(Schema::Absent);
    }
    if let Some(version) = connection.dirty_version(TABLE).await.map_err(unreadable)? {
        let what = format!("version {version} of the schema was applied only in part; restore a backup");
        return Err(OpenError::Migration(what));
    }
    let applied = connection.list_applied_migrations(TABLE).await.map_err(unreadable)?;
    let known = C::migrator();
    for (applied, known) in applied.iter().zip(known.iter()) {
        if (applied.version, &applied.checksum) != (known.version, &known.checksum) {
            let what = format!("the database has another version {} of the schema than this release", known.version);
            return Err(OpenError::Migration(what));
        }
    }
    let found = applied.last().map_or(0, |AppliedMigration { version, .. }| *version);
    let known = SqlStorage::SCHEMA_VERSION;
    if found > known {
        let name = connection.name_of(found).await?;
        let since = name.rsplit_once(SINCE).map(|(_, since)| since).filter(|since| is_release(since));
        return Err(OpenError::Newer { found, known, since: since.map(str::to_owned) });
    }
    Ok(match found {
        0 => Schema::Absent,
        current if current == known => Schema::Current,
        older => Schema::Older(older),
    })
}

/// Returns whether a text of the database can be shown as the name of a release.
fn is_release(text: &str) -> bool {
    text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte))
}

/// Converts the error of an attempt to read the applied versions, or to take the lock.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's open list")]
fn unreadable(error: MigrateError) -> OpenError {
    match error {
        MigrateError::Execute(error) => OpenError::unreachable(error),
        other => OpenError::Unreachable(other.to_string()),
    }
}

/// Converts the error of an attempt to create or change tables.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's open list")]
fn failed(error: MigrateError) -> OpenError {
    OpenError::Migration(match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => match storage_error(error) {
            StorageError::Unavailable(why) | StorageError::Refused(why) => why,
            other @ (StorageError::KeyGone | StorageError::RowChanged(_)) => other.to_string(),
        },
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;
    use tiktok_shop_host::connection::{
        Connection, ConnectionKey, ConnectionStatus, PastFailure, ReauthorizationReason, Shop, ShopPolicy,
        ShopStanding, UnixSeconds,
    };
    use tiktok_shop_host::error::Failure;
    use tiktok_shop_host::events::{Cause, EventKind, NewEvent, Origin};
    use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
    use tiktok_shop_host::storage::{
        BrowserDigest, ConnectionStorage as _, ConsentRecord, ConsentStorage as _, Next, OnceDigest, OpenRow, Row,
        RowOrigin, Sealed, StateDigest, Swapped, TokenStorage as _,
    };
    use tiktok_shop_private_file as private_file;

    use super::*;
    use crate::postgres_options::PostgresOptions;

    /// Creates the tables of the first version and inserts an event.
    async fn create_first_version(address: &str, versions: &[Version]) {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(address).await.unwrap();
        migrator(&versions[..1]).run_direct(None, &mut connection, false).await.unwrap();
        let event = "INSERT INTO tiktok_shop_events (tenant, position, at, customer, account, kind) \
                     VALUES ('t', 1, 7, 'c', 'a', 'connected')";
        sqlx::query(event).execute(&mut connection).await.unwrap();
        let position = "INSERT INTO tiktok_shop_event_positions (tenant, last) VALUES ('t', 1)";
        sqlx::query(position).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// Appends an event with an origin. Then checks that the storage returns the event of the first version, followed
    /// by the new event.
    async fn check_events(storage: SqlStorage) {
        let tenant = "t".parse().unwrap();
        let key = ConnectionKey { customer: "c".parse().unwrap(), account: "a".parse().unwrap() };
        let (kind, origin) = (EventKind::Connected, Origin::default());
        let earlier = NewEvent { at: UnixSeconds(7), key: Some(key), kind, origin };
        let origin = Origin { actor: Some("ana".parse().unwrap()), cause: Some(Cause::Erasure), stated_reason: None };
        let next = NewEvent { at: UnixSeconds(8), key: None, kind: EventKind::TenantErased, origin };
        assert!(storage.append_once(&tenant, &OnceDigest::new([1; 32]), &next, None).await.unwrap());
        let events = storage.events(&tenant, None, 9).await.unwrap();
        assert_eq!(events.into_iter().map(|event| event.event).collect::<Vec<_>>(), [earlier, next]);
    }

    /// Checks that only the mode `Migrate` changes the tables, if a database has the tables of the first version.
    async fn check_upgrade(open: impl AsyncFn(OpenMode) -> Result<SqlStorage, OpenError>) {
        for mode in [OpenMode::Existing, OpenMode::Create, OpenMode::Existing] {
            let error = open(mode).await.unwrap_err();
            assert!(matches!(error, OpenError::Older { found: 1, needed: SqlStorage::SCHEMA_VERSION }), "{error}");
        }
        let migrated = open(OpenMode::Migrate).await.unwrap();
        assert_eq!(migrated.schema_change(), SchemaChange::Migrated { from: 1 });
        migrated.close().await;
        for mode in [OpenMode::Migrate, OpenMode::Create] {
            assert_eq!(open(mode).await.unwrap().schema_change(), SchemaChange::None);
        }
        check_events(open(OpenMode::Existing).await.unwrap()).await;
    }

    #[tokio::test]
    async fn events_of_an_earlier_version_are_read_after_the_upgrade_of_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("storage.db");
        private_file::touch(&path).unwrap();
        create_first_version(&format!("sqlite://{}", path.display()), &SQLITE).await;
        let open = async |mode| SqlStorage::sqlite(&path, mode).await;
        check_upgrade(open).await;
    }

    #[tokio::test]
    async fn events_of_an_earlier_version_are_read_after_the_upgrade_of_postgresql() {
        let Some(address) = new_schema().await else { return };
        create_first_version(&address, &POSTGRES).await;
        let open = async |mode| SqlStorage::postgres(&address, mode, PostgresOptions::default()).await;
        check_upgrade(open).await;
    }

    /// Reads the events in a transaction that stays open, as `pg_dump` does.
    async fn begin_long_read(address: &str) -> PgConnection {
        let mut reader = PgConnection::connect(address).await.unwrap();
        reader.execute("BEGIN").await.unwrap();
        reader.execute("SELECT * FROM tiktok_shop_events").await.unwrap();
        reader
    }

    /// While the migration waits for a long reader, the hosts use the table. When the reader ends, the migration goes
    /// on.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_migration_that_waits_for_a_long_reader_does_not_stop_the_hosts() {
        let Some(address) = new_schema().await else { return };
        create_first_version(&address, &POSTGRES).await;
        let mut reader = begin_long_read(&address).await;
        let mut connection = PgConnection::connect(&address).await.unwrap();
        let wait = LockWait { statement: Duration::from_millis(300), ..LOCK_WAIT };
        let migration = prepare_with(&mut connection, OpenMode::Migrate, wait);
        let hosts = async {
            let mut host = PgConnection::connect(&address).await.unwrap();
            host.execute("SET statement_timeout = 4000").await.unwrap();
            // Only the migration waits for a table.
            let waiting = "SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND relation = 'tiktok_shop_events'::regclass \
                           AND mode = 'AccessExclusiveLock'";
            for _ in 0..2 {
                while host.fetch_one(waiting).await.unwrap().get::<i64, _>(0) == 0 {}
                host.execute("SELECT COUNT(*) FROM tiktok_shop_events").await.unwrap();
                host.execute("UPDATE tiktok_shop_events SET at = at").await.unwrap();
            }
            reader.execute("COMMIT").await.unwrap();
        };
        let (migrated, ()) = tokio::join!(migration, hosts);
        assert_eq!(migrated.unwrap(), SchemaChange::Migrated { from: 1 });
        // The migration has given its lock back.
        let held = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()";
        assert_eq!(connection.fetch_one(held).await.unwrap().get::<i64, _>(0), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_migration_gives_up_if_a_reader_does_not_end_and_another_attempt_completes_it() {
        let Some(address) = new_schema().await else { return };
        create_first_version(&address, &POSTGRES).await;
        let mut reader = begin_long_read(&address).await;
        let mut connection = PgConnection::connect(&address).await.unwrap();
        let [statement, pause, total] = [100, 50, 1_000].map(Duration::from_millis);
        let wait = LockWait { statement, pause, total };
        let began = Instant::now();
        let error = prepare_with(&mut connection, OpenMode::Migrate, wait).await.unwrap_err();
        assert!(matches!(error, OpenError::Locked(limit) if limit == total), "{error}");
        let text = error.to_string();
        assert!(text.contains("pg_dump") && text.ends_with("run tiktok-shop-harness migrate again"), "{text}");
        assert!(began.elapsed() >= total / 2, "{:?}", began.elapsed());

        // The versions before the one that needs the table were applied, and nothing of the others.
        assert!(matches!(read(&mut connection).await.unwrap(), Schema::Older(2)));
        reader.execute("COMMIT").await.unwrap();
        let mut other = PgConnection::connect(&address).await.unwrap();
        let migrated = prepare_with(&mut other, OpenMode::Migrate, wait).await.unwrap();
        assert_eq!(migrated, SchemaChange::Migrated { from: 2 });
    }

    const TENANT: &str = "t";
    const WRITTEN: &str = "r0";

    /// Creates the tables of these versions. Inserts what a host of the last of them has stored: a data key, a token
    /// record, a row with two shops and with ciphers, a dead row without ciphers, and a consent that has begun. `written`
    /// and `begun` are the columns of the two moments with their values, because they differ between the databases.
    async fn fill_earlier_version(
        address: &str,
        versions: &[Version],
        [written, begun]: [(&str, &str); 2],
    ) -> Result<(), Error> {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(address).await?;
        migrator(versions).run_direct(None, &mut connection, false).await.unwrap();
        let key = "INSERT INTO tiktok_shop_tenant_keys (tenant, id, number, host_key, wrapped) \
                   VALUES ('t', 'key', 1, 'host', $1)";
        sqlx::query(key).bind(vec![9_u8]).execute(&mut connection).await?;
        let token = format!(
            "INSERT INTO tiktok_shop_tokens \
             (tenant, customer, account, revision, refresh_due_at, sealed_by, sealed, {}) \
             VALUES ('t', 'c', 'a', 'r0', 77, 'key', $1, {})",
            written.0, written.1
        );
        sqlx::query(AssertSqlSafe(token)).bind(vec![1_u8, 2, 3]).execute(&mut connection).await?;
        let row = "INSERT INTO tiktok_shop_connections \
                   (tenant, customer, account, revision, token_lineage, token_generation, seller_name, \
                   seller_base_region, granted_scopes, shop_policy, status, access_expires_at, connected_at, \
                   granted_at, refreshed_at, sealed_by, sealed) \
                   VALUES ('t', 'c', 'a', 'r0', 'lineage', 5, 'Seller', 'GB', '[\"one\"]', 'exactly-one', 'active', \
                   9, 1, 2, 3, 'key', $1)";
        let dead = "INSERT INTO tiktok_shop_connections \
                    (tenant, customer, account, revision, token_lineage, token_generation, seller_name, \
                    seller_base_region, granted_scopes, shop_policy, status, status_reason, refresh_expires_at, \
                    authorization_ends_at, ends_at, connected_at, granted_at, refreshed_at, shops_synced_at, \
                    failure_at, failure_code, failure_detail, failure_http_status, failure_request_id) \
                    VALUES ('t', 'c', 'dead', 'r0', 'lineage', 6, '', '', '[]', 'all', 'reauthorization-required', \
                    'authorization-revoked', 20, 10, 10, 1, 2, 3, 4, 5, 'code', 'detail', 500, 'request')";
        sqlx::query(dead).execute(&mut connection).await?;
        sqlx::query(row).bind(vec![4_u8, 5]).execute(&mut connection).await?;
        let shop = "INSERT INTO tiktok_shop_shops \
                    (tenant, customer, account, id, position, name, region, seller_type, code, raw, standing, linked) \
                    VALUES ('t', 'c', 'a', '7', 0, 'Shop', 'GB', 'LOCAL', 'C', '{}', 'granted', $1), \
                    ('t', 'c', 'a', '5', 1, '', '', '', '', '', 'no-longer-granted', $2)";
        sqlx::query(shop).bind(true).bind(false).execute(&mut connection).await?;
        let state = format!(
            "INSERT INTO tiktok_shop_states (tenant, digest, customer, browser, shop_policy, used, {}) \
             VALUES ('t', $1, 'c', $2, 'all', FALSE, {})",
            begun.0, begun.1
        );
        let (digest, browser) = (vec![7_u8; 32], vec![8_u8; 32]);
        sqlx::query(AssertSqlSafe(state)).bind(digest).bind(browser).execute(&mut connection).await?;
        connection.close().await
    }

    /// The rows that [`fill_earlier_version`] inserts.
    fn rows_of_the_earlier_version() -> [OpenRow; 2] {
        let key = |account: &str| ConnectionKey { customer: "c".parse().unwrap(), account: account.parse().unwrap() };
        let mut connection = Connection::new(key("a"));
        connection.seller_name = "Seller".to_owned();
        connection.seller_base_region = "GB".to_owned();
        connection.granted_scopes = vec!["one".to_owned()];
        connection.shop_policy = ShopPolicy::ExactlyOne;
        connection.access_expires_at = Some(UnixSeconds(9));
        (connection.connected_at, connection.granted_at, connection.refreshed_at) =
            (UnixSeconds(1), UnixSeconds(2), UnixSeconds(3));
        let mut shop = Shop::new("7".parse().unwrap(), key("a").account);
        (shop.name, shop.region, shop.seller_type) = ("Shop".to_owned(), "GB".to_owned(), "LOCAL".to_owned());
        (shop.code, shop.raw, shop.linked) = ("C".to_owned(), "{}".to_owned(), true);
        let mut gone = Shop::new("5".parse().unwrap(), key("a").account);
        gone.standing = ShopStanding::NoLongerGranted;
        connection.shops = vec![shop, gone];

        let mut dead = Connection::new(key("dead"));
        dead.status = ConnectionStatus::ReauthorizationRequired(ReauthorizationReason::AuthorizationRevoked);
        (dead.refresh_expires_at, dead.authorization_ends_at) = (Some(UnixSeconds(20)), Some(UnixSeconds(10)));
        (dead.connected_at, dead.granted_at, dead.refreshed_at) = (UnixSeconds(1), UnixSeconds(2), UnixSeconds(3));
        dead.shops_synced_at = Some(UnixSeconds(4));
        let (code, detail) = ("code".to_owned(), "detail".to_owned());
        let failure = Failure { code, detail, http_status: Some(500), request_id: Some("request".to_owned()) };
        dead.last_failure = Some(PastFailure { at: UnixSeconds(5), failure });
        let row = |connection, token_generation| OpenRow {
            connection,
            token_lineage: "lineage".to_owned(),
            token_generation,
        };
        [row(connection, 5), row(dead, 6)]
    }

    /// Migrates a database that [`fill_earlier_version`] has filled. Nothing is lost, and each row gets a document with
    /// its next write. A host of the earlier release that is still running can't write rows, and can write tokens.
    async fn check_that_nothing_is_lost(
        open: impl AsyncFn(OpenMode) -> Result<SqlStorage, OpenError>,
        address: &str,
        from: i64,
    ) {
        let tenant = TENANT.parse().unwrap();
        let storage = open(OpenMode::Migrate).await.unwrap();
        assert_eq!(storage.schema_change(), SchemaChange::Migrated { from });
        let [row, dead] = rows_of_the_earlier_version();
        let key = row.connection.key.clone();
        let token = storage.load_token(&tenant, &key).await.unwrap().unwrap();
        let sealed = Sealed::new("key".parse().unwrap(), vec![1, 2, 3]);
        assert_eq!((token.revision.as_str(), token.value), (WRITTEN, sealed));
        let due = storage.due(UnixSeconds(77), None, 9).await.unwrap();
        assert_eq!(due.iter().map(|due| (due.at, &due.key)).collect::<Vec<_>>(), [(UnixSeconds(77), &key)]);
        let ciphers = Some(Sealed::new("key".parse().unwrap(), vec![4, 5]));
        let of_columns = |open: &OpenRow, sealed| Row { sealed, origin: RowOrigin::Columns, ..open.encode().unwrap() };
        let expected = [of_columns(&row, ciphers.clone()), of_columns(&dead, None)];
        let listed = storage.list_rows(&tenant, &key.customer).await.unwrap();
        assert!(listed.iter().all(|entry| entry.revision.as_str() == WRITTEN));
        assert_eq!(listed.into_iter().map(|entry| entry.row).collect::<Vec<_>>(), expected);
        assert_eq!(storage.load_row(&tenant, &key).await.unwrap().unwrap().row, expected[0]);
        assert_eq!(storage.owners(&tenant, &"5".parse().unwrap()).await.unwrap(), std::slice::from_ref(&key));
        assert_eq!(storage.unsealed_rows().await, Ok(2));
        let consent = storage.load_state(&tenant, &StateDigest::new([7; 32])).await.unwrap().unwrap();
        let browser = BrowserDigest::new([8; 32]);
        let record = ConsentRecord { customer: "c".parse().unwrap(), app: None, browser, shops: ShopPolicy::All };
        assert_eq!((consent.record, consent.used), (record, false));
        assert!(storage.use_state(&tenant, &StateDigest::new([7; 32])).await.unwrap());

        // A host of the earlier release can't write rows, whether the row has a document or not.
        let mut connection = AnyConnection::connect(address).await.unwrap();
        let update = "UPDATE tiktok_shop_connections SET revision = 'r2', seller_name = 'New name' \
                      WHERE tenant = 't' AND customer = 'c' AND account = 'a'";
        let insert = "INSERT INTO tiktok_shop_connections \
                      (tenant, customer, account, revision, token_lineage, token_generation, seller_name, \
                      seller_base_region, granted_scopes, shop_policy, status, connected_at, granted_at, refreshed_at) \
                      VALUES ('t', 'c', 'new', 'r0', 'lineage', 1, '', '', '[]', 'all', 'active', 1, 1, 1)";
        let why = "a host of an earlier release may not write rows in this database: update the host";
        let refused = async |connection: &mut AnyConnection, sql: &'static str| {
            let error = sqlx::query(sql).execute(connection).await.unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        };
        refused(&mut connection, update).await;
        refused(&mut connection, insert).await;
        assert_eq!(storage.load_row(&tenant, &key).await.unwrap().unwrap().row, expected[0]);

        let mut document =
            OpenRow { connection: Connection { app: Some("app".parse().unwrap()), ..row.connection }, ..row };
        document.connection.shops.iter_mut().for_each(|shop| shop.app = Some("app".parse().unwrap()));
        let document = Row { sealed: ciphers, ..document.encode().unwrap() };
        let (first, second) = (WRITTEN.parse().unwrap(), "r1".parse().unwrap());
        let next = Next { revision: second, value: document.clone() };
        let swapped = storage.swap_row(&tenant, &key, Some(&first), Some(&next), &[]).await.unwrap();
        assert!(matches!(swapped, Swapped::Done));
        assert_eq!(storage.load_row(&tenant, &key).await.unwrap().unwrap().row, document);
        assert_eq!(storage.unsealed_rows().await, Ok(1));
        refused(&mut connection, update).await;
        assert_eq!(storage.load_row(&tenant, &key).await.unwrap().unwrap().row, document);

        // It can write tokens, seal values with another key, and delete rows.
        for sql in [
            "UPDATE tiktok_shop_tokens SET revision = 'r9' WHERE tenant = 't' AND customer = 'c' AND account = 'a'",
            "UPDATE tiktok_shop_connections SET sealed_by = 'key', sealed = sealed WHERE tenant = 't' AND account = 'a'",
            "DELETE FROM tiktok_shop_connections WHERE tenant = 't' AND customer = 'c' AND account = 'dead'",
        ] {
            assert_eq!(sqlx::query(sql).execute(&mut connection).await.unwrap().rows_affected(), 1, "{sql}");
        }
        connection.close().await.unwrap();
        assert_eq!(storage.unsealed_rows().await, Ok(0));
        assert_eq!(storage.load_token(&tenant, &key).await.unwrap().unwrap().revision.as_str(), "r9");
    }

    #[tokio::test]
    async fn nothing_of_an_earlier_version_is_lost_in_sqlite() {
        for from in [4, 5] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("storage.db");
            private_file::touch(&path).unwrap();
            let address = format!("sqlite://{}", path.display());
            let moments = [("written_boot, written_ms", "'boot', 5"), ("begun_boot, begun_ms", "'boot', 6")];
            fill_earlier_version(&address, &SQLITE[..from], moments).await.unwrap();
            let open = async |mode| SqlStorage::sqlite(&path, mode).await;
            check_that_nothing_is_lost(open, &address, i64::try_from(from).unwrap()).await;
        }
    }

    #[tokio::test]
    async fn nothing_of_an_earlier_version_is_lost_in_postgresql() {
        for from in [4, 5] {
            let Some(address) = new_schema().await else { return };
            let moments = [("written_at", "now()"), ("begun_at", "now()")];
            fill_earlier_version(&address, &POSTGRES[..from], moments).await.unwrap();
            let open = async |mode| SqlStorage::postgres(&address, mode, PostgresOptions::default()).await;
            check_that_nothing_is_lost(open, &address, i64::try_from(from).unwrap()).await;
        }
    }

    /// Creates an empty schema on the PostgreSQL server for tests. Returns an address whose statements use this schema.
    /// Returns `None` if there is no server.
    async fn new_schema() -> Option<String> {
        let server = tiktok_shop_test_postgres::test_postgres()?;
        sqlx::any::install_default_drivers();
        let name = format!("upgrade_{:032x}", random());
        let mut connection = AnyConnection::connect(&server).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).execute(&mut connection).await.unwrap();
        let separator = if server.contains('?') { '&' } else { '?' };
        Some(format!("{server}{separator}options=-c%20search_path%3D{name}"))
    }

    fn random() -> u128 {
        let mut bits = [0; 16];
        SystemRandomness.fill(&mut bits).unwrap();
        u128::from_be_bytes(bits)
    }

    #[test]
    fn the_newest_version_is_the_one_that_this_release_needs() {
        assert_eq!(SQLITE.last().unwrap().number, SqlStorage::SCHEMA_VERSION);
        assert_eq!(POSTGRES.last().unwrap().number, SqlStorage::SCHEMA_VERSION);
    }

    /// A database stores the checksum of each file that created its tables. A release in which such a file has changed
    /// refuses the database, even if only a comment has changed. So to change tables, add a new file.
    #[test]
    fn the_files_of_a_version_never_change() {
        let checksums = |versions: &[Version]| -> Vec<_> {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            migrator(versions).iter().map(|known| (known.version, hex(&known.checksum))).collect()
        };
        let pinned = |versions: [(i64, &str); 12]| versions.map(|(version, checksum)| (version, checksum.to_owned()));
        assert_eq!(
            checksums(&SQLITE),
            pinned([
                (1, "5812a45cdd663f69c64a208eb554bba2548087f397c871d37dc44b98a9976ccb5c7827f351e733d5ecb0a6e31ec3a35e"),
                (2, "a54745e9e71f101ff4c36cdade5470c849144d4385640ed7fb6fb7a0e19a3a328f334d8fa05ef7b8800674d235a62dec"),
                (3, "829db0550687b81b86c331ecdcff126d63a0676f642da7fc614b8cc7f736e02b19ce1175e2b6cf3bbebc08c44423e74b"),
                (4, "511cee987f41a9469938172e33d42c2e284d87d3ddc7e0c5da886d5c57f57d837bd705fecf0975b808a7394591d95879"),
                (5, "d39071f49f9f0ed485c951142edf7aadd28c247ac00458a87257de89ac09dfca8f849ae5b37bf69d85ccb9173e35155c"),
                (6, "5295a1db86aac4fd4a28a26b0b40ad35f0dac44f5c4b2ff7a0f0347f81369eb789a04091693917ed4bada0fa68cbde60"),
                (7, "83f9a385ab95fe8f2983c8fba4d392a7dffc19c31f4fd528c48b0ece4f066a7f6864dcf96411f1d70d13d3c340f03c17"),
                (8, "51e34dfa4d01896cc31f34f9a5d381272e4039daa8e570e73a30e515323475eab08d74cc611e8d53b454f310b4edc5a1"),
                (9, "74a39d28052dca5a45aad774c91c2c7407c6d4af781dbf6921b65aae7d24c9716b2012880159933304893d02bec1f729"),
                (
                    10,
                    "7bacecf62e4a8093f4a2c940bb8814cfa3384ee1ada8146d6a66dfd8033d4479f399d424e493860a56c3be2c4b26f3f1"
                ),
                (
                    11,
                    "ec1b66c12b255f16717de91164bd05d75c7e7399ebd1fd0150a6a1ec394a82f4014d52e705ff808f391e49e375d1fe5e"
                ),
                (
                    12,
                    "f04962467116b3fa2452f7def56f1127601644be371243b73ae65b8e9fc4767771f222c0d02f5ce99b8d103af41925fa"
                ),
            ])
        );
        assert_eq!(
            checksums(&POSTGRES),
            pinned([
                (1, "2f82c94f00117d0af1cae650aba0d340623fa3f0716c17596bcac63931a9e22b876fce0cb403452c1e45382a3cc70ff1"),
                (2, "1e304abb1bdb4bd9e99162a6da8b0834314c28cffc8f6351499fd3059f128d861b69e2dbb3845f82dccb6fb10fc50716"),
                (3, "829db0550687b81b86c331ecdcff126d63a0676f642da7fc614b8cc7f736e02b19ce1175e2b6cf3bbebc08c44423e74b"),
                (4, "511cee987f41a9469938172e33d42c2e284d87d3ddc7e0c5da886d5c57f57d837bd705fecf0975b808a7394591d95879"),
                (5, "ddf23837a71e5d2e6eb48a8e469794d4d1837a0b1ae40fc153b1a7d55098002743dffa49594c57e702b14484aec06531"),
                (6, "b3d194a7b7d82048b1e11004437057ed15a37fb702511fd77ddea3a92133216d8a8e153e0cfeedc2906b5607e8d2a821"),
                (7, "80da7ea82f4ca96d584540bec76442ffa63d6b715c4972bb07e133a9d87ca100e65e7b808acca999e009ff191329d523"),
                (8, "0da2374aafafd35eb17fdff1f1d0d62c07348e600e583c547d8339428c6573f374b60fec246fa49f82e08889d9422363"),
                (9, "39c9c4da8d8fa1e5b82d0e9e3af447a8355e1a720fecf747cc79fd3d3b7fda932724b4b3be58c96b065f7d8eb2d8a560"),
                (
                    10,
                    "7bacecf62e4a8093f4a2c940bb8814cfa3384ee1ada8146d6a66dfd8033d4479f399d424e493860a56c3be2c4b26f3f1"
                ),
                (
                    11,
                    "ec1b66c12b255f16717de91164bd05d75c7e7399ebd1fd0150a6a1ec394a82f4014d52e705ff808f391e49e375d1fe5e"
                ),
                (
                    12,
                    "f04962467116b3fa2452f7def56f1127601644be371243b73ae65b8e9fc4767771f222c0d02f5ce99b8d103af41925fa"
                ),
            ])
        );
    }
}
