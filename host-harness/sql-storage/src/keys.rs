//! Stores the tenants' data keys, and lists the values that are sealed with each key. Foreign keys in the database
//! prevent the removal of a data key while a value is sealed with it.

use async_trait::async_trait;
use sqlx::any::AnyRow;
use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::storage::{
    Deleted, KeyStorage, KeyUse, Purpose, Sealed, SealedRecord, StorageError, TenantKey, WrappedKey,
};
use tiktok_shop_host::{KeyId, TenantId};

use crate::sql::columns::Columns as _;
use crate::sql::run::{execute, execute_if_references_hold, fetch_all, fetch_optional};
use crate::sql::statement::{Statement, connection_statement, statement};
use crate::storage::SqlStorage;
use crate::usable_key::usable_key;

#[async_trait]
impl KeyStorage for SqlStorage {
    async fn tenant_keys(&self, tenant: &TenantId) -> Result<Vec<TenantKey>, StorageError> {
        self.run_to_deadline(async {
            let sql = "SELECT id, host_key, wrapped FROM tiktok_shop_tenant_keys WHERE tenant = $1 ORDER BY number";
            let query = statement(sql).bind_text(tenant.as_str());
            fetch_all(&self.readers, query).await?.iter().map(read_key).collect()
        })
        .await
    }

    async fn add_key(&self, tenant: &TenantId, newest: Option<&KeyId>, key: &TenantKey) -> Result<bool, StorageError> {
        self.run_to_deadline(async {
            let sql = "SELECT id, number FROM tiktok_shop_tenant_keys WHERE tenant = $1 ORDER BY number DESC LIMIT 1";
            let query = statement(sql).bind_text(tenant.as_str());
            let (found, number) = match fetch_optional(&self.writers, query).await? {
                Some(row) => (Some(row.id::<KeyId>("id")?), row.value::<i64>("number")?),
                None => (None, 0),
            };
            if found.as_ref() != newest {
                return Ok(false);
            }
            // If two writers add a key after the same key, only one of them gets the next number. The insert of the
            // other writer conflicts and does nothing.
            let sql = "INSERT INTO tiktok_shop_tenant_keys (tenant, id, number, host_key, wrapped) \
                       VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
            let query = statement(sql).bind_text(tenant.as_str()).bind_text(key.id.as_str()).bind(number + 1);
            execute(&self.writers, bind_wrapped(query, key.wrapped.as_ref())).await
        })
        .await
    }

    async fn rewrap_key(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        next: Option<&WrappedKey>,
    ) -> Result<bool, StorageError> {
        self.run_to_deadline(async {
            let Some(wrapped) = &key.wrapped else { return Ok(false) };
            let sql = "UPDATE tiktok_shop_tenant_keys SET host_key = $3, wrapped = $4 \
                       WHERE tenant = $1 AND id = $2 AND host_key = $5 AND wrapped = $6";
            let query = statement(sql).bind_text(tenant.as_str()).bind_text(key.id.as_str());
            execute(&self.writers, bind_wrapped(bind_wrapped(query, next), Some(wrapped))).await
        })
        .await
    }

    async fn remove_key(&self, tenant: &TenantId, key: &KeyId) -> Result<bool, StorageError> {
        self.run_to_deadline(async {
            let sql = "DELETE FROM tiktok_shop_tenant_keys WHERE tenant = $1 AND id = $2 \
                       AND NOT EXISTS (SELECT 1 FROM tiktok_shop_tokens WHERE tenant = $1 AND sealed_by = $2) \
                       AND NOT EXISTS (SELECT 1 FROM tiktok_shop_connections WHERE tenant = $1 AND sealed_by = $2)";
            let query = statement(sql).bind_text(tenant.as_str()).bind_text(key.as_str());
            let removed = execute_if_references_hold(&self.writers, query).await?;
            if removed {
                let _emptied = self.empty_log_now().await;
            }
            Ok(removed)
        })
        .await
    }

