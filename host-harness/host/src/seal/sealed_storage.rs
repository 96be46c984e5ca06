//! The storage as a call sees it: seals (encrypts) every value that the call writes, and opens (decrypts) every value
//! that the call reads.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zeroize::Zeroizing;

use super::keyring::{Keyring, Use};
use crate::connection::{ConnectionKey, UnixSeconds};
use crate::events::NewEvent;
use crate::id::{AccountId, CustomerId, KeyId, Revision, TenantId};
use crate::known_tenants::KnownTenants;
use crate::storage::{
    HostStorage, Next, OpenRow, Row, RowEntry, RowFilter, RowOrigin, StorageError, Swapped, TokenEntry, TokenWrite,
    run_within,
};

/// The maximum number of times that one value is sealed. A value is sealed again if its key was removed before the
/// value was written.
const MAX_ATTEMPTS: usize = 3;

/// A storage and the keyring that seals and opens its values.
#[derive(Clone)]
pub(crate) struct SealedStorage {
    storage: Arc<dyn HostStorage>,
    keyring: Arc<Keyring>,
    missing_key: MissingKey,
    unsealed_rows: UnsealedRows,
    known_tenants: KnownTenants,
}

/// Says how a read treats a row of release 0.1. Only the ciphers of such a row are sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum UnsealedRows {
    /// The read returns the row. Its next write seals it.
    #[default]
    Accept,
    /// The row counts as changed. Somebody may have replaced a sealed row by it.
    Refuse,
}

/// Says how a read treats a value whose key is not available now.
#[derive(Clone)]
enum MissingKey {
    /// The read fails.
    Fails,
    /// The read returns an empty token record, or a row without secrets that was not checked. The guest can't decode an
    /// empty record, but it can delete it. It can't write a row that follows from an unchecked row.
    LeavesOut(Arc<LeftOut>),
}

/// The keys that one call has tried to get without success. The call asks for none of them again. Otherwise a call with
/// many connections would wait for a slow key service once for each of them.
struct LeftOut {
    /// How long the call waits for a key.
    wait: Duration,
    /// Whether the provider or the storage failed to answer once. The call then asks for no further key.
    no_answer: AtomicBool,
    /// The keys that can't be used, although the provider and the storage answer.
    refused: Mutex<BTreeSet<KeyId>>,
    /// The revisions of the rows that were not checked.
    unchecked: Mutex<BTreeSet<Revision>>,
}

impl LeftOut {
    fn contains(&self, key: &KeyId) -> bool {
        self.no_answer.load(Ordering::Relaxed)
            || self.refused.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    fn record(&self, key: &KeyId, error: &StorageError) {
        match error {
            StorageError::Unavailable(_) => self.no_answer.store(true, Ordering::Relaxed),
            StorageError::Refused(_) | StorageError::KeyGone | StorageError::RowChanged(_) => {
                self.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
            }
        }
    }
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

/// A row that was checked, with its secrets. If the call can do without keys and the key of the row is missing, the row
/// was not checked, and has no secrets.
#[derive(Clone)]
#[cfg_attr(test, derive(PartialEq, Eq))]
pub(crate) struct CheckedRow {
    pub(crate) entry: RowEntry,
    pub(crate) secrets: Zeroizing<Vec<u8>>,
    /// The decoded row. `None` if this release can't decode the row.
    pub(crate) open: Option<Box<OpenRow>>,
}

impl CheckedRow {
    fn new(entry: RowEntry, secrets: Zeroizing<Vec<u8>>, decoded: Option<OpenRow>) -> Self {
        let decode = || OpenRow::decode(&entry.row.key, &entry.row.document, &secrets).ok();
        let open = decoded.or_else(decode).map(Box::new);
        Self { entry, secrets, open }
    }
}

/// An encoded row that a swap writes, with its secrets.
pub(crate) struct RowWrite {
    pub(crate) row: Row,
    pub(crate) secrets: Zeroizing<Vec<u8>>,
}

/// The rows of a list. A row that was changed in the database is only the key of its connection.
type CheckedRows = Vec<Result<CheckedRow, ConnectionKey>>;

impl std::fmt::Debug for CheckedRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckedRow").field("entry", &self.entry).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for OpenToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenToken").field("revision", &self.revision).field("age", &self.age).finish_non_exhaustive()
    }
}

impl SealedStorage {
    pub(crate) fn new(storage: Arc<dyn HostStorage>, keyring: Arc<Keyring>, unsealed_rows: UnsealedRows) -> Self {
        let (missing_key, known_tenants) = (MissingKey::Fails, KnownTenants::default());
        Self { storage, keyring, missing_key, unsealed_rows, known_tenants }
    }

