//! Gets the host keys from a file or from the environment.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tiktok_shop_host::HostKeyId;
use tiktok_shop_host::seal::{DataKey, HostKeys, KeyError, KeyFile, KeyProvider};
use tiktok_shop_host::storage::WrappedKey;

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

    /// Returns the names of the keys. The current key comes first.
    pub(crate) fn ids(&self) -> Result<Vec<HostKeyId>, Failure> {
        Ok(match self {
            Self::File(file) => file.keys()?.ids().cloned().collect(),
            Self::Environment(keys) => keys.ids().cloned().collect(),
        })
    }

    /// Returns a provider of these keys that records each of its errors in `last_error`. This is necessary because the
    /// component shortens the error of a call. It drops long words, such as the name of a key.
    pub(crate) fn provider(&self, last_error: LastKeyError) -> Arc<dyn KeyProvider> {
        let keys: Arc<dyn KeyProvider> = match self {
            Self::File(file) => Arc::new(file.clone()),
            Self::Environment(keys) => Arc::new(keys.clone()),
        };
        Arc::new(RecordingErrors { keys, last_error })
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
