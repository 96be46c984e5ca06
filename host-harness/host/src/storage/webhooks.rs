//! The storage that remembers which webhooks were handled.

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

use super::digest::digest;
use super::error::StorageError;
use crate::id::{AppKey, TenantId};

/// Remembers handled webhooks.
#[async_trait]
pub trait WebhookStorage: Send + Sync {
    /// Returns whether [`remember_webhook`](Self::remember_webhook) was called for this webhook of the tenant.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn knows_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<bool, StorageError>;

    /// Remembers for at least three days that this webhook of the tenant was handled. Three days are enough: TikTok
    /// repeats a webhook for 15.5 hours only, and the host treats every event that happened more than two days ago as
    /// handled. A repeated call changes nothing more.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn remember_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<(), StorageError>;
}

digest! {
    /// SHA-256 of an app's key and a webhook's notification id, or of the key and the webhook's body if the webhook has
    /// no id. TikTok sends an event of a shop to each app that the seller has authorized, so the key is part of the
    /// digest.
    WebhookDigest
}

impl WebhookDigest {
    pub(crate) fn of_id(app: &AppKey, id: &str) -> Self {
        Self::sha256(format!("app {} {app} id {id}", app.as_str().len()))
    }

    /// Hashes the body without copying it, because the body may be large.
    pub(crate) fn of_body(app: &AppKey, body: &[u8]) -> Self {
        let prefix = format!("app {} {app} body ", app.as_str().len());
        Self(Sha256::new().chain_update(prefix).chain_update(body).finalize().into())
    }
}
