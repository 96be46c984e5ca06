//! A storage of deliveries in the memory of this process, for tests and for a service with a fake. Everything is lost
//! when the process ends.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tiktok_shop_host::clock::Clock;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::events::EventPosition;
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_host::{CustomerId, TenantId};

use super::endpoint::EndpointName;
use super::storage::{
    Backlog, Delivery, DeliveryFilter, DeliveryId, DeliveryState, DeliveryStorage, LEASE, Lease,
    MAX_COUNTED_DEAD_LETTERS, NewDelivery, Settlement,
};

/// A storage of deliveries in memory. Leases last by the monotonic time of its clock.
pub struct MemoryDeliveries {
    clock: Arc<dyn Clock>,
    records: Mutex<Records>,
}

type QueueKey = (TenantId, EndpointName, Option<CustomerId>);

#[derive(Default)]
struct Records {
    last_number: u64,
    /// By tenant and number.
    deliveries: BTreeMap<(TenantId, u64), Delivery>,
    queues: BTreeMap<QueueKey, Queue>,
    positions: BTreeMap<(TenantId, EndpointName), EventPosition>,
}

struct Queue {
    due_at: UnixSeconds,
    lease: Option<(Lease, Duration)>,
}

impl Records {
    fn append(&mut self, tenant: &TenantId, deliveries: &[NewDelivery], now: UnixSeconds) -> u64 {
        let mut added = 0;
        for new in deliveries {
            if self.of_tenant(tenant).any(|known| known.id == new.id) {
                continue;
            }
            let NewDelivery { id, endpoint, customer, event_type, body } = new.clone();
            added += 1;
            self.last_number += 1;
            let queue = (tenant.clone(), endpoint.clone(), customer.clone());
            self.queues.entry(queue).or_insert(Queue { due_at: now, lease: None });
            let delivery = Delivery {
                id,
                number: self.last_number,
                endpoint,
                customer,
                event_type,
                state: DeliveryState::Waiting,
                stored_at: now,
                waiting_since: now,
                ended_at: None,
                tries: 0,
                attempts: Vec::new(),
                due_at: None,
                body: Some(body),
            };
            self.deliveries.insert((tenant.clone(), self.last_number), delivery);
        }
        added
    }

    fn of_tenant(&self, tenant: &TenantId) -> impl Iterator<Item = &Delivery> {
        self.deliveries.range((tenant.clone(), 0)..=(tenant.clone(), u64::MAX)).map(|(_, delivery)| delivery)
    }

    /// Returns the first waiting delivery of a queue.
    fn first(&self, (tenant, endpoint, customer): &QueueKey) -> Option<&Delivery> {
        self.of_tenant(tenant).find(|delivery| {
            delivery.state == DeliveryState::Waiting && delivery.endpoint == *endpoint && delivery.customer == *customer
        })
    }

    /// Returns a delivery as a list shows it.
    fn shown(&self, tenant: &TenantId, delivery: &Delivery) -> Delivery {
        let queue = (tenant.clone(), delivery.endpoint.clone(), delivery.customer.clone());
        let is_waiting = delivery.state == DeliveryState::Waiting;
        let due_at = self.queues.get(&queue).filter(|_| is_waiting).map(|queue| queue.due_at);
        Delivery { due_at, ..delivery.clone() }
    }
}

fn matches(filter: &DeliveryFilter, delivery: &Delivery) -> bool {
    let DeliveryFilter { id, state, endpoint, customer } = filter;
    id.as_ref().is_none_or(|id| *id == delivery.id)
        && state.is_none_or(|state| state == delivery.state)
        && endpoint.as_ref().is_none_or(|endpoint| *endpoint == delivery.endpoint)
        && customer.as_ref().is_none_or(|customer| Some(customer) == delivery.customer.as_ref())
}

