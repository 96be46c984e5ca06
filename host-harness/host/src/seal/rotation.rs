//! Keys over time: a new host key, new data keys, values sealed anew while calls go on, and keys that are erased.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Place;
use super::key_file::{KeyFile, KeyFileError};
use super::keyring::{Keyring, context};
use super::provider::KeyError;
use crate::connection::{ConnectionKey, UnixSeconds};
use crate::events::{EventKind, NewEvent};
use crate::id::{HostKeyId, KeyId, TenantId};
use crate::storage::{KeyUse, Purpose, SealedRecord, StorageError, Swapped, TenantKey};
use tiktok_shop_connector_core::contract::CLAIM_LIFE;

/// Records, or keys, that are listed at a time.
const PAGE: usize = 500;
/// Times that a key is gone through because hosts that had not heard of the new one wrote under it.
const MAX_PASSES: usize = 20;
/// Times that something is tried again because somebody else was faster.
const MAX_RACES: usize = 8;

/// Which keys there are, and how much is sealed under each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatus {
    /// The host key that wraps new data keys.
    pub current: HostKeyId,
    /// Every data key of every tenant.
    pub keys: Vec<TenantKeyStatus>,
}

/// A data key, and how much is sealed under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantKeyStatus {
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub key: KeyId,
    /// Which host key wraps it; `None`: it has been erased.
    pub host_key: Option<HostKeyId>,
    /// Records that are sealed under it.
    pub records: u64,
}

impl KeyStatus {
    /// Data keys and records under each host key, the current one among them; `None`: erased data keys.
    #[must_use]
    pub fn by_host_key(&self) -> BTreeMap<Option<&HostKeyId>, (u64, u64)> {
        let mut uses = BTreeMap::from([(Some(&self.current), (0, 0))]);
        for key in &self.keys {
            let (keys, records) = uses.entry(key.host_key.as_ref()).or_default();
            *keys += 1;
            *records += key.records;
        }
        uses
    }

    /// Whether every data key is wrapped by the current host key, and every tenant has one.
    #[must_use]
    pub fn is_rotated(&self) -> bool {
        let tenants: BTreeSet<_> = self.keys.iter().map(|key| &key.tenant).collect();
        tenants.len() == self.keys.len() && self.keys.iter().all(|key| key.host_key.as_ref() == Some(&self.current))
    }
}

/// What a rotation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rotated {
    /// Tenants that were looked at.
    pub tenants: u64,
    /// Data keys that were added.
    pub added: u64,
    /// Earlier data keys that the current host key wraps now.
    pub rewrapped: u64,
    /// Records that are sealed under a new data key now.
    pub resealed: u64,
    /// Earlier data keys that nothing needs any more, and that are gone.
    pub removed: u64,
    /// Records that do not open, and stay as they are under an earlier data key.
    pub unopened: u64,
}

/// Where a rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationStep {
    /// One more record has been looked at.
    Record,
    /// All have, and now it waits so long for writes that are under way.
    Waiting(Duration),
}

/// What was erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Data keys: what was sealed under them opens never again, in no copy of the storage.
    pub keys: u64,
    /// Connections whose records were deleted after that.
    pub connections: u64,
}

/// Why keys were not changed. What was done until then stays done, and a repetition goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RotationError {
    /// A host key did not serve.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The file of host keys can't be used.
    #[error(transparent)]
    KeyFile(KeyFileError),
    /// Storage did not answer, or refused.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// New data keys are wrapped by this one. Add another first.
    #[error("host key {0} is the current one: rotate to another first")]
    Current(HostKeyId),
    /// There is no such host key.
    #[error("there is no host key {0}")]
    NoSuchKey(HostKeyId),
    /// Without it these would not open. Rotate first.
    #[error("host key {key} is in use: it wraps {keys} data keys with {records} records; rotate first")]
    InUse {
        /// The host key.
        key: HostKeyId,
        /// Data keys that it wraps.
        keys: u64,
        /// Records that are sealed under those.
        records: u64,
    },
    /// Hosts keep writing under a data key that is to go. Try again; they notice within a minute.
    #[error("hosts keep writing under data key {0}: try again in a minute")]
    Busy(KeyId),
}

