//! The storage: its connections to the database, its transactions, and its deadline.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tiktok_shop_host::storage::StorageError;

use crate::expiry::ExpiryPauses;
use crate::open::mode::SchemaChange;
use crate::pool::Pool;
use crate::pool::transaction::Transaction;
use crate::sql::dialect::Dialect;

/// Storage in SQLite or PostgreSQL. A clone is cheap and uses the same connections to the database.
#[derive(Clone)]
pub struct SqlStorage {
    pub(crate) dialect: Dialect,
    /// Connections for single statements that only read.
    pub(crate) readers: Pool,
    /// Connections for everything else. For PostgreSQL this is the same pool as `readers`.
    pub(crate) writers: Pool,
    /// How long a server may take for one call, with all its statements. `None` for SQLite, which has no server.
    pub(crate) deadline: Option<Duration>,
    pub(crate) schema_change: SchemaChange,
    pub(crate) expiry_pauses: ExpiryPauses,
}

impl SqlStorage {
    /// Runs the statements of one call, and gives them up at the deadline. Without a deadline, a server that stops
    /// answering without closing its connection would make the caller wait until the operating system closes the
    /// connection.
    pub(crate) async fn run_to_deadline<T>(
        &self,
        statements: impl Future<Output = Result<T, StorageError>> + Send,
    ) -> Result<T, StorageError> {
        run_within(self.deadline, statements).await
    }

    /// Begins a transaction that will write.
    pub(crate) async fn begin(&self) -> Result<Transaction, StorageError> {
        self.writers.begin().await
    }

    /// Says whether this handle created or changed the tables when it was opened.
    #[must_use]
    pub fn schema_change(&self) -> SchemaChange {
        self.schema_change
    }

    /// Waits for the running calls, and closes every connection to the database.
    pub async fn close(&self) {
        self.writers.close().await;
        self.readers.close().await;
    }
}

/// Runs statements, and gives them up after this time. `None` means that they have no limit.
pub(crate) async fn run_within<T>(
    limit: Option<Duration>,
    statements: impl Future<Output = Result<T, StorageError>>,
) -> Result<T, StorageError> {
    let Some(limit) = limit else { return statements.await };
    let late = |_| StorageError::Unavailable("the database did not answer in time".to_owned());
    tokio::time::timeout(limit, statements).await.map_err(late)?
}

impl fmt::Debug for SqlStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStorage").field("dialect", &self.dialect.name()).finish_non_exhaustive()
    }
}
