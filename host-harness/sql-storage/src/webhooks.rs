//! Remembers which webhooks were handled.

use async_trait::async_trait;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::storage::{StorageError, WebhookDigest, WebhookStorage};

use crate::expiry::{Expiry, MaxAge};
use crate::sql::dialect::Dialect;
use crate::sql::run::{execute, fetch_optional};
use crate::sql::statement::{Statement, statement};
use crate::storage::SqlStorage;

/// How long a webhook is remembered: four days, in seconds. [`WebhookStorage`] promises three days. The fourth day is a
/// reserve, because a clock may be set forward.
const WEBHOOK_RETENTION_S: i64 = 4 * 86_400;

const EXPIRY: Expiry = Expiry {
    table: "tiktok_shop_webhooks",
    max_age: MaxAge::Wall { column: "handled_at", seconds: WEBHOOK_RETENTION_S },
};

#[async_trait]
impl WebhookStorage for SqlStorage {
    async fn knows_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<bool, StorageError> {
        self.run_to_deadline(async {
            // An expired entry may still be stored, and does not count.
            let since = match self.dialect {
                Dialect::Sqlite(_) => "$4 - $3",
                Dialect::Postgres => "clock_timestamp() - $3 * INTERVAL '1 second'",
            };
            let sql = format!(
                "SELECT tenant FROM tiktok_shop_webhooks WHERE tenant = $1 AND digest = $2 AND handled_at >= {since}"
            );
            let query = of_webhook(statement(sql), tenant, webhook).bind(WEBHOOK_RETENTION_S);
            let query = match &self.dialect {
                Dialect::Sqlite(clock) => query.bind_number(clock.wall().as_secs())?,
                Dialect::Postgres => query,
            };
            Ok(fetch_optional(&self.readers, query).await?.is_some())
        })
        .await
    }

    async fn remember_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<(), StorageError> {
        self.run_to_deadline(async {
            let insert = match &self.dialect {
                Dialect::Sqlite(clock) => {
                    self.make_room(&EXPIRY).await;
                    let sql = format!(
                        "INSERT INTO tiktok_shop_webhooks (handled_at, tenant, digest) VALUES ($2, $3, $4) {}",
                        on_conflict("$1")
                    );
                    statement(sql).bind(WEBHOOK_RETENTION_S).bind_number(clock.wall().as_secs())?
                }
                Dialect::Postgres => {
                    if !self.expiry_pauses.is_paused(&EXPIRY) {
                        match self.in_part_of_deadline(self.remember_and_make_room(tenant, webhook)).await {
                            Ok(()) => return Ok(()),
                            Err(error) => self.expiry_pauses.begin(&EXPIRY, &error),
                        }
                    }
                    // The deletion may be the reason of the failure, so the webhook is remembered without it.
                    let sql = format!(
                        "INSERT INTO tiktok_shop_webhooks (handled_at, tenant, digest) \
                         VALUES (clock_timestamp(), $2, $3) {}",
                        on_conflict("$1 * INTERVAL '1 second'")
                    );
                    statement(sql).bind(WEBHOOK_RETENTION_S)
                }
            };
            execute(&self.writers, of_webhook(insert, tenant, webhook)).await.map(drop)
        })
        .await
    }
}

impl SqlStorage {
    /// Remembers a webhook in PostgreSQL, and deletes expired entries in the same round trip.
    async fn remember_and_make_room(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<(), StorageError> {
        // The insert counts the deleted rows, so it runs after the deletion. An expired row of the same webhook is then
        // gone, or it was not among the deleted rows, and gets the new time.
        let sql = format!(
            "WITH expired AS ({}), deleted AS (DELETE FROM tiktok_shop_webhooks \
             WHERE (tenant, digest) IN (SELECT tenant, digest FROM expired) RETURNING 1) \
             INSERT INTO tiktok_shop_webhooks (handled_at, tenant, digest) \
             SELECT clock_timestamp(), $3, $4 WHERE (SELECT COUNT(*) FROM deleted) >= 0 {}",
            EXPIRY.keys_sql(&self.dialect),
            on_conflict("$2 * INTERVAL '1 second'")
        );
        let query = of_webhook(EXPIRY.bind(statement(sql), &self.dialect)?, tenant, webhook);
        execute(&self.writers, query).await.map(drop)
    }
}

/// Returns the end of an insert: an expired entry of the same webhook gets the new time, and any other entry stays as
/// it is. `retention` is the SQL text for [`WEBHOOK_RETENTION_S`].
fn on_conflict(retention: &str) -> String {
    format!(
        "ON CONFLICT (tenant, digest) DO UPDATE SET handled_at = excluded.handled_at \
         WHERE tiktok_shop_webhooks.handled_at < excluded.handled_at - {retention}"
    )
}

fn of_webhook(query: Statement, tenant: &TenantId, webhook: &WebhookDigest) -> Statement {
    query.bind_text(tenant.as_str()).bind(webhook.as_bytes().to_vec())
}
