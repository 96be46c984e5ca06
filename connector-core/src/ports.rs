//! Everything the core may ask for. The component implements it over its imports; tests implement it over a script.

use crate::connection::Row;
use crate::http::{Request, Response, TransportFailure};
use crate::identity::{AccountId, ConnectionKey, CustomerId};
use crate::record::Nonce;
use crate::secret::{AppSecret, SecretBytes};
use crate::time::{Moment, UnixSeconds};
use alloc::string::String;
use alloc::vec::Vec;

/// Issued by the host's storage, opaque, compared for equality only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(pub String);

/// Why storage gave no answer. The text is the host's own, for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageError {
    /// Nobody knows whether a write happened.
    Unavailable(String),
    /// Certainly not written.
    Refused(String),
}

/// The app a tenant is connected with.
pub struct Credentials {
    /// Public name of the app.
    pub app_key: String,
    /// Signs requests and authenticates token requests.
    pub app_secret: AppSecret,
    /// The secret before, for webhooks that were signed with it. Never used to sign.
    pub previous_app_secret: Option<AppSecret>,
    /// As Partner Center shows it.
    pub authorization_link: Option<String>,
}

/// A stored value and where it stands.
pub struct Entry<T> {
    /// Names this write.
    pub revision: Revision,
    /// What was written.
    pub value: T,
}

/// A stored token record: bytes, and how long ago they were written by the storage's own clock.
pub struct TokenValue {
    /// [`crate::record::TokenRecord::encode`].
    pub bytes: SecretBytes,
    /// Milliseconds.
    pub age_ms: u64,
}

/// A token record to be written.
pub struct TokenWrite {
    /// [`crate::record::TokenRecord::encode`].
    pub bytes: SecretBytes,
    /// When `refresh` should next be called; none: not due.
    pub refresh_due_at: Option<UnixSeconds>,
}

/// How a compare-and-swap ended. A lost race is an outcome, not an error, and carries what won.
pub enum Swapped<T> {
    /// Written, under this revision.
    Stored(Revision),
    /// Deleted.
    Deleted,
    /// Another revision stands there; none: no record.
    Stale(Option<Entry<T>>),
}

/// The effects of one call. Each is a point at which the instance may be killed.
#[allow(async_fn_in_trait, reason = "one instance runs one call on one thread: no future has to be Send")]
pub trait Effects {
    /// Both clocks.
    fn now(&self) -> Moment;
    /// 128 bits from the host's source of randomness.
    fn random(&self) -> Nonce;
    /// A random number, for jitter.
    fn random_number(&self) -> u64 {
        u128::from_le_bytes(self.random()) as u64
    }
    /// The tenant's app, asked for once per call.
    async fn credentials(&self) -> Result<Credentials, StorageError>;
    /// Sends a request and reads the whole answer.
    async fn send(&self, request: Request<'_>) -> Result<Response, TransportFailure>;

    /// Accounts with a token record, in byte order.
    async fn accounts(&self, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError>;
    /// May be older than the newest write.
    async fn load_token(&self, key: &ConnectionKey) -> Result<Option<Entry<TokenValue>>, StorageError>;
    /// Linearizable per key, durable when it answers. No `next` deletes.
    async fn swap_token(
        &self,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<TokenWrite>,
    ) -> Result<Swapped<TokenValue>, StorageError>;

    /// All rows of the customer, by account in byte order.
    async fn list_rows(&self, customer: &CustomerId) -> Result<Vec<Row>, StorageError>;
    /// May be older than the newest write.
    async fn load_row(&self, key: &ConnectionKey) -> Result<Option<Entry<Row>>, StorageError>;
    /// Linearizable per key, durable when it answers. No `next` deletes.
    async fn swap_row(
        &self,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Row>,
    ) -> Result<Swapped<Row>, StorageError>;
    /// The connections of all customers that know this shop, linked or not.
    async fn owners(&self, shop: &str) -> Result<Vec<ConnectionKey>, StorageError>;
}