impl From<KeyFileError> for RotationError {
    fn from(error: KeyFileError) -> Self {
        Self::KeyFile(error)
    }
}

impl Keyring {
    /// Which keys there are, counted by the storage.
    ///
    /// # Errors
    /// See [`RotationError`].
    pub async fn status(&self) -> Result<KeyStatus, RotationError> {
        let current = self.provider().current().await?;
        let mut keys: Vec<KeyUse> = Vec::new();
        loop {
            let after = keys.last().map(|last| (&last.tenant, &last.key.id));
            let page = self.storage().key_uses(after, PAGE).await?;
            if page.is_empty() {
                break;
            }
            keys.extend(page);
        }
        let status = |KeyUse { tenant, key, records }: KeyUse| TenantKeyStatus {
            tenant,
            key: key.id,
            host_key: key.wrapped.map(|wrapped| wrapped.host_key),
            records,
        };
        Ok(KeyStatus { current, keys: keys.into_iter().map(status).collect() })
    }

    /// How long after a new data key an earlier one is still needed: as long as a claim lives. Whoever began to refresh a
    /// token under the earlier key has saved it by then, and every host has looked after its keys.
    pub const GRACE: Duration = CLAIM_LIFE;

    /// Brings every tenant under the current host key: gives it a new data key, wraps the earlier ones anew, and seals every
    /// record under the new one. Then it waits for what is under way, and removes the earlier keys. Calls go on meanwhile: a
    /// record that one writes is left to it, and what is sealed anew keeps its revision and its age.
    ///
    /// Every host must have the new host key before: one that does not refuses calls from then on, and loses nothing if `grace`
    /// is [`GRACE`](Self::GRACE) at least.
    ///
    /// Whatever ends it early, a repetition goes on from there; when all is done it does nothing, and does not wait.
    ///
    /// # Errors
    /// See [`RotationError`].
    pub async fn rotate(
        &self,
        grace: Duration,
        mut on_step: impl FnMut(RotationStep),
    ) -> Result<Rotated, RotationError> {
        let mut rotated = Rotated::default();
        let tenants: BTreeSet<_> = self.status().await?.keys.into_iter().map(|key| key.tenant).collect();
        let mut earlier = Vec::new();
        for tenant in &tenants {
            rotated.tenants += 1;
            for key in self.renew(tenant, &mut rotated).await? {
                self.reseal_all(tenant, &key, &mut rotated, &mut on_step).await?;
                earlier.push((tenant, key));
            }
        }
        if !earlier.is_empty() {
            on_step(RotationStep::Waiting(grace));
            tokio::time::sleep(grace).await;
        }
        for (tenant, key) in earlier {
            self.remove(tenant, &key, &mut rotated, &mut on_step).await?;
        }
        Ok(rotated)
    }

    /// Makes sure that the tenant's newest key was made under the current host key, and that this one wraps the earlier ones,
    /// too. Those are what it gives back.
    async fn renew(&self, tenant: &TenantId, rotated: &mut Rotated) -> Result<Vec<TenantKey>, RotationError> {
        let mut keys = self.read(tenant).await?;
        // Without the host keys of the earlier ones nothing could be sealed anew: no other is added then.
        for key in keys.iter().filter(|key| key.wrapped.is_some()) {
            self.unwrapped(tenant, key).await?;
        }
        for _ in 0..MAX_RACES {
            let current = self.provider().current().await?;
            let Some(TenantKey { id, wrapped: Some(wrapped) }) = keys.last() else { break };
            if wrapped.host_key == current {
                break;
            }
            rotated.added += u64::from(self.add(tenant, Some(id)).await?);
            keys = self.read(tenant).await?;
        }
        let Some(newest) = keys.pop().filter(|newest| newest.wrapped.is_some()) else { return Ok(Vec::new()) };
        self.unwrapped(tenant, &newest).await?;
        for key in &keys {
            rotated.rewrapped += u64::from(self.rewrap(tenant, key).await?);
        }
        Ok(keys)
    }

