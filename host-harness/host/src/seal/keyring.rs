//! Loads the data keys of tenants, unwraps and caches them, and seals (encrypts) and opens (decrypts) values with them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tiktok_shop_connector_core::contract::CLAIM_LIFE;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::aead::{DataKey, decrypt, encode_associated_data, encrypt};
use super::place::Place;
use super::provider::{KeyError, KeyProvider};
use super::rotation_error::RotationError;
use super::row_seal;
use crate::clock::{Clock, SystemClock};
use crate::connection::{ConnectionKey, UnixSeconds};
use crate::events::{Actor, Cause, EventKind, NewEvent, Origin, StatedReason};
use crate::id::{KeyId, Revision, TenantId};
use crate::randomness::Randomness;
use crate::storage::{
    HostStorage, OnceDigest, OpenRow, Purpose, Row, RowIndex, RowOrigin, Sealed, StorageError, TenantKey, WrappedKey,
};

/// How long a call may begin with cached keys, and how long a cached key may be used to decrypt values. After this
/// time, the host reads the tenant's keys again, to notice an erasure or a new key. [`Keyring::GRACE`] includes this
/// time.
pub(super) const MAX_CACHE_AGE: Duration = Duration::from_secs(60);
/// How long an unwrapped key is used before the host asks the provider again whether it still unwraps the key. So the
/// host notices if a host key was deleted in a key service, or if the host may no longer use the host key.
const RECHECK: Duration = Duration::from_secs(5 * 60);
/// The maximum time for which an unwrapped key is used while the provider is unavailable. After this time, values can't
/// be opened until the provider answers again.
const MAX_UNWRAPPED_AGE: Duration = Duration::from_secs(60 * 60);
/// The time for which a key may still seal values after it may no longer open values, also if the provider has refused
/// to unwrap the key. A call opens a value first. If the keyring let the call open the value, it must also let the call
/// seal and save the new tokens, without asking the provider, which may be slow or unavailable by now.
const SEALING_GRACE: Duration = CLAIM_LIFE;
/// The maximum number of tenants in the cache.
const MAX_CACHED_TENANTS: usize = 10_000;
/// The maximum number of attempts to find or add a tenant's newest key, while other hosts add or erase keys.
const MAX_ATTEMPTS: usize = 8;

/// Seals and opens the values of a storage. A [`ConnectorHost`](crate::ConnectorHost) has its own keyring. Use this
/// type to import connections into a storage, and to rotate and erase keys.
///
/// The keyring unwraps a tenant's keys when it first needs them, and keeps them in memory. If one host erases keys, the
/// other hosts notice the erasure within 60 seconds. After 5 minutes, the keyring asks the provider to unwrap the keys
/// again. So if somebody deletes a host key in a key service, or takes away the right to use this host key, the hosts
/// notice the change within 5 minutes. When the provider no longer unwraps a key, the keyring opens no value with the
/// key any more. But for 2 minutes, calls that began earlier can still seal their new tokens. If the key service has an
/// outage, tenants whose keys are in memory are not affected for up to one hour.
pub struct Keyring {
    storage: Arc<dyn HostStorage>,
    provider: Arc<dyn KeyProvider>,
    randomness: Arc<dyn Randomness>,
    clock: Arc<dyn Clock>,
    /// Who changes keys, and why.
    origin: Origin,
    cache: Mutex<BTreeMap<TenantId, CachedKeys>>,
    /// When the keyring last dropped the keys that are too old from the cache.
    dropped_at: Mutex<Option<Instant>>,
}

/// The keys of one tenant, as they were last read from the storage.
struct CachedKeys {
    read_at: Instant,
    /// The keys in the order in which they were added.
    keys: Vec<TenantKey>,
    unwrapped: BTreeMap<KeyId, UnwrappedKey>,
}

/// A data key that the provider has unwrapped.
struct UnwrappedKey {
    key: Arc<DataKey>,
    /// When the provider last unwrapped the key.
    unwrapped_at: Instant,
    /// When the keyring last asked the provider to unwrap the key, even if the provider was unavailable.
    asked_at: Instant,
    /// When the provider first refused to unwrap the key a further time. After a refusal, the key opens no value any
    /// more.
    refused_at: Option<Instant>,
}

