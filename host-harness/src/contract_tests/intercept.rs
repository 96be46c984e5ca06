//! A storage in front of another, with a say in every access: for storage that is slow, old, or does not tell whether it
//! wrote, and for tests that look at what is asked.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use crate::connection::{ConnectionKey, UnixSeconds};
use crate::consent::{ConsentRecord, StoredConsent};
use crate::digest::{OnceDigest, StateDigest, WebhookDigest};
use crate::event::{Event, EventPosition, NewEvent};
use crate::id::{AccountId, CustomerId, KeyId, Revision, ShopId, TenantId};
use crate::storage::{
    Due, Ending, HostStorage, KeyUse, Next, Purpose, Row, RowEntry, Sealed, SealedRecord, StorageError, Swapped,
    TenantKey, TokenEntry, TokenWrite, WrappedKey,
};

/// An access of storage that is about to be made.
#[derive(Clone, Copy, Debug)]
pub enum Access<'a> {
    /// `accounts`.
    Accounts(&'a TenantId, &'a CustomerId),
    /// `load_token`.
    LoadToken(&'a TenantId, &'a ConnectionKey),
    /// `swap_token`.
    SwapToken(&'a TenantId, &'a ConnectionKey, Option<&'a Revision>, Option<&'a Next<TokenWrite>>),
    /// `list_rows`.
    ListRows(&'a TenantId, &'a CustomerId),
    /// `load_row`.
    LoadRow(&'a TenantId, &'a ConnectionKey),
    /// `swap_row`.
    SwapRow(&'a TenantId, &'a ConnectionKey, Option<&'a Revision>, Option<&'a Next<Row>>, &'a [NewEvent]),
    /// `append_once`.
    AppendOnce(&'a TenantId, &'a NewEvent),
    /// `put_state`.
    PutState(&'a TenantId, &'a ConsentRecord),
    /// `reseal`.
    Reseal(&'a TenantId, &'a SealedRecord),
    /// A method that reads, and is none of the above.
    Read(&'static str),
    /// A method that writes, and is none of the above.
    Write(&'static str),
}

impl<'a> Access<'a> {
    /// The method.
    #[must_use]
    pub const fn method(self) -> &'static str {
        match self {
            Self::Accounts(..) => "accounts",
            Self::LoadToken(..) => "load_token",
            Self::SwapToken(..) => "swap_token",
            Self::ListRows(..) => "list_rows",
            Self::LoadRow(..) => "load_row",
            Self::SwapRow(..) => "swap_row",
            Self::AppendOnce(..) => "append_once",
            Self::PutState(..) => "put_state",
            Self::Reseal(..) => "reseal",
            Self::Read(method) | Self::Write(method) => method,
        }
    }

    /// Whose token records or rows it is about.
    #[must_use]
    pub const fn customer(self) -> Option<&'a CustomerId> {
        match self {
            Self::Accounts(_, customer) | Self::ListRows(_, customer) => Some(customer),
            Self::LoadToken(_, key)
            | Self::SwapToken(_, key, ..)
            | Self::LoadRow(_, key)
            | Self::SwapRow(_, key, ..) => Some(&key.customer),
            Self::AppendOnce(..) | Self::PutState(..) | Self::Reseal(..) | Self::Read(_) | Self::Write(_) => None,
        }
    }
}

/// What becomes of an access.
#[derive(Debug)]
pub enum Passage {
    /// It is made.
    Made,
    /// It is made, and nobody hears of it.
    AnswerLost,
    /// It is made twice, as by a driver that repeats what it got no answer to; the second answer is heard.
    MadeTwice,
    /// It is not made.
    Failed(StorageError),
    /// A load of a token record answers with this, an earlier version.
    OldToken(Option<TokenEntry>),
    /// A load of a row answers with this, an earlier version.
    OldRow(Option<Box<RowEntry>>),
    /// A swap of a token record answers with this. What becomes of the record, the interceptor has seen to.
    TokenSwapped(Swapped<TokenEntry>),
    /// The same of a row.
    RowSwapped(Box<Swapped<RowEntry>>),
}

/// Decides what becomes of each access.
#[async_trait]
pub trait Interceptor: Send + Sync {
    /// What becomes of this one. `beneath` is the storage it is about to reach.
    async fn passage(&self, access: Access<'_>, beneath: &dyn HostStorage) -> Passage;
}

/// A storage every access of which passes an [`Interceptor`] first.
pub struct Intercepted {
    storage: Arc<dyn HostStorage>,
    interceptor: Arc<dyn Interceptor>,
}

impl Intercepted {
    /// In front of this storage.
    #[must_use]
    pub fn new(storage: Arc<dyn HostStorage>, interceptor: Arc<dyn Interceptor>) -> Self {
        Self { storage, interceptor }
    }

    async fn passage(&self, access: Access<'_>) -> Passage {
        self.interceptor.passage(access, &*self.storage).await
    }

    async fn read<T, F>(&self, access: Access<'_>, read: impl Fn() -> F) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        made(self.passage(access).await, read).await
    }

    async fn write<T, F>(&self, access: Access<'_>, write: impl Fn() -> F) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>>,
    {
        made(self.passage(access).await, write).await
    }
}

/// Between reading and writing, calls that run side by side take turns, so that a race has both in it.
async fn meet() {
    tokio::task::yield_now().await;
}

async fn made<T, F>(passage: Passage, make: impl Fn() -> F) -> Result<T, StorageError>
where
    F: Future<Output = Result<T, StorageError>>,
{
    match passage {
        Passage::Made
        | Passage::OldToken(_)
        | Passage::OldRow(_)
        | Passage::TokenSwapped(_)
        | Passage::RowSwapped(_) => make().await,
        Passage::AnswerLost => {
            make().await?;
            Err(StorageError::Unavailable("the answer was lost".to_owned()))
        }
        Passage::MadeTwice => {
            make().await?;
            make().await
        }
        Passage::Failed(error) => Err(error),
    }
}

impl std::fmt::Debug for Intercepted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intercepted").finish_non_exhaustive()
    }
}

