//! Host keys, which wrap (encrypt) the data keys of tenants, and the trait of a service or a file that keeps host keys.

use std::sync::Arc;

use async_trait::async_trait;

use super::aead::{DataKey, decrypt, encode_associated_data, encrypt};
use crate::id::{HostKeyId, InvalidId, TenantId};
use crate::randomness::{Randomness, SystemRandomness};
use crate::storage::{StorageError, WrappedKey};

/// Wraps data keys with host keys, and unwraps data keys. A key service can do so without revealing its host keys.
///
/// The host rarely calls the provider: to wrap a data key when a tenant is new or when a tenant's keys are rotated, and
/// to unwrap a tenant's data keys when the host first needs them.
#[async_trait]
pub trait KeyProvider: Send + Sync {
    /// Returns the id of the host key that [`wrap`](Self::wrap) uses now. A provider that has a host key for each tenant
    /// returns an id that names all these host keys together.
    ///
    /// # Errors
    /// See [`KeyError`].
    async fn current(&self) -> Result<HostKeyId, KeyError>;

    /// Returns the id of the host key that [`wrap`](Self::wrap) uses now for this tenant. Only a provider that has a
    /// host key for each tenant implements this function.
    ///
    /// # Errors
    /// See [`KeyError`]. [`KeyError::Unknown`] if the provider has no host key for this tenant, for example because
    /// somebody has deleted it there.
    async fn current_for(&self, tenant: &TenantId) -> Result<HostKeyId, KeyError> {
        let _same_key_for_every_tenant = tenant;
        self.current().await
    }

    /// Wraps a data key of this tenant with the current host key. `context` identifies the tenant and the data key. A
    /// key that was wrapped with one context must not unwrap with another context. Key services call the context
    /// "encryption context" or "additional authenticated data".
    ///
    /// # Errors
    /// See [`KeyError`].
    async fn wrap(&self, tenant: &TenantId, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError>;

    /// Unwraps a data key of this tenant that was wrapped with this context.
    ///
    /// # Errors
    /// See [`KeyError`].
    async fn unwrap(&self, tenant: &TenantId, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError>;

    /// Destroys the host key of this tenant, if the provider has a host key for each tenant and may destroy it.
    /// Afterwards nobody can unwrap a data key of the tenant, not even in a copy or a backup of the database.
    ///
    /// `wrapped_by` has the ids of the host keys that wrap the tenant's data keys in this database. If none of them is
    /// the tenant's key of this provider, the key may belong to another database, and the provider must keep it. If the
    /// provider has no key of the tenant at all, the result is [`Destruction::Destroyed`].
    ///
    /// # Errors
    /// See [`KeyError`]. If the call is repeated after an error, it finishes the destruction.
    async fn destroy(&self, tenant: &TenantId, wrapped_by: &[HostKeyId]) -> Result<Destruction, KeyError> {
        let _ = (tenant, wrapped_by);
        Ok(Destruction::NotPossible)
    }

    /// Returns true if each tenant has a host key of its own. Then the key of one tenant says nothing about the keys of
    /// the others.
    fn has_key_per_tenant(&self) -> bool {
        false
    }
}

/// The result of [`KeyProvider::destroy`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destruction {
    /// The provider has no host key of this tenant any more, or has never had one.
    Destroyed,
    /// The provider may not destroy the host key, or must keep it because it may belong to another database. Somebody
    /// else must decide.
    NotAllowed {
        /// The host key, by the name that its administrator uses.
        key: String,
        /// What somebody must do, in one sentence.
        next: String,
    },
    /// The same host keys wrap the data keys of all tenants, so no host key can be destroyed for one tenant.
    NotPossible,
}

/// The reason why a host key could not be used. After such an error the host never overwrites or deletes a sealed
/// value. The texts of the error reach error details and logs, so a provider must state the cause in them, but never a
/// key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key service or the file can't be reached now. A later attempt may succeed.
    #[error("key-unavailable({}): {why}", key.as_ref().map_or("current", HostKeyId::as_str))]
    Unavailable {
        /// The id of the host key. `None` if the provider was asked for its current key, whose id is not known.
        key: Option<HostKeyId>,
        /// The cause.
        why: String,
    },
    /// This provider has no host key with this id. Add the host key to the provider.
    #[error("key-unavailable({0}): no host key of that name is here")]
    Unknown(HostKeyId),
    /// The provider has a host key with this id, but the host key does not unwrap the data key. Either the provider has
    /// a different key under the same id, or the wrapped data key is damaged.
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

/// Host keys in the memory of this process. The first one is the current one.
#[derive(Clone)]
pub struct HostKeys {
    keys: Vec<(HostKeyId, Arc<DataKey>)>,
    randomness: Arc<dyn Randomness>,
}

/// The reason why a list of host keys is invalid. It names the wrong entry by its position or its id, and
/// never contains a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHostKeys {
    /// The list is empty.
    #[error("no host key")]
    Empty,
    /// The text contains a character that is probably invisible, such as a byte order mark.
    #[error("character {position} is U+{:04X}, which no host key contains and which may be invisible; remove it", u32::from(*character))]
    Hidden {
        /// The character.
        character: char,
        /// The position of the character in the whole text, counted from 1.
        position: usize,
    },
    /// The entry at this position, counted from 1, does not have the form `ID:KEY`.
    #[error("host key {0}: not ID:KEY, where KEY is 64 hexadecimal digits")]
    Malformed(usize),
    /// The entry at this position, counted from 1, has an invalid id.
    #[error("host key {0}: {1}")]
    Id(usize, #[source] InvalidId),
    /// The key with this id consists of zeros only. Everybody can guess such a placeholder.
    #[error("host key {0} is all zeros; draw 64 random hexadecimal digits, for example with openssl rand -hex 32")]
    Zero(HostKeyId),
    /// Two entries have this id.
    #[error("host key {0} is listed twice")]
    Duplicate(HostKeyId),
}

/// An id that contains this number of hexadecimal digits in a row is refused, because it looks like a key.
const KEY_LIKE: usize = 32;

impl HostKeys {
    /// Draws one random key. The key is lost when the process ends, so use it for tests and for storage in memory.
    ///
    /// # Errors
    /// The system's source of randomness failed.
    pub fn draw() -> std::io::Result<Self> {
        let id = HostKeyId::draw(&SystemRandomness)?;
        let key = DataKey::draw(&SystemRandomness)?;
        Ok(Self { keys: vec![(id, Arc::new(key))], randomness: Arc::new(SystemRandomness) })
    }

