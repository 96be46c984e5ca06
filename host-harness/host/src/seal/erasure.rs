//! Erases a tenant: first its data keys, then its connections.

use std::collections::BTreeSet;

use super::keyring::{Keyring, no_randomness};
use super::rotation_error::RotationError;
use crate::connection::{ConnectionKey, UnixSeconds};
use crate::events::{Cause, EventKind};
use crate::id::{KeyId, TenantId};
use crate::storage::{OnceDigest, StorageError, Swapped, TenantKey};

/// The number of records or events that are listed at a time.
const PAGE: usize = 500;
/// The maximum number of passes over a tenant's keys. Each pass deletes what other hosts wrote during the previous
/// pass.
const MAX_PASSES: usize = 20;

/// The result of an erasure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// The number of erased data keys. Values that were sealed under them can no longer be opened.
    pub keys: u64,
    /// The number of deleted connections.
    pub connections: u64,
}

impl Keyring {
    /// Erases a tenant. First erases its data keys, so that no copy of a sealed value can be opened any more. Other
    /// hosts notice this within 60 seconds. Then deletes the tenant's connections, and writes one event for each.
    /// Records that other hosts write during the erasure are also deleted. At the end, writes the event
    /// [`EventKind::TenantErased`].
    ///
    /// The events stay, because they contain no secret. A backup from before the erasure still contains the wrapped
    /// data keys. Anybody who has the host key can open such a backup.
    ///
    /// # Errors
    /// See [`RotationError`]. A repetition finishes the erasure.
    pub async fn erase(&self, tenant: &TenantId, now: UnixSeconds) -> Result<Erased, RotationError> {
        let once = OnceDigest::draw(self.randomness()).map_err(no_randomness)?;
        let mut erased = Erased::default();
        let mut keys = self.erase_keys(tenant, &mut erased).await?;
        self.delete_connections_with_events(tenant, now, &mut erased).await?;
        for _ in 0..MAX_PASSES {
            for key in &keys {
                self.delete_connections_under(tenant, &key.id, now, &mut erased).await?;
                // If another host has just written a record under the key, the key stays. The next pass deletes the
                // record and the key.
                self.storage().remove_key(tenant, &key.id).await?;
            }
            // A host that found its key erased may have added a new key and sealed a value under the new key.
            keys = self.erase_keys(tenant, &mut erased).await?;
            if keys.is_empty() {
                let event = self.event(now, None, EventKind::TenantErased, Cause::Erasure);
                self.storage().append_once(tenant, &once, &event).await?;
                return Ok(erased);
            }
        }
        keys.pop().map_or(Ok(erased), |newest| Err(RotationError::Busy(newest.id)))
    }

    /// Erases the tenant's keys. Returns these keys, and the keys that were already erased.
    async fn erase_keys(&self, tenant: &TenantId, erased: &mut Erased) -> Result<Vec<TenantKey>, RotationError> {
        let keys = self.load_keys(tenant).await?;
        for key in keys.iter().filter(|key| key.wrapped.is_some()) {
            erased.keys += u64::from(self.storage().rewrap_key(tenant, key, None).await?);
        }
        self.forget_keys(tenant);
        Ok(keys)
    }

    /// Deletes every connection that has an event. This also finds rows without ciphers, which a search by key can't
    /// find.
    async fn delete_connections_with_events(
        &self,
        tenant: &TenantId,
        now: UnixSeconds,
        erased: &mut Erased,
    ) -> Result<(), RotationError> {
        let mut last = None;
        loop {
            let page = self.storage().events(tenant, last, PAGE).await?;
            let Some(event) = page.last() else { return Ok(()) };
            last = Some(event.position);
            let connections: BTreeSet<_> = page.into_iter().filter_map(|event| event.event.key).collect();
            for connection in connections {
                erased.connections += u64::from(self.delete_connection(tenant, &connection, now).await?);
            }
        }
    }

    /// Deletes every connection that has a record sealed under this key.
    async fn delete_connections_under(
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
                erased.connections += u64::from(self.delete_connection(tenant, &connection, now).await?);
            }
        }
    }

    /// Deletes a connection's token record, then its row. Returns `false` if it had neither.
    async fn delete_connection(
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
        let event = self.event(now, Some(connection.clone()), EventKind::Disconnected, Cause::Erasure);
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
