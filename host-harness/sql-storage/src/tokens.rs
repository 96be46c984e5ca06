//! Token records.

use super::dialect::{Moment, age_of};
use super::error::{breaks_reference, storage_error};
use super::{
    AccountId, Columns as _, ConnectionKey, CustomerId, Due, MAX_RACES, Next, Revision, Sealed, SqlStorage,
    StorageError, Swapped, TenantId, TokenEntry, TokenWrite, UnixSeconds, escaped, keyed, limited, optional_seconds,
    seconds, statement,
};
use sqlx::Row as _;

impl SqlStorage {
    pub(super) async fn accounts_with_tokens(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
    ) -> Result<Vec<AccountId>, StorageError> {
        let sql = "SELECT account FROM tiktok_shop_tokens WHERE tenant = $1 AND customer = $2 ORDER BY account";
        let query = statement(sql.to_owned()).bind(escaped(tenant.as_str())).bind(escaped(customer.as_str()));
        let rows = query.fetch_all(&self.readers).await.map_err(storage_error)?;
        rows.iter().map(|row| row.id("account")).collect()
    }

    pub(super) async fn token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
    ) -> Result<Option<TokenEntry>, StorageError> {
        let age = self.dialect.age(Moment::Written, 4);
        let sql = format!(
            "SELECT revision, sealed_by, sealed, {age} AS age_ms FROM tiktok_shop_tokens \
             WHERE tenant = $1 AND customer = $2 AND account = $3"
        );
        let query = self.dialect.bind_now(keyed(sql, tenant, key))?;
        let Some(row) = query.fetch_optional(&self.readers).await.map_err(storage_error)? else { return Ok(None) };
        let age: Option<i64> = row.try_get("age_ms").map_err(storage_error)?;
        let value = Sealed::new(row.id("sealed_by")?, row.bytes("sealed")?);
        Ok(Some(TokenEntry { revision: row.id("revision")?, value, age: age_of(age) }))
    }

    pub(super) async fn swapped_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<Swapped<TokenEntry>, StorageError> {
        for _ in 0..MAX_RACES {
            if self.try_token(tenant, key, expected, next).await? {
                return Ok(Swapped::Done);
            }
            let found = self.token(tenant, key).await?;
            if found.as_ref().map(|entry| &entry.revision) != expected {
                return Ok(Swapped::Stale(found));
            }
            match next {
                Some(next) if !self.has_key(tenant, next.value.value.key()).await? => {
                    return Err(StorageError::KeyGone);
                }
                // It has come and gone meanwhile.
                Some(_) => {}
                None if expected.is_none() => return Ok(Swapped::Done),
                None => {}
            }
        }
        Err(StorageError::Unavailable("other writers keep coming in between".to_owned()))
    }

    /// `false`: not written. The revision was another, or the key is gone.
    async fn try_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<bool, StorageError> {
        let moment = self.dialect.columns(Moment::Written);
        let query = match (next, expected) {
            (Some(Next { revision, value }), expected) => {
                // One parameter more where there is a revision to find.
                let now = self.dialect.now(if expected.is_some() { 9 } else { 8 });
                let has_key = "EXISTS (SELECT 1 FROM tiktok_shop_tenant_keys \
                               WHERE tenant = $1 AND id = $6 AND wrapped IS NOT NULL)";
                let sql = match expected {
                    Some(_) => format!(
                        "UPDATE tiktok_shop_tokens SET (revision, refresh_due_at, sealed_by, sealed, {moment}) \
                         = ($4, $5, $6, $7, {now}) \
                         WHERE tenant = $1 AND customer = $2 AND account = $3 AND revision = $8 AND {has_key}"
                    ),
                    None => format!(
                        "INSERT INTO tiktok_shop_tokens \
                         (tenant, customer, account, revision, refresh_due_at, sealed_by, sealed, {moment}) \
                         SELECT $1, $2, $3, $4, $5, $6, $7, {now} WHERE {has_key} ON CONFLICT DO NOTHING"
                    ),
                };
                let query = keyed(sql, tenant, key)
                    .bind(escaped(revision.as_str()))
                    .bind(optional_seconds(value.refresh_due_at)?)
                    .bind(escaped(value.value.key().as_str()))
                    .bind(value.value.bytes().to_vec());
                let query = match expected {
                    Some(expected) => query.bind(escaped(expected.as_str())),
                    None => query,
                };
                self.dialect.bind_now(query)?
            }
            (None, Some(expected)) => {
                let sql = "DELETE FROM tiktok_shop_tokens \
                           WHERE tenant = $1 AND customer = $2 AND account = $3 AND revision = $4";
                keyed(sql.to_owned(), tenant, key).bind(escaped(expected.as_str()))
            }
            (None, None) => return Ok(false),
        };
        match query.execute(&self.writers).await {
            Ok(done) => Ok(done.rows_affected() > 0),
            // The key went between the look at it and the write.
            Err(error) if breaks_reference(&error) => Ok(false),
            Err(error) => Err(storage_error(error)),
        }
    }

    pub(super) async fn due_tokens(
        &self,
        now: UnixSeconds,
        after: Option<&Due>,
        limit: usize,
    ) -> Result<Vec<Due>, StorageError> {
        let sql = "SELECT refresh_due_at, tenant, customer, account FROM tiktok_shop_tokens \
                   WHERE refresh_due_at <= $1 AND (refresh_due_at, tenant, customer, account) > ($2, $3, $4, $5) \
                   ORDER BY refresh_due_at, tenant, customer, account LIMIT $6";
        let query = statement(sql.to_owned()).bind(i64::try_from(now.0).unwrap_or(i64::MAX));
        let query = match after {
            Some(Due { at, tenant, key }) => query
                .bind(seconds(*at)?)
                .bind(escaped(tenant.as_str()))
                .bind(escaped(key.customer.as_str()))
                .bind(escaped(key.account.as_str())),
            None => query.bind(-1_i64).bind(String::new()).bind(String::new()).bind(String::new()),
        };
        let rows = query.bind(limited(limit)).fetch_all(&self.readers).await.map_err(storage_error)?;
        let due = |row: &sqlx::any::AnyRow| {
            Ok(Due { at: row.seconds("refresh_due_at")?, tenant: row.id("tenant")?, key: row.key()? })
        };
        rows.iter().map(due).collect()
    }
}
