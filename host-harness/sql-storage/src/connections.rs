//! Stores connections as the customer sees them (rows), and the tenant's events. A row, its shops and its events are
//! written in one transaction.

mod events;
mod legacy;
mod page;
pub(crate) mod row;
pub(crate) mod shops;

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::any::AnyRow;
use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::events::{Event, EventPosition, NewEvent};
use tiktok_shop_host::storage::{
    ConnectionStorage, Due, Ending, Next, OnceDigest, OpenRow, Row, RowCount, RowEntry, RowFilter, Sealed,
    StorageError, Swapped, TokenEntry,
};
use tiktok_shop_host::{AccountId, CustomerId, Revision, ShopId, TenantId};

use self::events::{append, bind_subject, read_event};
use self::page::page_statement;
use self::row::{COLUMNS, READ, bind_row, decoded, read_row, values};
use self::shops::{placed, replace_shops};
use crate::sql::columns::Columns as _;
use crate::sql::dialect::{Dialect, Moment};
use crate::sql::run::{fetch_all, fetch_optional};
use crate::sql::statement::{MAX_VALUES, Statement, connection_statement, numbered, statement};
use crate::sql::together::Together;
use crate::storage::SqlStorage;
use crate::swap::Condition;
use crate::tokens::read_token;
use crate::usable_key::usable_key;

#[async_trait]
impl ConnectionStorage for SqlStorage {
    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError> {
        self.run_to_deadline(self.read_rows(tenant, customer, None)).await
    }

    async fn load_row(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        let rows = self.run_to_deadline(self.read_rows(tenant, &key.customer, Some(&key.account))).await;
        Ok(rows?.pop())
    }

    async fn list_rows_with_accounts(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
    ) -> Result<(Vec<RowEntry>, Option<Vec<AccountId>>), StorageError> {
        self.run_to_deadline(async {
            let aggregate = self.dialect.json_array("account", "account");
            let accounts = format!(
                "(SELECT {aggregate} FROM tiktok_shop_tokens WHERE tenant = $1 AND customer = $2) AS accounts, "
            );
            let rows = fetch_all(&self.readers, rows_of_customer(&accounts, tenant, customer, None)).await?;
            // If the customer has no row, the result says nothing about the accounts.
            let accounts = rows.first().map(|row| row.ids("accounts")).transpose()?;
            Ok((read_joined_rows(&rows)?, accounts))
        })
        .await
    }

