//! Stores consents that have begun, and installs that wait for a confirmation.

use async_trait::async_trait;
use tiktok_shop_host::storage::{
    BrowserDigest, ConsentRecord, ConsentStorage, InstallDigest, InstallRecord, StateDigest, StorageError,
    StoredConsent, StoredInstall,
};
use tiktok_shop_host::{AppKey, TenantId};

use crate::expiry::{Expiry, MaxAge};
use crate::sql::columns::{Columns as _, malformed};
use crate::sql::dialect::Moment;
use crate::sql::run::{execute, fetch_optional};
use crate::sql::statement::statement;
use crate::storage::SqlStorage;

/// How long a consent is kept: one hour, in milliseconds. The host refuses a consent after ten minutes.
const STATE_RETENTION_MS: i64 = 3_600_000;
/// How long a pending install is kept: 30 minutes, in milliseconds. The host refuses an older install.
const INSTALL_RETENTION_MS: i64 = 1_800_000;

const STATES: Expiry =
    Expiry { table: "tiktok_shop_states", max_age: MaxAge::Begun { milliseconds: STATE_RETENTION_MS } };
const INSTALLS: Expiry =
    Expiry { table: "tiktok_shop_installs", max_age: MaxAge::Begun { milliseconds: INSTALL_RETENTION_MS } };

#[async_trait]
impl ConsentStorage for SqlStorage {
    async fn put_state(
        &self,
        tenant: &TenantId,
        state: &StateDigest,
        consent: &ConsentRecord,
    ) -> Result<(), StorageError> {
        self.run_to_deadline(async {
            self.make_room(&STATES).await;
            self.make_room(&INSTALLS).await;
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

    async fn put_install(
        &self,
        tenant: &TenantId,
        install: &InstallDigest,
        record: &InstallRecord,
    ) -> Result<(), StorageError> {
        self.run_to_deadline(async {
            self.make_room(&STATES).await;
            self.make_room(&INSTALLS).await;
            let (moment, now) = (self.dialect.columns(Moment::Begun), self.dialect.now(5));
            let sql = format!(
                "INSERT INTO tiktok_shop_installs (tenant, digest, browser, sealed, {moment}) \
                 VALUES ($1, $2, $3, $4, {now}) ON CONFLICT DO NOTHING"
            );
            let query = statement(sql)
                .bind_text(tenant.as_str())
                .bind(install.as_bytes().to_vec())
                .bind(record.browser.as_bytes().to_vec())
                .bind(record.sealed.clone());
            if !execute(&self.writers, self.dialect.bind_now(query)?).await? {
                return Err(StorageError::Refused("this install is already stored".to_owned()));
            }
            Ok(())
        })
        .await
    }

    async fn load_install(
        &self,
        tenant: &TenantId,
        install: &InstallDigest,
    ) -> Result<Option<StoredInstall>, StorageError> {
        self.run_to_deadline(async {
            let age = self.dialect.age(Moment::Begun, 3);
            let sql = format!(
                "SELECT browser, sealed, {age} AS age_ms FROM tiktok_shop_installs WHERE tenant = $1 AND digest = $2"
            );
            let query = statement(sql).bind_text(tenant.as_str()).bind(install.as_bytes().to_vec());
            let found = fetch_optional(&self.readers, self.dialect.bind_now(query)?).await?;
            let Some(row) = found else { return Ok(None) };
            let browser = row.bytes("browser")?.try_into().map_err(|_| malformed("browser"))?;
            let (sealed, age) = (row.optional_bytes("sealed")?, row.age("age_ms")?);
            Ok(Some(StoredInstall { browser: BrowserDigest::new(browser), sealed, age }))
        })
        .await
    }

    async fn close_install(&self, tenant: &TenantId, install: &InstallDigest) -> Result<(), StorageError> {
        let sql = "UPDATE tiktok_shop_installs SET sealed = NULL WHERE tenant = $1 AND digest = $2";
        self.end_install(sql, tenant, install).await
    }

    async fn delete_install(&self, tenant: &TenantId, install: &InstallDigest) -> Result<(), StorageError> {
        let sql = "DELETE FROM tiktok_shop_installs WHERE tenant = $1 AND digest = $2";
        self.end_install(sql, tenant, install).await
    }

    async fn delete_expired(&self) -> Result<(), StorageError> {
        self.run_to_deadline(async {
            self.delete_all_expired(&STATES).await?;
            if self.delete_all_expired(&INSTALLS).await? {
                let _emptied = self.empty_log_now().await;
            }
            Ok(())
        })
        .await
    }
}

impl SqlStorage {
    /// Runs a statement that removes the sealed content of one install, and removes the content from SQLite's log.
    async fn end_install(
        &self,
        sql: &'static str,
        tenant: &TenantId,
        install: &InstallDigest,
    ) -> Result<(), StorageError> {
        self.run_to_deadline(async {
            let query = statement(sql).bind_text(tenant.as_str()).bind(install.as_bytes().to_vec());
            if execute(&self.writers, query).await? {
                let _emptied = self.empty_log_now().await;
            }
            Ok(())
        })
        .await
    }
}