    async fn key_uses(&self, after: Option<(&TenantId, &KeyId)>, limit: usize) -> Result<Vec<KeyUse>, StorageError> {
        self.run_to_deadline(async {
            let sql = "SELECT k.tenant, k.id, k.host_key, k.wrapped, \
                       (SELECT COUNT(*) FROM tiktok_shop_tokens t \
                       WHERE t.tenant = k.tenant AND t.sealed_by = k.id) \
                       + (SELECT COUNT(*) FROM tiktok_shop_connections c \
                       WHERE c.tenant = k.tenant AND c.sealed_by = k.id) AS records \
                       FROM tiktok_shop_tenant_keys k WHERE (k.tenant, k.id) > ($1, $2) \
                       ORDER BY k.tenant, k.id LIMIT $3";
            // If `after` is `None`, the list starts after the empty text, because every id is greater than the empty
            // text.
            let (tenant, key) = after.map_or(("", ""), |(tenant, key)| (tenant.as_str(), key.as_str()));
            let query = statement(sql).bind_text(tenant).bind_text(key).bind_limit(limit);
            let key_use = |row: &AnyRow| {
                Ok(KeyUse { tenant: row.id("tenant")?, key: read_key(row)?, records: row.number("records")? })
            };
            fetch_all(&self.readers, query).await?.iter().map(key_use).collect()
        })
        .await
    }

    async fn sealed_under(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        after: Option<(Purpose, &ConnectionKey)>,
        limit: usize,
    ) -> Result<Vec<SealedRecord>, StorageError> {
        self.run_to_deadline(async {
            let mut records = Vec::new();
            for purpose in [Purpose::Token, Purpose::Ciphers] {
                let (customer, account) = match after {
                    Some((last, _)) if last > purpose => continue,
                    Some((last, key)) if last == purpose => (key.customer.as_str(), key.account.as_str()),
                    Some(_) | None => ("", ""),
                };
                let sql = format!(
                    "SELECT customer, account, revision, sealed FROM {} WHERE tenant = $1 AND sealed_by = $2 \
                     AND (customer, account) > ($3, $4) ORDER BY customer, account LIMIT $5",
                    table(purpose)
                );
                let query = statement(sql)
                    .bind_text(tenant.as_str())
                    .bind_text(key.as_str())
                    .bind_text(customer)
                    .bind_text(account)
                    .bind_limit(limit - records.len());
                for row in fetch_all(&self.readers, query).await? {
                    let sealed = Sealed::new(key.clone(), row.bytes("sealed")?);
                    records.push(SealedRecord { key: row.key()?, purpose, revision: row.id("revision")?, sealed });
                }
            }
            Ok(records)
        })
        .await
    }

    async fn reseal(&self, tenant: &TenantId, record: &SealedRecord, next: &Sealed) -> Result<bool, StorageError> {
        self.run_to_deadline(async {
            let sql = format!(
                "UPDATE {} SET sealed_by = $7, sealed = $8 WHERE tenant = $1 AND customer = $2 AND account = $3 \
                 AND revision = $4 AND sealed_by = $5 AND sealed = $6 AND {}",
                table(record.purpose),
                usable_key(7)
            );
            let SealedRecord { key, purpose: _, revision, sealed } = record;
            let query = connection_statement(sql, tenant, key)
                .bind_text(revision.as_str())
                .bind_text(sealed.key().as_str())
                .bind(sealed.bytes().to_vec())
                .bind_text(next.key().as_str())
                .bind(next.bytes().to_vec());
            let resealed = execute_if_references_hold(&self.writers, query).await?;
            if !resealed && !self.has_usable_key(tenant, next.key()).await? {
                return Err(StorageError::KeyGone);
            }
            Ok(resealed)
        })
        .await
    }

    async fn delete_tenant(&self, tenant: &TenantId, limit: usize) -> Result<Deleted, StorageError> {
        self.run_to_deadline(self.delete_entries(tenant, limit)).await
    }
}

/// Returns the table that keeps the sealed values of a purpose.
fn table(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Token => "tiktok_shop_tokens",
        Purpose::Ciphers => "tiktok_shop_connections",
    }
}

/// Binds `host_key` and `wrapped`. Both are null if the key is erased.
fn bind_wrapped(query: Statement, wrapped: Option<&WrappedKey>) -> Statement {
    query
        .bind_optional_text(wrapped.map(|wrapped| wrapped.host_key.as_str()))
        .bind(wrapped.map(|wrapped| wrapped.bytes.clone()))
}

fn read_key(row: &AnyRow) -> Result<TenantKey, StorageError> {
    let wrapped = match row.optional_bytes("wrapped")? {
        Some(bytes) => Some(WrappedKey { host_key: row.id("host_key")?, bytes }),
        None => None,
    };
    Ok(TenantKey { id: row.id("id")?, wrapped })
}