    /// Returns this storage for one call that only lists or deletes connections of one tenant. If the tenant's keys are
    /// not available, reads from the returned storage leave the sealed values out. The call asks for each key at most
    /// once. `timeout` is the time for one read or save. The call waits for a key for nine tenths of this time, so that
    /// time for the storage is left. The nine tenths are longer than a [key service](super::KeyProvider) needs to
    /// report that it is unavailable, and after such a report the keyring still uses a cached key.
    pub(crate) fn leaving_out_missing_keys(mut self, timeout: Duration) -> Self {
        let left_out = LeftOut {
            wait: timeout / 10 * 9,
            no_answer: AtomicBool::new(false),
            refused: Mutex::default(),
            unchecked: Mutex::default(),
        };
        self.missing_key = MissingKey::LeavesOut(Arc::new(left_out));
        self
    }

    /// Returns the storage without sealing, for accesses that read and write no sealed value.
    pub(crate) fn inner(&self) -> &dyn HostStorage {
        &*self.storage
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Returns the tenants that this host knows. This storage adds the tenant of every record that it reads.
    pub(crate) fn known_tenants(&self) -> &KnownTenants {
        &self.known_tenants
    }

    /// Returns the token record. `read_ahead` is the record if the storage has just returned it.
    pub(crate) async fn load_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        read_ahead: Option<TokenEntry>,
    ) -> Result<Option<OpenToken>, StorageError> {
        let entry = match read_ahead {
            Some(entry) => Some(entry),
            None => self.storage.load_token(tenant, key).await?,
        };
        self.open_token(Use::Open, tenant, key, entry).await
    }