    /// Wraps a data key under the current host key, unless that does already.
    async fn rewrap(&self, tenant: &TenantId, key: &TenantKey) -> Result<bool, RotationError> {
        let current = self.provider().current().await?;
        if key.wrapped.as_ref().is_none_or(|wrapped| wrapped.host_key == current) {
            return Ok(false);
        }
        let data_key = self.unwrapped(tenant, key).await?;
        let wrapped = self.provider().wrap(&data_key, &context(tenant, &key.id)).await?;
        Ok(self.storage().rewrap_key(tenant, key, Some(&wrapped)).await?)
    }

    /// Seals what is under this key under the newest one. How many records do not open.
    async fn reseal_all(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        rotated: &mut Rotated,
        on_step: &mut impl FnMut(RotationStep),
    ) -> Result<u64, RotationError> {
        let mut unopened = 0;
        let mut after: Option<(Purpose, ConnectionKey)> = None;
        loop {
            let from = after.as_ref().map(|(purpose, key)| (*purpose, key));
            let page = self.storage().sealed_under(tenant, &key.id, from, PAGE).await?;
            for record in &page {
                on_step(RotationStep::Record);
                match self.reseal(tenant, record).await {
                    Ok(done) => rotated.resealed += u64::from(done),
                    // It stays for whoever can make something of it.
                    Err(StorageError::Refused(_)) => unopened += 1,
                    Err(error) => return Err(error.into()),
                }
            }
            let Some(last) = page.into_iter().next_back() else { return Ok(unopened) };
            after = Some((last.purpose, last.key));
        }
    }

    /// Removes a key once nothing is sealed under it: what hosts have written under it meanwhile is sealed anew.
    async fn remove(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        rotated: &mut Rotated,
        on_step: &mut impl FnMut(RotationStep),
    ) -> Result<(), RotationError> {
        for _ in 0..MAX_PASSES {
            if self.storage().remove_key(tenant, &key.id).await? {
                rotated.removed += 1;
                return Ok(());
            }
            if self.storage().tenant_keys(tenant).await?.iter().all(|left| left.id != key.id) {
                return Ok(()); // Another rotation has removed it.
            }
            let unopened = self.reseal_all(tenant, key, rotated, on_step).await?;
            if unopened > 0 {
                rotated.unopened += unopened;
                return Ok(());
            }
        }
        Err(RotationError::Busy(key.id.clone()))
    }

    /// `false`: somebody has written the record meanwhile.
    async fn reseal(&self, tenant: &TenantId, record: &SealedRecord) -> Result<bool, StorageError> {
        let SealedRecord { key, purpose, revision, sealed } = record;
        let place = Place { tenant, key, purpose: *purpose, revision };
        let clear = self.open(&place, sealed).await?;
        let anew = self.seal(&place, &clear).await?;
        self.storage().reseal(tenant, record, &anew).await
    }

    /// Takes a host key that nothing is wrapped under any more out of its file.
    ///
    /// # Errors
    /// See [`RotationError`]: it is in use, or the current one, and stays.
    pub async fn retire(&self, file: &KeyFile, host_key: &HostKeyId) -> Result<(), RotationError> {
        let keys = file.keys().map_err(RotationError::KeyFile)?;
        let current = keys.ids().next();
        if current == Some(host_key) {
            return Err(RotationError::Current(host_key.clone()));
        }
        let Some((_, key)) = keys.expose().find(|(id, _)| *id == host_key) else {
            return Err(RotationError::NoSuchKey(host_key.clone()));
        };
        self.unused(host_key).await?;
        file.remove(host_key)?;
        // A host that had read the file before may have wrapped a new data key meanwhile.
        let still_unused = self.unused(host_key).await;
        if still_unused.is_err() {
            file.put_back(host_key, key)?;
        }
        still_unused
    }

    async fn unused(&self, host_key: &HostKeyId) -> Result<(), RotationError> {
        let status = self.status().await?;
        match status.by_host_key().get(&Some(host_key)) {
            None | Some((0, _)) => Ok(()),
            Some(&(keys, records)) => Err(RotationError::InUse { key: host_key.clone(), keys, records }),
        }
    }

