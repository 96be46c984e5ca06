//! The storage as a call sees it: seals (encrypts) every value that the call writes, and opens (decrypts) every value
//! that the call reads.

use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::keyring::{Keyring, Use};
use crate::connection::{ConnectionKey, UnixSeconds};
use crate::events::NewEvent;
use crate::id::{CustomerId, Revision, TenantId};
use crate::storage::{HostStorage, Next, Row, RowEntry, RowFilter, StorageError, Swapped, TokenEntry, TokenWrite};

/// The maximum number of times that one value is sealed. A value is sealed again if its key was removed before the
/// value was written.
const MAX_ATTEMPTS: usize = 3;

/// A storage and the keyring that seals and opens its values.
#[derive(Clone)]
pub(crate) struct SealedStorage {
    storage: Arc<dyn HostStorage>,
    keyring: Arc<Keyring>,
    missing_key: MissingKey,
}

/// Says how a read treats a value whose key is not available now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MissingKey {
    /// The read fails.
    Fails,
    /// The read returns an empty token record, or a row without ciphers. The guest can't decode an empty record, but it
    /// can delete it.
    LeavesOut,
}

/// A decrypted token record.
pub(crate) struct OpenToken {
    pub(crate) revision: Revision,
    pub(crate) value: Zeroizing<Vec<u8>>,
    pub(crate) age: Duration,
}

/// A decrypted token record that a swap writes.
pub(crate) struct OpenWrite {
    pub(crate) value: Zeroizing<Vec<u8>>,
    pub(crate) refresh_due_at: Option<UnixSeconds>,
}

impl std::fmt::Debug for OpenToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenToken").field("revision", &self.revision).field("age", &self.age).finish_non_exhaustive()
    }
}

impl SealedStorage {
    pub(crate) fn new(storage: Arc<dyn HostStorage>, keyring: Arc<Keyring>) -> Self {
        Self { storage, keyring, missing_key: MissingKey::Fails }
    }

    /// Returns this storage for a call that only lists or deletes connections. If the tenant's keys are not available,
    /// reads from the returned storage leave the sealed values out.
    pub(crate) fn leaving_out_missing_keys(mut self) -> Self {
        self.missing_key = MissingKey::LeavesOut;
        self
    }

    /// Returns the storage without sealing, for accesses that read and write no sealed value.
    pub(crate) fn inner(&self) -> &dyn HostStorage {
        &*self.storage
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    pub(crate) async fn load_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
    ) -> Result<Option<OpenToken>, StorageError> {
        let entry = self.storage.load_token(tenant, key).await?;
        self.open_token(Use::Open, tenant, key, entry).await
    }

