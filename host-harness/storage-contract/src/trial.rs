//! The storage of one check, with the check's own tenants and times. The tenants are deleted at the end of the check.

use std::collections::BTreeSet;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::events::NewEvent;
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tiktok_shop_host::storage::{HostStorage, Next, Row, Sealed, StorageError, Swapped, TenantKey, TokenWrite};
use tiktok_shop_host::{KeyId, Revision, TenantId};

use super::broken::{Broken, ensure};
use super::concurrency::all;
use super::samples::{self, Sample};

/// The last second of 1970. The due times and expiry times of a check are in 1970, because no real connection has such
/// a time.
const LAST_OF_1970: u64 = 31_535_999;
/// The number of seconds of 1970 that one check uses. The first of these seconds is random, so two checks rarely use
/// the same seconds.
const SPAN: u64 = 100_000;
/// The maximum number of entries of each kind that one call deletes.
const PAGE: usize = 500;
/// The maximum number of attempts to delete a tenant. An abandoned write may still write a record between two attempts.
const MAX_DELETIONS: usize = 4;

/// The storage of one check, with the check's tenants and times.
pub(super) struct Trial {
    pub(super) storage: Arc<dyn HostStorage>,
    /// The ids of this check's tenants.
    used: Mutex<BTreeSet<TenantId>>,
    /// The prefix of the names of this check's tenants.
    name: String,
    /// The first second of 1970 that this check uses.
    begin: u64,
    tenants: AtomicU64,
}

/// A tenant of a check, and the key that seals most of the tenant's values.
#[derive(Clone)]
pub(super) struct Tenant {
    pub(super) storage: Arc<dyn HostStorage>,
    pub(super) id: TenantId,
    pub(super) key: KeyId,
}

impl Trial {
    pub(super) fn new(storage: Arc<dyn HostStorage>) -> Result<Self, Broken> {
        let mut bytes = [0; 16];
        SystemRandomness.fill(&mut bytes)?;
        let drawn = u128::from_be_bytes(bytes);
        let begin = u64::try_from(drawn % u128::from(LAST_OF_1970 - SPAN)).unwrap_or_default() + 1;
        let name = format!("contract-tests-{drawn:032x}");
        Ok(Self { storage, used: Mutex::default(), name, begin, tenants: AtomicU64::new(0) })
    }

    /// Returns a time that belongs to this check: this many seconds after the check's first second.
    pub(super) fn at(&self, seconds: u64) -> UnixSeconds {
        UnixSeconds(self.begin + seconds)
    }

    /// Returns the second before the first time of this check.
    pub(super) fn before(&self) -> UnixSeconds {
        UnixSeconds(self.begin.saturating_sub(1))
    }

    /// Returns the last time of this check.
    pub(super) fn end(&self) -> UnixSeconds {
        self.at(SPAN)
    }

    /// Returns the smallest id that a tenant of this check can have, in byte order.
    pub(super) fn first_tenant(&self) -> Result<TenantId, Broken> {
        Ok(self.name.parse()?)
    }

    /// Creates a tenant with a key.
    pub(super) async fn tenant(&self) -> Result<Tenant, Broken> {
        let number = self.tenants.fetch_add(1, Ordering::Relaxed);
        self.tenant_with_suffix(&format!("-{number}")).await
    }

    /// Creates a tenant with a key. The tenant's id ends with this suffix.
    pub(super) async fn tenant_with_suffix(&self, suffix: &str) -> Result<Tenant, Broken> {
        let tenant = Tenant { storage: Arc::clone(&self.storage), id: self.tenant_id(suffix)?, key: "key".parse()? };
        let added = self.storage.add_key(&tenant.id, None, &samples::tenant_key("key", b"wrapped")?).await?;
        ensure!(added, "the first key of a tenant was not added");
        Ok(tenant)
    }

    /// Returns the id of a tenant without a key. The id ends with this suffix.
    pub(super) fn tenant_id(&self, suffix: &str) -> Result<TenantId, Broken> {
        let id = TenantId::try_from(format!("{}{suffix}", self.name))?;
        self.used().insert(id.clone());
        Ok(id)
    }

