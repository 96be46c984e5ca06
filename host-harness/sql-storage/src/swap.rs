//! The compare-and-swap of one record: a conditional write, and the search for the reason if the write changes nothing.

use std::future::Future;

use tiktok_shop_host::storage::{RowEntry, StorageError, Swapped, TokenEntry};
use tiktok_shop_host::{KeyId, Revision, TenantId};

use crate::storage::SqlStorage;

/// The highest number of attempts at a swap. A swap is tried again if its write changed nothing although the condition
/// holds afterwards. Example: the swap expects no record, and another writer created a record before the write and
/// deleted it after the write.
const MAX_ATTEMPTS: usize = 8;

/// The condition under which a swap writes.
pub(crate) struct Condition<'a> {
    /// The tenant of the record.
    pub(crate) tenant: &'a TenantId,
    /// The revision that the stored record must have. `None` means that no record may exist.
    pub(crate) expected: Option<&'a Revision>,
    /// The key of the new sealed value. This key must be usable. `None` if the swap writes no sealed value.
    pub(crate) sealed_by: Option<&'a KeyId>,
}

/// A stored record with a revision.
pub(crate) trait Revised {
    fn revision(&self) -> &Revision;
}

impl Revised for TokenEntry {
    fn revision(&self) -> &Revision {
        &self.revision
    }
}

impl Revised for RowEntry {
    fn revision(&self) -> &Revision {
        &self.revision
    }
}

impl SqlStorage {
    /// Swaps a record. `write` writes the record if the condition holds, and returns whether the condition held. `load`
    /// reads the record.
    pub(crate) async fn swap<E, W, L>(
        &self,
        condition: Condition<'_>,
        write: impl Fn() -> W,
        load: impl Fn() -> L,
    ) -> Result<Swapped<E>, StorageError>
    where
        E: Revised,
        W: Future<Output = Result<bool, StorageError>>,
        L: Future<Output = Result<Option<E>, StorageError>>,
    {
        let Condition { tenant, expected, sealed_by } = condition;
        for _ in 0..MAX_ATTEMPTS {
            if write().await? {
                return Ok(Swapped::Done);
            }
            let found = load().await?;
            if found.as_ref().map(E::revision) != expected {
                return Ok(Swapped::Stale(found));
            }
            if let Some(key) = sealed_by
                && !self.has_usable_key(tenant, key).await?
            {
                return Err(StorageError::KeyGone);
            }
        }
        Err(StorageError::Unavailable(format!("other writers changed the record during {MAX_ATTEMPTS} attempts")))
    }
}
