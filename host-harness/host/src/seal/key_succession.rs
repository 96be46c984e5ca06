//! Moves from one provider of host keys to another, for example from a key file to a key service.

use std::sync::Arc;

use async_trait::async_trait;

use super::aead::DataKey;
use super::provider::{Destruction, KeyError, KeyProvider};
use crate::id::{HostKeyId, TenantId};
use crate::storage::WrappedKey;

/// Two providers of host keys. The current provider wraps new data keys. The earlier provider only unwraps the data
/// keys whose host keys the current provider does not know. So the two providers must not use the same id for two host
/// keys: two key services need different prefixes.
///
/// After [`Keyring::rotate`](super::Keyring::rotate), the current provider wraps every data key. Then the earlier
/// provider is needed only for older copies of the database.
pub struct KeySuccession {
    current: Arc<dyn KeyProvider>,
    earlier: Arc<dyn KeyProvider>,
}

impl KeySuccession {
    /// Creates a provider that wraps with `current`. It unwraps with `current`, or with `earlier` if `current` does not
    /// know the host key.
    #[must_use]
    pub fn new(current: Arc<dyn KeyProvider>, earlier: Arc<dyn KeyProvider>) -> Self {
        Self { current, earlier }
    }
}

#[async_trait]
impl KeyProvider for KeySuccession {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        self.current.current().await
    }

    /// If the current provider does not know a tenant yet, it creates the tenant's host key when it wraps the tenant's
    /// next data key. Until then, this function returns the id that names all host keys of the current provider.
    async fn current_for(&self, tenant: &TenantId) -> Result<HostKeyId, KeyError> {
        match self.current.current_for(tenant).await {
            Err(KeyError::Unknown(_)) => self.current.current().await,
            known => known,
        }
    }

    async fn wrap(&self, tenant: &TenantId, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        self.current.wrap(tenant, key, context).await
    }

    async fn unwrap(&self, tenant: &TenantId, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
        match self.current.unwrap(tenant, wrapped, context).await {
            Err(KeyError::Unknown(_)) => self.earlier.unwrap(tenant, wrapped, context).await,
            unwrapped => unwrapped,
        }
    }

    /// Destroys the tenant's host key in both providers, because older copies of the database contain data keys that
    /// the host key of the earlier provider wraps. If a provider has the same host keys for all tenants, it destroys
    /// none.
    async fn destroy(&self, tenant: &TenantId, wrapped_by: &[HostKeyId]) -> Result<Destruction, KeyError> {
        use Destruction::{Destroyed, NotAllowed, NotPossible};

        let current = self.current.destroy(tenant, wrapped_by).await?;
        let earlier = self.earlier.destroy(tenant, wrapped_by).await?;
        Ok(match (current, earlier) {
            (NotAllowed { key, next }, NotAllowed { key: earlier_key, next: earlier_next }) => {
                NotAllowed { key: format!("{key} or {earlier_key}"), next: format!("{next}; {earlier_next}") }
            }
            (not_allowed @ NotAllowed { .. }, Destroyed | NotPossible)
            | (Destroyed | NotPossible, not_allowed @ NotAllowed { .. }) => not_allowed,
            (Destroyed, Destroyed | NotPossible) | (NotPossible, Destroyed) => Destroyed,
            (NotPossible, NotPossible) => NotPossible,
        })
    }

    fn has_key_per_tenant(&self) -> bool {
        self.current.has_key_per_tenant()
    }
}

impl std::fmt::Debug for KeySuccession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySuccession").finish_non_exhaustive()
    }
}
