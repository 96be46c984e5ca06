//! Where tokens and connections are kept: the trait a platform implements on its own database.
//!
//! [`HostStorage`] is the contract, `docs/storage.md` the way to an implementation, and `contract_tests` (feature
//! `contract-tests`) what an implementation must pass. What arrives here is sealed already: see [`Sealed`].

mod memory;
#[cfg(feature = "sql")]
mod sql;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use self::memory::MemoryStorage;
#[cfg(feature = "sql")]
pub use self::sql::{BootClock, MachineClock, NewConnection, OpenError, PostgresOptions, SqlStorage};
use crate::connection::{Connection, ConnectionKey, UnixSeconds};
use crate::consent::{ConsentRecord, StoredConsent};
use crate::digest::{OnceDigest, StateDigest, WebhookDigest};
use crate::event::{Event, EventPosition, NewEvent};
use crate::id::{AccountId, CustomerId, HostKeyId, KeyId, Revision, ShopId, TenantId};

/// Storage of every tenant's tokens and connections, of the events they cause, of what consents and webhooks need, and of
/// the keys under which it is all sealed.
///
/// # What an implementation promises
///
/// - **Swaps are linearizable per key and durable when they answer.** Of two swaps that expect the same revision one
///   wins; the other gets [`Swapped::Stale`] with what won. `expected: None` expects that there is no record.
/// - **Reads may be old.** A load may return less than the newest write; the swap after it then loses, and nothing
///   else happens. A load never returns what was not written.
/// - **Revisions are kept as given**, each with its record. The host issues them (from 128 random bits) and repeats one
///   only to retry the write it was drawn for.
/// - **A write happens whole or not at all**, also if the caller no longer waits for it.
/// - **The age of a token record** is measured by the storage's own clock, from the write of its revision; no other
///   machine's clock takes part. Where it can't be known, it is [`Duration::MAX`].
/// - **Keys are compared byte for byte**, and tenant, customer and account are separate parts of a key: ids may hold any
///   character, separators and NUL included. *In byte order* means that of their UTF-8.
/// - **What is given comes back as it was given**: any text, of any length that the connector writes (up to 16 MiB).
/// - **A row and its events are one transaction**; a token record and a row are independent of each other.
/// - **Events only grow.** Nothing ever appears before a position that was read. A database's sequence hands out numbers in
///   another order than it commits them: let writers of one tenant wait for each other.
/// - **Nothing is sealed under a key that is gone.** A swap whose value is sealed under a key that the tenant does not have, or
///   has [erased](Self::rewrap_key), answers [`StorageError::KeyGone`] and writes nothing; a key under which something is
///   sealed can't be [removed](Self::remove_key).
///
/// A panic, an error or an answer that comes too late reaches the connector as an error value; the call goes on.
#[async_trait]
pub trait HostStorage: Send + Sync {
    /// The customer's accounts that have a token record, in byte order.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError>;

    /// The token record, if there is one.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn load_token(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<TokenEntry>, StorageError>;

    /// Writes the token record, or deletes it (`next: None`), only while its revision is `expected`.
    ///
    /// # Errors
    /// See [`StorageError`]. A lost race is not an error.
    async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<Swapped<TokenEntry>, StorageError>;

    /// Connections of all tenants whose token record is due, that is, whose [`TokenWrite::refresh_due_at`] is not after
    /// `now`: in the order of [`Due`], those after `after`, at most `limit`. For a sweep; what is written meanwhile may or
    /// may not be seen.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError>;

    /// The customer's connections, by account in byte order.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError>;

    /// The connection's row, if there is one.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn load_row(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError>;

    /// Writes the row, or deletes it (`next: None`), only while its revision is `expected`; with it, and only with it, the
    /// events are appended in their order.
    ///
    /// # Errors
    /// See [`StorageError`]. A lost race is not an error.
    async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<Swapped<RowEntry>, StorageError>;

    /// The tenant's connections whose row holds this shop, linked or not, in byte order.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError>;

    /// Connections of all tenants whose row is not [`ReauthorizationRequired`](crate::ConnectionStatus) and whose
    /// [`Connection::ends_at`] is not after `by`: in the order of [`Ending`], those after `after`, at most `limit`. For a
    /// sweep; what is written meanwhile may or may not be seen.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn endings(&self, by: UnixSeconds, after: Option<&Ending>, limit: usize)
    -> Result<Vec<Ending>, StorageError>;

