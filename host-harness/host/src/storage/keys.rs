//! The storage of the tenants' data keys, and the type of the values that are sealed (encrypted) with these keys.

use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::error::StorageError;
use crate::connection::ConnectionKey;
use crate::id::{HostKeyId, KeyId, Revision, TenantId};

/// Keeps the tenants' wrapped data keys, lists the records that are sealed with these keys, and deletes tenants.
#[async_trait]
pub trait KeyStorage: Send + Sync {
    /// Returns the tenant's keys in the order in which they were added.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn tenant_keys(&self, tenant: &TenantId) -> Result<Vec<TenantKey>, StorageError>;

    /// Adds a key if the tenant's newest key is still `newest`. `newest: None` means that the tenant has no key yet.
    /// Returns whether the key was added.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn add_key(&self, tenant: &TenantId, newest: Option<&KeyId>, key: &TenantKey) -> Result<bool, StorageError>;

    /// Replaces the wrapping of a key by `next` if the stored key is still wrapped as in `key`. `next: None` erases the
    /// key for good. Returns whether the key changed.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn rewrap_key(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        next: Option<&WrappedKey>,
    ) -> Result<bool, StorageError>;

    /// Removes a key if no record is sealed with it. An erased key can also be removed. Returns `true` if the key was
    /// removed. Returns `false` if a record is sealed with the key, or if the tenant has no such key.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn remove_key(&self, tenant: &TenantId, key: &KeyId) -> Result<bool, StorageError>;

    /// Returns every key of every tenant, and for each key the number of records that are sealed with it. The keys are
    /// ordered by tenant, then by key, in byte order. The list starts after the entry `after` and has at most `limit`
    /// entries.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn key_uses(&self, after: Option<(&TenantId, &KeyId)>, limit: usize) -> Result<Vec<KeyUse>, StorageError>;

    /// Returns the records that are sealed with this key: token records, and rows with ciphers. The records are ordered
    /// by purpose, then by connection in byte order. The list starts after the entry `after` and has at most `limit`
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

    /// Replaces the sealed value of a record by `next` if the stored record still has the revision and the value in
    /// `record`. The revision, age and due time of the record stay as they are. Otherwise changes nothing and returns
    /// `false`.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn reseal(&self, tenant: &TenantId, record: &SealedRecord, next: &Sealed) -> Result<bool, StorageError>;

    /// Deletes everything of the tenant except its keys. It deletes connections with their token records and rows,
    /// events, the digests of `append_once`, consents, pending installs and the digests of webhooks. One call deletes at
    /// most `limit` entries of each kind. The storage keeps the position of the tenant's last event, so no later event gets the
    /// position of a deleted event.
    ///
    /// A storage also removes deleted values from its own files, as far as it can. It does so in this function, after a
    /// swap that deletes a record, and after [`remove_key`](Self::remove_key). Otherwise somebody could find a deleted
    /// token in the files and decrypt it with the tenant's key. The documentation of the storage must say which deleted
    /// values the storage can't remove.
    ///
    /// # Errors
    /// See [`StorageError`]. After an error, another call continues the deletion.
    async fn delete_tenant(&self, tenant: &TenantId, limit: usize) -> Result<Deleted, StorageError>;
}

/// The result of one call of [`KeyStorage::delete_tenant`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deleted {
    /// The number of deleted connections.
    pub connections: u64,
    /// The number of other deleted entries: events, digests of `append_once`, consents, pending installs and webhooks.
    pub others: u64,
    /// Whether the deletion is complete. If it is not, another call must continue it.
    pub is_complete: bool,
}

/// Serializes and deserializes bytes as hexadecimal digits, for text formats such as JSON.
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

/// A value that the host has sealed, and the id of the data key that decrypts it. A storage keeps the value and the id,
/// but can't decrypt the value. `Debug` shows the key id and the number of bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    key: KeyId,
    #[serde(with = "digits")]
    bytes: Vec<u8>,
}

impl Sealed {
    /// Creates a sealed value from its stored bytes and the id of its key.
    #[must_use]
    pub const fn new(key: KeyId, bytes: Vec<u8>) -> Self {
        Self { key, bytes }
    }

    /// Returns the id of the tenant's key that decrypts the value. Store this id in its own column, so that values can
    /// be counted and searched by key.
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

/// A tenant's data key, wrapped (encrypted) by a host key. Without the host key nobody can use the data key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// The id of the host key that unwraps the data key.
    pub host_key: HostKeyId,
    /// The wrapped data key, as the [`KeyProvider`](crate::seal::KeyProvider) returned it.
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
    /// The key's id. Every record that is sealed with the key contains this id.
    pub id: KeyId,
    /// The wrapped key. `None` if the key was erased. Records that are sealed with an erased key can never be decrypted
    /// again.
    pub wrapped: Option<WrappedKey>,
}

/// A data key of a tenant, and the number of records that are sealed with this key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// The tenant.
    pub tenant: TenantId,
    /// The key.
    pub key: TenantKey,
    /// The number of token records and of rows with ciphers that are sealed with the key.
    pub records: u64,
}

/// The part of a connection that a sealed value contains.
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
    /// The connection to which the record belongs.
    pub key: ConnectionKey,
    /// Whether the value is in the token record or in the row.
    pub purpose: Purpose,
    /// The revision of the token record or row that contains the value.
    pub revision: Revision,
    /// The sealed value.
    pub sealed: Sealed,
}
