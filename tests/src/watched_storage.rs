//! Storage that notes what a row shows, and which ciphers it holds, and lets a test interfere.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tiktok_shop_host_harness::{
    AccountId, ConnectionKey, ConsentRecord, CustomerId, Due, Ending, Event, EventPosition, HostStorage, NewEvent,
    Next, Revision, Row, RowEntry, Secret, ShopId, StateDigest, StorageError, StoredConsent, Swapped, TenantId,
    TokenEntry, TokenWrite, UnixSeconds,
};

use crate::intercept::{Access, Interceptor, Passage};
use crate::watch::Sink;

pub(crate) struct WatchedStorage {
    storage: Arc<dyn HostStorage>,
    interceptor: Mutex<Option<Arc<dyn Interceptor>>>,
    ciphers: Mutex<BTreeSet<String>>,
}

impl WatchedStorage {
    pub(crate) fn new(storage: Arc<dyn HostStorage>) -> Self {
        Self { storage, interceptor: Mutex::default(), ciphers: Mutex::default() }
    }

    pub(crate) fn intercept(&self, interceptor: Arc<dyn Interceptor>) {
        *self.interceptor.lock().unwrap_or_else(PoisonError::into_inner) = Some(interceptor);
    }

    /// Every cipher that was ever to be stored.
    pub(crate) fn ciphers(&self) -> BTreeSet<String> {
        self.ciphers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn passage(&self, access: Access<'_>) -> Passage {
        let interceptor = self.interceptor.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match interceptor {
            Some(interceptor) => interceptor.passage(access, &*self.storage).await,
            None => Passage::Made,
        }
    }
}

async fn made<T, F>(passage: Passage, make: impl Fn() -> F) -> Result<T, StorageError>
where
    F: Future<Output = Result<T, StorageError>>,
{
    match passage {
        Passage::Made | Passage::OldToken(_) | Passage::OldRow(_) => make().await,
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

#[async_trait]
impl HostStorage for WatchedStorage {
    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        let passage = self.passage(Access::Accounts(customer)).await;
        made(passage, || self.storage.accounts(tenant, customer)).await
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
        let swapped = made(passage, || self.storage.swap_token(tenant, key, expected, next)).await;
        // What a storage says in its own error is its own.
        Sink::Rows.write(format_args!("{tenant} {key:?} {expected:?} {next:?} {:?}", swapped.as_ref().ok()));
        swapped
    }

    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError> {
        let passage = self.passage(Access::ListRows(customer)).await;
        made(passage, || self.storage.list_rows(tenant, customer)).await
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
        let shops = next.into_iter().flat_map(|next| &next.value.connection.shops);
        let ciphers = shops.filter_map(|shop| shop.cipher.as_ref()).map(Secret::expose).map(str::to_owned);
        self.ciphers.lock().unwrap_or_else(PoisonError::into_inner).extend(ciphers);
        let passage = self.passage(Access::SwapRow(tenant, key)).await;
        let swapped = made(passage, || self.storage.swap_row(tenant, key, expected, next, events)).await;
        // What a storage says in its own error is its own.
        Sink::Rows.write(format_args!("{tenant} {key:?} {expected:?} {next:?} {events:?} {:?}", swapped.as_ref().ok()));
        swapped
    }

    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError> {
        let passage = self.passage(Access::Other).await;
        made(passage, || self.storage.due(now, after, limit)).await
    }

    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError> {
        let passage = self.passage(Access::Other).await;
        made(passage, || self.storage.owners(tenant, shop)).await
    }

    async fn endings(
        &self,
        by: UnixSeconds,
        after: Option<&Ending>,
        limit: usize,
    ) -> Result<Vec<Ending>, StorageError> {
        let passage = self.passage(Access::Other).await;
        made(passage, || self.storage.endings(by, after, limit)).await
    }

    async fn events(
        &self,
        tenant: &TenantId,
        after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<Event>, StorageError> {
        let passage = self.passage(Access::Other).await;
        made(passage, || self.storage.events(tenant, after, limit)).await
    }

    async fn append_once(&self, tenant: &TenantId, once: &str, event: &NewEvent) -> Result<bool, StorageError> {
        Sink::Rows.write(format_args!("{tenant} {once} {event:?}"));
        let passage = self.passage(Access::Other).await;
        made(passage, || self.storage.append_once(tenant, once, event)).await
    }

    async fn put_state(
        &self,
        tenant: &TenantId,
        state: &StateDigest,
        consent: &ConsentRecord,
    ) -> Result<(), StorageError> {
        Sink::Rows.write(format_args!("{tenant} {state:?} {consent:?}"));
        let passage = self.passage(Access::Other).await;
        made(passage, || self.storage.put_state(tenant, state, consent)).await
    }

    async fn load_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<Option<StoredConsent>, StorageError> {
        let passage = self.passage(Access::Other).await;
        let consent = made(passage, || self.storage.load_state(tenant, state)).await;
        meet().await;
        consent
    }

    async fn use_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<bool, StorageError> {
        let passage = self.passage(Access::Other).await;
        made(passage, || self.storage.use_state(tenant, state)).await
    }

    async fn release_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<(), StorageError> {
        let passage = self.passage(Access::Other).await;
        made(passage, || self.storage.release_state(tenant, state)).await
    }

    async fn knows_webhook(&self, tenant: &TenantId, id: &str) -> Result<bool, StorageError> {
        let passage = self.passage(Access::Other).await;
        made(passage, || self.storage.knows_webhook(tenant, id)).await
    }

    async fn remember_webhook(&self, tenant: &TenantId, id: &str) -> Result<(), StorageError> {
        Sink::Rows.write(format_args!("{tenant} {id}"));
        let passage = self.passage(Access::RememberWebhook).await;
        made(passage, || self.storage.remember_webhook(tenant, id)).await
    }
}

/// Between reading and writing, calls that run side by side take turns, so that a race has both in it.
async fn meet() {
    tokio::task::yield_now().await;
}
