//! Data keys of tenants, and what is sealed under each. The database itself keeps a key that something refers to.

use sqlx::any::AnyRow;

use super::error::{breaks_reference, storage_error};
use super::{
    Columns as _, ConnectionKey, KeyId, KeyUse, Purpose, Sealed, SealedRecord, SqlStorage, Statement, StorageError,
    TenantId, TenantKey, WrappedKey, escaped, keyed, limited, statement,
};
use sqlx::Row as _;

impl SqlStorage {
    pub(super) async fn keys_of(&self, tenant: &TenantId) -> Result<Vec<TenantKey>, StorageError> {
        let sql = "SELECT id, host_key, wrapped FROM tiktok_shop_tenant_keys WHERE tenant = $1 ORDER BY number";
        let query = statement(sql.to_owned()).bind(escaped(tenant.as_str()));
        query.fetch_all(&self.readers).await.map_err(storage_error)?.iter().map(tenant_key).collect()
    }

    /// Whether something may be sealed under this key.
    pub(super) async fn has_key(&self, tenant: &TenantId, key: &KeyId) -> Result<bool, StorageError> {
        let sql = "SELECT id FROM tiktok_shop_tenant_keys WHERE tenant = $1 AND id = $2 AND wrapped IS NOT NULL";
        let query = statement(sql.to_owned()).bind(escaped(tenant.as_str())).bind(escaped(key.as_str()));
        Ok(query.fetch_optional(&self.writers).await.map_err(storage_error)?.is_some())
    }

    pub(super) async fn added_key(
        &self,
        tenant: &TenantId,
        newest: Option<&KeyId>,
        key: &TenantKey,
    ) -> Result<bool, StorageError> {
        let sql = "SELECT id, number FROM tiktok_shop_tenant_keys WHERE tenant = $1 ORDER BY number DESC LIMIT 1";
        let query = statement(sql.to_owned()).bind(escaped(tenant.as_str()));
        let found = query.fetch_optional(&self.writers).await.map_err(storage_error)?;
        let (found, number) = match found {
            Some(row) => (Some(row.id::<KeyId>("id")?), row.try_get::<i64, _>("number").map_err(storage_error)?),
            None => (None, 0),
        };
        if found.as_ref() != newest {
            return Ok(false);
        }
        // Of two that add a key behind the same one, one gets the number.
        let sql = "INSERT INTO tiktok_shop_tenant_keys (tenant, id, number, host_key, wrapped) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
        let query =
            statement(sql.to_owned()).bind(escaped(tenant.as_str())).bind(escaped(key.id.as_str())).bind(number + 1);
        let query = bind_wrapped(query, key.wrapped.as_ref());
        Ok(query.execute(&self.writers).await.map_err(storage_error)?.rows_affected() > 0)
    }

    pub(super) async fn rewrapped_key(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        next: Option<&WrappedKey>,
    ) -> Result<bool, StorageError> {
        let Some(wrapped) = &key.wrapped else { return Ok(false) };
        let sql = "UPDATE tiktok_shop_tenant_keys SET host_key = $3, wrapped = $4 \
                   WHERE tenant = $1 AND id = $2 AND host_key = $5 AND wrapped = $6";
        let query = statement(sql.to_owned()).bind(escaped(tenant.as_str())).bind(escaped(key.id.as_str()));
        let query = bind_wrapped(bind_wrapped(query, next), Some(wrapped));
        Ok(query.execute(&self.writers).await.map_err(storage_error)?.rows_affected() > 0)
    }

    pub(super) async fn removed_key(&self, tenant: &TenantId, key: &KeyId) -> Result<bool, StorageError> {
        let sql = "DELETE FROM tiktok_shop_tenant_keys WHERE tenant = $1 AND id = $2 \
                   AND NOT EXISTS (SELECT 1 FROM tiktok_shop_tokens WHERE tenant = $1 AND sealed_by = $2) \
                   AND NOT EXISTS (SELECT 1 FROM tiktok_shop_connections WHERE tenant = $1 AND sealed_by = $2)";
        let query = statement(sql.to_owned()).bind(escaped(tenant.as_str())).bind(escaped(key.as_str()));
        match query.execute(&self.writers).await {
            Ok(done) => Ok(done.rows_affected() > 0),
            Err(error) if breaks_reference(&error) => Ok(false),
            Err(error) => Err(storage_error(error)),
        }
    }

