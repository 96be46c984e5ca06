//! The data keys of tenants: found, unwrapped, remembered, and used.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use super::provider::KeyProvider;
use super::{DataKey, Place, associated, decrypt, encrypt};
use crate::connection::ConnectionKey;
use crate::id::{KeyId, Revision, TenantId};
use crate::randomness::Randomness;
use crate::secret::Secret;
use crate::storage::{HostStorage, Purpose, Row, Sealed, StorageError, TenantKey};

/// How long a host opens values without looking whether their key has been erased.
const REMEMBERS: Duration = Duration::from_secs(60);
/// Tenants whose keys are remembered at a time.
const MAX_TENANTS: usize = 10_000;
/// Hosts that add a tenant's first key at the same time.
const MAX_RACES: usize = 8;

/// Seals and opens values of a storage. What a [`ConnectorHost`](crate::ConnectorHost) does by itself; use it to bring
/// connections from elsewhere into a storage, and to change and erase keys.
///
/// A tenant's keys are unwrapped when they are first needed, and stay in this process's memory: a key service that is down
/// stops no tenant whose keys are known. Where a host erases keys, others notice within a minute.
pub struct Keyring {
    storage: Arc<dyn HostStorage>,
    provider: Arc<dyn KeyProvider>,
    randomness: Arc<dyn Randomness>,
    known: Mutex<BTreeMap<TenantId, Known>>,
}

/// What is known of a tenant's keys.
struct Known {
    read_at: Instant,
    /// In the order in which they were added.
    keys: Vec<TenantKey>,
    unwrapped: BTreeMap<KeyId, Arc<DataKey>>,
}

impl Known {
    fn newest(&self) -> Option<(KeyId, Arc<DataKey>)> {
        let id = &self.keys.last()?.id;
        Some((id.clone(), Arc::clone(self.unwrapped.get(id)?)))
    }
}

impl Keyring {
    /// For this storage, with these host keys.
    #[must_use]
    pub fn new(storage: Arc<dyn HostStorage>, provider: Arc<dyn KeyProvider>, randomness: Arc<dyn Randomness>) -> Self {
        Self { storage, provider, randomness, known: Mutex::default() }
    }

    pub(super) fn storage(&self) -> &dyn HostStorage {
        &*self.storage
    }

    pub(super) fn provider(&self) -> &dyn KeyProvider {
        &*self.provider
    }

    /// Makes sure that something can be sealed for this tenant; its first key is made here.
    ///
    /// # Errors
    /// As of [`seal_token`](Self::seal_token).
    pub async fn ready(&self, tenant: &TenantId) -> Result<(), StorageError> {
        self.sealing_key(tenant).await.map(drop)
    }

    /// Seals a token record for the write that gets this revision.
    ///
    /// # Errors
    /// See [`StorageError`]: keys can't be read, or `key-unavailable(ID)`, with the host key or the tenant's key that is
    /// missing. Nothing is written then.
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
    /// See [`seal_token`](Self::seal_token); `Refused` also where the value stood elsewhere before, or has been changed.
    pub async fn open_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        revision: &Revision,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, StorageError> {
        self.open(&Place { tenant, key, purpose: Purpose::Token, revision }, sealed).await
    }

    /// Takes the ciphers out of a row's shops, and seals them for the write that gets this revision.
    ///
    /// # Errors
    /// See [`seal_token`](Self::seal_token).
    pub async fn seal_row(&self, tenant: &TenantId, revision: &Revision, mut row: Row) -> Result<Row, StorageError> {
        let ciphers: BTreeMap<_, _> = row
            .connection
            .shops
            .iter_mut()
            .filter_map(|shop| Some((shop.id.as_str().to_owned(), shop.cipher.take()?)))
            .collect();
        row.ciphers = None;
        if !ciphers.is_empty() {
            let exposed: BTreeMap<_, _> = ciphers.iter().map(|(id, cipher)| (id, cipher.expose())).collect();
            let text = serde_json::to_vec(&exposed).map_err(|error| StorageError::Refused(error.to_string()))?;
            let place = Place { tenant, key: &row.connection.key, purpose: Purpose::Ciphers, revision };
            row.ciphers = Some(self.seal(&place, &Zeroizing::new(text)).await?);
        }
        Ok(row)
    }

    /// Opens the ciphers of a row that was written with this revision, and puts each into its shop.
    ///
    /// # Errors
    /// See [`open_token`](Self::open_token).
    pub async fn open_row(&self, tenant: &TenantId, revision: &Revision, mut row: Row) -> Result<Row, StorageError> {
        let Some(sealed) = row.ciphers.take() else { return Ok(row) };
        let place = Place { tenant, key: &row.connection.key, purpose: Purpose::Ciphers, revision };
        let text = self.open(&place, &sealed).await?;
        let mut ciphers: BTreeMap<String, String> =
            serde_json::from_slice(&text).map_err(|_| does_not_open(sealed.key()))?;
        for shop in &mut row.connection.shops {
            shop.cipher = ciphers.remove(shop.id.as_str()).map(Secret::from);
        }
        Ok(row)
    }

    pub(super) async fn seal(&self, place: &Place<'_>, clear: &[u8]) -> Result<Sealed, StorageError> {
        let (id, key) = self.sealing_key(place.tenant).await?;
        let bytes = encrypt(&key, &place.associated(&id), clear, &*self.randomness).map_err(no_randomness)?;
        Ok(Sealed::new(id, bytes))
    }