    async fn load_row_with_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
    ) -> Result<(Option<RowEntry>, Option<TokenEntry>), StorageError> {
        self.run_to_deadline(async {
            const TOKEN: [&str; 4] = ["token_revision", "token_sealed_by", "token_sealed", "token_age_ms"];
            // The statement begins with the token record, because a new record has no row yet.
            let first = "COALESCE(s.position, 0) = 0";
            let sql = format!(
                "SELECT t.revision AS token_revision, t.sealed_by AS token_sealed_by, {} AS token_age_ms, \
                 CASE WHEN {first} THEN t.sealed END AS token_sealed, {} FROM tiktok_shop_tokens t \
                 LEFT JOIN tiktok_shop_connections c \
                 ON c.tenant = t.tenant AND c.customer = t.customer AND c.account = t.account {JOINED_SHOPS} \
                 WHERE t.tenant = $1 AND t.customer = $2 AND t.account = $3 ORDER BY s.position",
                self.dialect.age(Moment::Written, 4),
                joined_columns()
            );
            let query = self.dialect.bind_now(connection_statement(sql, tenant, key))?;
            let rows = fetch_all(&self.readers, query).await?;
            let Some(first) = rows.first() else { return Ok((self.load_row(tenant, key).await?, None)) };
            let row = if first.optional_text("tenant")?.is_some() { read_row(&rows)? } else { None };
            // If somebody has deleted the shop at position 0, the result lacks the record.
            let is_read = first.optional_bytes("token_sealed")?.is_some();
            let token = if is_read { Some(read_token(first, TOKEN)?) } else { None };
            Ok((row, token))
        })
        .await
    }

    async fn load_rows(&self, connections: &[Due]) -> Result<Vec<Option<RowEntry>>, StorageError> {
        const PARAMETERS: usize = 3;
        self.run_to_deadline(async {
            let mut found = HashMap::new();
            for chunk in connections.chunks(MAX_VALUES / PARAMETERS) {
                let tuples: Vec<_> = (0..chunk.len()).map(|at| numbered(1 + at * PARAMETERS, PARAMETERS)).collect();
                let sql = format!(
                    "SELECT {} FROM tiktok_shop_connections c {JOINED_SHOPS} \
                     WHERE (c.tenant, c.customer, c.account) IN (VALUES ({})) \
                     ORDER BY c.tenant, c.customer, c.account, s.position",
                    joined_columns(),
                    tuples.join("), (")
                );
                let query = chunk.iter().fold(statement(sql), |query, Due { tenant, key, .. }| {
                    query.bind_text(tenant.as_str()).bind_key(key)
                });
                for rows in fetch_all(&self.readers, query).await?.chunk_by(are_of_same_connection) {
                    if let Some(entry) = read_row(rows)?
                        && let Some(first) = rows.first()
                    {
                        found.insert((first.id::<TenantId>("tenant")?, entry.row.key.clone()), entry);
                    }
                }
            }
            // The same connection may be asked for twice.
            let entry = |Due { tenant, key, .. }: &Due| found.get(&(tenant.clone(), key.clone())).cloned();
            Ok(connections.iter().map(entry).collect())
        })
        .await
    }

    async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<Swapped<RowEntry>, StorageError> {
        let sealed_by = next.and_then(|next| next.value.sealed.as_ref()).map(Sealed::key);
        let condition = Condition { tenant, expected, sealed_by };
        let open = next.map(|next| decoded(&next.value)).transpose()?;
        let write = || self.write_row(tenant, key, expected, next.zip(open.as_ref()), events);
        let load = || self.load_row(tenant, key);
        self.run_to_deadline(async {
            let swapped = self.swap(condition, write, load).await?;
            self.empty_log_after(&swapped, next.is_none()).await;
            Ok(swapped)
        })
        .await
    }

    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError> {
        self.run_to_deadline(async {
            let sql = "SELECT customer, account FROM tiktok_shop_shops WHERE tenant = $1 AND id = $2 \
                       ORDER BY customer, account";
            let query = statement(sql).bind_text(tenant.as_str()).bind_text(shop.as_str());
            fetch_all(&self.readers, query).await?.iter().map(|row| row.key()).collect()
        })
        .await
    }

    async fn tenant_rows(
        &self,
        tenant: &TenantId,
        filter: &RowFilter,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<RowEntry>, StorageError> {
        self.run_to_deadline(async {
            // With `CROSS JOIN`, SQLite reads the keys of the page first, and then the connection of each key.
            let rest = format!(
                "SELECT {} FROM page p CROSS JOIN tiktok_shop_connections c {JOINED_SHOPS} \
                 WHERE c.tenant = $1 AND c.customer = p.customer AND c.account = p.account \
                 ORDER BY c.customer, c.account, s.position",
                joined_columns()
            );
            let query = page_statement(tenant, filter, after, limit, &rest, &self.dialect);
            read_joined_rows(&fetch_all(&self.readers, query).await?)
        })
        .await
    }

    async fn endings(
        &self,
        by: UnixSeconds,
        after: Option<&Ending>,
        limit: usize,
    ) -> Result<Vec<Ending>, StorageError> {
        self.run_to_deadline(async {
            // The index covers only connections for which the condition on the status holds. The database can use this
            // index only because the status is written into the statement and not bound as a value.
            let sql = "SELECT ends_at, tenant, customer, account, token_lineage, granted_at \
                       FROM tiktok_shop_connections \
                       WHERE ends_at <= $1 AND status <> 'reauthorization-required' \
                       AND (ends_at, tenant, customer, account) > ($2, $3, $4, $5) \
                       ORDER BY ends_at, tenant, customer, account LIMIT $6";
            let after = after.map(|ending| (ending.at, &ending.tenant, &ending.key));
            let query = statement(sql).bind_bound(by.0).bind_position(after)?.bind_limit(limit);
            let ending = |row: &AnyRow| {
                let grant = Row::grant_name(&row.text("token_lineage")?, row.seconds("granted_at")?);
                Ok(Ending { at: row.seconds("ends_at")?, tenant: row.id("tenant")?, key: row.key()?, grant })
            };
            fetch_all(&self.readers, query).await?.iter().map(ending).collect()
        })
        .await
    }

    async fn count_rows(&self) -> Result<Vec<RowCount>, StorageError> {
        self.run_to_deadline(async {
            // Only the index tiktok_shop_connections_counts is read.
            let sql =
                "SELECT status, app_key, COUNT(*) AS number FROM tiktok_shop_connections GROUP BY status, app_key";
            let rows = fetch_all(&self.readers, statement(sql)).await?;
            let count = |row: &AnyRow| -> Result<RowCount, StorageError> {
                let (status, app) = (row.word("status")?, row.optional_id("app_key")?);
                Ok(RowCount { status, app, rows: row.number("number")? })
            };
            // A row with words that this storage never writes is not counted, so that it does not hide the others.
            Ok(rows.iter().filter_map(|row| count(row).ok()).collect())
        })
        .await
    }

    async fn unsealed_rows(&self) -> Result<u64, StorageError> {
        self.run_to_deadline(async {
            let sql = "SELECT COUNT(*) AS number FROM tiktok_shop_connections WHERE document IS NULL";
            match fetch_optional(&self.readers, statement(sql)).await? {
                Some(row) => row.number("number"),
                None => Ok(0),
            }
        })
        .await
    }

    async fn events(
        &self,
        tenant: &TenantId,
        after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<Event>, StorageError> {
        self.run_to_deadline(async {
            let sql = format!(
                "SELECT position, {} FROM tiktok_shop_events WHERE tenant = $1 AND position > $2 ORDER BY position LIMIT $3",
                events::COLUMNS.join(", ")
            );
            let after = after.map_or(0, |after| after.0);
            let query = statement(sql).bind_text(tenant.as_str()).bind_bound(after).bind_limit(limit);
            fetch_all(&self.readers, query).await?.iter().map(read_event).collect()
        })
        .await
    }

    async fn knows_once(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        once: &OnceDigest,
    ) -> Result<bool, StorageError> {
        self.run_to_deadline(async {
            let sql = "SELECT account FROM tiktok_shop_told \
                       WHERE tenant = $1 AND customer = $2 AND account = $3 AND digest = $4";
            let query = connection_statement(sql, tenant, key).bind(once.as_bytes().to_vec());
            Ok(fetch_optional(&self.readers, query).await?.is_some())
        })
        .await
    }

    async fn append_once(
        &self,
        tenant: &TenantId,
        once: &OnceDigest,
        event: &NewEvent,
        grant: Option<&str>,
    ) -> Result<bool, StorageError> {
        self.run_to_deadline(async {
            let of_connection = "tenant = $1 AND customer = $2 AND account = $3";
            // The condition is that of `Row::works_with`.
            let granted = grant.map(|_| {
                format!(
                    "SELECT 1 FROM tiktok_shop_connections WHERE {of_connection} \
                     AND status <> 'reauthorization-required' AND token_lineage || '/' || granted_at = $5"
                )
            });
            let (from, is_granted) = match (&granted, &self.dialect) {
                (None, _) => (String::new(), String::new()),
                (Some(granted), Dialect::Sqlite(_)) => {
                    (format!("FROM ({granted}) granted"), format!(" AND EXISTS ({granted})"))
                }
                // `FOR SHARE` waits for a transaction that is writing the row, and then reads the row again. A later
                // writer waits until this statement has committed.
                (Some(granted), Dialect::Postgres) => (format!("FROM ({granted} FOR SHARE) granted"), String::new()),
            };
            let insert = format!(
                "INSERT INTO tiktok_shop_told (tenant, customer, account, digest) \
                 SELECT $1, $2, $3, $4 {from} WHERE TRUE ON CONFLICT DO NOTHING RETURNING 1 AS written"
            );
            let insert = bind_subject(statement(insert).bind_text(tenant.as_str()), event.key.as_ref());
            let insert = insert.bind(once.as_bytes().to_vec());
            let insert = match grant {
                Some(grant) => insert.bind_text(grant),
                None => insert,
            };
            let is_told = format!("EXISTS (SELECT 1 FROM tiktok_shop_told WHERE {of_connection} AND digest = $4)");
            let is_first = format!("NOT {is_told}{is_granted}");
            let mut writes = Together::new(&self.dialect, insert, is_first, is_told);
            append(&mut writes, &self.dialect, std::slice::from_ref(event))?;
            writes.run(&self.writers).await
        })
        .await
    }
}

impl SqlStorage {
    /// Returns the customer's rows, or the row of one account.
    async fn read_rows(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
        account: Option<&AccountId>,
    ) -> Result<Vec<RowEntry>, StorageError> {
        read_joined_rows(&fetch_all(&self.readers, rows_of_customer("", tenant, customer, account)).await?)
    }

    /// Writes or deletes a row and appends the events, if the row has the expected revision and the key of its ciphers
    /// is usable. Returns whether both conditions held.
    async fn write_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<(&Next<Row>, &OpenRow)>,
        events: &[NewEvent],
    ) -> Result<bool, StorageError> {
        let mut writes = self.connection_write(tenant, key, expected, next)?;
        append(&mut writes, &self.dialect, events)?;
        if let Some((_, open)) = next {
            replace_shops(&mut writes, &placed(open).collect::<Vec<_>>())?;
        }
        writes.run(&self.writers).await
    }
}

