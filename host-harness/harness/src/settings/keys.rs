//! Finds the host keys: in a file, or in the environment. Never creates a key.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tiktok_shop_host::HostKeyId;
use tiktok_shop_host::seal::{DataKey, HostKeys, KeyError, KeyFile, KeyFileError, KeyProvider};
use tiktok_shop_host::storage::WrappedKey;
use tiktok_shop_private_file::Access;

use super::environment::{HOST_KEYS, variable};
use super::fake::FakeAddress;
use super::folders::{fake_key_file, key_file};
use crate::failure::Failure;
use crate::output::LastKeyError;

/// The source of the host keys.
#[derive(Debug, Clone)]
pub(crate) enum HostKeySource {
    /// A key file. The program can add and remove keys.
    File(KeyFile),
    /// An environment variable, which the program can't change. Or keys that were drawn for a storage in memory.
    Environment(HostKeys),
    /// There are no host keys, for the given reason. The command needs none.
    Missing(String),
}

/// The place of the host keys according to the settings.
pub(crate) enum KeyPlace {
    /// The environment variable, with its keys.
    Environment(HostKeys),
    /// A key file that an option, a variable or the configuration file names.
    Named(PathBuf),
    /// The key file in the data folder, because nothing names the host keys.
    Default(PathBuf),
}

/// How the settings name a key file.
pub(crate) struct KeyFileSettings {
    /// The path of the option or of its variable.
    pub(crate) option: Option<PathBuf>,
    /// The path of the configuration file.
    pub(crate) configured: Option<PathBuf>,
    pub(crate) fake: Option<FakeAddress>,
}

impl KeyPlace {
    /// Finds the place of the host keys. Reads the environment variable, but no file.
    pub(crate) fn find(settings: KeyFileSettings) -> Result<Self, Failure> {
        let KeyFileSettings { option, configured, fake } = settings;
        match (variable(HOST_KEYS)?, option) {
            (Some(_), Some(_)) => {
                Err(Failure::Malformed(format!("{HOST_KEYS} and --key-file are both given; use only one")))
            }
            (Some(text), None) => HostKeys::parse(&text)
                .map(Self::Environment)
                .map_err(|error| Failure::Malformed(format!("{HOST_KEYS}: {error}"))),
            (None, Some(path)) => Ok(Self::Named(path)),
            (None, None) => match configured {
                Some(path) => Ok(Self::Named(path)),
                None => Ok(Self::Default(if fake.is_some() { fake_key_file()? } else { key_file()? })),
            },
        }
    }

    /// Opens the host keys. If the key file does not exist, returns its path.
    pub(crate) fn open(self, access: Access) -> Result<FoundKeys, Failure> {
        let open = |path: PathBuf| match KeyFile::open_with_access(path, access) {
            Ok(file) => Ok(Ok(HostKeySource::File(file))),
            Err(KeyFileError::Missing(path)) => Ok(Err(path)),
            Err(error) => Err(Failure::from(error)),
        };
        Ok(match self {
            Self::Environment(keys) => FoundKeys::Named(HostKeySource::Environment(keys)),
            Self::Named(path) => open(path)?.map_or_else(FoundKeys::NamedFileMissing, FoundKeys::Named),
            Self::Default(path) => open(path)?.map_or_else(FoundKeys::DefaultFileMissing, FoundKeys::Default),
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
}

impl HostKeySource {
    /// Returns the names of the keys. The current key comes first.
    pub(crate) fn ids(&self) -> Result<Vec<HostKeyId>, Failure> {
        Ok(match self {
            Self::File(file) => file.keys()?.ids().cloned().collect(),
            Self::Environment(keys) => keys.ids().cloned().collect(),
            Self::Missing(_) => Vec::new(),
        })
    }

    /// Returns a provider of these keys.
    pub(crate) fn provider(&self) -> Arc<dyn KeyProvider> {
        match self {
            Self::File(file) => Arc::new(file.clone()),
            Self::Environment(keys) => Arc::new(keys.clone()),
            Self::Missing(why) => Arc::new(NoHostKeys { why: why.clone() }),
        }
    }

    /// Returns a provider of these keys that records each of its errors in `last_error`. This is necessary because the
    /// component shortens the error of a call. It drops long words, such as the name of a key.
    pub(crate) fn recording_provider(&self, last_error: LastKeyError) -> Arc<dyn KeyProvider> {
        Arc::new(RecordingErrors { keys: self.provider(), last_error })
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

    async fn wrap(&self, _: &DataKey, _: &[u8]) -> Result<WrappedKey, KeyError> {
        Err(self.error(None))
    }

    async fn unwrap(&self, wrapped: &WrappedKey, _: &[u8]) -> Result<DataKey, KeyError> {
        Err(self.error(Some(&wrapped.host_key)))
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

    async fn wrap(&self, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        self.keys.wrap(key, context).await.inspect_err(|error| self.last_error.record(error))
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
        self.keys.unwrap(wrapped, context).await.inspect_err(|error| self.last_error.record(error))
    }
}
