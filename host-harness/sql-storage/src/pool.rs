//! The connections of a storage to its database.

pub(crate) mod postgres;
pub(crate) mod transaction;

use sqlx::AnyPool;
use tiktok_shop_host::storage::StorageError;

use self::postgres::PostgresPool;
use self::transaction::Transaction;
use crate::sql::error::storage_error;

/// Connections that calls borrow. A clone uses the same connections.
#[derive(Clone)]
pub(crate) enum Pool {
    Sqlite(AnyPool),
    Postgres(PostgresPool),
}

impl Pool {
    /// Begins a transaction that will write. SQLite takes its write lock at the beginning, because a transaction that
    /// takes the lock later can fail.
    ///
    /// With SQLite, the transaction begins on a task of its own, which continues even if the caller stops waiting. This
    /// is necessary because the driver does not roll back a transaction whose beginning was interrupted. The pool would
    /// then lend the connection to the next caller while the transaction is still open. The single statements of the
    /// next caller would succeed, but they would never be committed.
    pub(crate) async fn begin(&self) -> Result<Transaction, StorageError> {
        match self {
            Self::Sqlite(pool) => {
                let pool = pool.clone();
                let begun = tokio::spawn(async move { pool.begin_with("BEGIN IMMEDIATE").await });
                let begun = begun.await.map_err(|ended| StorageError::Unavailable(ended.to_string()))?;
                Ok(Transaction::Sqlite(begun.map_err(storage_error)?))
            }
            Self::Postgres(pool) => pool.begin().await.map(Transaction::Postgres),
        }
    }

    /// Closes every connection. Returns after the running calls have ended and all connections are closed.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}