/// Returns the statement that reads the customer's rows, or the row of one account. A single statement reads a row with
/// its shops, so that both are from the same write. The result also has the columns `further`.
fn rows_of_customer(further: &str, tenant: &TenantId, customer: &CustomerId, account: Option<&AccountId>) -> Statement {
    let account_condition = if account.is_some() { "AND c.account = $3" } else { "" };
    let sql = format!(
        "SELECT {further}{} FROM tiktok_shop_connections c {JOINED_SHOPS} \
         WHERE c.tenant = $1 AND c.customer = $2 {account_condition} ORDER BY c.account, s.position",
        joined_columns()
    );
    let query = statement(sql).bind_text(tenant.as_str()).bind_text(customer.as_str());
    match account {
        Some(account) => query.bind_text(account.as_str()),
        None => query,
    }
}

/// The join that adds the shops to a connection.
const JOINED_SHOPS: &str = "LEFT JOIN tiktok_shop_shops s \
                            ON s.tenant = c.tenant AND s.customer = c.customer AND s.account = c.account";

/// Returns the list of columns for a query that joins connections `c` with their shops `s`. The result has one database
/// row per shop. Only the database row at position 0 contains the values of the connection's columns, because these
/// values can be large. Every database row contains the key and the revision, so that a connection whose shop at
/// position 0 was deleted in the database is still found.
fn joined_columns() -> String {
    let first = |column: &&str| format!("CASE WHEN COALESCE(s.position, 0) = 0 THEN c.{column} END AS {column}");
    let of_legacy = |column: &&str| {
        let condition = "c.document IS NULL AND COALESCE(s.position, 0) = 0";
        format!("CASE WHEN {condition} THEN c.{column} END AS {column}")
    };
    let columns = READ.iter().map(first);
    let document = "CASE WHEN COALESCE(s.position, 0) = 0 THEN CAST(c.document AS TEXT) END AS document".to_owned();
    let columns: Vec<_> = columns.chain([document]).chain(legacy::COLUMNS.iter().map(of_legacy)).collect();
    let of_shop = |column: &str| format!("CASE WHEN c.document IS NULL THEN s.{column} END AS {column}");
    let of_shop: Vec<_> = ["name", "region", "seller_type", "code", "raw", "standing"].map(of_shop).into();
    format!(
        "c.tenant, c.customer, c.account, c.revision, s.position, s.id AS shop_id, {}, \
         CASE WHEN s.linked THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END AS linked, {}",
        of_shop.join(", "),
        columns.join(", ")
    )
}

