//! Erases a tenant: first its data keys, then everything else that is stored for the tenant.

use super::keyring::{Keyring, no_randomness};
use super::provider::Destruction;
use super::rotation_error::RotationError;
use crate::events::{Cause, EventKind};
use crate::id::TenantId;
use crate::storage::{OnceDigest, StorageError, TenantKey};

/// The number of entries of each kind that are deleted at a time.
const PAGE: usize = 500;
/// The maximum number of passes over a tenant. Each pass deletes what other hosts wrote during the previous pass.
const MAX_PASSES: usize = 20;

/// The result of an erasure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// The number of erased data keys. No host can decrypt the values that were sealed with these keys, once no host
    /// caches the keys any more.
    pub keys: u64,
    /// The number of deleted connections.
    pub connections: u64,
    /// The number of everything else that was deleted: events, digests of `append_once`, consents and webhooks.
    pub others: u64,
}

impl Keyring {
    /// Erases a tenant in three steps. First erases its data keys. Then deletes everything else that is stored for the
    /// tenant: connections, events, consents and webhooks, including records that other hosts write during the erasure.
    /// At the end, writes the event [`EventKind::TenantErased`].
    ///
    /// As soon as the data keys are erased, this host can open none of the tenant's sealed values. Other hosts can open
    /// them for at most 60 more seconds, while they still cache the keys.
    ///
    /// The position of the event is higher than the positions of the deleted events. So a reader of events misses
    /// neither this event nor the events of a tenant that connects again.
    ///
    /// Older copies of the data still contain the wrapped data keys. Such copies are the backups, and the parts of the
    /// storage's own files that it can't clean, such as PostgreSQL's log and free pages. Anybody who has such a copy
    /// and the host key can open the values in the copy. To make the erasure final, [`rotate`](Self::rotate) to another
    /// host key, [`retire`](Self::retire) the earlier host keys, and destroy all copies of the earlier host keys. If
    /// the provider has a host key for each tenant, call [`destroy_host_key`](Self::destroy_host_key) before.
    ///
    /// The event is written even if nothing is stored for the tenant. [`erase_existing`](Self::erase_existing) writes
    /// no event in this case.
    ///
    /// # Errors
    /// See [`RotationError`]. A repetition finishes the erasure.
    pub async fn erase(&self, tenant: &TenantId) -> Result<Erased, RotationError> {
        let once = OnceDigest::draw(self.randomness()).map_err(no_randomness)?;
        let mut erased = Erased::default();
        let mut newest = None;
        for _ in 0..MAX_PASSES {
            let mut keys = self.erase_keys(tenant, &mut erased).await?;
            self.delete_entries(tenant, &mut erased).await?;
            if keys.is_empty() {
                let event = self.event(EventKind::TenantErased, Cause::Erasure);
                self.storage().append_once(tenant, &once, &event, None).await?;
                return Ok(erased);
            }
            for key in &keys {
                // If another host has just written a record that is sealed with this key, the key stays, and the next
                // pass deletes the record and the key. If another host has noticed that the key is erased, it may have
                // added a new key. The next pass erases the new key.
                self.storage().remove_key(tenant, &key.id).await?;
            }
            newest = keys.pop();
        }
        newest.map_or(Ok(erased), |newest| Err(RotationError::Busy(newest.id)))
    }

    /// Erases a tenant like [`erase`](Self::erase), but only if something is stored for it. If nothing is stored,
    /// returns `None` and writes no event, because the name of the tenant may be misspelt. A tenant that was erased
    /// earlier exists, because the event [`EventKind::TenantErased`] is stored for it.
    ///
    /// If the process ends during [`erase`](Self::erase), just before the event is written, nothing is stored for the
    /// tenant any more. To get the event, call [`erase`](Self::erase) again, because this function would write no
    /// event.
    ///
    /// # Errors
    /// See [`RotationError`].
    pub async fn erase_existing(&self, tenant: &TenantId) -> Result<Option<Erased>, RotationError> {
        let has_trace = !self.storage().tenant_keys(tenant).await?.is_empty()
            || !self.storage().events(tenant, None, 1).await?.is_empty();
        let mut erased = Erased::default();
        if !has_trace {
            // The tenant has no keys and no events, so it never had a connection. But a consent may have begun.
            self.delete_entries(tenant, &mut erased).await?;
            if erased == Erased::default() {
                return Ok(None);
            }
        }
        let rest = self.erase(tenant).await?;
        erased.keys += rest.keys;
        erased.connections += rest.connections;
        erased.others += rest.others;
        Ok(Some(erased))
    }

    /// Deletes everything that is stored for the tenant, except its keys.
    async fn delete_entries(&self, tenant: &TenantId, erased: &mut Erased) -> Result<(), RotationError> {
        loop {
            let deleted = self.storage().delete_tenant(tenant, PAGE).await?;
            erased.connections += deleted.connections;
            erased.others += deleted.others;
            if deleted.is_complete {
                return Ok(());
            }
        }
    }

    /// Destroys the host key of a tenant, if the provider has a host key for each tenant, and if the host key wraps a
    /// data key of this database. Call this function before [`erase`](Self::erase), because the erasure deletes the
    /// data keys. After both, the erasure is final in every copy and backup of the database.
    ///
    /// Another host may add a data key during this function, for example because a seller finishes a consent. Then the
    /// provider may have kept its host key, because no data key named it yet, or may have made a new one. So the
    /// function looks at the data keys again after the destruction, and repeats the destruction if it finds a new one.
    /// If a seller finishes a consent later, the tenant begins again with a new host key.
    ///
    /// # Errors
    /// See [`RotationError`]. A repetition finishes the destruction.
    pub async fn destroy_host_key(&self, tenant: &TenantId) -> Result<Destruction, RotationError> {
        let mut keys = self.storage().tenant_keys(tenant).await?;
        for _ in 0..MAX_PASSES {
            let wrapped_by = keys.iter().filter_map(|key| Some(key.wrapped.as_ref()?.host_key.clone()));
            let wrapped_by: Vec<_> = wrapped_by.collect();
            self.forget_keys(tenant);
            let destruction = self.provider().destroy(tenant, &wrapped_by).await?;
            let after = self.storage().tenant_keys(tenant).await?;
            if after.iter().all(|key| keys.contains(key)) {
                return Ok(destruction);
            }
            keys = after;
        }
        let busy = || StorageError::Unavailable("other hosts keep changing the tenant's keys".to_owned());
        Err(keys.pop().map_or_else(|| busy().into(), |newest| RotationError::Busy(newest.id)))
    }

    /// Erases the tenant's keys. Returns all keys of the tenant, including the keys that were already erased.
    async fn erase_keys(&self, tenant: &TenantId, erased: &mut Erased) -> Result<Vec<TenantKey>, RotationError> {
        let keys = self.load_keys(tenant).await?;
        for key in keys.iter().filter(|key| key.wrapped.is_some()) {
            erased.keys += u64::from(self.storage().rewrap_key(tenant, key, None).await?);
        }
        self.forget_keys(tenant);
        Ok(keys)
    }
}