    /// The tenant's events after this position (`None`: from the first), in order, at most `limit`.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn events(
        &self,
        tenant: &TenantId,
        after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<Event>, StorageError>;

    /// Appends the event, unless one was appended for this connection (the event's key) under the same `once` before.
    /// `true`: now; `false`: before.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn append_once(&self, tenant: &TenantId, once: &OnceDigest, event: &NewEvent) -> Result<bool, StorageError>;

    /// Keeps a consent that begins now, unused, for at least an hour. What [`load_state`](Self::load_state) then reads is
    /// never older than this.
    ///
    /// # Errors
    /// See [`StorageError`]. `Refused`: the tenant has a consent with this state.
    async fn put_state(
        &self,
        tenant: &TenantId,
        state: &StateDigest,
        consent: &ConsentRecord,
    ) -> Result<(), StorageError>;

    /// The tenant's consent with this state.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn load_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<Option<StoredConsent>, StorageError>;

    /// Uses the state up. Of all who try, one is answered `true`; `false`: it is used or unknown.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn use_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<bool, StorageError>;

    /// Makes a used state usable again. Its age goes on. An unknown one stays unknown.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn release_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<(), StorageError>;

    /// Whether the tenant has had this webhook.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn knows_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<bool, StorageError>;

    /// Notes that the tenant has had this webhook, for at least three days: TikTok repeats one for 15.5 hours. Twice is
    /// once.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn remember_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<(), StorageError>;

    /// The tenant's keys, in the order in which they were added.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn tenant_keys(&self, tenant: &TenantId) -> Result<Vec<TenantKey>, StorageError>;

    /// Adds a key, only while the tenant's newest is `newest` (`None`: while it has none). `false`: another is, and nothing
    /// is added.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn add_key(&self, tenant: &TenantId, newest: Option<&KeyId>, key: &TenantKey) -> Result<bool, StorageError>;

    /// Puts the same key in place, wrapped anew, or erases it for good (`next: None`), only while it is wrapped as in `key`.
    /// `false`: it is not, and nothing changes.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn rewrap_key(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        next: Option<&WrappedKey>,
    ) -> Result<bool, StorageError>;

    /// Removes a key, erased or not, under which nothing is sealed. `false`: something is, or there is no such key, and
    /// nothing changes.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn remove_key(&self, tenant: &TenantId, key: &KeyId) -> Result<bool, StorageError>;

    /// The keys of all tenants, each with the number of records sealed under it: by tenant, then by key, in byte order; those
    /// after `after`, at most `limit`.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn key_uses(&self, after: Option<(&TenantId, &KeyId)>, limit: usize) -> Result<Vec<KeyUse>, StorageError>;

    /// The records that are sealed under this key of the tenant, token records and rows with ciphers: by purpose, then by
    /// connection in byte order; those after `after`, at most `limit`. What is written meanwhile may or may not be seen.
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

    /// Puts `next` in the place of exactly this sealed value, and keeps everything else: revision, age, due time. `false`:
    /// the record is gone or has been written since, and nothing changes.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn reseal(&self, tenant: &TenantId, record: &SealedRecord, next: &Sealed) -> Result<bool, StorageError>;
}

/// A living connection whose authorization ends. Ordered by time, then by tenant and key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ending {
    /// When.
    pub at: UnixSeconds,
    /// Whose customer's.
    pub tenant: TenantId,
    /// Which.
    pub key: ConnectionKey,
    /// Which consent of it: [`Row::grant`].
    pub grant: String,
}

/// A connection to be refreshed. Ordered by time, then by tenant and key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// Since when.
    pub at: UnixSeconds,
    /// Whose customer's.
    pub tenant: TenantId,
    /// Which.
    pub key: ConnectionKey,
}

/// Why storage did not answer. The text reaches error details and logs: name the cause, never a stored value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// Nobody knows whether a write happened. It is tried again.
    #[error("storage unavailable: {0}")]
    Unavailable(String),
    /// Certainly not written: quota, size, a missing key.
    #[error("storage refused: {0}")]
    Refused(String),
    /// Certainly not written: sealed under a key that the tenant has no longer. The host seals it anew and tries again.
    #[error("storage refused: sealed under a key that is gone")]
    KeyGone,
}

