//! The storage of consents that have begun. The storage gets only the SHA-256 digest of a consent's state, so that a
//! reader of the database can't use the state.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::digest::{digest, sha256};
use super::error::StorageError;
use crate::connection::ShopPolicy;
use crate::id::{AppKey, CustomerId, TenantId};
use crate::secret::Secret;

/// Keeps consents that have begun.
#[async_trait]
pub trait ConsentStorage: Send + Sync {
    /// Stores a new consent as unused, and keeps it for at least one hour. As soon as the consent is stored,
    /// [`load_state`](Self::load_state) finds it.
    ///
    /// # Errors
    /// See [`StorageError`]. `Refused` if the tenant already has a consent with this state.
    async fn put_state(
        &self,
        tenant: &TenantId,
        state: &StateDigest,
        consent: &ConsentRecord,
    ) -> Result<(), StorageError>;

    /// Returns the tenant's consent with this state, if it exists.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn load_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<Option<StoredConsent>, StorageError>;

    /// Marks the state as used, and returns `true`. Returns `false` if the state is unknown or already used. If calls
    /// run concurrently, exactly one returns `true`.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn use_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<bool, StorageError>;

    /// Marks a used state as unused again. The age of the state still counts from its creation. An unknown state stays
    /// unknown.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn release_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<(), StorageError>;
}

digest! {
    /// SHA-256 of the state of a consent. The storage finds the consent by this value.
    StateDigest
}

impl StateDigest {
    /// Computes the digest of a state.
    #[must_use]
    pub fn of(state: &Secret) -> Self {
        Self::sha256(state.expose())
    }
}

/// What is stored about a consent when it begins. The record never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRecord {
    /// The customer who will own the connection.
    pub customer: CustomerId,
    /// The app that the seller consents to. `None` if an earlier version of the host began the consent. The app is then
    /// the tenant's only app.
    pub app: Option<AppKey>,
    /// The digest that identifies the browser in which the consent began.
    pub browser: BrowserDigest,
    /// The policy that decides which shops the consent links.
    pub shops: ShopPolicy,
}

/// A stored consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredConsent {
    /// The record that was stored when the consent began.
    pub record: ConsentRecord,
    /// The time since the consent began, measured by the storage's own clock.
    pub age: Duration,
    /// Whether a callback has used the state of the consent.
    pub used: bool,
}

/// SHA-256 of a [`BrowserSession`](crate::consent::BrowserSession). Comparing two digests takes constant time.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub struct BrowserDigest([u8; 32]);

impl BrowserDigest {
    /// Wraps the bytes of a stored digest.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn of(session: &Secret) -> Self {
        Self(sha256(session.expose()))
    }

    /// Returns the bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for BrowserDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for BrowserDigest {}

impl fmt::Debug for BrowserDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[digest]")
    }
}
