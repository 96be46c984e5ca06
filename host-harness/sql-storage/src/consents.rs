//! Stores consents that have begun.

use async_trait::async_trait;
use tiktok_shop_host::storage::{
    BrowserDigest, ConsentRecord, ConsentStorage, StateDigest, StorageError, StoredConsent,
};
use tiktok_shop_host::{AppKey, TenantId};

use crate::sql::columns::{Columns as _, malformed};
use crate::sql::dialect::{Dialect, Moment};
use crate::sql::run::{execute, fetch_optional};
use crate::sql::statement::statement;
use crate::storage::SqlStorage;

/// How long a consent is kept: one hour, in milliseconds. The host refuses a consent after ten minutes.
const STATE_RETENTION_MS: i64 = 3_600_000;

#[async_trait]
impl ConsentStorage for SqlStorage {
    async fn put_state(
        &self,
        tenant: &TenantId,
        state: &StateDigest,
        consent: &ConsentRecord,
    ) -> Result<(), StorageError> {
        self.run_to_deadline(async {
            self.delete_old_states().await?;
            let ConsentRecord { customer, app, browser, shops } = consent;
            let (moment, now) = (self.dialect.columns(Moment::Begun), self.dialect.now(7));
            let sql = format!(
                "INSERT INTO tiktok_shop_states (tenant, digest, customer, browser, shop_policy, app_key, used, {moment}) \
                 VALUES ($1, $2, $3, $4, $5, $6, FALSE, {now}) ON CONFLICT DO NOTHING"
            );
            let query = statement(sql)
                .bind_text(tenant.as_str())
                .bind(state.as_bytes().to_vec())
                .bind_text(customer.as_str())
                .bind(browser.as_bytes().to_vec())
                .bind_text(shops.as_str())
                .bind_optional_text(app.as_ref().map(AppKey::as_str));
            if !execute(&self.writers, self.dialect.bind_now(query)?).await? {
                return Err(StorageError::Refused("this state is already stored".to_owned()));
            }
            Ok(())
        })
        .await
    }

    async fn load_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<Option<StoredConsent>, StorageError> {
        self.run_to_deadline(async {
            let age = self.dialect.age(Moment::Begun, 3);
            let sql = format!(
                "SELECT customer, app_key, browser, shop_policy, \
                 CASE WHEN used THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END AS used, {age} AS age_ms \
                 FROM tiktok_shop_states WHERE tenant = $1 AND digest = $2"
            );
            let query = statement(sql).bind_text(tenant.as_str()).bind(state.as_bytes().to_vec());
            let found = fetch_optional(&self.readers, self.dialect.bind_now(query)?).await?;
            let Some(row) = found else { return Ok(None) };
            let browser = row.bytes("browser")?.try_into().map_err(|_| malformed("browser"))?;
            let record = ConsentRecord {
                customer: row.id("customer")?,
                app: row.optional_id("app_key")?,
                browser: BrowserDigest::new(browser),
                shops: row.word("shop_policy")?,
            };
            Ok(Some(StoredConsent { record, age: row.age("age_ms")?, used: row.flag("used")? }))
        })
        .await
    }

    async fn use_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<bool, StorageError> {
        self.run_to_deadline(async {
            let sql = "UPDATE tiktok_shop_states SET used = TRUE WHERE tenant = $1 AND digest = $2 AND NOT used";
            let query = statement(sql).bind_text(tenant.as_str()).bind(state.as_bytes().to_vec());
            execute(&self.writers, query).await
        })
        .await
    }

    async fn release_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<(), StorageError> {
        self.run_to_deadline(async {
            let sql = "UPDATE tiktok_shop_states SET used = FALSE WHERE tenant = $1 AND digest = $2 AND used";
            let query = statement(sql).bind_text(tenant.as_str()).bind(state.as_bytes().to_vec());
            execute(&self.writers, query).await.map(drop)
        })
        .await
    }
}

impl SqlStorage {
    /// Deletes every state that is older than [`STATE_RETENTION_MS`], for all tenants.
    async fn delete_old_states(&self) -> Result<(), StorageError> {
        let sql = match self.dialect {
            // The age of a state from an earlier boot is unknown, so such a state is also deleted. Each of the three
            // conditions is a range of the index, so the statement can use the index.
            Dialect::Sqlite(_) => {
                "DELETE FROM tiktok_shop_states \
                 WHERE begun_boot < $2 OR begun_boot > $2 OR (begun_boot = $2 AND begun_ms < $3 - $1)"
            }
            // The subquery reads the clock only once. Without the subquery, each state could be compared with a
            // different time, and PostgreSQL could not use the index.
            Dialect::Postgres => {
                "DELETE FROM tiktok_shop_states \
                 WHERE begun_at < (SELECT clock_timestamp()) - $1 * INTERVAL '1 millisecond'"
            }
        };
        let query = self.dialect.bind_now(statement(sql).bind(STATE_RETENTION_MS))?;
        execute(&self.writers, query).await.map(drop)
    }
}
