//! The storage of the tenants' data keys, and the type of the values that are sealed (encrypted) under them.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::error::StorageError;
use crate::connection::ConnectionKey;
use crate::id::{HostKeyId, KeyId, Revision, TenantId};

/// Keeps the tenants' wrapped data keys, lists the records that are sealed under them, and deletes tenants.
#[async_trait]
pub trait KeyStorage: Send + Sync {
    /// Returns the tenant's keys in the order in which they were added.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn tenant_keys(&self, tenant: &TenantId) -> Result<Vec<TenantKey>, StorageError>;

    /// Adds a key if the tenant's newest key is still `newest`. `newest: None` means that the tenant has no key.
    /// Returns whether the key was added.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn add_key(&self, tenant: &TenantId, newest: Option<&KeyId>, key: &TenantKey) -> Result<bool, StorageError>;

    /// Replaces the wrapping of a key if it is still wrapped as in `key`. `next: None` erases the key for good. Returns
    /// whether the key changed.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn rewrap_key(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        next: Option<&WrappedKey>,
    ) -> Result<bool, StorageError>;

    /// Removes a key, erased or not, if no record is sealed under it. Returns whether the key was removed: `false` if a
    /// record is sealed under it or if the tenant has no such key.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn remove_key(&self, tenant: &TenantId, key: &KeyId) -> Result<bool, StorageError>;

    /// Returns the keys of all tenants with the number of records sealed under each, ordered by tenant and key in byte
    /// order. The list starts after the entry `after` and has at most `limit` entries.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn key_uses(&self, after: Option<(&TenantId, &KeyId)>, limit: usize) -> Result<Vec<KeyUse>, StorageError>;

    /// Returns the records that are sealed under this key: token records, and rows with ciphers. They are ordered by
    /// purpose, then by connection in byte order. The list starts after the entry `after` and has at most `limit`
    /// entries. Records that are written during the call may or may not be in the list.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn sealed_under(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        after: Option<(Purpose, &ConnectionKey)>,
        limit: usize,
    ) -> Result<Vec<SealedRecord>, StorageError>;

    /// Replaces exactly this sealed value by `next`. Revision, age and due time stay as they are. Returns `false`, and
    /// changes nothing, if the record is gone or contains another value.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn reseal(&self, tenant: &TenantId, record: &SealedRecord, next: &Sealed) -> Result<bool, StorageError>;

    /// Deletes everything of the tenant except its keys: connections with their token records and rows, events, the
    /// digests of `append_once`, consents and webhooks. One call deletes at most `limit` entries of each kind. The
    /// position of the tenant's last event stays, so no later event gets the position of a deleted one.
    ///
    /// A storage removes deleted values from its own files as far as it can reach them: in this function, after a swap
    /// that deletes, and after [`remove_key`](Self::remove_key). Otherwise somebody could find a deleted token in the
    /// files and open it with the tenant's key. The documentation of the storage must say what is out of its reach.
    ///
    /// # Errors
    /// See [`StorageError`]. A repetition continues the deletion.
    async fn delete_tenant(&self, tenant: &TenantId, limit: usize) -> Result<Deleted, StorageError>;
}

/// What one call of [`KeyStorage::delete_tenant`] deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The number of deleted connections.
    pub connections: u64,
    /// The number of everything else that was deleted: events, digests of `append_once`, consents and webhooks.
    pub others: u64,
    /// Whether the call has deleted everything that it found.
    pub is_complete: bool,
}

/// Bytes as hexadecimal digits, for formats that are text.
mod digits {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(|_| D::Error::custom("not hexadecimal digits"))
    }
}

/// A value that the host has sealed, and the id of its key. A storage keeps both, but can't decrypt the value. `Debug`
/// shows the key id and the number of bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    key: KeyId,
    #[serde(with = "digits")]
    bytes: Vec<u8>,
}

impl Sealed {
    /// Wraps the bytes of a stored value that is sealed under this key.
    #[must_use]
    pub const fn new(key: KeyId, bytes: Vec<u8>) -> Self {
        Self { key, bytes }
    }

    /// Returns the id of the tenant's key that decrypts the value. Store it in a column that can be counted and
    /// searched.
    #[must_use]
    pub const fn key(&self) -> &KeyId {
        &self.key
    }

    /// Returns the bytes to store.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes under {}]", self.bytes.len(), self.key)
    }
}

/// A tenant's data key, wrapped (encrypted) by a host key. Without the host key nobody can use it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// The host key that unwraps it.
    pub host_key: HostKeyId,
    /// The wrapped bytes, as the [`KeyProvider`](crate::seal::KeyProvider) made them.
    #[serde(with = "digits")]
    pub bytes: Vec<u8>,
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes under {}]", self.bytes.len(), self.host_key)
    }
}

/// A data key of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantKey {
    /// The key's id. Every record that is sealed under the key carries this id.
    pub id: KeyId,
    /// The wrapped key. `None` if it was erased: records that are sealed under it can never be decrypted again.
    pub wrapped: Option<WrappedKey>,
}

/// A data key of a tenant, and the number of records that are sealed under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// The tenant.
    pub tenant: TenantId,
    /// The key.
    pub key: TenantKey,
    /// The number of token records, and of rows with ciphers.
    pub records: u64,
}

/// The part of a connection to which a value belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// A token record.
    Token,
    /// The ciphers of a row's shops.
    Ciphers,
}

/// A sealed value, and the record in which it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRecord {
    /// The connection.
    pub key: ConnectionKey,
    /// Whether the value is in the token record or in the row.
    pub purpose: Purpose,
    /// The revision of the token record or row that contains the value.
    pub revision: Revision,
    /// The sealed value.
    pub sealed: Sealed,
}