impl MemoryDeliveries {
    /// Creates an empty storage.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, records: Mutex::default() }
    }

    /// Takes the lock. If a thread has panicked while it held the lock, the records are still consistent, so the lock
    /// is taken anyway.
    fn lock(&self) -> MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl DeliveryStorage for MemoryDeliveries {
    async fn append(
        &self,
        tenant: &TenantId,
        deliveries: &[NewDelivery],
        now: UnixSeconds,
    ) -> Result<u64, StorageError> {
        Ok(self.lock().append(tenant, deliveries, now))
    }

    async fn position(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointName,
    ) -> Result<Option<EventPosition>, StorageError> {
        Ok(self.lock().positions.get(&(tenant.clone(), endpoint.clone())).copied())
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
        let mut records = self.lock();
        let place = (tenant.clone(), endpoint.clone());
        if records.positions.get(&place).copied() != from {
            return Ok(false);
        }
        records.positions.insert(place, to);
        records.append(tenant, deliveries, now);
        Ok(true)
    }

    async fn claim(
        &self,
        tenant: &TenantId,
        endpoint: &EndpointName,
        lease: &Lease,
        now: UnixSeconds,
        limit: usize,
    ) -> Result<Vec<Delivery>, StorageError> {
        let mut records = self.lock();
        let since = self.clock.monotonic();
        let lapsed = |began: Duration| since.saturating_sub(began) >= LEASE;
        let is_due =
            |queue: &Queue| queue.due_at <= now && queue.lease.as_ref().is_none_or(|(_, began)| lapsed(*began));
        let mut due: Vec<_> = records
            .queues
            .iter()
            .filter(|((of, at, _), queue)| of == tenant && at == endpoint && is_due(queue))
            .map(|(key, queue)| (queue.due_at, key.clone()))
            .collect();
        due.sort();
        let mut claimed = Vec::new();
        for (_, key) in due.into_iter().take(limit) {
            match records.first(&key).cloned() {
                Some(first) => {
                    if let Some(queue) = records.queues.get_mut(&key) {
                        queue.lease = Some((lease.clone(), since));
                    }
                    claimed.push(first);
                }
                None => drop(records.queues.remove(&key)),
            }
        }
        Ok(claimed)
    }

    async fn settle(
        &self,
        tenant: &TenantId,
        lease: &Lease,
        delivery: &Delivery,
        settlement: Settlement,
        now: UnixSeconds,
    ) -> Result<bool, StorageError> {
        let mut records = self.lock();
        let key = (tenant.clone(), delivery.endpoint.clone(), delivery.customer.clone());
        let is_held = |queue: &Queue| queue.lease.as_ref().is_some_and(|(held, _)| held == lease);
        if !records.queues.get(&key).is_some_and(is_held) {
            return Ok(false);
        }
        if let Some(stored) = records.deliveries.get_mut(&(tenant.clone(), delivery.number)) {
            stored.attempts.clone_from(&delivery.attempts);
            stored.tries = delivery.tries;
            (stored.state, stored.ended_at) = (settlement.state(), settlement.ended_at(now));
            if stored.state == DeliveryState::Delivered {
                stored.body = None;
            }
        }
        let due_at = records.first(&key).map(|first| settlement.queue_due_at(delivery, first.number, now));
        match due_at {
            Some(due_at) => drop(records.queues.insert(key, Queue { due_at, lease: None })),
            None => drop(records.queues.remove(&key)),
        }
        Ok(true)
    }

    async fn list(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Delivery>, StorageError> {
        let records = self.lock();
        let found = records.of_tenant(tenant).filter(|delivery| after.is_none_or(|after| delivery.number > after));
        let found = found.filter(|delivery| matches(filter, delivery)).take(limit);
        Ok(found.map(|delivery| Delivery { body: None, ..records.shown(tenant, delivery) }).collect())
    }

    async fn load(&self, tenant: &TenantId, id: &DeliveryId) -> Result<Option<Delivery>, StorageError> {
        let records = self.lock();
        let found = records.of_tenant(tenant).find(|delivery| delivery.id == *id);
        Ok(found.map(|delivery| records.shown(tenant, delivery)))
    }

    async fn redeliver(
        &self,
        tenant: &TenantId,
        filter: &DeliveryFilter,
        after: Option<u64>,
        now: UnixSeconds,
        limit: usize,
    ) -> Result<Vec<u64>, StorageError> {
        let mut records = self.lock();
        let dead = DeliveryFilter { state: Some(DeliveryState::Dead), ..filter.clone() };
        let later = records.of_tenant(tenant).filter(|delivery| after.is_none_or(|after| delivery.number > after));
        let found = later.filter(|delivery| matches(&dead, delivery)).take(limit);
        let numbers: Vec<_> = found.map(|delivery| delivery.number).collect();
        for number in &numbers {
            let Some(delivery) = records.deliveries.get_mut(&(tenant.clone(), *number)) else { continue };
            delivery.state = DeliveryState::Waiting;
            (delivery.waiting_since, delivery.ended_at, delivery.tries) = (now, None, 0);
            let key = (tenant.clone(), delivery.endpoint.clone(), delivery.customer.clone());
            records.queues.entry(key).or_insert(Queue { due_at: now, lease: None }).due_at = now;
        }
        Ok(numbers)
    }

    async fn backlog(&self, endpoints: &[(TenantId, EndpointName)]) -> Result<Backlog, StorageError> {
        let records = self.lock();
        let of = |state| records.deliveries.iter().filter(move |(_, delivery)| delivery.state == state);
        let is_served = |tenant: &TenantId, delivery: &Delivery| {
            endpoints.iter().any(|(of, name)| of == tenant && *name == delivery.endpoint)
        };
        let waiting = of(DeliveryState::Waiting).filter(|((tenant, _), delivery)| is_served(tenant, delivery));
        let oldest_waiting = waiting.map(|(_, delivery)| delivery.waiting_since).min();
        let dead = u64::try_from(of(DeliveryState::Dead).count()).unwrap_or(u64::MAX).min(MAX_COUNTED_DEAD_LETTERS);
        Ok(Backlog { oldest_waiting, dead })
    }

    async fn delete_old(&self, state: DeliveryState, before: UnixSeconds, limit: usize) -> Result<u64, StorageError> {
        let mut records = self.lock();
        let since = |delivery: &Delivery| delivery.ended_at.unwrap_or(delivery.waiting_since);
        let is_old = |delivery: &Delivery| delivery.state == state && since(delivery) < before;
        let old = records.deliveries.iter().filter(|(_, delivery)| is_old(delivery)).map(|(key, _)| key.clone());
        let old: Vec<_> = old.take(limit).collect();
        old.iter().for_each(|key| drop(records.deliveries.remove(key)));
        Ok(u64::try_from(old.len()).unwrap_or(u64::MAX))
    }
}
