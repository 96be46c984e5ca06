//! The app's credentials, asked for once per call, so that a rotated secret needs no restart.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::id::TenantId;
use crate::secret::Secret;

/// The credentials of one TikTok app.
#[derive(Debug, Clone)]
pub struct AppCredentials {
    /// Partner Center's "App Key". Not secret.
    pub app_key: String,
    /// Partner Center's "App Secret".
    pub app_secret: Secret,
    /// The secret before the latest rotation, for webhooks still under way. Never used to sign.
    pub previous_app_secret: Option<Secret>,
    /// The link that Partner Center shows under "Copy authorization link". Without it `authorization-url` is
    /// `misconfigured`.
    pub authorization_link: Option<String>,
}

/// Why there are no credentials. The text reaches error details and logs: name the cause, never a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// They could not be read now. The call ends in `storage-failed`.
    #[error("credentials unavailable: {0}")]
    Unavailable(String),
    /// There are none for this tenant. The call ends in `misconfigured`.
    #[error("credentials refused: {0}")]
    Refused(String),
}

/// Where credentials come from: a vault, a table, a file.
#[async_trait]
pub trait CredentialsProvider: Send + Sync {
    /// The credentials of this tenant's app.
    ///
    /// # Errors
    /// See [`CredentialsError`]. A provider that panics, or takes longer than the deadline of a save, counts as
    /// unavailable.
    async fn current(&self, tenant: &TenantId) -> Result<AppCredentials, CredentialsError>;
}

/// Credentials that are known when the host starts.
#[derive(Debug, Default)]
pub struct StaticCredentials {
    by_tenant: BTreeMap<TenantId, AppCredentials>,
}

impl StaticCredentials {
    /// Knows no tenant yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tenant, or replaces its credentials.
    #[must_use]
    pub fn with(mut self, tenant: TenantId, credentials: AppCredentials) -> Self {
        self.by_tenant.insert(tenant, credentials);
        self
    }
}

#[async_trait]
impl CredentialsProvider for StaticCredentials {
    async fn current(&self, tenant: &TenantId) -> Result<AppCredentials, CredentialsError> {
        self.by_tenant
            .get(tenant)
            .cloned()
            .ok_or_else(|| CredentialsError::Refused("no credentials for this tenant".to_owned()))
    }
}
