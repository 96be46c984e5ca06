//! The storage of consents that have begun, and of installs from TikTok's App Store that nobody has confirmed yet. The
//! storage gets only the SHA-256 digest of a consent's state or of an install's id, so that a reader of the database
//! can't use the state or the id.

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

/// Keeps consents that have begun, and installs that wait for a confirmation.
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

    /// Stores a pending install, and keeps it for 30 minutes. As soon as the install is stored,
    /// [`load_install`](Self::load_install) finds it. The storage deletes older installs when the next install or
    /// consent begins, and in [`delete_expired`](Self::delete_expired).
    ///
    /// # Errors
    /// See [`StorageError`]. `Refused` if the tenant already has an install with this id.
    async fn put_install(
        &self,
        tenant: &TenantId,
        install: &InstallDigest,
        record: &InstallRecord,
    ) -> Result<(), StorageError>;

    /// Returns the tenant's install with this id, if it exists.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn load_install(
        &self,
        tenant: &TenantId,
        install: &InstallDigest,
    ) -> Result<Option<StoredInstall>, StorageError>;

    /// Deletes the sealed content of an install, and keeps the rest. So a repeated confirmation finds that the install
    /// is confirmed. An unknown install stays unknown.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn close_install(&self, tenant: &TenantId, install: &InstallDigest) -> Result<(), StorageError>;

    /// Deletes an install. Succeeds if there is none.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn delete_install(&self, tenant: &TenantId, install: &InstallDigest) -> Result<(), StorageError>;

    /// Deletes the installs of all tenants that are older than 30 minutes. May also delete the consents that are older
    /// than one hour. Every sweep calls this function, so the sealed tokens of an install that nobody confirms do not
    /// stay.
    ///
    /// # Errors
    /// See [`StorageError`].
    async fn delete_expired(&self) -> Result<(), StorageError>;
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

digest! {
    /// SHA-256 of the id of a pending install. The storage finds the install by this value.
    InstallDigest
}

impl InstallDigest {
    pub(crate) fn of(id: &Secret) -> Self {
        Self::sha256(id.expose())
    }
}

/// The record that is stored when an install begins. `Debug` shows the number of sealed bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct InstallRecord {
    /// The digest that identifies the tenant, the install and the browser session in which the install began.
    pub browser: BrowserDigest,
    /// The customer, the seller and the tokens, sealed by the host. The key belongs to the browser session, so the
    /// storage and the tenant's data keys can't open them.
    pub sealed: Vec<u8>,
}

impl fmt::Debug for InstallRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { browser, sealed } = self;
        let sealed = format_args!("[{} bytes]", sealed.len());
        f.debug_struct("InstallRecord").field("browser", browser).field("sealed", &sealed).finish()
    }
}

/// A stored install. `Debug` shows the number of sealed bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredInstall {
    /// The digest that was stored when the install began.
    pub browser: BrowserDigest,
    /// The sealed content. `None` after [`close_install`](ConsentStorage::close_install).
    pub sealed: Option<Vec<u8>>,
    /// The time since the install began, measured by the storage's own clock.
    pub age: Duration,
}

impl fmt::Debug for StoredInstall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { browser, sealed, age } = self;
        let sealed = sealed.as_ref().map(|sealed| format!("[{} bytes]", sealed.len()));
        f.debug_struct("StoredInstall").field("browser", browser).field("sealed", &sealed).field("age", age).finish()
    }
}

/// What is stored about a consent when it begins. The record never changes.
/// [`ConsentBinding`](crate::consent::ConsentBinding) makes it, and notices if somebody has changed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRecord {
    /// The customer who will own the connection.
    pub customer: CustomerId,
    /// The app that the seller consents to. `None` if an earlier version of the host began the consent. The app is then
    /// the tenant's only app.
    pub app: Option<AppKey>,
    /// The digest that binds the other members to the browser in which the consent began.
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

/// 32 bytes. In a consent or install: an HMAC that needs the secret of the
/// [`BrowserSession`](crate::consent::BrowserSession). In other records of the service: other data. Comparing two
/// values takes constant time.
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
