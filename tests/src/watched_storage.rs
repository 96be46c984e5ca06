//! Storage that notes what a row shows, and which ciphers it holds.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tiktok_shop_host_harness::{
    AccountId, ConnectionKey, CustomerId, Due, HostStorage, Next, Revision, Row, RowEntry, Secret, ShopId,
    StorageError, Swapped, TenantId, TokenEntry, TokenWrite, UnixSeconds,
};

use crate::watch::Sink;

pub(crate) struct WatchedStorage {
    storage: Arc<dyn HostStorage>,
    ciphers: Mutex<BTreeSet<String>>,
}

impl WatchedStorage {
    pub(crate) fn new(storage: Arc<dyn HostStorage>) -> Self {
        Self { storage, ciphers: Mutex::default() }
    }

    /// Every cipher that was ever to be stored.
    pub(crate) fn ciphers(&self) -> BTreeSet<String> {
        self.ciphers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl HostStorage for WatchedStorage {
    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        self.storage.accounts(tenant, customer).await
    }

    async fn load_token(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<TokenEntry>, StorageError> {
        self.storage.load_token(tenant, key).await
    }

    async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<Swapped<TokenEntry>, StorageError> {
        let swapped = self.storage.swap_token(tenant, key, expected, next).await;
        // What a storage says in its own error is its own.
        Sink::Rows.write(format_args!("{tenant} {key:?} {expected:?} {next:?} {:?}", swapped.as_ref().ok()));
        swapped
    }

    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError> {
        self.storage.list_rows(tenant, customer).await
    }

    async fn load_row(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        self.storage.load_row(tenant, key).await
    }

    async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
    ) -> Result<Swapped<RowEntry>, StorageError> {
        let shops = next.into_iter().flat_map(|next| &next.value.connection.shops);
        let ciphers = shops.filter_map(|shop| shop.cipher.as_ref()).map(Secret::expose).map(str::to_owned);
        self.ciphers.lock().unwrap_or_else(PoisonError::into_inner).extend(ciphers);
        let swapped = self.storage.swap_row(tenant, key, expected, next).await;
        // What a storage says in its own error is its own.
        Sink::Rows.write(format_args!("{tenant} {key:?} {expected:?} {next:?} {:?}", swapped.as_ref().ok()));
        swapped
    }

    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError> {
        self.storage.due(now, after, limit).await
    }

    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError> {
        self.storage.owners(tenant, shop).await
    }
}