    pub(crate) async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<OpenWrite>>,
    ) -> Result<Swapped<OpenToken>, StorageError> {
        let swapped = self.seal_and_swap(tenant, move || async move {
            let sealed = match next {
                Some(Next { revision, value }) => {
                    let sealed = self.keyring.seal_token(tenant, key, revision, &value.value).await?;
                    let value = TokenWrite { value: sealed, refresh_due_at: value.refresh_due_at };
                    Some(Next { revision: revision.clone(), value })
                }
                None => None,
            };
            self.storage.swap_token(tenant, key, expected, sealed.as_ref()).await
        });
        match swapped.await? {
            Swapped::Stale(entry) => Ok(Swapped::Stale(self.open_token(Use::Seal, tenant, key, entry).await?)),
            Swapped::Done => Ok(Swapped::Done),
        }
    }

    /// Runs a swap, which seals its value before it writes the value. If the value's key was removed before the write,
    /// repeats both with another key.
    async fn seal_and_swap<T, F>(
        &self,
        tenant: &TenantId,
        seal_and_swap: impl Fn() -> F,
    ) -> Result<Swapped<T>, StorageError>
    where
        F: Future<Output = Result<Swapped<T>, StorageError>>,
    {
        for _ in 1..MAX_ATTEMPTS {
            match seal_and_swap().await {
                Err(StorageError::KeyGone) => {
                    // Drops only the keys that are gone, so that the save need not ask for the others again.
                    self.keyring.load_keys(tenant).await?;
                }
                settled => return settled,
            }
        }
        seal_and_swap().await
    }

    /// Returns the customer's rows, and the accounts that have a token record if the storage has read them, too. A row
    /// that was changed in the database does not affect the others.
    pub(crate) async fn list_rows(
        &self,
        tenant: &TenantId,
        customer: &CustomerId,
    ) -> Result<(CheckedRows, Option<Vec<AccountId>>), StorageError> {
        let (rows, accounts) = self.storage.list_rows_with_accounts(tenant, customer).await?;
        Ok((self.check_rows(tenant, rows).await?, accounts))
    }

    /// Returns the tenant's rows that match. A row that was changed in the database does not affect the others.
    pub(crate) async fn tenant_rows(
        &self,
        tenant: &TenantId,
        filter: &RowFilter,
        after: Option<&ConnectionKey>,
        limit: usize,
    ) -> Result<CheckedRows, StorageError> {
        self.check_rows(tenant, self.storage.tenant_rows(tenant, filter, after, limit).await?).await
    }

    pub(crate) async fn load_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
    ) -> Result<Option<CheckedRow>, StorageError> {
        match self.storage.load_row(tenant, key).await? {
            Some(entry) => Ok(Some(self.check_row(Use::Open, tenant, entry).await?)),
            None => Ok(None),
        }
    }

    /// Returns the row, and the token record, which is still sealed, if the storage has read it, too.
    pub(crate) async fn load_row_with_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
    ) -> Result<(Option<CheckedRow>, Option<TokenEntry>), StorageError> {
        let (row, token) = self.storage.load_row_with_token(tenant, key).await?;
        let row = match row {
            Some(entry) => Some(self.check_row(Use::Open, tenant, entry).await?),
            None => None,
        };
        Ok((row, token))
    }

    pub(crate) async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<RowWrite>>,
        events: &[NewEvent],
    ) -> Result<Swapped<CheckedRow>, StorageError> {
        if next.is_some() && expected.is_some_and(|expected| self.is_unchecked(expected)) {
            return Err(StorageError::Refused(
                "the stored row can't be checked, because its key is missing".to_owned(),
            ));
        }
        let swapped = self.seal_and_swap(tenant, move || async move {
            let sealed = match next {
                Some(Next { revision, value: RowWrite { row, secrets } }) => {
                    let value = self.keyring.seal_document(tenant, revision, row.clone(), secrets).await?;
                    Some(Next { revision: revision.clone(), value })
                }
                None => None,
            };
            self.storage.swap_row(tenant, key, expected, sealed.as_ref(), events).await
        });
        match swapped.await? {
            Swapped::Stale(Some(entry)) => Ok(Swapped::Stale(Some(self.check_row(Use::Seal, tenant, entry).await?))),
            Swapped::Stale(None) => Ok(Swapped::Stale(None)),
            Swapped::Done => Ok(Swapped::Done),
        }
    }

    /// Returns whether the caller should open a value that is sealed with this key. Returns false if the key is missing
    /// and the call can do without it.
    async fn should_open(&self, purpose: Use, tenant: &TenantId, key: &KeyId) -> bool {
        let MissingKey::LeavesOut(left_out) = &self.missing_key else { return true };
        if left_out.contains(key) {
            return false;
        }
        match run_within(left_out.wait, self.keyring.opening_key(purpose, tenant, key)).await {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%error, "connections are read without the values that this key seals");
                left_out.record(key, &error);
                false
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
        self.known_tenants.add(tenant);
        if !self.should_open(purpose, tenant, value.key()).await {
            return Ok(Some(OpenToken { revision, value: Zeroizing::default(), age }));
        }
        let value = self.keyring.open_token_for(purpose, tenant, key, &revision, &value).await?;
        Ok(Some(OpenToken { revision, value, age }))
    }

    async fn check_rows(&self, tenant: &TenantId, entries: Vec<RowEntry>) -> Result<CheckedRows, StorageError> {
        let mut rows = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = entry.row.key.clone();
            rows.push(match self.check_row(Use::Open, tenant, entry).await {
                Ok(row) => Ok(row),
                Err(StorageError::RowChanged(_)) => Err(key),
                Err(error) => return Err(error),
            });
        }
        Ok(rows)
    }

    /// Checks a row and opens its secrets. If the call can do without keys, and the key of the row is missing, returns
    /// the row unchecked and without secrets.
    async fn check_row(&self, purpose: Use, tenant: &TenantId, entry: RowEntry) -> Result<CheckedRow, StorageError> {
        self.known_tenants.add(tenant);
        let RowEntry { revision, row } = &entry;
        if row.origin == RowOrigin::Columns && self.unsealed_rows == UnsealedRows::Refuse {
            tracing::error!(%tenant, "a row is refused, because a host of release 0.1 wrote it or somebody replaced it");
            return Err(StorageError::RowChanged(revision.clone()));
        }
        if let Some(sealed) = &row.sealed
            && !self.should_open(purpose, tenant, sealed.key()).await
        {
            if let MissingKey::LeavesOut(left_out) = &self.missing_key {
                left_out.unchecked.lock().unwrap_or_else(PoisonError::into_inner).insert(revision.clone());
            }
            return Ok(CheckedRow::new(entry, Zeroizing::default(), None));
        }
        let opened = self.keyring.open_row_for(purpose, tenant, revision, row).await.inspect_err(|error| {
            if matches!(error, StorageError::RowChanged(_)) {
                let ConnectionKey { customer, account } = &row.key;
                tracing::error!(%tenant, %customer, %account, "a row was changed in the database");
            }
        });
        let (secrets, decoded) = opened?;
        Ok(CheckedRow::new(entry, secrets, decoded))
    }

    /// Returns whether this call has read the row with this revision without checking it.
    fn is_unchecked(&self, revision: &Revision) -> bool {
        match &self.missing_key {
            MissingKey::Fails => false,
            MissingKey::LeavesOut(left_out) => {
                left_out.unchecked.lock().unwrap_or_else(PoisonError::into_inner).contains(revision)
            }
        }
    }
}
