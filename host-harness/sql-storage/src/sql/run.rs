//! Runs statements on a pool of connections or in a transaction, with the same result for SQLite and PostgreSQL.

use std::future::Future;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Any, AnyPool, AssertSqlSafe, Error, Executor, PgConnection, Postgres};
use tiktok_shop_host::storage::StorageError;

use super::error::storage_error;
use super::statement::{Statement, Value};
use crate::pool::Pool;
use crate::pool::transaction::Transaction;

/// The effect of a statement that writes.
pub(crate) enum Written {
    /// The statement changed this number of database rows.
    Rows(u64),
    /// The statement would have broken a foreign key, so it changed nothing. The error describes this failure.
    ForeignKeyBroken(StorageError),
}

/// A pool or a transaction that runs statements.
pub(crate) trait Run: Send + Sized {
    /// Returns all database rows of the result.
    fn fetch_all(self, statement: Statement) -> impl Future<Output = Result<Vec<AnyRow>, StorageError>> + Send;

    /// Runs a statement that writes.
    fn execute(self, statement: Statement) -> impl Future<Output = Result<Written, StorageError>> + Send;
}

/// Runs a statement and returns the database rows of its result.
pub(crate) async fn fetch_all(on: impl Run, statement: Statement) -> Result<Vec<AnyRow>, StorageError> {
    on.fetch_all(statement).await
}

/// Runs a statement whose result has at most one database row, and returns this row.
pub(crate) async fn fetch_optional(on: impl Run, statement: Statement) -> Result<Option<AnyRow>, StorageError> {
    Ok(fetch_all(on, statement).await?.into_iter().next())
}

/// Runs a statement that writes, and returns the number of database rows that it changed.
pub(crate) async fn execute_count(on: impl Run, statement: Statement) -> Result<u64, StorageError> {
    match on.execute(statement).await? {
        Written::Rows(rows) => Ok(rows),
        Written::ForeignKeyBroken(error) => Err(error),
    }
}

/// Runs a statement that writes, and returns whether it changed a database row.
pub(crate) async fn execute(on: impl Run, statement: Statement) -> Result<bool, StorageError> {
    Ok(execute_count(on, statement).await? > 0)
}

/// Runs a statement that writes, and returns whether it changed a database row. If the write would break a foreign key,
/// it changes nothing, and this function returns false. Such a write refers to a data key that another writer has just
/// removed, or it removes a data key to which another writer has just added a reference.
pub(crate) async fn execute_if_references_hold(on: impl Run, statement: Statement) -> Result<bool, StorageError> {
    match on.execute(statement).await? {
        Written::Rows(rows) => Ok(rows > 0),
        Written::ForeignKeyBroken(_) => Ok(false),
    }
}

/// Runs the text of [`Together`](super::together::Together), and returns the number of database rows in the result.
pub(super) async fn fetch_together(on: &Pool, statement: Statement) -> Result<Written, StorageError> {
    match on {
        Pool::Sqlite(pool) => written(sqlite_script(pool.clone(), statement).await?.map(|rows| rows.len() as u64)),
        Pool::Postgres(pool) => {
            let mut lent = pool.lend().await?;
            let rows = for_postgres(statement).fetch_all(lent.connection()).await;
            let written = written(rows.map(|rows| rows.len() as u64));
            lent.give_back_after(&written);
            written
        }
    }
}

/// Runs a script that begins and commits a transaction. The script runs on a task of its own, which continues even if the
/// caller stops waiting. This is necessary because the driver stops a script in the middle if nobody waits for its
/// result. The transaction would then stay open, and the next caller would write into it. For the same reason, the
/// connection of a script that has failed is closed.
async fn sqlite_script(pool: AnyPool, statement: Statement) -> Result<Result<Vec<AnyRow>, Error>, StorageError> {
    let script = tokio::spawn(async move {
        let mut connection = pool.acquire().await?;
        let rows = for_any(statement).fetch_all(&mut *connection).await;
        if rows.is_err() {
            // The caller gets the error of the script, also if closing fails.
            let _closed = connection.close().await;
        }
        rows
    });
    script.await.map_err(|ended| StorageError::Unavailable(ended.to_string()))
}