    pub(crate) async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<OpenWrite>>,
    ) -> Result<Swapped<OpenToken>, StorageError> {
        let mut attempts = 0;
        loop {
            let sealed = match next {
                Some(Next { revision, value }) => {
                    let sealed = self.keyring.seal_token(tenant, key, revision, &value.value).await?;
                    let value = TokenWrite { value: sealed, refresh_due_at: value.refresh_due_at };
                    Some(Next { revision: revision.clone(), value })
                }
                None => None,
            };
            attempts += 1;
            match self.storage.swap_token(tenant, key, expected, sealed.as_ref()).await {
                Err(StorageError::KeyGone) if attempts < MAX_ATTEMPTS => {
                    // Drops only the keys that are gone, so that the save need not ask for the others again.
                    self.keyring.load_keys(tenant).await?;
                }
                Ok(Swapped::Stale(entry)) => {
                    return Ok(Swapped::Stale(self.open_token(Use::Seal, tenant, key, entry).await?));
                }
                Ok(Swapped::Done) => return Ok(Swapped::Done),
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) async fn list_rows(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
    ) -> Result<Vec<RowEntry>, StorageError> {
        let mut rows = Vec::new();
        for entry in self.storage.list_rows(tenant, customer).await? {
            rows.push(self.open_row(Use::Open, tenant, entry).await?);
        }
        Ok(rows)
    }

    /// Lists a customer's rows even if the tenant's keys are unavailable. A row whose ciphers can't be decrypted now is
    /// returned without ciphers, so that the caller can still see the state of the connection.
    pub(crate) async fn list_rows_without_keys(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
    ) -> Result<Vec<RowEntry>, StorageError> {
        let entries = self.storage.list_rows(tenant, customer).await?;
        Ok(self.open_rows_without_keys(tenant, entries).await)
    }

    /// Lists a page of a tenant's rows, even if the tenant's keys are unavailable. A row whose ciphers can't be
    /// decrypted is returned without ciphers, as in [`list_rows_without_keys`](Self::list_rows_without_keys).
    pub(crate) async fn tenant_rows_without_keys(
        &self,
        tenant: &TenantId,
        filter: &RowFilter,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<Vec<RowEntry>, StorageError> {
        let entries = self.storage.tenant_rows(tenant, filter, after, limit).await?;
        Ok(self.open_rows_without_keys(tenant, entries).await)
    }

    async fn open_rows_without_keys(&self, tenant: &TenantId, entries: Vec<RowEntry>) -> Vec<RowEntry> {
        let mut rows = Vec::new();
        for entry in entries {
            rows.push(self.open_row_if_possible(tenant, entry).await);
        }
        rows
    }

    /// Opens a row. If its ciphers can't be decrypted now, returns the row without ciphers.
    async fn open_row_if_possible(&self, tenant: &TenantId, entry: RowEntry) -> RowEntry {
        let mut without = entry.clone();
        match self.open_row(Use::Open, tenant, entry).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(%error, "a connection is read without the ciphers of its shops");
                without.row.ciphers = None;
                without
            }
        }
    }

    pub(crate) async fn load_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
    ) -> Result<Option<RowEntry>, StorageError> {
        match self.storage.load_row(tenant, key).await? {
            Some(entry) if self.missing_key == MissingKey::LeavesOut => {
                Ok(Some(self.open_row_if_possible(tenant, entry).await))
            }
            Some(entry) => Ok(Some(self.open_row(Use::Open, tenant, entry).await?)),
            None => Ok(None),
        }
    }

    pub(crate) async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<Swapped<RowEntry>, StorageError> {
        let mut attempts = 0;
        loop {
            let sealed = match next {
                Some(Next { revision, value }) => {
                    let value = self.keyring.seal_row(tenant, revision, value.clone()).await?;
                    Some(Next { revision: revision.clone(), value })
                }
                None => None,
            };
            attempts += 1;
            match self.storage.swap_row(tenant, key, expected, sealed.as_ref(), events).await {
                Err(StorageError::KeyGone) if attempts < MAX_ATTEMPTS => {
                    // Drops only the keys that are gone, so that the save need not ask for the others again.
                    self.keyring.load_keys(tenant).await?;
                }
                Ok(Swapped::Stale(Some(entry))) if self.missing_key == MissingKey::LeavesOut => {
                    return Ok(Swapped::Stale(Some(self.open_row_if_possible(tenant, entry).await)));
                }
                Ok(Swapped::Stale(Some(entry))) => {
                    return Ok(Swapped::Stale(Some(self.open_row(Use::Seal, tenant, entry).await?)));
                }
                Ok(other) => return Ok(other),
                Err(error) => return Err(error),
            }
        }
    }

    async fn open_token(
        &self,
        purpose: Use,
        tenant: &TenantId,
        key: &ConnectionKey,
        entry: Option<TokenEntry>,
    ) -> Result<Option<OpenToken>, StorageError> {
        let Some(TokenEntry { revision, value, age }) = entry else { return Ok(None) };
        if self.missing_key == MissingKey::LeavesOut
            && let Err(error) = self.keyring.opening_key(purpose, tenant, value.key()).await
        {
            tracing::warn!(%error, "a token record is read without its value");
            return Ok(Some(OpenToken { revision, value: Zeroizing::default(), age }));
        }
        let value = self.keyring.open_token_for(purpose, tenant, key, &revision, &value).await?;
        Ok(Some(OpenToken { revision, value, age }))
    }

    async fn open_row(&self, purpose: Use, tenant: &TenantId, entry: RowEntry) -> Result<RowEntry, StorageError> {
        let RowEntry { revision, row } = entry;
        let row = self.keyring.open_row_for(purpose, tenant, &revision, row).await?;
        Ok(RowEntry { revision, row })
    }
}