    pub(super) async fn open(&self, place: &Place<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, StorageError> {
        let key = self.opening_key(place.tenant, sealed.key()).await?;
        decrypt(&key, &place.associated(sealed.key()), sealed.bytes()).ok_or_else(|| does_not_open(sealed.key()))
    }

    /// The tenant's newest key. What is remembered is used as it is: storage refuses what is sealed under a key that is gone.
    async fn sealing_key(&self, tenant: &TenantId) -> Result<(KeyId, Arc<DataKey>), StorageError> {
        if let Some(newest) = self.lock().get(tenant).and_then(Known::newest) {
            return Ok(newest);
        }
        for _ in 0..MAX_RACES {
            let keys = self.read(tenant).await?;
            match keys.last() {
                Some(newest) if newest.wrapped.is_some() => {
                    let key = self.unwrapped(tenant, newest).await?;
                    return Ok((newest.id.clone(), key));
                }
                none_or_erased => {
                    self.add(tenant, none_or_erased.map(|key| &key.id)).await?;
                }
            }
        }
        Err(StorageError::Unavailable("other hosts keep changing the tenant's keys".to_owned()))
    }

    /// The tenant's key of this name, looked after once a minute. One that is known serves while storage does not answer.
    async fn opening_key(&self, tenant: &TenantId, id: &KeyId) -> Result<Arc<DataKey>, StorageError> {
        let (found, is_fresh) = match self.lock().get(tenant) {
            Some(known) => (known.unwrapped.get(id).cloned(), known.read_at.elapsed() < REMEMBERS),
            None => (None, false),
        };
        let found = match found {
            Some(key) if is_fresh => return Ok(key),
            found => found,
        };
        let keys = match (self.read(tenant).await, found) {
            (Ok(keys), _) => keys,
            (Err(StorageError::Unavailable(_)), Some(key)) => return Ok(key),
            (Err(error), _) => return Err(error),
        };
        let gone = |why| StorageError::Refused(format!("key-unavailable({id}): {why}"));
        match keys.iter().find(|key| key.id == *id) {
            Some(key) if key.wrapped.is_some() => self.unwrapped(tenant, key).await,
            Some(_) => Err(gone("the tenant's key of that name has been erased")),
            None => Err(gone("the tenant has no key of that name")),
        }
    }

    /// The tenant's keys as they are stored now. Keys that are gone or erased are forgotten.
    pub(super) async fn read(&self, tenant: &TenantId) -> Result<Vec<TenantKey>, StorageError> {
        let keys = self.storage.tenant_keys(tenant).await?;
        let mut all = self.lock();
        if all.len() >= MAX_TENANTS && !all.contains_key(tenant) {
            all.clear();
        }
        let known = all.entry(tenant.clone()).or_insert_with(|| Known {
            read_at: Instant::now(),
            keys: Vec::new(),
            unwrapped: BTreeMap::new(),
        });
        let serves = |id: &KeyId| keys.iter().any(|key| key.id == *id && key.wrapped.is_some());
        known.unwrapped.retain(|id, _| serves(id));
        known.keys.clone_from(&keys);
        known.read_at = Instant::now();
        Ok(keys)
    }

    pub(super) fn forget(&self, tenant: &TenantId) {
        self.lock().remove(tenant);
    }

    pub(super) async fn unwrapped(&self, tenant: &TenantId, key: &TenantKey) -> Result<Arc<DataKey>, StorageError> {
        if let Some(known) = self.lock().get(tenant).and_then(|known| known.unwrapped.get(&key.id)) {
            return Ok(Arc::clone(known));
        }
        let gone = || StorageError::Refused(format!("key-unavailable({}): it has been erased", key.id));
        let wrapped = key.wrapped.as_ref().ok_or_else(gone)?;
        let data_key = Arc::new(self.provider.unwrap(wrapped, &context(tenant, &key.id)).await?);
        if let Some(known) = self.lock().get_mut(tenant) {
            known.unwrapped.insert(key.id.clone(), Arc::clone(&data_key));
        }
        Ok(data_key)
    }

    /// Adds a new key behind this one, under the current host key. `false`: another host has added one.
    pub(super) async fn add(&self, tenant: &TenantId, newest: Option<&KeyId>) -> Result<bool, StorageError> {
        let id = KeyId::draw(&*self.randomness).map_err(no_randomness)?;
        let data_key = DataKey::draw(&*self.randomness).map_err(no_randomness)?;
        let wrapped = self.provider.wrap(&data_key, &context(tenant, &id)).await?;
        self.storage.add_key(tenant, newest, &TenantKey { id, wrapped: Some(wrapped) }).await
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<TenantId, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}

/// What a data key is wrapped with: it unwraps for this tenant, under this name.
pub(super) fn context(tenant: &TenantId, key: &KeyId) -> Vec<u8> {
    associated("context", &[tenant.as_str(), key.as_str()])
}

fn does_not_open(key: &KeyId) -> StorageError {
    StorageError::Refused(format!(
        "the sealed value does not open under key {key}: it has been changed, or moved from another place"
    ))
}

fn no_randomness(error: io::Error) -> StorageError {
    StorageError::Unavailable(format!("no randomness: {error}"))
}