    /// Creates a provider with these keys. The first one is the current one.
    ///
    /// # Errors
    /// See [`InvalidHostKeys`].
    pub fn new(keys: impl IntoIterator<Item = (HostKeyId, DataKey)>) -> Result<Self, InvalidHostKeys> {
        let mut all: Vec<(HostKeyId, Arc<DataKey>)> = Vec::new();
        for (id, key) in keys {
            if all.iter().any(|(known, _)| *known == id) {
                return Err(InvalidHostKeys::Duplicate(id));
            }
            if key.is_zero() {
                return Err(InvalidHostKeys::Zero(id));
            }
            all.push((id, Arc::new(key)));
        }
        if all.is_empty() {
            return Err(InvalidHostKeys::Empty);
        }
        Ok(Self { keys: all, randomness: Arc::new(SystemRandomness) })
    }

    /// Reads keys from a text. An entry has the form `ID:KEY`, where `KEY` is 64 hexadecimal digits. An id that
    /// contains 32 hexadecimal digits in a row is refused, because it looks like a key. Entries are separated by commas
    /// or white space. The first key is the current one.
    ///
    /// # Errors
    /// See [`InvalidHostKeys`].
    pub fn parse(text: &str) -> Result<Self, InvalidHostKeys> {
        let is_hidden = |c: char| !c.is_ascii_graphic() && !c.is_alphanumeric() && !c.is_whitespace();
        if let Some((position, character)) = (1..).zip(text.chars()).find(|(_, c)| is_hidden(*c)) {
            return Err(InvalidHostKeys::Hidden { character, position });
        }
        let items = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty());
        let keys = (1..).zip(items).map(|(position, item)| {
            let (id, digits) = item.rsplit_once(':').ok_or(InvalidHostKeys::Malformed(position))?;
            // Ids are shown and stored unencrypted. So if an entry has a wrong separator, a key must not become a part
            // of an id.
            let longest = id.split(|c: char| !c.is_ascii_hexdigit()).map(str::len).max();
            if longest.is_some_and(|length| length >= KEY_LIKE) {
                return Err(InvalidHostKeys::Malformed(position));
            }
            let key = DataKey::from_hex(digits).ok_or(InvalidHostKeys::Malformed(position))?;
            Ok((id.parse().map_err(|error| InvalidHostKeys::Id(position, error))?, key))
        });
        Self::new(keys.collect::<Result<Vec<_>, _>>()?)
    }

    /// Returns the ids of the keys. The first one is the current one.
    pub fn ids(&self) -> impl Iterator<Item = &HostKeyId> {
        self.keys.iter().map(|(id, _)| id)
    }

    pub(super) fn expose(&self) -> impl Iterator<Item = (&HostKeyId, &DataKey)> {
        self.keys.iter().map(|(id, key)| (id, &**key))
    }

    fn find(&self, id: &HostKeyId) -> Option<&DataKey> {
        self.keys.iter().find(|(known, _)| known == id).map(|(_, key)| &**key)
    }
}

impl std::fmt::Debug for HostKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

/// Returns the associated data with which a host key wraps a data key.
fn wrapping_data(host_key: &HostKeyId, context: &[u8]) -> Vec<u8> {
    [encode_associated_data("data key", &[host_key.as_str()]).as_slice(), context].concat()
}

#[async_trait]
impl KeyProvider for HostKeys {
    async fn current(&self) -> Result<HostKeyId, KeyError> {
        let no_key = || KeyError::Unavailable { key: None, why: "no host key".to_owned() };
        self.keys.first().map(|(id, _)| id.clone()).ok_or_else(no_key)
    }

    async fn wrap(&self, _: &TenantId, key: &DataKey, context: &[u8]) -> Result<WrappedKey, KeyError> {
        let host_key = self.current().await?;
        let unknown = || KeyError::Unknown(host_key.clone());
        let wrapping_key = self.find(&host_key).ok_or_else(unknown)?;
        let no_randomness = |error| {
            let why = format!("no randomness: {error}");
            KeyError::Unavailable { key: Some(host_key.clone()), why }
        };
        let associated_data = wrapping_data(&host_key, context);
        let bytes = encrypt(wrapping_key, &associated_data, key.expose(), &*self.randomness).map_err(no_randomness)?;
        Ok(WrappedKey { host_key, bytes })
    }

    async fn unwrap(&self, _: &TenantId, wrapped: &WrappedKey, context: &[u8]) -> Result<DataKey, KeyError> {
        let WrappedKey { host_key, bytes } = wrapped;
        let wrapping_key = self.find(host_key).ok_or_else(|| KeyError::Unknown(host_key.clone()))?;
        let clear = decrypt(wrapping_key, &wrapping_data(host_key, context), bytes);
        let key = clear.and_then(|clear| clear.as_slice().try_into().ok());
        key.map(DataKey::new).ok_or_else(|| KeyError::Mismatch(host_key.clone()))
    }
}
