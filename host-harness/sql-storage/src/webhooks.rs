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
            let query = match &self.dialect {
                // Each of the two writes is a transaction of its own. A deletion alone does no harm.
                Dialect::Sqlite(clock) => {
                    let sql = "DELETE FROM tiktok_shop_webhooks WHERE handled_at < $2 - $1; \
                               INSERT INTO tiktok_shop_webhooks (handled_at, tenant, digest) VALUES ($2, $3, $4) \
                               ON CONFLICT DO NOTHING";
                    statement(sql).bind(WEBHOOK_RETENTION_S).bind_number(clock.wall().as_secs())?
                }
                // The insert counts the deleted rows, so it runs after the deletion. An old row of the same webhook is
                // then gone.
                Dialect::Postgres => {
                    let sql = "WITH old AS (DELETE FROM tiktok_shop_webhooks \
                               WHERE handled_at < (SELECT clock_timestamp()) - $1 * INTERVAL '1 second' RETURNING 1) \
                               INSERT INTO tiktok_shop_webhooks (handled_at, tenant, digest) \
                               SELECT clock_timestamp(), $2, $3 WHERE (SELECT COUNT(*) FROM old) >= 0 \
                               ON CONFLICT DO NOTHING";
                    statement(sql).bind(WEBHOOK_RETENTION_S)
                }
            };
            let query = query.bind_text(tenant.as_str()).bind(webhook.as_bytes().to_vec());
            execute(&self.writers, query).await.map(drop)
        })
        .await
    }
}
