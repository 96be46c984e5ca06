//! The storage of token records: one sealed (encrypted) record per connection.

use std::time::Duration;

use async_trait::async_trait;

use super::environment::Environment;
use super::error::StorageError;
use super::keys::Sealed;
use super::swap::{Next, Swapped};
use crate::connection::{ConnectionKey, UnixSeconds};
use crate::id::{AccountId, CustomerId, Revision, TenantId};

/// Keeps token records.
#[async_trait]
pub trait TokenStorage: Send + Sync {
    /// Returns whether the storage belongs to this environment. The first call sets the environment of the storage,
    /// which never changes afterwards. A host calls this function before it gives credentials to the connector for the
    /// first time. If the answer is `false`, the host sends no request.
    ///
    /// A storage that already contains tokens, but has no environment yet, belongs to [`Environment::TikTokShop`].
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn belongs_to(&self, environment: Environment) -> Result<bool, StorageError>;

    /// Returns the customer's accounts that have a token record, in byte order.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError>;

    /// Returns what [`accounts`](Self::accounts) returns. If there is exactly one account, a storage may return its token
    /// record, too, as [`load_token`](Self::load_token) returns it. The connector often asks for both, so a storage on a
    /// database should read both with one query.
    ///
    /// The default implementation calls `accounts` and returns no record.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn accounts_with_token(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
    ) -> Result<(Vec<AccountId>, Option<TokenEntry>), StorageError> {
        Ok((self.accounts(tenant, customer).await?, None))
    }

    /// Returns the token record, if it exists.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn load_token(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<TokenEntry>, StorageError>;

    /// Writes the token record if its revision is still `expected`. `next: None` deletes the record.
    ///
    /// # Errors
    /// See [`StorageError`]. A stale swap is not an error.
    async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<Swapped<TokenEntry>, StorageError>;

    /// Returns the connections whose [`TokenWrite::refresh_due_at`] is `now` or earlier, in the order of [`Due`]. The
    /// list contains connections of all tenants. The list starts after the entry `after` and has at most `limit`
    /// entries. Records that are written during the call may or may not be in the list. A sweep uses this list.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError>;
}

/// The content that a swap writes into a token record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenWrite {
    /// The sealed record.
    pub value: Sealed,
    /// When `refresh` is due. `None` means that no refresh is due. This time is not sealed, so that a storage can index
    /// it.
    pub refresh_due_at: Option<UnixSeconds>,
}

/// A stored token record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenEntry {
    /// The revision of the last write.
    pub revision: Revision,
    /// The sealed record.
    pub value: Sealed,
    /// The time since the last write, measured by the storage's own clock.
    pub age: Duration,
}

/// A connection whose refresh is due. Such entries are ordered by time, then by tenant, then by connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When the refresh became due.
    pub at: UnixSeconds,
    /// The tenant of the connection.
    pub tenant: TenantId,
    /// The connection.
    pub key: ConnectionKey,
}
