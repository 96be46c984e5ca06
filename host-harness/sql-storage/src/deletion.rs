//! Deletes the stored data of a tenant, and removes deleted values from SQLite's files.
//!
//! SQLite overwrites deleted values in its database with zeros (`secure_delete`). But its log still contains the pages
//! as they were before the deletion. So this module empties the log after each deletion. When SQLite moves rows to another
//! page, it can leave a copy of a row in the unused part of the first page, and nothing overwrites this copy. So after the
//! erasure of a tenant, this module rewrites a small database.
//!
//! PostgreSQL keeps deleted rows in its files for a while, and keeps every written row in its log. No statement removes
//! rows from PostgreSQL's log.

use sqlx::{Connection as _, Executor as _, Row as _};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::storage::{Deleted, StorageError, Swapped};

use crate::pool::Pool;
use crate::pool::transaction::Transaction;
use crate::sql::columns::Columns as _;
use crate::sql::error::storage_error;
use crate::sql::run::{execute_count, fetch_optional};
use crate::sql::statement::statement;
use crate::storage::SqlStorage;

/// The tables of events, digests of `append_once`, consents, pending installs, webhooks, deliveries and requests.
/// Beside each table are the columns that identify an entry of a tenant.
const OTHERS: [(&str, &str); 8] = [
    ("tiktok_shop_events", "position"),
    ("tiktok_shop_told", "customer, account, digest"),
    ("tiktok_shop_states", "digest"),
    ("tiktok_shop_installs", "digest"),
    ("tiktok_shop_webhooks", "digest"),
    ("tiktok_shop_deliveries", "id"),
    ("tiktok_shop_delivery_queues", "endpoint, customer"),
    ("tiktok_shop_requests", "digest"),
];
const CONNECTION: &str = "customer, account";
/// The size of the largest SQLite database that is rewritten after an erasure: 64 MiB. All writes wait meanwhile, and
/// a save of new tokens waits at most 10 s. SQLite keeps as many bytes in memory.
const MAX_REWRITTEN_BYTES: u64 = 64 << 20;
const TOKENS: &str = "tiktok_shop_tokens";
const CONNECTIONS: &str = "tiktok_shop_connections";

impl SqlStorage {
    /// Deletes up to `limit` entries of each kind, in one transaction.
    pub(crate) async fn delete_entries(&self, tenant: &TenantId, limit: usize) -> Result<Deleted, StorageError> {
        let page = Page { tenant, limit: limit as u64 };
        let mut transaction = self.begin().await?;
        // A connection has a token record, a row, or both.
        page.delete(&mut transaction, TOKENS, CONNECTION, CONNECTIONS).await?;
        let mut connections = page.delete(&mut transaction, CONNECTIONS, CONNECTION, CONNECTIONS).await?;
        let mut is_complete = connections < page.limit;
        if is_complete {
            let rest = Page { tenant, limit: page.limit - connections };
            let without_rows = rest.delete(&mut transaction, TOKENS, CONNECTION, TOKENS).await?;
            is_complete = without_rows < rest.limit;
            connections += without_rows;
        }
        let mut others = 0;
        for (table, columns) in OTHERS {
            let deleted = page.delete(&mut transaction, table, columns, table).await?;
            is_complete &= deleted < page.limit;
            others += deleted;
        }
        transaction.commit().await?;
        if is_complete && let Err(error) = self.rewrite_if_small(connections + others > 0).await {
            // Everything is deleted, and only a copy in an unused part of a page may be left.
            tracing::warn!(%error, "SQLite's database was not rewritten after an erasure; run VACUUM at a quiet time");
        }
        if !self.empty_log().await? {
            return Err(StorageError::Unavailable(
                "another process is reading the database, so deleted values are still in SQLite's log".to_owned(),
            ));
        }
        Ok(Deleted { connections, others, is_complete })
    }

    /// Rewrites SQLite's database if it is small, so that it contains only what is stored. Does nothing if neither the
    /// latest deletion (`has_deleted`) nor an earlier one has freed a page. For PostgreSQL, does nothing.
    async fn rewrite_if_small(&self, has_deleted: bool) -> Result<(), StorageError> {
        if let Pool::Sqlite(_) = &self.writers {
            let sizes = "SELECT page_count * page_size AS bytes, freelist_count AS free \
                         FROM pragma_page_count, pragma_page_size, pragma_freelist_count";
            let Some(sizes) = fetch_optional(&self.writers, statement(sizes)).await? else { return Ok(()) };
            let is_small = sizes.number("bytes")? <= MAX_REWRITTEN_BYTES;
            if is_small && (has_deleted || sizes.number("free")? > 0) {
                fetch_optional(&self.writers, statement("VACUUM")).await?;
            }
        }
        Ok(())
    }

    /// Empties the log after a swap, if the swap has deleted a record. The record is already deleted, so a failure is
    /// ignored. The next deletion then empties the log.
    pub(crate) async fn empty_log_after<E>(&self, swapped: &Swapped<E>, deletes: bool) {
        if deletes && matches!(swapped, Swapped::Done) {
            let _emptied = self.empty_log_now().await;
        }
    }

    /// Empties SQLite's log if nobody reads from it at this moment. Does not wait for readers. Does not use the
    /// writers' connection, because a writer may need it to save new tokens.
    pub(crate) async fn empty_log_now(&self) -> Result<(), StorageError> {
        if let Pool::Sqlite(readers) = &self.readers {
            let mut connection = readers.acquire().await.map_err(storage_error)?.detach();
            connection.execute("PRAGMA busy_timeout = 0").await.map_err(storage_error)?;
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut connection).await.map_err(storage_error)?;
            connection.close().await.map_err(storage_error)?;
        }
        Ok(())
    }

    /// Moves the content of SQLite's log into the database, and cuts the log to zero bytes. Returns `false` if another
    /// process still reads from the log. For PostgreSQL, does nothing and returns `true`.
    pub(crate) async fn empty_log(&self) -> Result<bool, StorageError> {
        match &self.writers {
            Pool::Postgres(_) => Ok(true),
            Pool::Sqlite(_) => {
                let answer = fetch_optional(&self.writers, statement("PRAGMA wal_checkpoint(TRUNCATE)")).await?;
                let is_busy = answer.map(|answer| answer.try_get::<i64, _>(0)).transpose().map_err(storage_error)?;
                Ok(is_busy == Some(0))
            }
        }
    }
}

/// The tenant whose entries a call deletes, and the maximum number of entries of each kind.
struct Page<'a> {
    tenant: &'a TenantId,
    limit: u64,
}

impl Page<'_> {
    /// Takes the tenant's first `limit` entries in the table `of`, and deletes all entries of `table` that have the
    /// same values in `columns`. Returns the number of deleted entries.
    async fn delete(
        &self,
        transaction: &mut Transaction,
        table: &'static str,
        columns: &'static str,
        of: &'static str,
    ) -> Result<u64, StorageError> {
        let sql = format!(
            "DELETE FROM {table} WHERE tenant = $1 AND ({columns}) IN \
             (SELECT {columns} FROM {of} WHERE tenant = $1 ORDER BY {columns} LIMIT $2)"
        );
        let query = statement(sql).bind_text(self.tenant.as_str()).bind_bound(self.limit);
        execute_count(transaction, query).await
    }
}