/// What a write puts in place, and the revision it gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next<T> {
    /// Issued by the host.
    pub revision: Revision,
    /// The record.
    pub value: T,
}

/// How a swap ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swapped<E> {
    /// Written, or deleted.
    Done,
    /// Not written: another revision stands there, or no record.
    Stale(Option<E>),
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

/// What the host has sealed, and the key it is under. A storage keeps both and understands neither. `Debug` shows the key
/// and the number of bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    key: KeyId,
    #[serde(with = "digits")]
    bytes: Vec<u8>,
}

impl Sealed {
    /// As it was stored.
    #[must_use]
    pub const fn new(key: KeyId, bytes: Vec<u8>) -> Self {
        Self { key, bytes }
    }

    /// Which of the tenant's keys opens it. To be stored where it can be counted and searched.
    #[must_use]
    pub const fn key(&self) -> &KeyId {
        &self.key
    }

    /// To be stored.
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

/// A tenant's data key as a host key has wrapped it. Worth nothing without that.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrappedKey {
    /// Which host key unwraps it.
    pub host_key: HostKeyId,
    /// As the [`KeyProvider`](crate::KeyProvider) made it.
    #[serde(with = "digits")]
    pub bytes: Vec<u8>,
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes under {}]", self.bytes.len(), self.host_key)
    }
}

/// A key of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantKey {
    /// Its name, in every record that is sealed under it.
    pub id: KeyId,
    /// `None`: erased. What is sealed under it opens never again.
    pub wrapped: Option<WrappedKey>,
}

/// A key of a tenant, and how much is sealed under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub key: TenantKey,
    /// Records: token records, and rows with ciphers.
    pub records: u64,
}

/// What is sealed in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// A token record.
    Token,
    /// The ciphers of a row's shops.
    Ciphers,
}

/// A sealed value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRecord {
    /// Of which connection.
    pub key: ConnectionKey,
    /// In which of its records.
    pub purpose: Purpose,
    /// The revision of that record.
    pub revision: Revision,
    /// The value.
    pub sealed: Sealed,
}

/// What a swap of a token record writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenWrite {
    /// The record.
    pub value: Sealed,
    /// When `refresh` should next be called; `None`: not due. In clear, so that a storage can index it.
    pub refresh_due_at: Option<UnixSeconds>,
}

/// A stored token record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenEntry {
    /// Of the write that put it there.
    pub revision: Revision,
    /// The record.
    pub value: Sealed,
    /// How long ago that was, by the storage's own clock.
    pub age: Duration,
}

/// The customer's view of a connection: a projection of its token record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The connection, with its shops. None of them has its [`cipher`](crate::Shop::cipher) here.
    pub connection: Connection,
    /// The ciphers of the shops; `None`: none has one.
    pub ciphers: Option<Sealed>,
    /// The lineage of the token record it was made from.
    pub token_lineage: String,
    /// The connector's counter within that lineage.
    pub token_generation: u64,
}

impl Row {
    /// Names the consent that the row stands for: another one has another name, and a refresh changes nothing.
    #[must_use]
    pub fn grant(&self) -> String {
        Self::grant_of(&self.token_lineage, self.connection.granted_at)
    }

    pub(crate) fn grant_of(token_lineage: &str, granted_at: UnixSeconds) -> String {
        format!("{token_lineage}/{}", granted_at.0)
    }
}

/// A stored row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowEntry {
    /// Of the write that put it there.
    pub revision: Revision,
    /// The row.
    pub row: Row,
}

/// A row of a connection that works, and of which nothing else is known.
#[cfg(test)]
pub(crate) fn row_of(customer: &str, account: &str) -> Row {
    use crate::connection::{ConnectionStatus, ShopPolicy};

    let connection = Connection {
        key: ConnectionKey { customer: customer.parse().unwrap(), account: account.parse().unwrap() },
        seller_name: String::new(),
        seller_base_region: String::new(),
        granted_scopes: Vec::new(),
        shop_policy: ShopPolicy::All,
        status: ConnectionStatus::Active,
        access_expires_at: None,
        refresh_expires_at: None,
        authorization_ends_at: None,
        connected_at: UnixSeconds(0),
        granted_at: UnixSeconds(0),
        refreshed_at: UnixSeconds(0),
        shops_synced_at: None,
        shops: Vec::new(),
        last_failure: None,
    };
    Row { connection, ciphers: None, token_lineage: String::new(), token_generation: 0 }
}
