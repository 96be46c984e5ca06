//! The storage: its connections to the database, its transactions, and its deadline.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use sqlx::{Any, AnyPool, Transaction};
use tiktok_shop_host::storage::StorageError;

use crate::sql::dialect::Dialect;
use crate::sql::error::storage_error;

/// Storage in SQLite or PostgreSQL. A clone is cheap and uses the same connections to the database.
#[derive(Clone)]
pub struct SqlStorage {
    pub(crate) dialect: Dialect,
    /// Connections for single statements that only read.
    pub(crate) readers: AnyPool,
    /// Connections for everything else. For PostgreSQL this is the same pool as `readers`.
    pub(crate) writers: AnyPool,
    /// How long a server may take for one call, with all its statements. `None` for SQLite, which has no server.
    pub(crate) deadline: Option<Duration>,
}

impl SqlStorage {
    /// Runs the statements of one call, and gives them up at the deadline. Without a deadline, a server that stops
    /// answering without closing its connection would make the caller wait until the operating system closes the
    /// connection.
    pub(crate) async fn run_to_deadline<T>(
        &self,
        statements: impl Future<Output = Result<T, StorageError>> + Send,
    ) -> Result<T, StorageError> {
        let Some(deadline) = self.deadline else { return statements.await };
        let late = |_| StorageError::Unavailable("the database did not answer in time".to_owned());
        tokio::time::timeout(deadline, statements).await.map_err(late)?
    }

    /// Begins a transaction that will write. SQLite takes its write lock at the beginning, because a transaction that
    /// takes the lock later can fail.
    ///
    /// The transaction begins on a task of its own, which continues even if the caller stops waiting. This is necessary
    /// because the driver does not roll back a transaction whose beginning was interrupted. The pool would then lend
    /// the connection to the next caller while the transaction is still open. The single statements of the next caller
    /// would succeed, but they would never be committed.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Any>, StorageError> {
        let writers = self.writers.clone();
        let dialect = self.dialect.clone();
        let begun = tokio::spawn(async move {
            match dialect {
                Dialect::Sqlite(_) => writers.begin_with("BEGIN IMMEDIATE").await,
                Dialect::Postgres => writers.begin().await,
            }
        });
        begun.await.map_err(|ended| StorageError::Unavailable(ended.to_string()))?.map_err(storage_error)
    }

    /// Waits for the running calls, and closes every connection to the database.
    pub async fn close(&self) {
        self.writers.close().await;
        self.readers.close().await;
    }
}

impl fmt::Debug for SqlStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStorage").field("dialect", &self.dialect.name()).finish_non_exhaustive()
    }
}
