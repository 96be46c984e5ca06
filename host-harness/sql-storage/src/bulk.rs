//! Many connections at once: to move a storage, or to fill one for a measurement.

use sqlx::{Any, Transaction};

use super::connections::{COLUMNS, SHOP_COLUMNS, bind_row, bind_shop};
use super::dialect::Moment;
use super::error::storage_error;
use super::{
    ConnectionKey, Next, Row, SqlStorage, Statement, StorageError, TenantId, TokenWrite, escaped, optional_seconds,
    statement,
};

/// Values that one statement binds. SQLite looks each up by its name, among all.
pub(super) const MAX_VALUES: usize = 1_000;

/// A connection that is not in the storage yet.
#[derive(Debug, Clone)]
pub struct NewConnection {
    /// Which.
    pub key: ConnectionKey,
    /// Its token record, sealed for this revision.
    pub token: Next<TokenWrite>,
    /// Its row, its ciphers sealed for this revision.
    pub row: Next<Row>,
}

impl SqlStorage {
    /// Adds connections of a tenant, all or none of them, in one transaction and without events: to move a storage. The age of
    /// their token records begins anew. Some thousand at a time are quickest.
    ///
    /// # Errors
    /// See [`StorageError`]. `Refused`: one of them is there already, or is sealed under a key that the tenant does not have.
    pub async fn insert_all(&self, tenant: &TenantId, connections: &[NewConnection]) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        self.insert_tokens(&mut transaction, tenant, connections).await?;
        insert_rows(&mut transaction, tenant, connections).await?;
        insert_shops(&mut transaction, tenant, connections).await?;
        transaction.commit().await.map_err(storage_error)
    }

    async fn insert_tokens(
        &self,
        transaction: &mut Transaction<'static, Any>,
        tenant: &TenantId,
        connections: &[NewConnection],
    ) -> Result<(), StorageError> {
        const VALUES: usize = 6;
        // The moment comes first, once for all.
        let now = self.dialect.now(1);
        let first = 1 + now.matches('$').count();
        for chunk in connections.chunks(MAX_VALUES / VALUES) {
            let tuples = tuples(chunk.len(), VALUES, first + 1, &format!("${first}, {now}, "));
            let sql = format!(
                "INSERT INTO tiktok_shop_tokens \
                 (tenant, {}, customer, account, revision, refresh_due_at, sealed_by, sealed) VALUES {tuples}",
                self.dialect.columns(Moment::Written)
            );
            let mut query = self.dialect.bind_now(statement(sql))?.bind(escaped(tenant.as_str()));
            for NewConnection { key, token: Next { revision, value }, .. } in chunk {
                query = query
                    .bind(escaped(key.customer.as_str()))
                    .bind(escaped(key.account.as_str()))
                    .bind(escaped(revision.as_str()))
                    .bind(optional_seconds(value.refresh_due_at)?)
                    .bind(escaped(value.value.key().as_str()))
                    .bind(value.value.bytes().to_vec());
            }
            execute(transaction, query).await?;
        }
        Ok(())
    }
}

async fn insert_rows(
    transaction: &mut Transaction<'static, Any>,
    tenant: &TenantId,
    connections: &[NewConnection],
) -> Result<(), StorageError> {
    const VALUES: usize = 2 + COLUMNS.len();
    for chunk in connections.chunks(MAX_VALUES / VALUES) {
        let sql = format!(
            "INSERT INTO tiktok_shop_connections (tenant, customer, account, {}) VALUES {}",
            COLUMNS.join(", "),
            tuples(chunk.len(), VALUES, 2, "$1, ")
        );
        let mut query = statement(sql).bind(escaped(tenant.as_str()));
        for NewConnection { key, row: Next { revision, value }, .. } in chunk {
            query = query.bind(escaped(key.customer.as_str())).bind(escaped(key.account.as_str()));
            query = bind_row(query, revision, value)?;
        }
        execute(transaction, query).await?;
    }
    Ok(())
}

async fn insert_shops(
    transaction: &mut Transaction<'static, Any>,
    tenant: &TenantId,
    connections: &[NewConnection],
) -> Result<(), StorageError> {
    let shops: Vec<_> = connections
        .iter()
        .flat_map(|connection| {
            let shops = &connection.row.value.connection.shops;
            (0..).zip(shops).map(move |(position, shop)| (&connection.key, position, shop))
        })
        .collect();
    const VALUES: usize = 2 + SHOP_COLUMNS.len();
    for chunk in shops.chunks(MAX_VALUES / VALUES) {
        let sql = format!(
            "INSERT INTO tiktok_shop_shops (tenant, customer, account, {}) VALUES {}",
            SHOP_COLUMNS.join(", "),
            tuples(chunk.len(), VALUES, 2, "$1, ")
        );
        let mut query = statement(sql).bind(escaped(tenant.as_str()));
        for (key, position, shop) in chunk {
            query = query.bind(escaped(key.customer.as_str())).bind(escaped(key.account.as_str()));
            query = bind_shop(query, *position, shop);
        }
        execute(transaction, query).await?;
    }
    Ok(())
}

async fn execute(transaction: &mut Transaction<'static, Any>, query: Statement) -> Result<(), StorageError> {
    query.execute(&mut **transaction).await.map_err(storage_error).map(drop)
}

/// So many tuples of so many values, numbered from `first` on, each behind `shared`.
pub(super) fn tuples(count: usize, values: usize, first: usize, shared: &str) -> String {
    let tuple = |at: usize| {
        let values: Vec<_> = (first + at * values..).take(values).map(|number| format!("${number}")).collect();
        format!("({shared}{})", values.join(", "))
    };
    (0..count).map(tuple).collect::<Vec<_>>().join(", ")
}
