//! Host keys: what wraps the data keys of tenants.

use std::sync::Arc;

use async_trait::async_trait;

use super::{DataKey, associated, decrypt, encrypt};
use crate::id::{HostKeyId, InvalidId};
use crate::randomness::{Randomness, SystemRandomness};
use crate::storage::{StorageError, WrappedKey};

/// Wraps and unwraps data keys, and does nothing else: a key service does it without giving its keys away.
///
/// Both are asked for rarely: a host wraps when a tenant is new or its keys are changed, and unwraps a tenant's keys when it
/// meets that tenant first.
#[async_trait]
pub trait KeyProvider: Send + Sync {
    /// The host key that [`wrap`](Self::wrap) uses now.
    ///
    /// # Errors
    /// See [`KeyError`].
    async fn current(&self) -> Result<HostKeyId, KeyError>;

    /// Wraps a data key under the current host key. `context` names tenant and data key: what is wrapped with one context
    /// must not unwrap with another (key services call it the encryption context, or additional data).
    ///
    /// # Errors
    /// See [`KeyError`].
    async fn wrap(&self, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError>;

    /// Unwraps what was wrapped with this context.
    ///
    /// # Errors
    /// See [`KeyError`].
    async fn unwrap(&self, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError>;
}

/// Why a host key did not serve. Nothing that is sealed is overwritten, deleted or given up for it. The texts reach error
/// details and logs: name the cause, never a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not now: the service, or the file, can't be reached. It is tried again.
    #[error("key-unavailable({}): {why}", key.as_ref().map_or("current", HostKeyId::as_str))]
    Unavailable {
        /// Which; `None`: the current one, whatever its name.
        key: Option<HostKeyId>,
        /// The cause.
        why: String,
    },
    /// This provider has no key of that name. Give it one.
    #[error("key-unavailable({0}): no host key of that name is here")]
    Unknown(HostKeyId),
    /// It has one, and it does not unwrap this data key: another key of the same name, or the wrapped key is damaged.
    #[error("key-unavailable({0}): the host key of that name does not unwrap this data key")]
    Mismatch(HostKeyId),
}

impl From<KeyError> for StorageError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Unavailable { .. } => Self::Unavailable(error.to_string()),
            KeyError::Unknown(_) | KeyError::Mismatch(_) => Self::Refused(error.to_string()),
        }
    }
}

/// Host keys in this process's memory, the current one first.
#[derive(Clone)]
pub struct HostKeys {
    keys: Vec<(HostKeyId, Arc<DataKey>)>,
    randomness: Arc<dyn Randomness>,
}

/// Why a list of host keys is none. Carries the place, never the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHostKeys {
    /// There is none in it.
    #[error("no host key")]
    None,
    /// What stands there, counted from 1, is not `ID:KEY`.
    #[error("host key {0}: not ID:KEY, where KEY is 64 hexadecimal digits")]
    NotAKey(usize),
    /// The name of the key there, counted from 1.
    #[error("host key {0}: {1}")]
    Id(usize, #[source] InvalidId),
    /// The same name stands twice.
    #[error("host key {0} stands there twice")]
    Twice(HostKeyId),
}

impl HostKeys {
    /// One key, drawn now and gone with the process: for tests, and for storage in memory.
    ///
    /// # Errors
    /// The system's source of randomness failed.
    pub fn draw() -> std::io::Result<Self> {
        let id = HostKeyId::draw(&SystemRandomness)?;
        let key = DataKey::draw(&SystemRandomness)?;
        Ok(Self { keys: vec![(id, Arc::new(key))], randomness: Arc::new(SystemRandomness) })
    }

    /// These keys, of which the first wraps.
    ///
    /// # Errors
    /// See [`InvalidHostKeys`].
    pub fn new(keys: impl IntoIterator<Item = (HostKeyId, DataKey)>) -> Result<Self, InvalidHostKeys> {
        let mut all: Vec<(HostKeyId, Arc<DataKey>)> = Vec::new();
        for (id, key) in keys {
            if all.iter().any(|(known, _)| *known == id) {
                return Err(InvalidHostKeys::Twice(id));
            }
            all.push((id, Arc::new(key)));
        }
        if all.is_empty() {
            return Err(InvalidHostKeys::None);
        }
        Ok(Self { keys: all, randomness: Arc::new(SystemRandomness) })
    }

    /// Keys as text, `ID:KEY` with 64 hexadecimal digits for a key, separated by commas or white space; the first wraps.
    ///
    /// # Errors
    /// See [`InvalidHostKeys`].
    pub fn parse(text: &str) -> Result<Self, InvalidHostKeys> {
        let items = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty());
        let keys = items.enumerate().map(|(at, item)| {
            let (id, digits) = item.rsplit_once(':').ok_or(InvalidHostKeys::NotAKey(at + 1))?;
            let mut key = DataKey([0; 32]);
            hex::decode_to_slice(digits, &mut key.0).map_err(|_| InvalidHostKeys::NotAKey(at + 1))?;
            Ok((id.parse().map_err(|error| InvalidHostKeys::Id(at + 1, error))?, key))
        });
        Self::new(keys.collect::<Result<Vec<_>, _>>()?)
    }

    /// The names, the current one first.
    pub fn ids(&self) -> impl Iterator<Item = &HostKeyId> {
        self.keys.iter().map(|(id, _)| id)
    }

    pub(super) fn expose(&self) -> impl Iterator<Item = (&HostKeyId, &DataKey)> {
        self.keys.iter().map(|(id, key)| (id, &**key))
    }

    fn of(&self, id: &HostKeyId) -> Option<&DataKey> {
        self.keys.iter().find(|(known, _)| known == id).map(|(_, key)| &**key)
    }
}

impl std::fmt::Debug for HostKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

fn wrapping(host_key: &HostKeyId, context: &[u8]) -> Vec<u8> {
    [associated("data key", &[host_key.as_str()]).as_slice(), context].concat()
}

#[async_trait]
impl KeyProvider for HostKeys {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        let none = || KeyError::Unavailable { key: None, why: "no host key".to_owned() };
        self.keys.first().map(|(id, _)| id.clone()).ok_or_else(none)
    }

    async fn wrap(&self, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        let host_key = self.current().await?;
        let unknown = || KeyError::Unknown(host_key.clone());
        let wrapper = self.of(&host_key).ok_or_else(unknown)?;
        let bytes =
            encrypt(wrapper, &wrapping(&host_key, context), key.expose(), &*self.randomness).map_err(|error| {
                KeyError::Unavailable { key: Some(host_key.clone()), why: format!("no randomness: {error}") }
            })?;
        Ok(WrappedKey { host_key, bytes })
    }

    async fn unwrap(&self, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
        let WrappedKey { host_key, bytes } = wrapped;
        let wrapper = self.of(host_key).ok_or_else(|| KeyError::Unknown(host_key.clone()))?;
        let clear = decrypt(wrapper, &wrapping(host_key, context), bytes);
        let key = clear.and_then(|clear| clear.as_slice().try_into().ok());
        key.map(DataKey).ok_or_else(|| KeyError::Mismatch(host_key.clone()))
    }
}