    /// Cuts the suffix so that a tenant's id with this suffix has exactly 256 bytes. The suffix must be longer, and must
    /// consist of characters of one byte.
    pub(super) fn cut_to_fit<'a>(&self, suffix: &'a str) -> &'a str {
        suffix.get(..samples::MAX_ID_BYTES - self.name.len()).unwrap_or_default()
    }

    /// Returns whether the tenant belongs to this check.
    pub(super) fn is_own(&self, tenant: &TenantId) -> bool {
        tenant.as_str().starts_with(&self.name)
    }

    fn used(&self) -> MutexGuard<'_, BTreeSet<TenantId>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes this check's tenants.
    pub(super) async fn clean(&self) {
        let tenants = mem::take(&mut *self.used());
        // Errors are ignored here, because a storage that can't delete fails the checks of deletions.
        let _deleted = all(tenants.iter().map(|tenant| delete(&*self.storage, tenant)).collect()).await;
    }
}

impl Tenant {
    /// Returns a value that is sealed with the tenant's key.
    pub(super) fn sealed(&self, bytes: impl Into<Vec<u8>>) -> Sealed {
        Sealed::new(self.key.clone(), bytes.into())
    }

    /// Creates a token record without a due time.
    pub(super) async fn put_token(
        &self,
        key: &ConnectionKey,
        revision: &str,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<(), Broken> {
        self.swap_token(key, None, Some(&samples::token(revision, self.sealed(bytes), None)?)).await
    }

    /// Creates a row. Appends no event.
    pub(super) async fn put_row(&self, revision: &str, row: &Sample) -> Result<(), Broken> {
        let next = Next { revision: revision.parse()?, value: row.stored()? };
        self.swap_row(&row.connection.key, None, Some(&next), &[]).await
    }

    /// Creates a row and a token record of the same connection.
    pub(super) async fn put_both(&self, revision: &str, bytes: impl Into<Vec<u8>>, row: &Sample) -> Result<(), Broken> {
        self.put_token(&row.connection.key, revision, bytes).await?;
        self.put_row(revision, row).await
    }

    /// Swaps a token record that no other task writes. The swap must succeed.
    pub(super) async fn swap_token(
        &self,
        key: &ConnectionKey,
        expected: Option<&str>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<(), Broken> {
        let expected: Option<Revision> = expected.map(str::parse).transpose()?;
        let swapped = self.storage.swap_token(&self.id, key, expected.as_ref(), next).await?;
        ensure!(swapped == Swapped::Done, "a swap of a token record that expects {expected:?} answered {swapped:?}");
        Ok(())
    }

    /// Swaps a row that no other task writes. The swap must succeed.
    pub(super) async fn swap_row(
        &self,
        key: &ConnectionKey,
        expected: Option<&str>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<(), Broken> {
        let expected: Option<Revision> = expected.map(str::parse).transpose()?;
        let swapped = self.storage.swap_row(&self.id, key, expected.as_ref(), next, events).await?;
        ensure!(swapped == Swapped::Done, "a swap of a row that expects {expected:?} answered {swapped:?}");
        Ok(())
    }

    /// Adds a key after the tenant's newest key.
    pub(super) async fn add_key(&self, newest: &str, id: &str) -> Result<TenantKey, Broken> {
        let (newest, key) = (newest.parse()?, samples::tenant_key(id, id.as_bytes())?);
        let added = self.storage.add_key(&self.id, Some(&newest), &key).await?;
        ensure!(added, "a key was not added after the newest key, {newest}");
        Ok(key)
    }
}

async fn delete(storage: &dyn HostStorage, tenant: &TenantId) -> Result<(), StorageError> {
    for _ in 0..MAX_DELETIONS {
        while !storage.delete_tenant(tenant, PAGE).await?.is_complete {}
        let mut is_busy = false;
        for key in storage.tenant_keys(tenant).await? {
            is_busy |= !storage.remove_key(tenant, &key.id).await?;
        }
        if !is_busy {
            break;
        }
    }
    Ok(())
}
