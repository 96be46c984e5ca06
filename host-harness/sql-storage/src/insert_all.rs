//! Inserts many connections at once, to move connections from another storage or to fill a storage for a measurement.

use tiktok_shop_host::TenantId;
use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::storage::{Next, OpenRow, Row, StorageError, TokenWrite};

use crate::connections::row::{COLUMNS, bind_row, decoded, values};
use crate::connections::shops::{insert_shops, placed};
use crate::pool::transaction::Transaction;
use crate::sql::dialect::Moment;
use crate::sql::run::execute;
use crate::sql::statement::{MAX_VALUES, Tuples, statement};
use crate::storage::SqlStorage;
use crate::tokens::bind_token;

/// A connection that is not in the storage yet.
#[derive(Debug, Clone)]
pub struct NewConnection {
    /// The key of the connection.
    pub key: ConnectionKey,
    /// The token record. The caller must have sealed the value for the revision of the record.
    pub token: Next<TokenWrite>,
    /// The row. The caller must have sealed it for its revision.
    pub row: Next<Row>,
}

impl SqlStorage {
    /// Adds connections of a tenant in one transaction. If one connection can't be added, no connection is added.
    /// Writes no events. The age of the token records counts from this call. Calls with a few thousand connections each
    /// are the fastest.
    ///
    /// # Errors
    /// See [`StorageError`]. `Refused` if the storage already has one of the connections, or if the tenant does not
    /// have the key with which a value is sealed.
    pub async fn insert_all(&self, tenant: &TenantId, connections: &[NewConnection]) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        self.insert_tokens(&mut transaction, tenant, connections).await?;
        let rows: Vec<_> = connections.iter().map(|new| decoded(&new.row.value)).collect::<Result<_, _>>()?;
        let with_rows: Vec<_> = connections.iter().zip(&rows).collect();
        self.insert_rows(&mut transaction, tenant, &with_rows).await?;
        let shops: Vec<_> = rows.iter().flat_map(placed).collect();
        insert_shops(&mut transaction, tenant, &shops).await?;
        transaction.commit().await
    }

    async fn insert_tokens(
        &self,
        transaction: &mut Transaction,
        tenant: &TenantId,
        connections: &[NewConnection],
    ) -> Result<(), StorageError> {
        const PARAMETERS: usize = 6;
        // All records have the same time and the same tenant. In each statement, the parameters of the time come first.
        // The parameter of the tenant follows.
        let now = self.dialect.now(1);
        let shared_tenant = 1 + now.matches('$').count();
        let shared = format!("{now}, ${shared_tenant}");
        for chunk in connections.chunks(MAX_VALUES / PARAMETERS) {
            let sql = format!(
                "INSERT INTO tiktok_shop_tokens \
                 ({}, tenant, customer, account, revision, refresh_due_at, sealed_by, sealed) VALUES {}",
                self.dialect.columns(Moment::Written),
                Tuples { rows: chunk.len(), parameters: PARAMETERS, first: shared_tenant + 1, shared: &shared }
            );
            let mut query = self.dialect.bind_now(statement(sql))?.bind_text(tenant.as_str());
            for NewConnection { key, token: Next { revision, value }, .. } in chunk {
                query = bind_token(query.bind_key(key), revision, value)?;
            }
            execute(&mut *transaction, query).await?;
        }
        Ok(())
    }

    async fn insert_rows(
        &self,
        transaction: &mut Transaction,
        tenant: &TenantId,
        connections: &[(&NewConnection, &OpenRow)],
    ) -> Result<(), StorageError> {
        const PARAMETERS: usize = 2 + COLUMNS.len();
        for chunk in connections.chunks(MAX_VALUES / PARAMETERS) {
            let tuples = (0..chunk.len()).map(|at| {
                let first = 2 + at * PARAMETERS;
                format!("($1, ${first}, ${}, {})", first + 1, values(first + 2, &self.dialect))
            });
            let sql = format!(
                "INSERT INTO tiktok_shop_connections (tenant, customer, account, {}) VALUES {}",
                COLUMNS.join(", "),
                tuples.collect::<Vec<_>>().join(", ")
            );
            let mut query = statement(sql).bind_text(tenant.as_str());
            for (NewConnection { key, row: Next { revision, value }, .. }, open) in chunk {
                query = bind_row(query.bind_key(key), revision, value, open)?;
            }
            execute(&mut *transaction, query).await?;
        }
        Ok(())
    }
}
