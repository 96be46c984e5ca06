//! Gets the host keys from a file, from the environment or from a key service.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tiktok_shop_host::seal::{
    DataKey, Destruction, HostKeys, KeyError, KeyFile, KeyProvider, KeyStatus, KeySuccession, TenantKeyStatus,
};
use tiktok_shop_host::storage::WrappedKey;
use tiktok_shop_host::{HostKeyId, TenantId};
use tiktok_shop_key_service::KeyService;

use super::environment::{HOST_KEYS, variable};
use crate::failure::Failure;
use crate::output::{LastKeyError, Report};

/// The source of the host keys.
#[derive(Debug, Clone)]
pub(crate) enum HostKeySource {
    /// A key file. The program can add and remove keys.
    File(KeyFile),
    /// An environment variable, which the program can't change.
    Environment(HostKeys),
    /// A key service, which has a host key for each tenant.
    Service {
        /// The service.
        service: KeyService,
        /// The host keys that wrapped data keys before the service was set up. They wrap nothing any more.
        earlier: Option<Box<Self>>,
    },
}

impl HostKeySource {
    /// Returns the keys of the environment variable. `None` if it is not set.
    pub(crate) fn from_environment() -> Result<Option<Self>, Failure> {
        let Some(text) = variable(HOST_KEYS)? else { return Ok(None) };
        let keys = HostKeys::parse(&text).map_err(|error| Failure::Malformed(format!("{HOST_KEYS}: {error}")))?;
        Ok(Some(Self::Environment(keys)))
    }

    /// Opens the key file. Creates it with one new key if it does not exist.
    pub(crate) fn open_file(path: &Path, report: &Report) -> Result<Self, Failure> {
        let is_new = !path.exists();
        let file = KeyFile::open_or_create(path)?;
        if is_new {
            report.note(&format!(
                "created a host key in {}; keep a copy, because stored connections can't be opened without it",
                path.display()
            ));
        }
        Ok(Self::File(file))
    }

    /// Opens the key file that was used before the key service. The file must exist.
    pub(crate) fn open_earlier_file(path: &Path) -> Result<Self, Failure> {
        if !path.exists() {
            let (path, why) =
                (path.display(), "no such key file; with a key service, a key file only opens earlier data");
            return Err(Failure::Unavailable(format!("host keys: {path}: {why}")));
        }
        Ok(Self::File(KeyFile::open_or_create(path)?))
    }

    /// Returns the names of the keys that the program itself has. The current key comes first. With a key service, these
    /// are the keys that were used before it.
    pub(crate) fn ids(&self) -> Result<Vec<HostKeyId>, Failure> {
        Ok(match self {
            Self::File(file) => file.keys()?.ids().cloned().collect(),
            Self::Environment(keys) => keys.ids().cloned().collect(),
            Self::Service { earlier, .. } => earlier.as_deref().map_or_else(|| Ok(Vec::new()), Self::ids)?,
        })
    }

    /// Returns the key service. `None` if the host keys come from elsewhere.
    pub(crate) const fn service(&self) -> Option<&KeyService> {
        match self {
            Self::Service { service, .. } => Some(service),
            Self::File(_) | Self::Environment(_) => None,
        }
    }

    /// Returns the names of the host keys that can unwrap data keys now. Like [`ids`](Self::ids), but with the keys that
    /// the key service has.
    pub(crate) fn usable_ids(&self, status: &KeyStatus) -> Result<Vec<HostKeyId>, Failure> {
        let mut ids = self.ids()?;
        if let Some(service) = self.service() {
            let is_there = |key: &&TenantKeyStatus| key.current.as_ref().is_some_and(|id| service.owns(id));
            let known = status.keys.iter().filter(is_there).filter_map(|key| key.host_key.clone());
            ids.extend(known.filter(|id| service.owns(id)));
        }
        Ok(ids)
    }

    /// Returns a provider of these keys that records each of its errors in `last_error`. This is necessary because the
    /// component shortens the error of a call. It drops long words, such as the name of a key.
    pub(crate) fn provider(&self, last_error: LastKeyError) -> Arc<dyn KeyProvider> {
        Arc::new(RecordingErrors { keys: self.keys(), last_error })
    }

    fn keys(&self) -> Arc<dyn KeyProvider> {
        match self {
            Self::File(file) => Arc::new(file.clone()),
            Self::Environment(keys) => Arc::new(keys.clone()),
            Self::Service { service, earlier: None } => Arc::new(service.clone()),
            Self::Service { service, earlier: Some(earlier) } => {
                Arc::new(KeySuccession::new(Arc::new(service.clone()), earlier.keys()))
            }
        }
    }
}

struct RecordingErrors {
    keys: Arc<dyn KeyProvider>,
    last_error: LastKeyError,
}

#[async_trait]
impl KeyProvider for RecordingErrors {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        self.keys.current().await.inspect_err(|error| self.last_error.record(error))
    }

    async fn current_for(&self, tenant: &TenantId) -> Result<HostKeyId, KeyError> {
        self.keys.current_for(tenant).await.inspect_err(|error| self.last_error.record(error))
    }

    async fn wrap(&self, tenant: &TenantId, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        self.keys.wrap(tenant, key, context).await.inspect_err(|error| self.last_error.record(error))
    }

    async fn unwrap(&self, tenant: &TenantId, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
        self.keys.unwrap(tenant, wrapped, context).await.inspect_err(|error| self.last_error.record(error))
    }

    async fn destroy(&self, tenant: &TenantId) -> Result<Destruction, KeyError> {
        self.keys.destroy(tenant).await.inspect_err(|error| self.last_error.record(error))
    }
}