/// Converts database rows with the columns of [`joined_columns`] into connections. The database rows of one connection
/// must follow each other, in the order of the connection's shops.
fn read_joined_rows(rows: &[AnyRow]) -> Result<Vec<RowEntry>, StorageError> {
    let mut entries = Vec::new();
    for rows in rows.chunk_by(are_of_same_connection) {
        entries.extend(read_row(rows)?);
    }
    Ok(entries)
}

/// Returns whether two database rows belong to the same connection. The key decides, and not the positions of the shops,
/// because somebody may have changed the positions in the database.
fn are_of_same_connection(one: &AnyRow, other: &AnyRow) -> bool {
    let is_same = |column| matches!((one.text(column), other.text(column)), (Ok(one), Ok(other)) if one == other);
    ["tenant", "customer", "account"].into_iter().all(is_same)
}

impl SqlStorage {
    /// Returns the write of a row without its shops. The conditions are those of [`SqlStorage::write_row`].
    fn connection_write(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<(&Next<Row>, &OpenRow)>,
    ) -> Result<Together, StorageError> {
        const FIRST: usize = 4;
        // `revision` is the third column, and `sealed_by` is the last column but one.
        const REVISION: usize = FIRST + 2;
        const SEALED_BY: usize = FIRST + COLUMNS.len() - 2;
        const EXPECTED: usize = FIRST + COLUMNS.len();
        let columns = COLUMNS.join(", ");
        let values = values(FIRST, &self.dialect);
        let usable_key = format!("(${SEALED_BY} IS NULL OR {})", usable_key(SEALED_BY));
        let stored = "tenant = $1 AND customer = $2 AND account = $3";
        let exists = |condition: &str| format!("EXISTS (SELECT 1 FROM tiktok_shop_connections WHERE {condition})");
        let written = exists(&format!("{stored} AND revision = ${REVISION}"));
        let (write, will_write) = match (next, expected) {
            (Some((Next { revision, value }, open)), Some(expected)) => {
                let found = format!("{stored} AND revision = ${EXPECTED}");
                let sql = format!(
                    "UPDATE tiktok_shop_connections SET ({columns}) = ({values}) WHERE {found} AND {usable_key} \
                     RETURNING 1 AS written"
                );
                let query = bind_row(connection_statement(sql, tenant, key), revision, value, open)?;
                (query.bind_text(expected.as_str()), format!("{} AND {usable_key}", exists(&found)))
            }
            (Some((Next { revision, value }, open)), None) => {
                let sql = format!(
                    "INSERT INTO tiktok_shop_connections (tenant, customer, account, {columns}) \
                     SELECT $1, $2, $3, {values} WHERE {usable_key} ON CONFLICT DO NOTHING RETURNING 1 AS written"
                );
                let query = bind_row(connection_statement(sql, tenant, key), revision, value, open)?;
                (query, format!("NOT {} AND {usable_key}", exists(stored)))
            }
            (None, Some(expected)) => {
                let found = format!("{stored} AND revision = $4");
                let sql = format!("DELETE FROM tiktok_shop_connections WHERE {found} RETURNING 1 AS written");
                (connection_statement(sql, tenant, key).bind_text(expected.as_str()), exists(&found))
            }
            (None, None) => {
                let absent = format!("NOT {}", exists(stored));
                (connection_statement(format!("SELECT 1 AS written WHERE {absent}"), tenant, key), absent)
            }
        };
        Ok(Together::new(&self.dialect, write, will_write, written))
    }
}