    pub(super) async fn uses_of_keys(
        &self,
        after: Option<(&TenantId, &KeyId)>,
        limit: usize,
    ) -> Result<Vec<KeyUse>, StorageError> {
        let sql = "SELECT k.tenant, k.id, k.host_key, k.wrapped, \
                   (SELECT COUNT(*) FROM tiktok_shop_tokens t WHERE t.tenant = k.tenant AND t.sealed_by = k.id) \
                   + (SELECT COUNT(*) FROM tiktok_shop_connections c WHERE c.tenant = k.tenant AND c.sealed_by = k.id) \
                   AS records FROM tiktok_shop_tenant_keys k WHERE (k.tenant, k.id) > ($1, $2) \
                   ORDER BY k.tenant, k.id LIMIT $3";
        let (tenant, key) =
            after.map(|(tenant, key)| (escaped(tenant.as_str()), escaped(key.as_str()))).unwrap_or_default();
        let query = statement(sql.to_owned()).bind(tenant).bind(key).bind(limited(limit));
        let key_use = |row: &AnyRow| {
            Ok(KeyUse { tenant: row.id("tenant")?, key: tenant_key(row)?, records: row.whole("records")? })
        };
        query.fetch_all(&self.readers).await.map_err(storage_error)?.iter().map(key_use).collect()
    }

    pub(super) async fn records_under(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        after: Option<(Purpose, &ConnectionKey)>,
        limit: usize,
    ) -> Result<Vec<SealedRecord>, StorageError> {
        let mut records = Vec::new();
        for purpose in [Purpose::Token, Purpose::Ciphers] {
            let (customer, account) = match after {
                Some((last, _)) if last > purpose => continue,
                Some((last, key)) if last == purpose => (escaped(key.customer.as_str()), escaped(key.account.as_str())),
                Some(_) | None => Default::default(),
            };
            let sql = format!(
                "SELECT customer, account, revision, sealed FROM {} WHERE tenant = $1 AND sealed_by = $2 \
                 AND (customer, account) > ($3, $4) ORDER BY customer, account LIMIT $5",
                table(purpose)
            );
            let query = statement(sql)
                .bind(escaped(tenant.as_str()))
                .bind(escaped(key.as_str()))
                .bind(customer)
                .bind(account)
                .bind(limited(limit - records.len()));
            for row in query.fetch_all(&self.readers).await.map_err(storage_error)? {
                let sealed = Sealed::new(key.clone(), row.bytes("sealed")?);
                records.push(SealedRecord { key: row.key()?, purpose, revision: row.id("revision")?, sealed });
            }
        }
        Ok(records)
    }

    pub(super) async fn resealed(
        &self,
        tenant: &TenantId,
        record: &SealedRecord,
        next: &Sealed,
    ) -> Result<bool, StorageError> {
        let sql = format!(
            "UPDATE {} SET sealed_by = $7, sealed = $8 WHERE tenant = $1 AND customer = $2 AND account = $3 \
             AND revision = $4 AND sealed_by = $5 AND sealed = $6 AND EXISTS \
             (SELECT 1 FROM tiktok_shop_tenant_keys WHERE tenant = $1 AND id = $7 AND wrapped IS NOT NULL)",
            table(record.purpose)
        );
        let query = keyed(sql, tenant, &record.key)
            .bind(escaped(record.revision.as_str()))
            .bind(escaped(record.sealed.key().as_str()))
            .bind(record.sealed.bytes().to_vec())
            .bind(escaped(next.key().as_str()))
            .bind(next.bytes().to_vec());
        let done = match query.execute(&self.writers).await {
            Ok(done) => done.rows_affected() > 0,
            Err(error) if breaks_reference(&error) => false,
            Err(error) => return Err(storage_error(error)),
        };
        if !done && !self.has_key(tenant, next.key()).await? {
            return Err(StorageError::KeyGone);
        }
        Ok(done)
    }
}

fn table(purpose: Purpose) -> &'static str {
    match purpose {
        Purpose::Token => "tiktok_shop_tokens",
        Purpose::Ciphers => "tiktok_shop_connections",
    }
}

fn bind_wrapped(query: Statement, wrapped: Option<&WrappedKey>) -> Statement {
    query
        .bind(wrapped.map(|wrapped| wrapped.host_key.as_str().to_owned()))
        .bind(wrapped.map(|wrapped| wrapped.bytes.clone()))
}

fn tenant_key(row: &AnyRow) -> Result<TenantKey, StorageError> {
    let wrapped = match row.optional_bytes("wrapped")? {
        Some(bytes) => Some(WrappedKey { host_key: row.id("host_key")?, bytes }),
        None => None,
    };
    Ok(TenantKey { id: row.id("id")?, wrapped })
}
