//! Lists the data keys of all tenants, and counts the records that are sealed with each data key.

use std::collections::{BTreeMap, BTreeSet};

use super::keyring::Keyring;
use super::provider::KeyError;
use super::rotation_error::RotationError;
use crate::id::{HostKeyId, KeyId, TenantId};
use crate::storage::{KeyUse, StorageError};

/// The number of keys that are listed at a time.
const PAGE: usize = 500;

/// The data keys of all tenants, and for each data key the number of records that are sealed with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatus {
    /// The host key that wraps new data keys. If the provider has a host key for each tenant, this id names all these
    /// host keys together.
    pub current: HostKeyId,
    /// Every data key of every tenant.
    pub keys: Vec<TenantKeyStatus>,
}

/// A data key, and the number of records that are sealed with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantKeyStatus {
    /// The tenant that has the data key.
    pub tenant: TenantId,
    /// The id of the data key.
    pub key: KeyId,
    /// The host key that wraps the data key. `None` if the data key is erased.
    pub host_key: Option<HostKeyId>,
    /// The number of records that are sealed with the data key.
    pub records: u64,
    /// The host key that wraps new data keys of the tenant. `None` if the provider has no host key for the tenant, for
    /// example because somebody has deleted this host key in a key service. Also `None` in the result of
    /// [`Keyring::data_keys`].
    pub current: Option<HostKeyId>,
}

impl KeyStatus {
    /// Returns two numbers for each host key: the number of data keys that it wraps, and the number of records that are
    /// sealed with these data keys. The host key [`current`](Self::current) is always listed. The entry `None` counts
    /// the erased data keys and their records.
    #[must_use]
    pub fn by_host_key(&self) -> BTreeMap<Option<&HostKeyId>, (u64, u64)> {
        let mut uses = BTreeMap::from([(Some(&self.current), (0, 0))]);
        for key in &self.keys {
            let (keys, records) = uses.entry(key.host_key.as_ref()).or_default();
            *keys += 1;
            *records += key.records;
        }
        uses
    }

    /// Returns true if every tenant has exactly one data key, and the tenant's current host key wraps this data key.
    #[must_use]
    pub fn is_rotated(&self) -> bool {
        let tenants: BTreeSet<_> = self.keys.iter().map(|key| &key.tenant).collect();
        tenants.len() == self.keys.len()
            && self.keys.iter().all(|key| key.host_key.is_some() && key.host_key == key.current)
    }
}

impl Keyring {
    /// Checks that the provider's host keys unwrap every data key of every tenant.
    ///
    /// # Errors
    /// See [`RotationError`]. The error is about the first data key that does not unwrap.
    pub async fn check_data_keys(&self) -> Result<(), RotationError> {
        let tenants: BTreeSet<_> = self.data_keys().await?.into_iter().map(|key| key.tenant).collect();
        for tenant in &tenants {
            for key in self.load_keys(tenant).await?.iter().filter(|key| key.wrapped.is_some()) {
                self.unwrap_key(tenant, key).await?;
            }
        }
        Ok(())
    }

    /// Returns the data keys of all tenants, and for each data key the number of records that are sealed with it. The
    /// storage counts the records.
    ///
    /// # Errors
    /// See [`RotationError`].
    pub async fn status(&self) -> Result<KeyStatus, RotationError> {
        let current = self.provider().current().await?;
        let mut keys = self.data_keys().await?;
        let mut known: Option<(TenantId, Option<HostKeyId>)> = None;
        for key in &mut keys {
            key.current = match known.take() {
                Some((tenant, current)) if tenant == key.tenant => current,
                _ => self.current_for(&key.tenant).await?,
            };
            known = Some((key.tenant.clone(), key.current.clone()));
        }
        Ok(KeyStatus { current, keys })
    }

    /// Returns the same list of data keys as [`status`](Self::status), but [`TenantKeyStatus::current`] is always
    /// `None`. This function needs no host key.
    ///
    /// # Errors
    /// The storage did not answer.
    pub async fn data_keys(&self) -> Result<Vec<TenantKeyStatus>, StorageError> {
        let mut keys: Vec<KeyUse> = Vec::new();
        loop {
            let after = keys.last().map(|last| (&last.tenant, &last.key.id));
            let page = self.storage().key_uses(after, PAGE).await?;
            if page.is_empty() {
                break;
            }
            keys.extend(page);
        }
        let status = |KeyUse { tenant, key, records }: KeyUse| TenantKeyStatus {
            tenant,
            key: key.id,
            host_key: key.wrapped.map(|wrapped| wrapped.host_key),
            records,
            current: None,
        };
        Ok(keys.into_iter().map(status).collect())
    }

    /// Returns the host key that wraps new data keys of the tenant. `None` if the provider has none for the tenant.
    async fn current_for(&self, tenant: &TenantId) -> Result<Option<HostKeyId>, KeyError> {
        match self.provider().current_for(tenant).await {
            Ok(id) => Ok(Some(id)),
            Err(KeyError::Unknown(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
