//! The storage that remembers which requests of a platform were carried out, so that a repeated request is not carried
//! out again. Only the service uses it. It is no part of [`HostStorage`](super::HostStorage): a host without the service
//! needs no such storage.

use std::time::Duration;

use async_trait::async_trait;

use super::digest::digest;
use super::error::StorageError;
use crate::id::TenantId;

/// Remembers requests by their idempotency key, for 24 hours.
#[async_trait]
pub trait RequestStorage: Send + Sync {
    /// Remembers that this request has begun, if the tenant has no request with this key. Otherwise changes nothing, and
    /// returns what is remembered. Of any number of simultaneous calls with the same key, only one begins. Forgets
    /// requests that began more than 24 hours ago.
    ///
    /// # Errors
    /// See [`StorageError`]. The request may be remembered as begun nevertheless.
    async fn begin_request(
        &self,
        tenant: &TenantId,
        key: &RequestDigest,
        begun: &BegunRequest,
    ) -> Result<Option<StoredRequest>, StorageError>;

    /// Remembers the answer of the request that this attempt has begun. Changes nothing if another attempt has begun it.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn finish_request(
        &self,
        tenant: &TenantId,
        key: &RequestDigest,
        attempt: &[u8; 16],
        answer: &[u8],
    ) -> Result<(), StorageError>;

    /// Forgets the request that this attempt has begun, because nothing was done. Changes nothing if another attempt has
    /// begun it.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn forget_request(
        &self,
        tenant: &TenantId,
        key: &RequestDigest,
        attempt: &[u8; 16],
    ) -> Result<(), StorageError>;
}

digest! {
    /// SHA-256 of the idempotency key of a request. The storage finds the request by this value.
    RequestDigest
}

impl RequestDigest {
    /// Hashes an idempotency key.
    #[must_use]
    pub fn of(key: &str) -> Self {
        Self::sha256(format!("request {key}"))
    }
}

/// A request that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunRequest {
    /// SHA-256 of everything in the request that decides what it does.
    pub fingerprint: [u8; 32],
    /// 128 random bits, which identify this attempt to carry the request out.
    pub attempt: [u8; 16],
}

/// A request that is remembered.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredRequest {
    /// The request as it began.
    pub begun: BegunRequest,
    /// The sealed answer. `None` if no answer was stored yet.
    pub answer: Option<Vec<u8>>,
    /// The time since the request began, measured by the storage's own clock.
    pub age: Duration,
}

impl std::fmt::Debug for StoredRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let answer = self.answer.as_ref().map(Vec::len);
        f.debug_struct("StoredRequest").field("answer", &answer).field("age", &self.age).finish_non_exhaustive()
    }
}