#[async_trait]
impl HostStorage for Intercepted {
    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        self.read(Access::Accounts(tenant, customer), || self.storage.accounts(tenant, customer)).await
    }

    async fn load_token(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<TokenEntry>, StorageError> {
        let passage = self.passage(Access::LoadToken(tenant, key)).await;
        if let Passage::OldToken(entry) = passage {
            return Ok(entry);
        }
        made(passage, || self.storage.load_token(tenant, key)).await
    }

    async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<Swapped<TokenEntry>, StorageError> {
        let passage = self.passage(Access::SwapToken(tenant, key, expected, next)).await;
        if let Passage::TokenSwapped(swapped) = passage {
            return Ok(swapped);
        }
        made(passage, || self.storage.swap_token(tenant, key, expected, next)).await
    }

    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError> {
        self.read(Access::Read("due"), || self.storage.due(now, after, limit)).await
    }

    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError> {
        self.read(Access::ListRows(tenant, customer), || self.storage.list_rows(tenant, customer)).await
    }

    async fn load_row(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        let passage = self.passage(Access::LoadRow(tenant, key)).await;
        if let Passage::OldRow(entry) = passage {
            return Ok(entry.map(|entry| *entry));
        }
        let row = made(passage, || self.storage.load_row(tenant, key)).await;
        meet().await;
        row
    }

    async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<Swapped<RowEntry>, StorageError> {
        let passage = self.passage(Access::SwapRow(tenant, key, expected, next, events)).await;
        if let Passage::RowSwapped(swapped) = passage {
            return Ok(*swapped);
        }
        made(passage, || self.storage.swap_row(tenant, key, expected, next, events)).await
    }

    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError> {
        self.read(Access::Read("owners"), || self.storage.owners(tenant, shop)).await
    }

    async fn endings(
        &self,
        by: UnixSeconds,
        after: Option<&Ending>,
        limit: usize,
    ) -> Result<Vec<Ending>, StorageError> {
        self.read(Access::Read("endings"), || self.storage.endings(by, after, limit)).await
    }

    async fn events(
        &self,
        tenant: &TenantId,
        after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<Event>, StorageError> {
        self.read(Access::Read("events"), || self.storage.events(tenant, after, limit)).await
    }

    async fn append_once(&self, tenant: &TenantId, once: &OnceDigest, event: &NewEvent) -> Result<bool, StorageError> {
        self.write(Access::AppendOnce(tenant, event), || self.storage.append_once(tenant, once, event)).await
    }

    async fn put_state(
        &self,
        tenant: &TenantId,
        state: &StateDigest,
        consent: &ConsentRecord,
    ) -> Result<(), StorageError> {
        self.write(Access::PutState(tenant, consent), || self.storage.put_state(tenant, state, consent)).await
    }

    async fn load_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<Option<StoredConsent>, StorageError> {
        let consent = self.read(Access::Read("load_state"), || self.storage.load_state(tenant, state)).await;
        meet().await;
        consent
    }

    async fn use_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<bool, StorageError> {
        self.write(Access::Write("use_state"), || self.storage.use_state(tenant, state)).await
    }

    async fn release_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<(), StorageError> {
        self.write(Access::Write("release_state"), || self.storage.release_state(tenant, state)).await
    }

    async fn knows_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<bool, StorageError> {
        self.read(Access::Read("knows_webhook"), || self.storage.knows_webhook(tenant, webhook)).await
    }

    async fn remember_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<(), StorageError> {
        self.write(Access::Write("remember_webhook"), || self.storage.remember_webhook(tenant, webhook)).await
    }

    async fn tenant_keys(&self, tenant: &TenantId) -> Result<Vec<TenantKey>, StorageError> {
        self.read(Access::Read("tenant_keys"), || self.storage.tenant_keys(tenant)).await
    }

    async fn add_key(&self, tenant: &TenantId, newest: Option<&KeyId>, key: &TenantKey) -> Result<bool, StorageError> {
        self.write(Access::Write("add_key"), || self.storage.add_key(tenant, newest, key)).await
    }

    async fn rewrap_key(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        next: Option<&WrappedKey>,
    ) -> Result<bool, StorageError> {
        self.write(Access::Write("rewrap_key"), || self.storage.rewrap_key(tenant, key, next)).await
    }

    async fn remove_key(&self, tenant: &TenantId, key: &KeyId) -> Result<bool, StorageError> {
        self.write(Access::Write("remove_key"), || self.storage.remove_key(tenant, key)).await
    }

    async fn key_uses(&self, after: Option<(&TenantId, &KeyId)>, limit: usize) -> Result<Vec<KeyUse>, StorageError> {
        self.read(Access::Read("key_uses"), || self.storage.key_uses(after, limit)).await
    }

    async fn sealed_under(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        after: Option<(Purpose, &ConnectionKey)>,
        limit: usize,
    ) -> Result<Vec<SealedRecord>, StorageError> {
        self.read(Access::Read("sealed_under"), || self.storage.sealed_under(tenant, key, after, limit)).await
    }

    async fn reseal(&self, tenant: &TenantId, record: &SealedRecord, next: &Sealed) -> Result<bool, StorageError> {
        self.write(Access::Reseal(tenant, record), || self.storage.reseal(tenant, record, next)).await
    }
}
