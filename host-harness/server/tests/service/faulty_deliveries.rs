//! A storage of deliveries of which a test can make some methods fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use tiktok_shop_host::TenantId;
use tiktok_shop_host::clock::Clock;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::events::EventPosition;
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_server::delivery::{
    Backlog, Delivery, DeliveryFilter, DeliveryId, DeliveryState, DeliveryStorage, EndpointName, Lease,
    MemoryDeliveries, NewDelivery, Settlement,
};

/// A storage in memory of which nothing fails at first.
pub(crate) struct FaultyDeliveries {
    pub(crate) inner: MemoryDeliveries,
    /// The number of calls of `load` that are answered. All later ones fail.
    pub(crate) loads: AtomicU32,
    /// The number of calls of `settle` that fail. All later ones are answered.
    pub(crate) failing_settles: AtomicU32,
    pub(crate) backlog_fails: AtomicBool,
    pub(crate) deletion_of_delivered_fails: AtomicBool,
}

impl FaultyDeliveries {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: MemoryDeliveries::new(clock),
            loads: AtomicU32::new(u32::MAX),
            failing_settles: AtomicU32::new(0),
            backlog_fails: AtomicBool::new(false),
            deletion_of_delivered_fails: AtomicBool::new(false),
        }
    }
}

/// Takes one from a number. Returns whether it was above zero.
fn takes_one(number: &AtomicU32) -> bool {
    number.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

fn switched_off() -> StorageError {
    StorageError::Unavailable("switched off".to_owned())
}

#[async_trait::async_trait]
impl DeliveryStorage for FaultyDeliveries {
    async fn append(&self, tenant: &TenantId, new: &[NewDelivery], now: UnixSeconds) -> Result<u64, StorageError> {
        self.inner.append(tenant, new, now).await
    }

    async fn position(&self, tenant: &TenantId, name: &EndpointName) -> Result<Option<EventPosition>, StorageError> {
        self.inner.position(tenant, name).await
    }

    async fn advance(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointName,
        from: Option<EventPosition>,
        to: EventPosition,
        deliveries: &[NewDelivery],
        now: UnixSeconds,
    ) -> Result<bool, StorageError> {
        self.inner.advance(tenant, endpoint, from, to, deliveries, now).await
    }

    async fn claim(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointName,
        lease: &Lease,
        now: UnixSeconds,
        limit: usize,
    ) -> Result<Vec<Delivery>, StorageError> {
        self.inner.claim(tenant, endpoint, lease, now, limit).await
    }

    async fn settle(
        &self,
        tenant: &TenantId,
        lease: &Lease,
        delivery: &Delivery,
        settlement: Settlement,
        now: UnixSeconds,
    ) -> Result<bool, StorageError> {
        if takes_one(&self.failing_settles) {
            return Err(switched_off());
        }
        self.inner.settle(tenant, lease, delivery, settlement, now).await
    }

    async fn list(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StorageError> {
        self.inner.list(tenant, filter, after, limit).await
    }

    async fn load(&self, tenant: &TenantId, id: &DeliveryId) -> Result<Option<Delivery>, StorageError> {
        if !takes_one(&self.loads) {
            return Err(switched_off());
        }
        self.inner.load(tenant, id).await
    }

    async fn redeliver(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        after: Option<u64>,
        now: UnixSeconds,
        limit: usize,
    ) -> Result<Vec<u64>, StorageError> {
        self.inner.redeliver(tenant, filter, after, now, limit).await
    }

    async fn backlog(&self, endpoints: &[(TenantId, EndpointName)]) -> Result<Backlog, StorageError> {
        if self.backlog_fails.load(Ordering::SeqCst) {
            return Err(switched_off());
        }
        self.inner.backlog(endpoints).await
    }

    async fn delete_old(&self, state: DeliveryState, before: UnixSeconds, limit: usize) -> Result<u64, StorageError> {
        if state == DeliveryState::Delivered && self.deletion_of_delivered_fails.load(Ordering::SeqCst) {
            return Err(switched_off());
        }
        self.inner.delete_old(state, before, limit).await
    }
}
