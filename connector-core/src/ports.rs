//! Everything that the core may ask its host for: clocks, randomness, credentials, HTTP and storage. The component
//! implements [`Effects`] with its imports, and the tests implement it with a script.

use crate::connection::Row;
use crate::connection::document::DocumentError;
use crate::credentials::Credentials;
use crate::http::{Request, Response, TransportFailure};
use crate::identity::{AccountId, ConnectionKey, CustomerId};
use crate::record::Nonce;
use crate::secret::SecretBytes;
use crate::time::{Moment, UnixSeconds};
use alloc::string::String;
use alloc::vec::Vec;
use maybe_async::maybe_async;

/// The identifier of one write. The host's storage issues it. It is opaque and only compared for equality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(pub String);

/// The reason why a call to storage failed. The text comes from the host and is meant for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// It is unknown whether a write happened.
    Unavailable(String),
    /// Nothing was written.
    Refused(String),
    /// The stored row with this revision is not the row that the host wrote. Nothing was written.
    RowChanged(Revision),
    /// The stored row with this revision cannot be decoded. Nothing was written.
    RowUnreadable(Revision, DocumentError),
}

/// A row in the list of a customer's rows.
pub struct ListedRow {
    /// The account of the row.
    pub account: AccountId,
    /// The row, or the reason why this row cannot be used. The reason is [`StorageError::RowChanged`] or
    /// [`StorageError::RowUnreadable`].
    pub row: Result<Row, StorageError>,
}

/// A stored value and its revision.
pub struct Entry<T> {
    /// The identifier of the write that stored the value.
    pub revision: Revision,
    /// The stored value.
    pub value: T,
}

/// A stored token record.
pub struct TokenValue {
    /// The result of [`crate::record::TokenRecord::encode`].
    pub bytes: SecretBytes,
    /// The time since the write in milliseconds, by the clock of the storage.
    pub age_ms: u32,
}

/// A token record to write.
pub struct TokenWrite {
    /// The result of [`crate::record::TokenRecord::encode`].
    pub bytes: SecretBytes,
    /// When `refresh` should next be called. `None` if no call is due.
    pub refresh_due_at: Option<UnixSeconds>,
}

/// The outcome of a compare-and-swap. A lost race is not an error; its outcome is [`Swapped::Stale`].
pub enum Swapped<T> {
    /// The value was written. It now has this revision.
    Stored(Revision),
    /// The value was deleted, or there was none to delete.
    Deleted,
    /// Nothing was written, because the stored revision is not the expected one. Contains the stored entry, or `None`
    /// if nothing is stored.
    Stale(Option<Entry<T>>),
}

/// The effects of one call: everything that the call asks its host for. The host may end the instance at any effect.
///
/// The effects, and all functions that use them, are async, and each has the attribute `maybe_async`. For wasm, the
/// attribute removes `async` and `.await`: in the component every effect blocks, and the code is a tenth smaller
/// without the state machines of async functions.
#[allow(async_fn_in_trait, reason = "one instance runs one call on one thread: no future has to be Send")]
#[maybe_async(AFIT)]
pub trait Effects {
    /// Reads both clocks.
    fn now(&self) -> Moment;
    /// Reads only the wall clock. Each clock costs the component a call to its host.
    fn wall(&self) -> UnixSeconds {
        self.now().wall
    }
    /// Draws 128 bits from the host's source of randomness.
    fn random(&self) -> Nonce;
    /// Draws a random number for jitter.
    fn random_number(&self) -> u64 {
        u128::from_le_bytes(self.random()) as u64
    }
    /// Lists the keys of the tenant's apps.
    async fn apps(&self) -> Result<Vec<String>, StorageError>;
    /// Fetches the credentials of the app with this key. `Refused` means that the tenant has no such app. Each call
    /// fetches the credentials of an app at most once.
    async fn credentials(&self, app_key: &str) -> Result<Credentials, StorageError>;
    /// Sends a request and reads the complete answer.
    async fn send(&self, request: Request<'_>) -> Result<Response, TransportFailure>;

    /// Lists the accounts that have a token record, in byte order.
    async fn accounts(&self, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError>;
    /// Loads a token record. The result may be older than the newest write.
    async fn load_token(&self, key: &ConnectionKey) -> Result<Option<Entry<TokenValue>>, StorageError>;
    /// Replaces a token record if the stored revision is `expected`. If `expected` is `None`, the swap succeeds only if
    /// no record is stored. If `next` is `None`, the record is deleted. The swap is linearizable per key, and durable
    /// when it returns.
    async fn swap_token(
        &self,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<TokenWrite>,
    ) -> Result<Swapped<TokenValue>, StorageError>;

    /// Lists all rows of the customer, ordered by account in byte order. A row that cannot be used does not affect the
    /// others.
    async fn list_rows(&self, customer: &CustomerId) -> Result<Vec<ListedRow>, StorageError>;
    /// Loads a row. The result may be older than the newest write.
    async fn load_row(&self, key: &ConnectionKey) -> Result<Option<Entry<Row>>, StorageError>;
    /// Replaces a row if the stored revision is `expected`. If `expected` is `None`, the swap succeeds only if no row
    /// is stored. If `next` is `None`, the row is deleted. The swap is linearizable per key, and durable when it
    /// returns.
    async fn swap_row(
        &self,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Row>,
    ) -> Result<Swapped<Row>, StorageError>;
    /// Lists every connection whose row contains this shop, even if the shop is not linked. The connections of all the
    /// tenant's customers are listed.
    async fn owners(&self, shop: &str) -> Result<Vec<ConnectionKey>, StorageError>;
}
