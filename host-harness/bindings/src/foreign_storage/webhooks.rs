//! The part that remembers handled webhooks.

use async_trait::async_trait;
use serde_json::{Value, json};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::storage::{StorageError, WebhookDigest, WebhookStorage};

use super::ForeignStorage;

fn of_webhook(tenant: &TenantId, webhook: &WebhookDigest) -> Value {
    json!({ "tenant": tenant.as_str(), "webhook": hex::encode(webhook.as_bytes()) })
}

#[async_trait]
impl WebhookStorage for ForeignStorage {
    async fn knows_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<bool, StorageError> {
        self.ask("knows_webhook", of_webhook(tenant, webhook)).await
    }

    async fn remember_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<(), StorageError> {
        self.tell("remember_webhook", of_webhook(tenant, webhook)).await
    }
}
