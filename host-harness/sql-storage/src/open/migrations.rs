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

/// Brings the tables up to date. Each version of the schema is one transaction.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's open list")]
pub(super) async fn migrate(connection: &mut AnyConnection, dialect: &Dialect) -> Result<(), OpenError> {
    let first = match dialect {
        Dialect::Sqlite(_) => include_str!("../../migrations/sqlite/0001_storage.sql"),
        Dialect::Postgres => include_str!("../../migrations/postgres/0001_storage.sql"),
    };
    let first = Migration::new(1, "storage".into(), MigrationType::Simple, first.into_sql_str(), false);
    let mut migrator = Migrator::with_migrations(vec![first]);
    migrator.dangerous_set_table_name(TABLE);
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
