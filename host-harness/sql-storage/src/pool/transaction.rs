//! A transaction. If it is dropped before it is committed, the database undoes its writes.

use sqlx::{Any, Executor as _, PgConnection};
use tiktok_shop_host::storage::StorageError;

use super::postgres::{Lent, PostgresPool};
use crate::sql::error::storage_error;

/// A transaction on a connection that nobody else uses until the transaction ends.
pub(crate) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Any>),
    Postgres(PostgresTransaction),
}

impl Transaction {
    pub(crate) async fn commit(self) -> Result<(), StorageError> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await.map_err(storage_error),
            Self::Postgres(transaction) => transaction.commit().await,
        }
    }
}

/// A transaction in PostgreSQL. If it is dropped before it ends, its connection is closed, and the server undoes the
/// writes.
pub(crate) struct PostgresTransaction {
    lent: Lent,
}

impl PostgresPool {
    pub(super) async fn begin(&self) -> Result<PostgresTransaction, StorageError> {
        let mut lent = self.lend().await?;
        lent.connection().execute("BEGIN").await.map_err(storage_error)?;
        Ok(PostgresTransaction { lent })
    }
}

impl PostgresTransaction {
    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        self.lent.connection()
    }

    async fn commit(mut self) -> Result<(), StorageError> {
        self.lent.connection().execute("COMMIT").await.map_err(storage_error)?;
        self.lent.give_back();
        Ok(())
    }
}