/// The purpose for which a key is needed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// A call begins, or a value is opened.
    Open,
    /// A value is sealed, or the record is opened that has won against a write. The call has already opened a value, or
    /// has checked the tenant's keys at its beginning.
    Seal,
}

impl UnwrappedKey {
    /// Returns the key if it may be used without asking the provider again.
    fn confirmed(&self, purpose: Use) -> Option<Arc<DataKey>> {
        (self.asked_at.elapsed() < RECHECK + purpose.grace()).then(|| self.in_outage(purpose)).flatten()
    }

    /// Returns the key if it may be used while the provider is unavailable. A key that the provider has refused to
    /// unwrap is used only to seal, for [`SEALING_GRACE`].
    fn in_outage(&self, purpose: Use) -> Option<Arc<DataKey>> {
        let is_young = self.unwrapped_at.elapsed() < MAX_UNWRAPPED_AGE + purpose.grace();
        let is_allowed = self.refused_at.is_none_or(|at| at.elapsed() < purpose.grace());
        (is_young && is_allowed).then(|| Arc::clone(&self.key))
    }
}

impl Use {
    const fn grace(self) -> Duration {
        match self {
            Self::Open => Duration::ZERO,
            Self::Seal => SEALING_GRACE,
        }
    }
}

impl CachedKeys {
    /// Returns whether a use may rely on the list of keys without reading it again. A call that has begun seals with
    /// the key that it has, so that its save does not need one more read. [`Keyring::GRACE`] is long enough for this.
    fn is_fresh(&self, purpose: Use) -> bool {
        purpose == Use::Seal || self.read_at.elapsed() < MAX_CACHE_AGE
    }

    fn newest(&self, purpose: Use) -> Option<(KeyId, Arc<DataKey>)> {
        let id = &self.keys.last()?.id;
        Some((id.clone(), self.unwrapped.get(id)?.confirmed(purpose)?))
    }

    /// Removes the keys that are too old to be used.
    fn drop_expired(&mut self) {
        self.unwrapped.retain(|_, key| key.in_outage(Use::Seal).is_some());
    }
}

impl Keyring {
    /// Creates a keyring for this storage and these host keys.
    #[must_use]
    pub fn new(storage: Arc<dyn HostStorage>, provider: Arc<dyn KeyProvider>, randomness: Arc<dyn Randomness>) -> Self {
        let (clock, origin) = (Arc::new(SystemClock::new()), Origin::default());
        Self { storage, provider, randomness, clock, origin, cache: Mutex::default(), dropped_at: Mutex::default() }
    }

    /// Sets the actor who changes keys. The events of the keys name the actor. Without this setting, the platform
    /// itself changes keys.
    #[must_use]
    pub fn acting_as(mut self, actor: Actor) -> Self {
        self.origin.actor = Some(actor);
        self
    }

    /// Sets the reason for which keys are changed. The events of the keys contain the reason.
    #[must_use]
    pub fn because(mut self, reason: StatedReason) -> Self {
        self.origin.stated_reason = Some(reason);
        self
    }

