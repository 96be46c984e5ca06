//! Opening a database: what can be wrong with it, and how it gets its tables.

use std::path::PathBuf;

use sqlx::migrate::{Migrate as _, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Any, AnyConnection, Error, SqlSafeStr as _, Transaction};

use super::dialect::Dialect;
use super::error::storage_error;
use super::{SqlStorage, StorageError};
use tiktok_shop_private_file::PrivateFileError;

/// Why a database can't be used. No text quotes its address, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file can't be reached, or others can reach it.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The path holds bytes that are not UTF-8.
    #[error("{}: a path that is not UTF-8", .0.display())]
    Path(PathBuf),
    /// The machine does not tell one boot from another.
    #[error("the id of this machine's boot can't be read: {0}")]
    Boot(std::io::Error),
    /// The address is none of a PostgreSQL server: `postgres://user:password@host:port/database`.
    #[error("not the address of a PostgreSQL database: postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Address,
    /// The database does not answer, or does not let this user in.
    #[error("the database can't be opened: {0}")]
    Unreachable(String),
    /// It is a server that only repeats another: what it shows may be old, and it takes no writes.
    #[error("the server is a standby: connect to the primary")]
    Standby,
    /// Text of other encodings would not come back as it was given.
    #[error("the database's encoding is {0}: make one with ENCODING 'UTF8'")]
    Encoding(String),
    /// A newer release has changed its tables. Nothing was written.
    #[error("the database was used by a newer release (its schema has version {0}): use that one")]
    Newer(i64),
    /// Its tables could not be made or changed.
    #[error("the database's tables can't be brought up to date: {0}")]
    Migration(String),
}

impl OpenError {
    /// What a database said when it was opened.
    pub(super) fn unreachable(error: Error) -> Self {
        if matches!(error, Error::Configuration(_)) {
            return Self::Address;
        }
        Self::Unreachable(match storage_error(error) {
            StorageError::Unavailable(why) | StorageError::Refused(why) => why,
            other @ StorageError::KeyGone => other.to_string(),
        })
    }
}

/// Where it is written down which versions of the schema a database has had: a name of our own, as the database may be a
/// platform's, with migrations of its own.
const TABLE: &str = "tiktok_shop_migrations";

/// Brings the tables up to date. Each version is one transaction.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's open list")]
pub(super) async fn migrate(connection: &mut AnyConnection, dialect: &Dialect) -> Result<(), OpenError> {
    let first = match dialect {
        Dialect::Sqlite(_) => include_str!("../../../migrations/sqlite/0001_storage.sql"),
        Dialect::Postgres => include_str!("../../../migrations/postgres/0001_storage.sql"),
    };
    let first = Migration::new(1, "storage".into(), MigrationType::Simple, first.into_sql_str(), false);
    let mut migrator = Migrator::with_migrations(vec![first]);
    migrator.dangerous_set_table_name(TABLE);
    // Nothing to do needs no right to make tables. What else there is to say, the migrator says.
    if let Ok(applied) = connection.list_applied_migrations(TABLE).await
        && applied
            .iter()
            .map(|one| (one.version, &one.checksum))
            .eq(migrator.iter().map(|one| (one.version, &one.checksum)))
        && matches!(connection.dirty_version(TABLE).await, Ok(None))
    {
        return Ok(());
    }
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => OpenError::Newer(version),
        MigrateError::VersionMismatch(version) => {
            OpenError::Migration(format!("version {version} is not the one that was applied"))
        }
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            OpenError::Migration(storage_error(error).to_string())
        }
        other => OpenError::Migration(other.to_string()),
    })
}

impl SqlStorage {
    /// A transaction that will write. SQLite's takes the lock at once, as one that took it later could only fail.
    ///
    /// It begins on a task of its own, to the end even if the caller gives up: the driver does not roll back what it has not
    /// finished to begin. Its connection would be lent to the next caller with the transaction open, and what that one
    /// writes with a single statement would be answered and never committed.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, StorageError> {
        let writers = self.writers.clone();
        let immediate = matches!(self.dialect, Dialect::Sqlite(_));
        let begun = tokio::spawn(async move {
            if immediate { writers.begin_with("BEGIN IMMEDIATE").await } else { writers.begin().await }
        });
        begun.await.map_err(|ended| StorageError::Unavailable(ended.to_string()))?.map_err(storage_error)
    }
}
