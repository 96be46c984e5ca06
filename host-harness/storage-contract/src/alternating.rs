//! Several handles to one storage that take turns, as the hosts of a fleet do: each has connections and memory of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use tiktok_shop_host::connection::{ConnectionKey, UnixSeconds};
use tiktok_shop_host::events::{Event, EventPosition, NewEvent};
use tiktok_shop_host::storage::{ConsentRecord, StoredConsent};
use tiktok_shop_host::storage::{
    Due, Ending, HostStorage, KeyUse, Next, Purpose, Row, RowEntry, Sealed, SealedRecord, StorageError, Swapped,
    TenantKey, TokenEntry, TokenWrite, WrappedKey,
};
use tiktok_shop_host::storage::{OnceDigest, StateDigest, WebhookDigest};
use tiktok_shop_host::{AccountId, CustomerId, KeyId, Revision, ShopId, TenantId};

/// Every access goes to the next of several handles: run the checks over two that were opened apart, because a fleet's hosts
/// share a database and nothing else.
pub struct Alternating {
    first: Arc<dyn HostStorage>,
    others: Vec<Arc<dyn HostStorage>>,
    accesses: AtomicUsize,
}

impl Alternating {
    /// Between these handles.
    #[must_use]
    pub fn new(first: Arc<dyn HostStorage>, others: Vec<Arc<dyn HostStorage>>) -> Self {
        Self { first, others, accesses: AtomicUsize::new(0) }
    }

    fn next(&self) -> &dyn HostStorage {
        let turn = self.accesses.fetch_add(1, Ordering::Relaxed) % (self.others.len() + 1);
        let other = turn.checked_sub(1).and_then(|other| self.others.get(other));
        &**other.unwrap_or(&self.first)
    }
}

impl std::fmt::Debug for Alternating {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Alternating").field("handles", &(self.others.len() + 1)).finish_non_exhaustive()
    }
}

#[async_trait]
impl HostStorage for Alternating {
    async fn accounts(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<AccountId>, StorageError> {
        self.next().accounts(tenant, customer).await
    }

    async fn load_token(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<TokenEntry>, StorageError> {
        self.next().load_token(tenant, key).await
    }

    async fn swap_token(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<TokenWrite>>,
    ) -> Result<Swapped<TokenEntry>, StorageError> {
        self.next().swap_token(tenant, key, expected, next).await
    }

    async fn due(&self, now: UnixSeconds, after: Option<&Due>, limit: usize) -> Result<Vec<Due>, StorageError> {
        self.next().due(now, after, limit).await
    }

    async fn list_rows(&self, tenant: &TenantId, customer: &CustomerId) -> Result<Vec<RowEntry>, StorageError> {
        self.next().list_rows(tenant, customer).await
    }

    async fn load_row(&self, tenant: &TenantId, key: &ConnectionKey) -> Result<Option<RowEntry>, StorageError> {
        self.next().load_row(tenant, key).await
    }

    async fn swap_row(
        &self,
        tenant: &TenantId,
        key: &ConnectionKey,
        expected: Option<&Revision>,
        next: Option<&Next<Row>>,
        events: &[NewEvent],
    ) -> Result<Swapped<RowEntry>, StorageError> {
        self.next().swap_row(tenant, key, expected, next, events).await
    }

    async fn owners(&self, tenant: &TenantId, shop: &ShopId) -> Result<Vec<ConnectionKey>, StorageError> {
        self.next().owners(tenant, shop).await
    }

    async fn endings(
        &self,
        by: UnixSeconds,
        after: Option<&Ending>,
        limit: usize,
    ) -> Result<Vec<Ending>, StorageError> {
        self.next().endings(by, after, limit).await
    }

    async fn events(
        &self,
        tenant: &TenantId,
        after: Option<EventPosition>,
        limit: usize,
    ) -> Result<Vec<Event>, StorageError> {
        self.next().events(tenant, after, limit).await
    }

    async fn append_once(&self, tenant: &TenantId, once: &OnceDigest, event: &NewEvent) -> Result<bool, StorageError> {
        self.next().append_once(tenant, once, event).await
    }

    async fn put_state(
        &self,
        tenant: &TenantId,
        state: &StateDigest,
        consent: &ConsentRecord,
    ) -> Result<(), StorageError> {
        self.next().put_state(tenant, state, consent).await
    }

    async fn load_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<Option<StoredConsent>, StorageError> {
        self.next().load_state(tenant, state).await
    }

    async fn use_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<bool, StorageError> {
        self.next().use_state(tenant, state).await
    }

    async fn release_state(&self, tenant: &TenantId, state: &StateDigest) -> Result<(), StorageError> {
        self.next().release_state(tenant, state).await
    }

    async fn knows_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<bool, StorageError> {
        self.next().knows_webhook(tenant, webhook).await
    }

    async fn remember_webhook(&self, tenant: &TenantId, webhook: &WebhookDigest) -> Result<(), StorageError> {
        self.next().remember_webhook(tenant, webhook).await
    }

    async fn tenant_keys(&self, tenant: &TenantId) -> Result<Vec<TenantKey>, StorageError> {
        self.next().tenant_keys(tenant).await
    }

    async fn add_key(&self, tenant: &TenantId, newest: Option<&KeyId>, key: &TenantKey) -> Result<bool, StorageError> {
        self.next().add_key(tenant, newest, key).await
    }

    async fn rewrap_key(
        &self,
        tenant: &TenantId,
        key: &TenantKey,
        next: Option<&WrappedKey>,
    ) -> Result<bool, StorageError> {
        self.next().rewrap_key(tenant, key, next).await
    }

    async fn remove_key(&self, tenant: &TenantId, key: &KeyId) -> Result<bool, StorageError> {
        self.next().remove_key(tenant, key).await
    }

    async fn key_uses(&self, after: Option<(&TenantId, &KeyId)>, limit: usize) -> Result<Vec<KeyUse>, StorageError> {
        self.next().key_uses(after, limit).await
    }

    async fn sealed_under(
        &self,
        tenant: &TenantId,
        key: &KeyId,
        after: Option<(Purpose, &ConnectionKey)>,
        limit: usize,
    ) -> Result<Vec<SealedRecord>, StorageError> {
        self.next().sealed_under(tenant, key, after, limit).await
    }

    async fn reseal(&self, tenant: &TenantId, record: &SealedRecord, next: &Sealed) -> Result<bool, StorageError> {
        self.next().reseal(tenant, record, next).await
    }
}
