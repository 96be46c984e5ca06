//! The tables of a database, and how they are created and changed.

use sqlx::AnyConnection;
use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migrate as _, MigrateError, Migration, MigrationType, Migrator};

use super::error::OpenError;
use crate::sql::dialect::Dialect;
use crate::sql::error::storage_error;

/// The table that records which versions of the schema were applied. The name is not sqlx's default, because the
/// database may belong to a platform that has migrations of its own.
const TABLE: &str = "tiktok_shop_migrations";

/// A version of the schema: its number, its name and its statements.
type Version = (i64, &'static str, &'static str);

const SQLITE: [Version; 4] = [
    (1, "storage", include_str!("../../migrations/sqlite/0001_storage.sql")),
    (2, "environment", include_str!("../../migrations/sqlite/0002_environment.sql")),
    (3, "audit", include_str!("../../migrations/sqlite/0003_audit.sql")),
    (4, "tenant lists", include_str!("../../migrations/sqlite/0004_tenant_lists.sql")),
];
const POSTGRES: [Version; 4] = [
    (1, "storage", include_str!("../../migrations/postgres/0001_storage.sql")),
    (2, "environment", include_str!("../../migrations/postgres/0002_environment.sql")),
    (3, "audit", include_str!("../../migrations/postgres/0003_audit.sql")),
    (4, "tenant lists", include_str!("../../migrations/postgres/0004_tenant_lists.sql")),
];

fn migrator(versions: [Version; 4]) -> Migrator {
    let migrations = versions.map(|(number, name, sql)| {
        Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.into());
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

/// Brings the tables up to date. Each version of the schema is applied in its own transaction.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's open list")]
pub(super) async fn migrate(connection: &mut AnyConnection, dialect: &Dialect) -> Result<(), OpenError> {
    let migrator = migrator(match dialect {
        Dialect::Sqlite(_) => SQLITE,
        Dialect::Postgres => POSTGRES,
    });
    // The migrator needs the right to create tables, even if every version is already applied. So if every version is
    // applied, the migrator does not run, and a user without this right can open the database. Otherwise the migrator
    // runs, even if the applied versions can't be read. It then reports what is wrong.
    if let Ok(applied) = connection.list_applied_migrations(TABLE).await
        && applied
            .iter()
            .map(|applied| (applied.version, &applied.checksum))
            .eq(migrator.iter().map(|known| (known.version, &known.checksum)))
        && matches!(connection.dirty_version(TABLE).await, Ok(None))
    {
        return Ok(());
    }
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => OpenError::Newer(version),
        MigrateError::VersionMismatch(version) => {
            OpenError::Migration(format!("the database has another version {version} of the schema than this release"))
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            OpenError::Migration(storage_error(error).to_string())
        }
        other => OpenError::Migration(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sqlx::{AssertSqlSafe, Connection as _};
    use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
    use tiktok_shop_host::events::{Cause, EventKind, NewEvent, Origin};
    use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
    use tiktok_shop_host::storage::{ConnectionStorage as _, OnceDigest};
    use tiktok_shop_private_file as private_file;

    use super::*;
    use crate::clock::{BootClock, MachineClock};
    use crate::open::postgres::PostgresOptions;
    use crate::storage::SqlStorage;

    /// Creates the tables of the first version and inserts an event. Then upgrades the tables to the newest version.
    async fn upgrade(address: &str, dialect: &Dialect) {
        sqlx::any::install_default_drivers();
        let mut connection = AnyConnection::connect(address).await.unwrap();
        let versions = if matches!(dialect, Dialect::Postgres) { POSTGRES } else { SQLITE };
        let mut first = Migrator::with_migrations(migrator(versions).iter().take(1).cloned().collect());
        first.dangerous_set_table_name(TABLE);
        first.run_direct(None, &mut connection, false).await.unwrap();
        let event = "INSERT INTO tiktok_shop_events (tenant, position, at, customer, account, kind) \
                     VALUES ('t', 1, 7, 'c', 'a', 'connected')";
        sqlx::query(event).execute(&mut connection).await.unwrap();
        let position = "INSERT INTO tiktok_shop_event_positions (tenant, last) VALUES ('t', 1)";
        sqlx::query(position).execute(&mut connection).await.unwrap();
        migrate(&mut connection, dialect).await.unwrap();
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

    #[tokio::test]
    async fn events_of_an_earlier_version_are_read_after_the_upgrade_of_sqlite() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("storage.db");
        private_file::touch(&path).unwrap();
        let clock: Arc<dyn MachineClock> = Arc::new(BootClock::read().unwrap());
        upgrade(&format!("sqlite://{}", path.display()), &Dialect::Sqlite(clock)).await;
        check_events(SqlStorage::sqlite(&path).await.unwrap()).await;
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
        upgrade(&address, &Dialect::Postgres).await;
        check_events(SqlStorage::postgres(&address, PostgresOptions::default()).await.unwrap()).await;
    }

    fn random() -> u128 {
        let mut bits = [0; 16];
        SystemRandomness.fill(&mut bits).unwrap();
        u128::from_be_bytes(bits)
    }

    /// A database stores the checksum of each file that created its tables. A release in which such a file has changed
    /// refuses the database, even if only a comment has changed. So to change tables, add a new file.
    #[test]
    fn the_files_of_a_version_never_change() {
        let checksums = |versions| -> Vec<_> {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            migrator(versions).iter().map(|known| (known.version, hex(&known.checksum))).collect()
        };
        let pinned = |versions: [(i64, &str); 4]| versions.map(|(version, checksum)| (version, checksum.to_owned()));
        assert_eq!(
            checksums(SQLITE),
            pinned([
                (1, "5812a45cdd663f69c64a208eb554bba2548087f397c871d37dc44b98a9976ccb5c7827f351e733d5ecb0a6e31ec3a35e"),
                (2, "a54745e9e71f101ff4c36cdade5470c849144d4385640ed7fb6fb7a0e19a3a328f334d8fa05ef7b8800674d235a62dec"),
                (3, "829db0550687b81b86c331ecdcff126d63a0676f642da7fc614b8cc7f736e02b19ce1175e2b6cf3bbebc08c44423e74b"),
                (4, "511cee987f41a9469938172e33d42c2e284d87d3ddc7e0c5da886d5c57f57d837bd705fecf0975b808a7394591d95879"),
            ])
        );
        assert_eq!(
            checksums(POSTGRES),
            pinned([
                (1, "2f82c94f00117d0af1cae650aba0d340623fa3f0716c17596bcac63931a9e22b876fce0cb403452c1e45382a3cc70ff1"),
                (2, "1e304abb1bdb4bd9e99162a6da8b0834314c28cffc8f6351499fd3059f128d861b69e2dbb3845f82dccb6fb10fc50716"),
                (3, "829db0550687b81b86c331ecdcff126d63a0676f642da7fc614b8cc7f736e02b19ce1175e2b6cf3bbebc08c44423e74b"),
                (4, "511cee987f41a9469938172e33d42c2e284d87d3ddc7e0c5da886d5c57f57d837bd705fecf0975b808a7394591d95879"),
            ])
        );
    }
}
