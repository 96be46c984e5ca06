//! Sends the deliveries of each endpoint in the background. Each endpoint has a task and places of its own, so a slow
//! receiver holds up only its own deliveries.

use std::sync::Arc;

use tiktok_shop_host::TenantId;
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_host::webhook::Webhook;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::client::{Client, Sent};
use super::collect::collect;
use super::content;
use super::endpoint::{Endpoint, EndpointName, Endpoints};
use super::retry::settlement;
use super::storage::{Attempt, AttemptFailure, Delivery, DeliveryStorage, LEASE, Lease, NewDelivery, Settlement};
use crate::settings::Settings;
use crate::state::{Shared, State, in_time};

/// The number of attempts that are kept of a delivery.
const MAX_ATTEMPTS: usize = 30;
/// The number of tries to store the result of an attempt. If all of them fail, the lease lapses, and the delivery is
/// sent again.
const SETTLE_TRIES: u32 = 3;

/// What the service needs to send webhooks.
pub(crate) struct Outgoing {
    pub(crate) storage: Arc<dyn DeliveryStorage>,
    endpoints: Vec<Served>,
    client: Client,
}

/// An endpoint, and what wakes its task.
struct Served {
    endpoint: Endpoint,
    wake: Notify,
    /// A place for each attempt that may run at the same time.
    places: Arc<Semaphore>,
}

impl Outgoing {
    pub(crate) fn new(storage: Arc<dyn DeliveryStorage>, endpoints: &Endpoints, settings: &Settings) -> Self {
        let places = usize::try_from(settings.deliveries_in_flight.get()).unwrap_or(usize::MAX);
        let places = places.min(Semaphore::MAX_PERMITS);
        let served = |endpoint: &Endpoint| Served {
            endpoint: endpoint.clone(),
            wake: Notify::new(),
            places: Arc::new(Semaphore::new(places)),
        };
        let endpoints = endpoints.iter().map(served).collect();
        // An attempt must end before its lease lapses. Otherwise another process sends the same delivery meanwhile.
        let deadline = settings.delivery_deadline.min(LEASE / 2);
        Self { storage, endpoints, client: Client::new(deadline, settings.webhook_authorities.as_ref()) }
    }

    /// Returns the tenants and the names of all endpoints.
    pub(crate) fn names(&self) -> Vec<(TenantId, EndpointName)> {
        self.endpoints.iter().map(|Served { endpoint, .. }| (endpoint.tenant.clone(), endpoint.name.clone())).collect()
    }

    /// Returns the endpoints of a tenant.
    pub(crate) fn endpoints(&self, tenant: &TenantId) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().map(|served| &served.endpoint).filter(move |endpoint| endpoint.tenant == *tenant)
    }

    /// Returns the endpoint of a tenant with this name.
    pub(crate) fn endpoint(&self, tenant: &TenantId, name: &EndpointName) -> Option<&Endpoint> {
        self.endpoints(tenant).find(|endpoint| endpoint.name == *name)
    }

    /// Wakes the tasks of a tenant, because there may be something to send.
    pub(crate) fn wake(&self, tenant: &TenantId) {
        self.endpoints.iter().filter(|served| served.endpoint.tenant == *tenant).for_each(|it| it.wake.notify_one());
    }
}

impl State {
    /// Stores deliveries of a tenant, and wakes the tasks that send them.
    pub(crate) async fn deliver(&self, tenant: &TenantId, deliveries: &[NewDelivery]) -> Result<(), StorageError> {
        if !deliveries.is_empty() {
            in_time(self.outgoing.storage.append(tenant, deliveries, self.now())).await?;
            self.outgoing.wake(tenant);
        }
        Ok(())
    }

    /// Stores an event of TikTok Shop for the endpoints of the tenant. Without an endpoint, does nothing.
    pub(crate) async fn deliver_webhook(&self, tenant: &TenantId, webhook: &Webhook) -> Result<(), StorageError> {
        let mut deliveries = Vec::new();
        for endpoint in self.outgoing.endpoints(tenant) {
            deliveries.extend(content::of_webhook(endpoint, webhook, self.now())?);
        }
        self.deliver(tenant, &deliveries).await
    }
}