impl Run for &Pool {
    async fn fetch_all(self, statement: Statement) -> Result<Vec<AnyRow>, StorageError> {
        match self {
            Pool::Sqlite(pool) => for_any(statement).fetch_all(pool).await.map_err(storage_error),
            Pool::Postgres(pool) => {
                let mut lent = pool.lend().await?;
                let rows = postgres_fetch_all(lent.connection(), statement).await;
                lent.give_back_after(&rows);
                rows
            }
        }
    }

    async fn execute(self, statement: Statement) -> Result<Written, StorageError> {
        match self {
            Pool::Sqlite(pool) => sqlite_execute(pool, statement).await,
            Pool::Postgres(pool) => {
                let mut lent = pool.lend().await?;
                let written = postgres_execute(lent.connection(), statement).await;
                lent.give_back_after(&written);
                written
            }
        }
    }
}

impl Run for &mut Transaction {
    async fn fetch_all(self, statement: Statement) -> Result<Vec<AnyRow>, StorageError> {
        match self {
            Transaction::Sqlite(on) => for_any(statement).fetch_all(&mut **on).await.map_err(storage_error),
            Transaction::Postgres(on) => postgres_fetch_all(on.connection(), statement).await,
        }
    }

    async fn execute(self, statement: Statement) -> Result<Written, StorageError> {
        match self {
            Transaction::Sqlite(on) => sqlite_execute(&mut **on, statement).await,
            Transaction::Postgres(on) => postgres_execute(on.connection(), statement).await,
        }
    }
}

async fn sqlite_execute(on: impl Executor<'_, Database = Any>, statement: Statement) -> Result<Written, StorageError> {
    written(for_any(statement).execute(on).await.map(|done| done.rows_affected()))
}

async fn postgres_fetch_all(on: &mut PgConnection, statement: Statement) -> Result<Vec<AnyRow>, StorageError> {
    let rows = for_postgres(statement).fetch_all(on).await.map_err(storage_error)?;
    rows.iter().map(any_row).collect()
}

async fn postgres_execute(on: &mut PgConnection, statement: Statement) -> Result<Written, StorageError> {
    written(for_postgres(statement).execute(on).await.map(|done| done.rows_affected()))
}

fn any_row(row: &PgRow) -> Result<AnyRow, StorageError> {
    AnyRow::try_from(row).map_err(storage_error)
}

fn written(rows: Result<u64, Error>) -> Result<Written, StorageError> {
    match rows {
        Ok(rows) => Ok(Written::Rows(rows)),
        Err(error) if error.as_database_error().is_some_and(|error| error.is_foreign_key_violation()) => {
            Ok(Written::ForeignKeyBroken(storage_error(error)))
        }
        Err(error) => Err(storage_error(error)),
    }
}

/// Returns the statement in the form that the driver for SQLite takes.
fn for_any(statement: Statement) -> Query<'static, Any, AnyArguments> {
    let query = sqlx::query(AssertSqlSafe(statement.sql)).persistent(statement.is_kept);
    statement.values.into_iter().fold(query, |query, value| match value {
        Value::Text(text) => query.bind(text),
        Value::Integer(integer) => query.bind(integer),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Flag(flag) => query.bind(flag),
    })
}

/// Returns the statement in the form that the driver for PostgreSQL takes.
fn for_postgres(statement: Statement) -> Query<'static, Postgres, PgArguments> {
    let query = sqlx::query(AssertSqlSafe(statement.sql)).persistent(statement.is_kept);
    statement.values.into_iter().fold(query, |query, value| match value {
        Value::Text(text) => query.bind(text),
        Value::Integer(integer) => query.bind(integer),
        Value::Bytes(bytes) => query.bind(bytes),
        Value::Flag(flag) => query.bind(flag),
    })
}
