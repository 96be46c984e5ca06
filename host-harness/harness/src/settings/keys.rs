//! Finds the host keys: in a file, in the environment or in a key service. Never creates a key.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tiktok_shop_host::seal::{
    DataKey, Destruction, HostKeys, KeyError, KeyFile, KeyFileError, KeyProvider, KeyStatus, KeySuccession,
    TenantKeyStatus,
};
use tiktok_shop_host::storage::WrappedKey;
use tiktok_shop_host::{HostKeyId, TenantId};
use tiktok_shop_key_service::KeyService;
use tiktok_shop_private_file::Access;

use super::environment::{HOST_KEYS, KEY_FILE, given_by, variable};
use super::fake::FakeAddress;
use super::folders::{fake_key_file, key_file};
use crate::failure::Failure;
use crate::output::LastKeyErrors;

/// The source of the host keys.
#[derive(Debug, Clone)]
pub(crate) enum HostKeySource {
    /// A key file. The program can add and remove keys.
    File(KeyFile),
    /// An environment variable, which the program can't change. Or keys that were drawn for a storage in memory.
    Environment(HostKeys),
    /// A key service, which has a host key for each tenant.
    Service {
        /// The service.
        service: KeyService,
        /// The host keys that wrapped data keys before the service was set up. They wrap nothing any more.
        earlier: Option<EarlierKeys>,
    },
    /// There are no host keys, for the given reason. The command needs none.
    Missing(String),
}

/// The host keys that were used before a key service.
#[derive(Debug, Clone)]
pub(crate) enum EarlierKeys {
    /// A key file.
    File(KeyFile),
    /// An environment variable.
    Environment(HostKeys),
    /// They are missing, for the given reason. The command needs none.
    Missing(String),
}

/// The place of the host keys according to the settings.
pub(crate) enum KeyPlace {
    /// A place that an option, a variable or the configuration file names.
    Named(NamedPlace),
    /// A key service, and the place of the host keys that were used before it. No default file is looked for.
    Service { service: KeyService, earlier: Option<NamedPlace> },
    /// The key file in the data folder, because nothing names the host keys.
    Default(PathBuf),
}

/// A place of host keys that a setting names.
pub(crate) enum NamedPlace {
    /// The environment variable, with its keys.
    Environment(HostKeys),
    /// A key file.
    File(PathBuf),
}

/// How the settings name the host keys.
pub(crate) struct KeySettings {
    /// The key file that the option or its environment variable names.
    pub(crate) option: Option<PathBuf>,
    /// The key file that the configuration file names.
    pub(crate) configured: Option<PathBuf>,
    /// The key service of the configuration file.
    pub(crate) service: Option<KeyService>,
    pub(crate) fake: Option<FakeAddress>,
}

impl KeyPlace {
    /// Finds the place of the host keys. Reads the environment variable, but no file, and asks no key service.
    pub(crate) fn find(settings: KeySettings) -> Result<Self, Failure> {
        let KeySettings { option, configured, service, fake } = settings;
        let named = match (variable(HOST_KEYS)?, option) {
            (Some(_), Some(_)) => {
                let file = given_by("--key-file", KEY_FILE);
                return Err(Failure::Malformed(format!("{HOST_KEYS} and {file} are both given; use only one")));
            }
            (Some(text), None) => {
                let keys = HostKeys::parse(&text);
                let keys = keys.map_err(|error| Failure::Malformed(format!("{HOST_KEYS}: {error}")))?;
                Some(NamedPlace::Environment(keys))
            }
            (None, option) => option.or(configured).map(NamedPlace::File),
        };
        Ok(match (service, named) {
            (Some(service), earlier) => Self::Service { service, earlier },
            (None, Some(place)) => Self::Named(place),
            (None, None) => Self::Default(if fake.is_some() { fake_key_file()? } else { key_file()? }),
        })
    }

    /// Opens the host keys. If the key file does not exist, returns its path.
    pub(crate) fn open(self, access: Access) -> Result<FoundKeys, Failure> {
        // The inner error is the path of a file that does not exist.
        let open = |path: PathBuf| match KeyFile::open_with_access(path, access) {
            Ok(file) => Ok(Ok(file)),
            Err(KeyFileError::Missing(path)) => Ok(Err(path)),
            Err(error) => Err(Failure::from(error)),
        };
        Ok(match self {
            Self::Named(NamedPlace::Environment(keys)) => FoundKeys::Named(HostKeySource::Environment(keys)),
            Self::Named(NamedPlace::File(path)) => match open(path)? {
                Ok(file) => FoundKeys::Named(HostKeySource::File(file)),
                Err(path) => FoundKeys::NamedFileMissing(path),
            },
            Self::Default(path) => match open(path)? {
                Ok(file) => FoundKeys::Default(HostKeySource::File(file)),
                Err(path) => FoundKeys::DefaultFileMissing(path),
            },
            Self::Service { service, earlier } => {
                let earlier = match earlier {
                    None => None,
                    Some(NamedPlace::Environment(keys)) => Some(EarlierKeys::Environment(keys)),
                    Some(NamedPlace::File(path)) => match open(path)? {
                        Ok(file) => Some(EarlierKeys::File(file)),
                        Err(path) => return Ok(FoundKeys::EarlierFileMissing { service, path }),
                    },
                };
                FoundKeys::Named(HostKeySource::Service { service, earlier })
            }
        })
    }
}

