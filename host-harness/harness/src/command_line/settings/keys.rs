//! Where the host keys come from.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tiktok_shop_host::HostKeyId;
use tiktok_shop_host::seal::{DataKey, HostKeys, KeyError, KeyFile, KeyProvider};
use tiktok_shop_host::storage::WrappedKey;

use super::environment::{HOST_KEYS, variable};
use crate::command_line::failure::Failure;
use crate::command_line::output::{KeyTrouble, Report};

/// The host keys, and whether they can be changed from here.
#[derive(Debug, Clone)]
pub(crate) enum Keys {
    /// Those of a file.
    File(KeyFile),
    /// Those that the environment lists.
    Listed(HostKeys),
}

impl Keys {
    /// Those that the environment lists, if it does.
    pub(crate) fn listed() -> Result<Option<Self>, Failure> {
        let Some(text) = variable(HOST_KEYS)? else { return Ok(None) };
        let keys = HostKeys::parse(&text).map_err(|error| Failure::Malformed(format!("{HOST_KEYS}: {error}")))?;
        Ok(Some(Self::Listed(keys)))
    }

    /// Their names, the current one first.
    pub(crate) fn ids(&self) -> Result<Vec<HostKeyId>, Failure> {
        Ok(match self {
            Self::File(file) => file.keys()?.ids().cloned().collect(),
            Self::Listed(keys) => keys.ids().cloned().collect(),
        })
    }

    /// Those of the file, which is made on its first use.
    pub(crate) fn of_file(path: &Path, report: &Report) -> Result<Self, Failure> {
        let is_new = !path.exists();
        let file = KeyFile::open_or_create(path)?;
        if is_new {
            report.note(&format!(
                "made a host key in {}: keep a copy, without it no stored connection opens",
                path.display()
            ));
        }
        Ok(Self::File(file))
    }

    /// `trouble` hears of a key that did not serve: what a call's error says of it has passed through the component, which
    /// leaves long words out.
    pub(crate) fn provider(&self, trouble: KeyTrouble) -> Arc<dyn KeyProvider> {
        let keys: Arc<dyn KeyProvider> = match self {
            Self::File(file) => Arc::new(file.clone()),
            Self::Listed(keys) => Arc::new(keys.clone()),
        };
        Arc::new(Watched { keys, trouble })
    }
}

struct Watched {
    keys: Arc<dyn KeyProvider>,
    trouble: KeyTrouble,
}

#[async_trait]
impl KeyProvider for Watched {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        self.keys.current().await.inspect_err(|error| self.trouble.hear(error))
    }

    async fn wrap(&self, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        self.keys.wrap(key, context).await.inspect_err(|error| self.trouble.hear(error))
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
        self.keys.unwrap(wrapped, context).await.inspect_err(|error| self.trouble.hear(error))
    }
}
