//! Remembers which webhooks were handled.

use async_trait::async_trait;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::storage::{StorageError, WebhookDigest, WebhookStorage};

use crate::sql::dialect::Dialect;
use crate::sql::run::{execute, fetch_optional};
use crate::sql::statement::statement;
use crate::storage::SqlStorage;

/// How long a webhook is remembered: four days, in seconds. [`WebhookStorage`] promises three days. The fourth day is a
/// reserve, because a clock may be set forward.
const WEBHOOK_RETENTION_S: i64 = 4 * 86_400;

#[async_trait]
impl WebhookStorage for SqlStorage {
    async fn knows_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<bool, StorageError> {
        self.run_to_deadline(async {
            let sql = "SELECT tenant FROM tiktok_shop_webhooks WHERE tenant = $1 AND digest = $2";
            let query = statement(sql).bind_text(tenant.as_str()).bind(webhook.as_bytes().to_vec());
            Ok(fetch_optional(&self.readers, query).await?.is_some())
        })
        .await
    }

    async fn remember_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<(), StorageError> {
        self.run_to_deadline(async {
            let (delete_old, insert) = match &self.dialect {
                Dialect::Sqlite(clock) => {
                    let now = clock.wall().as_secs();
                    let delete_old = "DELETE FROM tiktok_shop_webhooks WHERE handled_at < $1 - $2";
                    let insert = "INSERT INTO tiktok_shop_webhooks (handled_at, tenant, digest) VALUES ($1, $2, $3) \
                                  ON CONFLICT DO NOTHING";
                    (statement(delete_old).bind_number(now)?, statement(insert).bind_number(now)?)
                }
                Dialect::Postgres => {
                    let delete_old = "DELETE FROM tiktok_shop_webhooks \
                                      WHERE handled_at < (SELECT clock_timestamp()) - $1 * INTERVAL '1 second'";
                    let insert = "INSERT INTO tiktok_shop_webhooks (handled_at, tenant, digest) \
                                  VALUES (clock_timestamp(), $1, $2) ON CONFLICT DO NOTHING";
                    (statement(delete_old), statement(insert))
                }
            };
            execute(&self.writers, delete_old.bind(WEBHOOK_RETENTION_S)).await?;
            let insert = insert.bind_text(tenant.as_str()).bind(webhook.as_bytes().to_vec());
            execute(&self.writers, insert).await.map(drop)
        })
        .await
    }
}