/// The host keys, or the path of the key file that does not exist.
pub(crate) enum FoundKeys {
    /// Host keys that an option, a variable or the configuration file names.
    Named(HostKeySource),
    /// The host keys of the key file in the data folder.
    Default(HostKeySource),
    NamedFileMissing(PathBuf),
    DefaultFileMissing(PathBuf),
    /// A key service is configured. The named key file, which was used before the service, does not exist.
    EarlierFileMissing {
        service: KeyService,
        path: PathBuf,
    },
}

impl HostKeySource {
    /// Returns the names of the keys that the program itself has. The current key comes first. With a key service,
    /// these are the keys that were used before the service.
    pub(crate) fn ids(&self) -> Result<Vec<HostKeyId>, Failure> {
        Ok(match self {
            Self::File(file) => file.keys()?.ids().cloned().collect(),
            Self::Environment(keys) => keys.ids().cloned().collect(),
            Self::Service { earlier: Some(EarlierKeys::File(file)), .. } => file.keys()?.ids().cloned().collect(),
            Self::Service { earlier: Some(EarlierKeys::Environment(keys)), .. } => keys.ids().cloned().collect(),
            Self::Service { earlier: Some(EarlierKeys::Missing(_)) | None, .. } | Self::Missing(_) => Vec::new(),
        })
    }

    /// Returns the key service. `None` if the host keys come from elsewhere.
    pub(crate) const fn service(&self) -> Option<&KeyService> {
        match self {
            Self::Service { service, .. } => Some(service),
            Self::File(_) | Self::Environment(_) | Self::Missing(_) => None,
        }
    }

    /// Returns true if host keys are missing, so that [`ids`](Self::ids) may not return all host keys.
    pub(crate) const fn misses_keys(&self) -> bool {
        matches!(self, Self::Missing(_) | Self::Service { earlier: Some(EarlierKeys::Missing(_)), .. })
    }

    /// Returns the names of the host keys that can unwrap data keys now: the names that [`ids`](Self::ids) returns, and
    /// the names of the keys in the key service.
    pub(crate) fn usable_ids(&self, status: &KeyStatus) -> Result<Vec<HostKeyId>, Failure> {
        let mut ids = self.ids()?;
        if let Some(service) = self.service() {
            let is_there = |key: &&TenantKeyStatus| key.current.as_ref().is_some_and(|id| service.owns(id));
            let known = status.keys.iter().filter(is_there).filter_map(|key| key.host_key.clone());
            ids.extend(known.filter(|id| service.owns(id)));
        }
        Ok(ids)
    }

    /// Returns a provider of these keys.
    pub(crate) fn provider(&self) -> Arc<dyn KeyProvider> {
        match self {
            Self::File(file) => Arc::new(file.clone()),
            Self::Environment(keys) => Arc::new(keys.clone()),
            Self::Service { service, earlier: None } => Arc::new(service.clone()),
            Self::Service { service, earlier: Some(earlier) } => {
                let earlier: Arc<dyn KeyProvider> = match earlier {
                    EarlierKeys::File(file) => Arc::new(file.clone()),
                    EarlierKeys::Environment(keys) => Arc::new(keys.clone()),
                    EarlierKeys::Missing(why) => Arc::new(NoHostKeys { why: why.clone() }),
                };
                Arc::new(KeySuccession::new(Arc::new(service.clone()), earlier))
            }
            Self::Missing(why) => Arc::new(NoHostKeys { why: why.clone() }),
        }
    }

    /// Returns a provider of these keys that records in `last_errors` each error that concerns a tenant. This is
    /// necessary because the component shortens the error of a call. It drops long words, such as the name of a key.
    pub(crate) fn recording_provider(&self, last_errors: LastKeyErrors) -> Arc<dyn KeyProvider> {
        Arc::new(RecordingErrors { keys: self.provider(), last_errors })
    }
}

/// A provider without keys.
struct NoHostKeys {
    why: String,
}

impl NoHostKeys {
    fn error(&self, key: Option<&HostKeyId>) -> KeyError {
        KeyError::Unavailable { key: key.cloned(), why: self.why.clone() }
    }
}

#[async_trait]
impl KeyProvider for NoHostKeys {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        Err(self.error(None))
    }

    async fn wrap(&self, _: &TenantId, _: &DataKey, _: &[u8]) -> Result<WrappedKey, KeyError> {
        Err(self.error(None))
    }

    async fn unwrap(&self, _: &TenantId, wrapped: &WrappedKey, _: &[u8]) -> Result<DataKey, KeyError> {
        Err(self.error(Some(&wrapped.host_key)))
    }
}

struct RecordingErrors {
    keys: Arc<dyn KeyProvider>,
    last_errors: LastKeyErrors,
}

#[async_trait]
impl KeyProvider for RecordingErrors {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        self.keys.current().await
    }

    async fn current_for(&self, tenant: &TenantId) -> Result<HostKeyId, KeyError> {
        self.keys.current_for(tenant).await.inspect_err(|error| self.last_errors.record(tenant, error))
    }

    async fn wrap(&self, tenant: &TenantId, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        self.keys.wrap(tenant, key, context).await.inspect_err(|error| self.last_errors.record(tenant, error))
    }

    async fn unwrap(&self, tenant: &TenantId, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
        self.keys.unwrap(tenant, wrapped, context).await.inspect_err(|error| self.last_errors.record(tenant, error))
    }

    async fn destroy(&self, tenant: &TenantId, wrapped_by: &[HostKeyId]) -> Result<Destruction, KeyError> {
        self.keys.destroy(tenant, wrapped_by).await.inspect_err(|error| self.last_errors.record(tenant, error))
    }

    fn has_key_per_tenant(&self) -> bool {
        self.keys.has_key_per_tenant()
    }
}