    /// Erases a tenant: its data keys first, after which nothing of it opens in any copy of this storage, then its connections,
    /// with an event for each; what other hosts write meanwhile, too. Events stay; they hold no secret. Copies of the storage
    /// from before hold the wrapped keys, too, and open for who has the host key.
    ///
    /// # Errors
    /// See [`RotationError`]. A repetition finishes what was begun.
    pub async fn erase(&self, tenant: &TenantId, now: UnixSeconds) -> Result<Erased, RotationError> {
        let mut erased = Erased::default();
        let mut keys = self.erase_keys(tenant, &mut erased).await?;
        self.delete_told(tenant, now, &mut erased).await?;
        for _ in 0..MAX_PASSES {
            for key in &keys {
                self.delete_sealed(tenant, &key.id, now, &mut erased).await?;
                // One that is still in use, as a write was under way, is gone through once more.
                self.storage().remove_key(tenant, &key.id).await?;
            }
            // A host that found its key gone has sealed what it had under a new one.
            keys = self.erase_keys(tenant, &mut erased).await?;
            if keys.is_empty() {
                return Ok(erased);
            }
        }
        keys.pop().map_or(Ok(erased), |newest| Err(RotationError::Busy(newest.id)))
    }

    /// The keys that are left, erased, in use or not.
    async fn erase_keys(&self, tenant: &TenantId, erased: &mut Erased) -> Result<Vec<TenantKey>, RotationError> {
        let keys = self.read(tenant).await?;
        for key in keys.iter().filter(|key| key.wrapped.is_some()) {
            erased.keys += u64::from(self.storage().rewrap_key(tenant, key, None).await?);
        }
        self.forget(tenant);
        Ok(keys)
    }

    /// Deletes the connections that events tell of: a row without ciphers is sealed under no key.
    async fn delete_told(&self, tenant: &TenantId, now: UnixSeconds, erased: &mut Erased) -> Result<(), RotationError> {
        let mut last = None;
        loop {
            let page = self.storage().events(tenant, last, PAGE).await?;
            let Some(event) = page.last() else { return Ok(()) };
            last = Some(event.position);
            let connections: BTreeSet<_> = page.into_iter().map(|event| event.event.key).collect();
            for connection in connections {
                erased.connections += u64::from(self.delete(tenant, &connection, now).await?);
            }
        }
    }

    async fn delete_sealed(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        now: UnixSeconds,
        erased: &mut Erased,
    ) -> Result<(), RotationError> {
        loop {
            let page = self.storage().sealed_under(tenant, key, None, PAGE).await?;
            let connections: BTreeSet<_> = page.into_iter().map(|record| record.key).collect();
            if connections.is_empty() {
                return Ok(());
            }
            for connection in connections {
                erased.connections += u64::from(self.delete(tenant, &connection, now).await?);
            }
        }
    }

    /// Deletes what stands for a connection: the token record first. `false`: nothing did.
    async fn delete(
        &self,
        tenant: &TenantId,
        connection: &ConnectionKey,
        now: UnixSeconds,
    ) -> Result<bool, StorageError> {
        let mut expected = self.storage().load_token(tenant, connection).await?.map(|entry| entry.revision);
        let mut found_any = expected.is_some();
        while expected.is_some() {
            expected = match self.storage().swap_token(tenant, connection, expected.as_ref(), None).await? {
                Swapped::Done => None,
                Swapped::Stale(found) => found.map(|entry| entry.revision),
            };
        }
        let event = NewEvent { at: now, key: connection.clone(), kind: EventKind::Disconnected };
        let mut expected = self.storage().load_row(tenant, connection).await?.map(|entry| entry.revision);
        found_any |= expected.is_some();
        while expected.is_some() {
            let events = std::slice::from_ref(&event);
            expected = match self.storage().swap_row(tenant, connection, expected.as_ref(), None, events).await? {
                Swapped::Done => None,
                Swapped::Stale(found) => found.map(|entry| entry.revision),
            };
        }
        Ok(found_any)
    }
}
