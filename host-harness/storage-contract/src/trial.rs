//! The ground of one check: tenants that nobody else has, and the end of what was written for them.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::broken::{Broken, ensure};
use super::concurrency::all;
use super::intercept::{Access, Intercepted, Interceptor, Passage};
use super::samples;
use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::events::NewEvent;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::storage::{HostStorage, Next, Row, Sealed, StorageError, Swapped, TenantKey, TokenWrite};
use tiktok_shop_host::{KeyId, Revision, TenantId, random_bits};

/// Due times and ends are in 1970, where those of no real connection are.
const LAST_OF_1970: u64 = 31_535_999;
/// How many seconds of 1970 one check has for itself, as far as chance allows.
const SPAN: u64 = 100_000;
/// Times that a record is deleted that others still write.
const MAX_DELETIONS: usize = 4;

/// A storage as one check sees it.
pub(super) struct Trial {
    pub(super) storage: Arc<dyn HostStorage>,
    /// The same, without notes.
    beneath: Arc<dyn HostStorage>,
    notes: Arc<Notes>,
    /// What the name of every tenant of this check begins with.
    name: String,
    /// Begin of its seconds of 1970.
    begin: u64,
    tenants: AtomicU64,
}

/// A tenant, and the key under which most of it is sealed.
#[derive(Clone)]
pub(super) struct Tenant {
    pub(super) storage: Arc<dyn HostStorage>,
    pub(super) id: TenantId,
    pub(super) key: KeyId,
}

impl Trial {
    pub(super) fn new(beneath: Arc<dyn HostStorage>) -> Result<Self, Broken> {
        let drawn = random_bits(&SystemRandomness)?;
        let begin = u64::try_from(drawn % u128::from(LAST_OF_1970 - SPAN)).unwrap_or_default() + 1;
        let notes = Arc::new(Notes::default());
        let storage = Arc::new(Intercepted::new(Arc::clone(&beneath), Arc::clone(&notes) as Arc<_>));
        let name = format!("contract-tests-{drawn:032x}");
        Ok(Self { storage, beneath, notes, name, begin, tenants: AtomicU64::new(0) })
    }

    /// A time of this check's own.
    pub(super) fn at(&self, seconds: u64) -> UnixSeconds {
        UnixSeconds(self.begin + seconds)
    }

    /// The second before all of them.
    pub(super) fn before(&self) -> UnixSeconds {
        UnixSeconds(self.begin.saturating_sub(1))
    }

    /// The last of them.
    pub(super) fn end(&self) -> UnixSeconds {
        self.at(SPAN)
    }

    /// In byte order no tenant of this check is before it.
    pub(super) fn first_tenant(&self) -> Result<TenantId, Broken> {
        Ok(self.name.parse()?)
    }

    /// A tenant with a key.
    pub(super) async fn tenant(&self) -> Result<Tenant, Broken> {
        let number = self.tenants.fetch_add(1, Ordering::Relaxed);
        self.tenant_named(&format!("-{number}")).await
    }

    /// A tenant with a key, whose name ends so.
    pub(super) async fn tenant_named(&self, end: &str) -> Result<Tenant, Broken> {
        let tenant = Tenant { storage: Arc::clone(&self.storage), id: self.tenant_id(end)?, key: "key".parse()? };
        let added = self.storage.add_key(&tenant.id, None, &samples::tenant_key("key", b"wrapped")?).await?;
        ensure!(added, "the first key of a tenant was not added");
        Ok(tenant)
    }

    /// A tenant without a key, whose name ends so.
    pub(super) fn tenant_id(&self, end: &str) -> Result<TenantId, Broken> {
        let id = TenantId::try_from(format!("{}{end}", self.name))?;
        self.notes.lock().tenants.insert(id.clone());
        Ok(id)
    }

    /// So much of it as the name of a tenant may still take.
    pub(super) fn that_fits<'a>(&self, end: &'a str) -> &'a str {
        end.get(..samples::LONGEST_ID - self.name.len()).unwrap_or_default()
    }

    pub(super) fn is_own(&self, tenant: &TenantId) -> bool {
        tenant.as_str().starts_with(&self.name)
    }

    /// Deletes what can be deleted: token records, rows, keys. Events, what was told once, states and webhooks stay.
    pub(super) async fn clean(&self) {
        let Written { tenants, tokens, rows } = mem::take(&mut *self.notes.lock());
        let storage = &*self.beneath;
        // A storage that can't delete has failed a check for it.
        let tokens = tokens.iter().map(|((tenant, key), last)| delete_token(storage, tenant, key, last.clone()));
        let _tokens = all(tokens.collect()).await;
        let rows = rows.iter().map(|((tenant, key), last)| delete_row(storage, tenant, key, last.clone()));
        let _rows = all(rows.collect()).await;
        let _keys = all(tenants.iter().map(|tenant| remove_keys(storage, tenant)).collect()).await;
    }
}

