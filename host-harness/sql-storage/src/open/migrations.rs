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

const SQLITE: [Version; 2] = [
    (1, "storage", include_str!("../../migrations/sqlite/0001_storage.sql")),
    (2, "environment", include_str!("../../migrations/sqlite/0002_environment.sql")),
];
const POSTGRES: [Version; 2] = [
    (1, "storage", include_str!("../../migrations/postgres/0001_storage.sql")),
    (2, "environment", include_str!("../../migrations/postgres/0002_environment.sql")),
];

fn migrator(versions: [Version; 2]) -> Migrator {
    let migrations = versions.map(|(number, name, sql)| {
        Migration::new(number, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.into());
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

/// Brings the tables up to date. Each version of the schema is one transaction.
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
    use super::*;

    /// A database stores the checksum of each file that created its tables, and is refused if the file differs later. A
    /// changed comment is enough. So change tables only with a new file.
    #[test]
    fn the_files_of_a_version_never_change() {
        let checksums = |versions| {
            let hex = |known: &Migration| known.checksum.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            migrator(versions).iter().map(hex).collect::<Vec<_>>()
        };
        assert_eq!(
            checksums(SQLITE),
            [
                "5812a45cdd663f69c64a208eb554bba2548087f397c871d37dc44b98a9976ccb5c7827f351e733d5ecb0a6e31ec3a35e",
                "a54745e9e71f101ff4c36cdade5470c849144d4385640ed7fb6fb7a0e19a3a328f334d8fa05ef7b8800674d235a62dec",
            ]
        );
        assert_eq!(
            checksums(POSTGRES),
            [
                "2f82c94f00117d0af1cae650aba0d340623fa3f0716c17596bcac63931a9e22b876fce0cb403452c1e45382a3cc70ff1",
                "1e304abb1bdb4bd9e99162a6da8b0834314c28cffc8f6351499fd3059f128d861b69e2dbb3845f82dccb6fb10fc50716",
            ]
        );
    }
}
