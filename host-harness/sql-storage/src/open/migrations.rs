//! The tables of a database, and how they are created and changed.

use std::future::Future;

use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{AnyConnection, Error, PgConnection, Row as _, SqlSafeStr as _};
use tiktok_shop_host::storage::StorageError;

use super::error::OpenError;
use super::mode::{OpenMode, SchemaChange};
use crate::sql::error::storage_error;
use crate::storage::SqlStorage;

/// The table that records which versions of the schema were applied. The name is not sqlx's default, because the
/// database may belong to a platform that has migrations of its own.
const TABLE: &str = "tiktok_shop_migrations";
/// In [`TABLE`], the name of each version of the schema ends with these words and a release. So an earlier release can
/// say which release the database needs.
const SINCE: &str = ", since release ";

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
            4 "tenant lists" since "0.1.0" in "0004_tenant_lists.sql"
        )
    };
}

const SQLITE: [Version; 4] = versions!("sqlite");
const POSTGRES: [Version; 4] = versions!("postgres");

impl SqlStorage {
    /// The version of the schema that this release needs.
    pub const SCHEMA_VERSION: i64 = 4;
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
}

/// The tables that a database has.
enum Schema {
    Absent,
    Older(i64),
    Current,
}

/// Checks the tables of a database, and creates or changes them if `mode` allows it.
pub(super) async fn prepare<C: SchemaConnection>(
    connection: &mut C,
    mode: OpenMode,
) -> Result<SchemaChange, OpenError> {
    if matches!(read(connection).await?, Schema::Current) {
        return Ok(SchemaChange::None);
    }
    // Another process may be creating or changing the tables at this moment. That process holds this lock until it has
    // finished. For SQLite, the caller already holds a lock.
    connection.lock().await.map_err(unreadable)?;
    let prepared = prepare_locked(connection, mode).await;
    let unlocked = connection.unlock().await.map_err(unreadable);
    let change = prepared?;
    unlocked?;
    Ok(change)
}

async fn prepare_locked<C: SchemaConnection>(connection: &mut C, mode: OpenMode) -> Result<SchemaChange, OpenError> {
    let change = match (read(connection).await?, mode) {
        (Schema::Current, _) => return Ok(SchemaChange::None),
        (Schema::Absent, OpenMode::Existing) => return Err(OpenError::NoTables),
        (Schema::Older(found), OpenMode::Existing | OpenMode::Create) => {
            return Err(OpenError::Older { found, needed: SqlStorage::SCHEMA_VERSION });
        }
        (Schema::Absent, OpenMode::Create | OpenMode::Migrate) => SchemaChange::Created,
        (Schema::Older(from), OpenMode::Migrate) => SchemaChange::Migrated { from },
    };
    C::migrator().run_direct(None, connection, false).await.map_err(failed)?;
    Ok(change)
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
            other @ StorageError::KeyGone => other.to_string(),
        },
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _};
    use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
    use tiktok_shop_host::events::{Cause, EventKind, NewEvent, Origin};
    use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
    use tiktok_shop_host::storage::{ConnectionStorage as _, OnceDigest};
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
        assert!(storage.append_once(&tenant, &OnceDigest::new([1; 32]), &next).await.unwrap());
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
        let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
        sqlx::any::install_default_drivers();
        let name = format!("upgrade_{:032x}", random());
        let mut connection = AnyConnection::connect(&server).await.unwrap();
        sqlx::query(AssertSqlSafe(format!("CREATE SCHEMA {name}"))).execute(&mut connection).await.unwrap();
        let separator = if server.contains('?') { '&' } else { '?' };
        let address = format!("{server}{separator}options=-c%20search_path%3D{name}");
        create_first_version(&address, &POSTGRES).await;
        let open = async |mode| SqlStorage::postgres(&address, mode, PostgresOptions::default()).await;
        check_upgrade(open).await;
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
        let pinned = |versions: [(i64, &str); 4]| versions.map(|(version, checksum)| (version, checksum.to_owned()));
        assert_eq!(
            checksums(&SQLITE),
            pinned([
                (1, "5812a45cdd663f69c64a208eb554bba2548087f397c871d37dc44b98a9976ccb5c7827f351e733d5ecb0a6e31ec3a35e"),
                (2, "a54745e9e71f101ff4c36cdade5470c849144d4385640ed7fb6fb7a0e19a3a328f334d8fa05ef7b8800674d235a62dec"),
                (3, "829db0550687b81b86c331ecdcff126d63a0676f642da7fc614b8cc7f736e02b19ce1175e2b6cf3bbebc08c44423e74b"),
                (4, "511cee987f41a9469938172e33d42c2e284d87d3ddc7e0c5da886d5c57f57d837bd705fecf0975b808a7394591d95879"),
            ])
        );
        assert_eq!(
            checksums(&POSTGRES),
            pinned([
                (1, "2f82c94f00117d0af1cae650aba0d340623fa3f0716c17596bcac63931a9e22b876fce0cb403452c1e45382a3cc70ff1"),
                (2, "1e304abb1bdb4bd9e99162a6da8b0834314c28cffc8f6351499fd3059f128d861b69e2dbb3845f82dccb6fb10fc50716"),
                (3, "829db0550687b81b86c331ecdcff126d63a0676f642da7fc614b8cc7f736e02b19ce1175e2b6cf3bbebc08c44423e74b"),
                (4, "511cee987f41a9469938172e33d42c2e284d87d3ddc7e0c5da886d5c57f57d837bd705fecf0975b808a7394591d95879"),
            ])
        );
    }
}
