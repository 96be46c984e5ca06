//! States of consents, and webhooks that were handled.

use std::time::Duration;

use sqlx::Row as _;

use super::connections::{policy, policy_word};
use super::dialect::{Dialect, Moment, age_of};
use super::error::storage_error;
use super::{
    Columns as _, ConsentRecord, SqlStorage, StateDigest, StorageError, StoredConsent, TenantId, WebhookDigest,
    escaped, malformed, number, statement,
};
use tiktok_shop_host::storage::BrowserDigest;

/// How long a state is kept, in milliseconds: its consent is refused long before.
const KEEPS_STATES: i64 = 3_600_000;
/// How long a webhook is remembered: a day more than it must, for clocks that are set.
const REMEMBERS_WEBHOOKS: Duration = Duration::from_secs(4 * 86_400);

impl SqlStorage {
    pub(super) async fn begin_state(
        &self,
        tenant: &TenantId,
        state: &StateDigest,
        consent: &ConsentRecord,
    ) -> Result<(), StorageError> {
        self.forget_states().await?;
        let (columns, now) = (self.dialect.columns(Moment::Begun), self.dialect.now(7));
        let sql = format!(
            "INSERT INTO tiktok_shop_states (tenant, digest, customer, browser, shop_policy, used, {columns}) \
             VALUES ($1, $2, $3, $4, $5, $6, {now}) ON CONFLICT DO NOTHING"
        );
        let query = statement(sql)
            .bind(escaped(tenant.as_str()))
            .bind(state.as_bytes().to_vec())
            .bind(escaped(consent.customer.as_str()))
            .bind(consent.browser.as_bytes().to_vec())
            .bind(policy_word(consent.shops))
            .bind(false);
        let begun = self.dialect.bind_now(query)?.execute(&self.writers).await.map_err(storage_error)?;
        if begun.rows_affected() == 0 {
            return Err(StorageError::Refused("the state is stored already".to_owned()));
        }
        Ok(())
    }

    async fn forget_states(&self) -> Result<(), StorageError> {
        let sql = match self.dialect {
            // Of an earlier boot nobody knows how old it is. Compared so that each part is a range of the index.
            Dialect::Sqlite(_) => {
                "DELETE FROM tiktok_shop_states \
                 WHERE begun_boot < $2 OR begun_boot > $2 OR (begun_boot = $2 AND begun_ms < $3 - $1)"
            }
            // The clock is read once: with a time that could differ from row to row the index would not serve.
            Dialect::Postgres => {
                "DELETE FROM tiktok_shop_states \
                 WHERE begun_at < (SELECT clock_timestamp()) - $1 * INTERVAL '1 millisecond'"
            }
        };
        let query = self.dialect.bind_now(statement(sql.to_owned()).bind(KEEPS_STATES))?;
        query.execute(&self.writers).await.map_err(storage_error).map(drop)
    }

    pub(super) async fn state(
        &self,
        tenant: &TenantId,
        state: &StateDigest,
    ) -> Result<Option<StoredConsent>, StorageError> {
        let age = self.dialect.age(Moment::Begun, 3);
        let sql = format!(
            "SELECT customer, browser, shop_policy, \
             CASE WHEN used THEN CAST(1 AS BIGINT) ELSE CAST(0 AS BIGINT) END AS used, {age} AS age_ms \
             FROM tiktok_shop_states WHERE tenant = $1 AND digest = $2"
        );
        let query = statement(sql).bind(escaped(tenant.as_str())).bind(state.as_bytes().to_vec());
        let query = self.dialect.bind_now(query)?;
        let Some(row) = query.fetch_optional(&self.readers).await.map_err(storage_error)? else { return Ok(None) };
        let browser: [u8; 32] = row.bytes("browser")?.try_into().map_err(|_| malformed("browser"))?;
        let record = ConsentRecord {
            customer: row.id("customer")?,
            browser: BrowserDigest::new(browser),
            shops: policy(&row.text("shop_policy")?)?,
        };
        let age: Option<i64> = row.try_get("age_ms").map_err(storage_error)?;
        Ok(Some(StoredConsent { record, age: age_of(age), used: row.is("used")? }))
    }

    /// `true`: it was otherwise before.
    pub(super) async fn set_used(
        &self,
        tenant: &TenantId,
        state: &StateDigest,
        used: bool,
    ) -> Result<bool, StorageError> {
        let sql = "UPDATE tiktok_shop_states SET used = $3 WHERE tenant = $1 AND digest = $2 AND used <> $3";
        let query = statement(sql.to_owned()).bind(escaped(tenant.as_str())).bind(state.as_bytes().to_vec()).bind(used);
        Ok(query.execute(&self.writers).await.map_err(storage_error)?.rows_affected() > 0)
    }

    pub(super) async fn handled(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<bool, StorageError> {
        let sql = "SELECT tenant FROM tiktok_shop_webhooks WHERE tenant = $1 AND digest = $2";
        let query = statement(sql.to_owned()).bind(escaped(tenant.as_str())).bind(webhook.as_bytes().to_vec());
        Ok(query.fetch_optional(&self.readers).await.map_err(storage_error)?.is_some())
    }

    pub(super) async fn set_handled(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<(), StorageError> {
        let kept = number(REMEMBERS_WEBHOOKS.as_secs())?;
        let (old, new) = match &self.dialect {
            Dialect::Sqlite(clock) => {
                let now = number(clock.wall().as_secs())?;
                let old = "DELETE FROM tiktok_shop_webhooks WHERE handled_at < $1";
                let new = "INSERT INTO tiktok_shop_webhooks (tenant, digest, handled_at) VALUES ($1, $2, $3) \
                           ON CONFLICT DO NOTHING";
                (statement(old.to_owned()).bind(now - kept), (new, Some(now)))
            }
            Dialect::Postgres => {
                let old = "DELETE FROM tiktok_shop_webhooks \
                           WHERE handled_at < (SELECT clock_timestamp()) - $1 * INTERVAL '1 second'";
                let new = "INSERT INTO tiktok_shop_webhooks (tenant, digest, handled_at) \
                           VALUES ($1, $2, clock_timestamp()) ON CONFLICT DO NOTHING";
                (statement(old.to_owned()).bind(kept), (new, None))
            }
        };
        old.execute(&self.writers).await.map_err(storage_error)?;
        let query = statement(new.0.to_owned()).bind(escaped(tenant.as_str())).bind(webhook.as_bytes().to_vec());
        let query = match new.1 {
            Some(now) => query.bind(now),
            None => query,
        };
        query.execute(&self.writers).await.map_err(storage_error).map(drop)
    }
}