/// Starts a task for each endpoint. The tasks end after `stop` is cancelled. An attempt that is running then finishes.
pub(crate) fn start(state: &Shared, stop: &CancellationToken) {
    for place in 0..state.outgoing.endpoints.len() {
        state.calls.spawn(serve(state.clone(), place, stop.clone()));
    }
}

async fn serve(state: Shared, place: usize, stop: CancellationToken) {
    let Some(served) = state.outgoing.endpoints.get(place) else { return };
    let mut turns = interval(state.settings.delivery_poll);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut position = None;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = served.wake.notified() => {}
            _ = turns.tick() => {}
        }
        match collect(&state, &served.endpoint, &mut position).await {
            // The next turn begins at once, unless the service is stopping.
            Ok(true) => served.wake.notify_one(),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "lifecycle events could not be made into webhooks; this is tried again");
            }
        }
        if let Err(error) = send_due(&state, place, served).await {
            tracing::warn!(%error, "no webhook could be taken from the storage; this is tried again");
        }
    }
}

/// Claims as many deliveries as the endpoint has free places, and sends each on a task of its own.
async fn send_due(state: &Shared, place: usize, served: &Served) -> Result<(), StorageError> {
    let free = served.places.available_permits();
    if free == 0 {
        return Ok(());
    }
    let lease = Lease::draw().map_err(|error| StorageError::Unavailable(error.to_string()))?;
    let Endpoint { tenant, name, .. } = &served.endpoint;
    let claimed = in_time(state.outgoing.storage.claim(tenant, name, &lease, state.now(), free)).await?;
    for delivery in claimed {
        // Only this task takes places, so one is free.
        let Ok(permit) = Arc::clone(&served.places).try_acquire_owned() else { break };
        state.calls.spawn(attempt(state.clone(), place, lease.clone(), delivery, permit));
    }
    Ok(())
}

/// Sends a delivery once, and stores what becomes of it.
async fn attempt(state: Shared, place: usize, lease: Lease, mut delivery: Delivery, permit: OwnedSemaphorePermit) {
    let Some(Served { endpoint, wake, .. }) = state.outgoing.endpoints.get(place) else { return };
    let (at, began) = (state.now(), state.clock.monotonic());
    let Sent { status, failure, outcome } = state.outgoing.client.send(endpoint, &delivery, at.0).await;
    let took = state.clock.monotonic().saturating_sub(began);
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    delivery.tries = delivery.tries.saturating_add(1);
    delivery.attempts.push(Attempt { at: at.0, took_ms, status, failure });
    let excess = delivery.attempts.len().saturating_sub(MAX_ATTEMPTS);
    delivery.attempts.drain(..excess);
    let now = state.now();
    let settlement = settlement(outcome, delivery.tries, delivery.waiting_since, now, jitter());
    let word = match settlement {
        Settlement::Delivered => "delivered",
        Settlement::Retry(_) => "failed",
        Settlement::Dead => "dead",
    };
    tracing::info!(
        tenant = endpoint.tenant.as_str(),
        endpoint = endpoint.name.as_str(),
        id = delivery.id.as_str(),
        status,
        failure = failure.map(AttemptFailure::as_str),
        took_ms,
        "webhook {word}"
    );
    state.metrics.delivery(word);
    for _ in 0..SETTLE_TRIES {
        match in_time(state.outgoing.storage.settle(&endpoint.tenant, &lease, &delivery, settlement, now)).await {
            Ok(true) => break,
            Ok(false) => {
                tracing::warn!("an attempt took longer than its lease, so its result was not stored");
                break;
            }
            Err(error) => tracing::warn!(%error, "the result of an attempt could not be stored"),
        }
    }
    drop(permit);
    wake.notify_one();
}

/// Draws random bits for a pause. Without randomness, the pause has its middle length.
fn jitter() -> u16 {
    let mut bytes = [0; 2];
    if SystemRandomness.fill(&mut bytes).is_ok() { u16::from_be_bytes(bytes) } else { u16::MAX / 2 }
}