    /// Sets the clock that gives the events of the keys their time. Default: [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    pub(super) fn storage(&self) -> &dyn HostStorage {
        &*self.storage
    }

    pub(super) fn provider(&self) -> &dyn KeyProvider {
        &*self.provider
    }

    /// Creates an event that concerns the whole tenant, with the current time.
    pub(super) fn event(&self, kind: EventKind, cause: Cause) -> NewEvent {
        let at = UnixSeconds(self.clock.wall().as_secs());
        NewEvent { at, key: None, kind, origin: self.origin.during(cause) }
    }

    /// Writes an event for each tenant that has data keys, because a host key belongs to all of them.
    pub(super) async fn record_for_tenants(&self, once: &OnceDigest, event: &NewEvent) -> Result<(), RotationError> {
        let tenants: BTreeSet<_> = self.data_keys().await?.into_iter().map(|key| key.tenant).collect();
        for tenant in &tenants {
            self.storage.append_once(tenant, once, event, None).await?;
        }
        Ok(())
    }

    pub(super) fn randomness(&self) -> &dyn Randomness {
        &*self.randomness
    }

    /// Makes sure that values can be sealed for this tenant. Creates a first key if the tenant has no key.
    ///
    /// # Errors
    /// See [`seal_token`](Self::seal_token).
    pub async fn ensure_key(&self, tenant: &TenantId) -> Result<(), StorageError> {
        self.sealing_key(tenant, Use::Open).await.map(drop)
    }

    /// Seals a token record. The caller must write the sealed value with this revision.
    ///
    /// # Errors
    /// A [`StorageError`] if the keys can't be read. If a key is missing, the text of the error contains
    /// `key-unavailable(ID)` with the id of the host key or of the tenant's data key.
    pub async fn seal_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        revision: &Revision,
        record: &[u8],
    ) -> Result<Sealed, StorageError> {
        self.seal(&Place { tenant, key, purpose: Purpose::Token, revision }, record).await
    }

    /// Opens a token record that was written with this revision.
    ///
    /// # Errors
    /// See [`seal_token`](Self::seal_token). Also [`StorageError::Refused`] if the value was changed, or if it was
    /// sealed for another tenant, connection or revision.
    pub async fn open_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        revision: &Revision,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, StorageError> {
        self.open_token_for(Use::Open, tenant, key, revision, sealed).await
    }

    /// Opens a token record as [`open_token`](Self::open_token) does, for this use.
    pub(super) async fn open_token_for(
        &self,
        purpose: Use,
        tenant: &TenantId,
        key: &ConnectionKey,
        revision: &Revision,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, StorageError> {
        self.open(purpose, &Place { tenant, key, purpose: Purpose::Token, revision }, sealed).await
    }

    /// Encodes a row and seals its ciphers, together with the digest of its document. The caller must write the row with
    /// this revision.
    ///
    /// # Errors
    /// See [`seal_token`](Self::seal_token).
    pub async fn seal_row(&self, tenant: &TenantId, revision: &Revision, row: &OpenRow) -> Result<Row, StorageError> {
        self.seal_document(tenant, revision, row.encode()?, row.secrets()?.expose()).await
    }

    /// Seals the secrets of an encoded row, together with the digest of its document. The caller must write the row with
    /// this revision.
    pub(super) async fn seal_document(
        &self,
        tenant: &TenantId,
        revision: &Revision,
        mut row: Row,
        secrets: &[u8],
    ) -> Result<Row, StorageError> {
        let place = Place { tenant, key: &row.key, purpose: Purpose::Ciphers, revision };
        row.sealed = Some(self.seal(&place, &row_seal::bound(&row.document, secrets)).await?);
        Ok(row)
    }

    /// Checks a row that was written with this revision, and opens it.
    ///
    /// # Errors
    /// See [`open_token`](Self::open_token). [`StorageError::RowChanged`] if the row is not the row that the host wrote.
    pub async fn open_row(&self, tenant: &TenantId, revision: &Revision, row: &Row) -> Result<OpenRow, StorageError> {
        let (secrets, decoded) = self.open_row_for(Use::Open, tenant, revision, row).await?;
        decoded.map_or_else(|| OpenRow::decode(&row.key, &row.document, &secrets), Ok)
    }

    /// Checks a row that was written with this revision, and opens its secrets, for this use. Also returns the decoded
    /// row, if the check had to decode it.
    pub(super) async fn open_row_for(
        &self,
        purpose: Use,
        tenant: &TenantId,
        revision: &Revision,
        row: &Row,
    ) -> Result<(Zeroizing<Vec<u8>>, Option<OpenRow>), StorageError> {
        let changed = || StorageError::RowChanged(revision.clone());
        let place = Place { tenant, key: &row.key, purpose: Purpose::Ciphers, revision };
        let clear = match (&row.sealed, row.origin) {
            (Some(sealed), _) => {
                let key = self.opening_key(purpose, tenant, sealed.key()).await?;
                decrypt(&key, &place.associated_data(sealed.key()), sealed.bytes()).ok_or_else(changed)?
            }
            (None, RowOrigin::Columns) => return Ok((Zeroizing::default(), None)),
            (None, RowOrigin::Document) => return Err(changed()),
        };
        match row.origin {
            RowOrigin::Columns => Ok((row_seal::secrets_of_columns(&clear).ok_or_else(changed)?, None)),
            RowOrigin::Document => {
                let secrets = row_seal::secrets_of(&row.document, &clear).ok_or_else(changed)?;
                let decoded = OpenRow::decode(&row.key, &row.document, &secrets).ok();
                // If this release cannot decode the document, the connector reports the row.
                let consistent = match &decoded {
                    Some(open) => is_consistent(row, open),
                    None => row.decode().map_or(true, |open| is_consistent(row, &open)),
                };
                if consistent { Ok((secrets, decoded)) } else { Err(changed()) }
            }
        }
    }

    pub(super) async fn seal(&self, place: &Place<'_>, clear: &[u8]) -> Result<Sealed, StorageError> {
        let (id, key) = self.sealing_key(place.tenant, Use::Seal).await?;
        let bytes = encrypt(&key, &place.associated_data(&id), clear, &*self.randomness).map_err(no_randomness)?;
        Ok(Sealed::new(id, bytes))
    }

    pub(super) async fn open(
        &self,
        purpose: Use,
        place: &Place<'_>,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, StorageError> {
        let key = self.opening_key(purpose, place.tenant, sealed.key()).await?;
        decrypt(&key, &place.associated_data(sealed.key()), sealed.bytes()).ok_or_else(|| does_not_open(sealed.key()))
    }

    /// Returns the tenant's newest key. Adds a key if the tenant has no key or if its newest key is erased. A call that
    /// begins reads the keys again after [`MAX_CACHE_AGE`], unless the storage is unavailable. Another host may have
    /// removed or erased a cached key. The storage then answers the write with [`StorageError::KeyGone`], and the
    /// caller must seal the value again.
    async fn sealing_key(&self, tenant: &TenantId, purpose: Use) -> Result<(KeyId, Arc<DataKey>), StorageError> {
        let (is_fresh, cached) = match self.lock().get(tenant) {
            Some(known) => (known.is_fresh(purpose), known.newest(purpose)),
            None => (false, None),
        };
        if let (true, Some(newest)) = (is_fresh, &cached) {
            return Ok(newest.clone());
        }
        for _ in 0..MAX_ATTEMPTS {
            let keys = match (self.load_keys(tenant).await, &cached) {
                (Ok(keys), _) => keys,
                (Err(StorageError::Unavailable(_)), Some(newest)) => return Ok(newest.clone()),
                (Err(error), _) => return Err(error),
            };
            match keys.last() {
                Some(newest) if newest.wrapped.is_some() => {
                    let key = self.unwrap_for(purpose, tenant, newest).await?;
                    return Ok((newest.id.clone(), key));
                }
                none_or_erased => {
                    self.add_key(tenant, none_or_erased.map(|key| &key.id)).await?;
                }
            }
        }
        Err(StorageError::Unavailable("other hosts keep changing the tenant's keys".to_owned()))
    }

    /// Returns the tenant's key with this id. Uses a cached key for [`MAX_CACHE_AGE`], and longer while the storage is
    /// unavailable, but never longer than [`MAX_UNWRAPPED_AGE`].
    pub(super) async fn opening_key(
        &self,
        purpose: Use,
        tenant: &TenantId,
        id: &KeyId,
    ) -> Result<Arc<DataKey>, StorageError> {
        let (confirmed, cached) = match self.lock().get(tenant) {
            Some(known) => {
                let key = known.unwrapped.get(id);
                let confirmed = key.filter(|_| known.is_fresh(Use::Open)).and_then(|key| key.confirmed(purpose));
                (confirmed, key.and_then(|key| key.in_outage(purpose)))
            }
            None => (None, None),
        };
        if let Some(key) = confirmed {
            return Ok(key);
        }
        let keys = match (self.load_keys(tenant).await, cached) {
            (Ok(keys), _) => keys,
            (Err(StorageError::Unavailable(_)), Some(key)) => return Ok(key),
            (Err(error), _) => return Err(error),
        };
        match keys.iter().find(|key| key.id == *id) {
            Some(key) => self.unwrap_for(purpose, tenant, key).await,
            None => Err(DataKeyGone::Absent(id.clone()).into()),
        }
    }

    /// Reads the tenant's keys from the storage, and removes deleted and erased keys from the cache.
    pub(super) async fn load_keys(&self, tenant: &TenantId) -> Result<Vec<TenantKey>, StorageError> {
        let keys = self.storage.tenant_keys(tenant).await?;
        let mut cache = self.lock();
        if self.is_time_to_drop_expired_keys() {
            cache.values_mut().for_each(CachedKeys::drop_expired);
        }
        if cache.len() >= MAX_CACHED_TENANTS && !cache.contains_key(tenant) {
            // Calls that have begun need their keys for their saves, and an outage of the provider needs all of them.
            cache.retain(|_, known| known.read_at.elapsed() < MAX_CACHE_AGE + SEALING_GRACE);
        }
        let known = cache.entry(tenant.clone()).or_insert_with(|| CachedKeys {
            read_at: Instant::now(),
            keys: Vec::new(),
            unwrapped: BTreeMap::new(),
        });
        let is_usable = |id: &KeyId| keys.iter().any(|key| key.id == *id && key.wrapped.is_some());
        known.unwrapped.retain(|id, _| is_usable(id));
        known.keys.clone_from(&keys);
        known.read_at = Instant::now();
        Ok(keys)
    }

    /// Returns true at most once in the time [`RECHECK`]. Dropping visits all cached tenants, so it must not happen
    /// often.
    fn is_time_to_drop_expired_keys(&self) -> bool {
        let mut dropped_at = self.dropped_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = dropped_at.is_none_or(|at| at.elapsed() >= RECHECK);
        if is_time {
            *dropped_at = Some(Instant::now());
        }
        is_time
    }

    /// Removes a tenant's keys from the cache.
    pub(super) fn forget_keys(&self, tenant: &TenantId) {
        self.lock().remove(tenant);
    }

    /// Returns the unwrapped key, from the cache if possible.
    pub(super) async fn unwrap_key(&self, tenant: &TenantId, key: &TenantKey) -> Result<Arc<DataKey>, StorageError> {
        self.unwrap_for(Use::Open, tenant, key).await
    }

    /// Returns the unwrapped key, from the cache if the purpose allows it. While the provider is unavailable, a cached
    /// key may be older. If the provider refuses to unwrap the key, the cached key opens no value any more. But calls
    /// that began earlier can still seal with the cached key, because their new tokens would be lost otherwise.
    async fn unwrap_for(&self, purpose: Use, tenant: &TenantId, key: &TenantKey) -> Result<Arc<DataKey>, StorageError> {
        let (confirmed, cached) = match self.lock().get(tenant).and_then(|known| known.unwrapped.get(&key.id)) {
            Some(known) => (known.confirmed(purpose), known.in_outage(purpose)),
            None => (None, None),
        };
        if let Some(key) = confirmed {
            return Ok(key);
        }
        let wrapped = key.wrapped.as_ref().ok_or_else(|| DataKeyGone::Erased(key.id.clone()))?;
        match (self.ask_to_unwrap(tenant, &key.id, wrapped).await, cached) {
            (Ok(key), _) => Ok(key),
            (Err(KeyError::Unavailable { .. }), Some(cached)) => {
                // The keyring asks the provider again only after `RECHECK`, so not every call waits for an unavailable
                // provider.
                self.change_unwrapped(tenant, &key.id, |known| known.asked_at = Instant::now());
                Ok(cached)
            }
            (Err(error @ KeyError::Unavailable { .. }), None) => Err(error.into()),
            (Err(error), _) => self.refuse(purpose, tenant, &key.id).ok_or_else(|| error.into()),
        }
    }

    /// Notes that the provider refuses to unwrap a key. Returns the cached key if the purpose still allows it. A
    /// repeated refusal does not prolong the [`SEALING_GRACE`].
    fn refuse(&self, purpose: Use, tenant: &TenantId, id: &KeyId) -> Option<Arc<DataKey>> {
        let now = Instant::now();
        self.change_unwrapped(tenant, id, |known| {
            known.asked_at = now;
            known.refused_at.get_or_insert(now);
        });
        let mut cache = self.lock();
        let known = cache.get_mut(tenant)?;
        known.drop_expired();
        known.unwrapped.get(id)?.in_outage(purpose)
    }

    /// Changes the entry of an unwrapped key in the cache, if there is one.
    fn change_unwrapped(&self, tenant: &TenantId, id: &KeyId, change: impl FnOnce(&mut UnwrappedKey)) {
        if let Some(known) = self.lock().get_mut(tenant).and_then(|known| known.unwrapped.get_mut(id)) {
            change(known);
        }
    }

    /// Asks the provider to unwrap a key, and adds the key to the cache.
    async fn ask_to_unwrap(
        &self,
        tenant: &TenantId,
        id: &KeyId,
        wrapped: &WrappedKey,
    ) -> Result<Arc<DataKey>, KeyError> {
        let data_key = Arc::new(self.provider.unwrap(tenant, wrapped, &wrapping_context(tenant, id)).await?);
        if data_key.is_zero() {
            // The host draws every data key at random. A provider that returns zeros has lost the key.
            return Err(KeyError::Mismatch(wrapped.host_key.clone()));
        }
        if let Some(known) = self.lock().get_mut(tenant) {
            let (key, now) = (Arc::clone(&data_key), Instant::now());
            let entry = UnwrappedKey { key, unwrapped_at: now, asked_at: now, refused_at: None };
            known.unwrapped.insert(id.clone(), entry);
        }
        Ok(data_key)
    }

    /// Adds a new key after `newest`, wrapped by the current host key. Returns `false` if another host has added a key
    /// first.
    ///
    /// The host key may be retired between the wrapping and the writing. The retirement counts the data keys after it
    /// has removed the host key, and this function unwraps the key after it has written it. So one of them notices the
    /// other. If this function notices the retirement, it wraps the key again, under the host key that is current then.
    pub(super) async fn add_key(&self, tenant: &TenantId, newest: Option<&KeyId>) -> Result<bool, StorageError> {
        let id = KeyId::draw(&*self.randomness).map_err(no_randomness)?;
        let data_key = DataKey::draw(&*self.randomness).map_err(no_randomness)?;
        let context = wrapping_context(tenant, &id);
        let mut wrapped = self.provider.wrap(tenant, &data_key, &context).await?;
        let key = |wrapped: &WrappedKey| TenantKey { id: id.clone(), wrapped: Some(wrapped.clone()) };
        if !self.storage.add_key(tenant, newest, &key(&wrapped)).await? {
            return Ok(false);
        }
        for _ in 0..MAX_ATTEMPTS {
            match self.ask_to_unwrap(tenant, &id, &wrapped).await {
                Err(KeyError::Unknown(_)) => {}
                unwrapped => return Ok(unwrapped.map(|_| true)?),
            }
            let earlier = key(&wrapped);
            wrapped = self.provider.wrap(tenant, &data_key, &context).await?;
            if !self.storage.rewrap_key(tenant, &earlier, Some(&wrapped)).await? {
                // Another host has wrapped the key again, or erased or removed it.
                return Ok(true);
            }
        }
        Err(StorageError::Unavailable("host keys are retired again and again".to_owned()))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantId, CachedKeys>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}

/// Why a tenant's data key can't be used although the storage has answered. [`KeyError`] says the same of a host key.
#[derive(Debug, thiserror::Error)]
enum DataKeyGone {
    #[error("key-unavailable({0}): the tenant has no key of that name")]
    Absent(KeyId),
    #[error("key-unavailable({0}): the tenant's key of that name has been erased")]
    Erased(KeyId),
}

impl From<DataKeyGone> for StorageError {
    fn from(gone: DataKeyGone) -> Self {
        Self::Refused(gone.to_string())
    }
}

/// Returns the context with which a data key is wrapped. The wrapped key can be unwrapped only for this tenant and this
/// id.
pub(super) fn wrapping_context(tenant: &TenantId, key: &KeyId) -> Vec<u8> {
    encode_associated_data("context", &[tenant.as_str(), key.as_str()])
}

/// Returns whether the index, the lineage and the generation of the row agree with its decoded document.
fn is_consistent(row: &Row, open: &OpenRow) -> bool {
    RowIndex::of(&open.connection) == row.index
        && open.token_lineage == row.token_lineage
        && open.token_generation == row.token_generation
}

fn does_not_open(key: &KeyId) -> StorageError {
    StorageError::Refused(format!(
        "the sealed value does not open under key {key}: it has been changed, or moved from another place"
    ))
}

pub(super) fn no_randomness(error: io::Error) -> StorageError {
    StorageError::Unavailable(format!("no randomness: {error}"))
}