impl Tenant {
    pub(super) fn sealed(&self, bytes: impl Into<Vec<u8>>) -> Sealed {
        Sealed::new(self.key.clone(), bytes.into())
    }

    /// Creates a token record that is not due.
    pub(super) async fn put_token(
        &self,
        key: &ConnectionKey,
        revision: &str,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<(), Broken> {
        self.swap_token(key, None, Some(&samples::token(revision, self.sealed(bytes), None)?)).await
    }

    /// Creates a row without events.
    pub(super) async fn put_row(&self, revision: &str, row: &Row) -> Result<(), Broken> {
        let next = Next { revision: revision.parse()?, value: row.clone() };
        self.swap_row(&row.connection.key, None, Some(&next), &[]).await
    }

    /// Creates a row, and a token record at the same place.
    pub(super) async fn put_both(&self, revision: &str, bytes: impl Into<Vec<u8>>, row: &Row) -> Result<(), Broken> {
        self.put_token(&row.connection.key, revision, bytes).await?;
        self.put_row(revision, row).await
    }

    /// A swap that nobody else races with.
    pub(super) async fn swap_token(
        &self,
        key: &ConnectionKey,
        expected: Option<&str>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<(), Broken> {
        let expected: Option<Revision> = expected.map(str::parse).transpose()?;
        let swapped = self.storage.swap_token(&self.id, key, expected.as_ref(), next).await?;
        ensure!(swapped == Swapped::Done, "a token record that stood at {expected:?} was not swapped: {swapped:?}");
        Ok(())
    }

    /// A swap that nobody else races with.
    pub(super) async fn swap_row(
        &self,
        key: &ConnectionKey,
        expected: Option<&str>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<(), Broken> {
        let expected: Option<Revision> = expected.map(str::parse).transpose()?;
        let swapped = self.storage.swap_row(&self.id, key, expected.as_ref(), next, events).await?;
        ensure!(swapped == Swapped::Done, "a row that stood at {expected:?} was not swapped: {swapped:?}");
        Ok(())
    }

    /// Adds a key behind this one.
    pub(super) async fn add_key(&self, newest: &str, id: &str) -> Result<TenantKey, Broken> {
        let (newest, key) = (newest.parse()?, samples::tenant_key(id, id.as_bytes())?);
        let added = self.storage.add_key(&self.id, Some(&newest), &key).await?;
        ensure!(added, "a key was not added behind the newest, {newest}");
        Ok(key)
    }
}

/// What a check may have left: where, and with which revision if nobody else has written since.
#[derive(Default)]
struct Written {
    tenants: BTreeSet<TenantId>,
    tokens: BTreeMap<(TenantId, ConnectionKey), Revision>,
    rows: BTreeMap<(TenantId, ConnectionKey), Revision>,
}

/// Notes what is written.
#[derive(Default)]
struct Notes(Mutex<Written>);

impl Notes {
    fn lock(&self) -> std::sync::MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Interceptor for Notes {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        match access {
            Access::SwapToken(tenant, key, _, Some(next)) => {
                self.lock().tokens.insert((tenant.clone(), key.clone()), next.revision.clone());
            }
            Access::SwapRow(tenant, key, _, Some(next), _) => {
                self.lock().rows.insert((tenant.clone(), key.clone()), next.revision.clone());
            }
            Access::Accounts(..)
            | Access::LoadToken(..)
            | Access::SwapToken(..)
            | Access::ListRows(..)
            | Access::LoadRow(..)
            | Access::SwapRow(..)
            | Access::AppendOnce(..)
            | Access::PutState(..)
            | Access::Reseal(..)
            | Access::Read(_)
            | Access::Write(_) => {}
        }
        Passage::Made
    }
}

async fn delete_token(
    storage: &dyn HostStorage,
    tenant: &TenantId,
    key: &ConnectionKey,
    mut revision: Revision,
) -> Result<(), StorageError> {
    for _ in 0..MAX_DELETIONS {
        match storage.swap_token(tenant, key, Some(&revision), None).await? {
            Swapped::Done | Swapped::Stale(None) => break,
            Swapped::Stale(Some(found)) => revision = found.revision,
        }
    }
    Ok(())
}

async fn delete_row(
    storage: &dyn HostStorage,
    tenant: &TenantId,
    key: &ConnectionKey,
    mut revision: Revision,
) -> Result<(), StorageError> {
    for _ in 0..MAX_DELETIONS {
        match storage.swap_row(tenant, key, Some(&revision), None, &[]).await? {
            Swapped::Done | Swapped::Stale(None) => break,
            Swapped::Stale(Some(found)) => revision = found.revision,
        }
    }
    Ok(())
}

async fn remove_keys(storage: &dyn HostStorage, tenant: &TenantId) -> Result<(), StorageError> {
    for key in storage.tenant_keys(tenant).await? {
        storage.remove_key(tenant, &key.id).await?;
    }
    Ok(())
}
