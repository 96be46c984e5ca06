//! Sends the deliveries of each endpoint in the background. Each endpoint has a task and places of its own, so a slow
//! receiver holds up only its own deliveries.

use std::sync::Arc;
use std::time::Duration;

use tiktok_shop_host::TenantId;
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_host::webhook::Webhook;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::client::{ANSWER_DEADLINE, Client, Sent};
use super::collect::collect;
use super::content;
use super::endpoint::{Endpoint, EndpointName, Endpoints};
use super::retry::settlement;
use super::storage::{Attempt, AttemptFailure, Delivery, DeliveryStorage, LEASE, Lease, NewDelivery, Settlement};
use crate::settings::Settings;
use crate::state::{STORAGE_DEADLINE, Shared, State, in_time};

/// The number of attempts that are kept of a delivery.
const MAX_ATTEMPTS: usize = 30;
/// The longest time that an attempt may take. A longer setting counts as this time.
const MAX_ATTEMPT: Duration = Duration::from_secs(LEASE.as_secs() / 2);
/// How long the service tries to store the result of an attempt. This outlasts a short failover of the database. If all
/// tries fail, the lease lapses, and the delivery is sent again.
const SETTLE_WITHIN: Duration = Duration::from_secs(18);
/// The first pause between two tries, and the longest one. Each pause is twice as long as the one before.
const SETTLE_PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(4)];
// A result that is stored after the lease has lapsed does not count, because another process may send the delivery.
const _: () = assert!(
    STORAGE_DEADLINE.as_secs() + MAX_ATTEMPT.as_secs() + ANSWER_DEADLINE.as_secs() + SETTLE_WITHIN.as_secs()
        < LEASE.as_secs(),
    "the claim, the attempt and the tries to store its result end before the lease"
);
/// After this many turns without anything to do, an endpoint is idle.
const TURNS_UNTIL_IDLE: u32 = 10;
/// The pause of an idle endpoint is this many times as long as the usual one.
const IDLE_FACTOR: u32 = 5;

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
        let deadline = settings.delivery_deadline.min(MAX_ATTEMPT);
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
    // The first turn begins at once.
    served.wake.notify_one();
    let (mut position, mut idle_turns) = (None, 0);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = served.wake.notified() => idle_turns = 0,
            () = sleep(pause(state.settings.delivery_poll, idle_turns)) => idle_turns = idle_turns.saturating_add(1),
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

/// Returns the pause of an endpoint after this many turns without anything to do. An idle endpoint asks the database
/// less often. This delays only the events of other processes, of sweeps and of signed calls, and deliveries that are
/// attempted again.
const fn pause(poll: Duration, idle_turns: u32) -> Duration {
    if idle_turns < TURNS_UNTIL_IDLE { poll } else { poll.saturating_mul(IDLE_FACTOR) }
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
    let storage = &state.outgoing.storage;
    store_result(|| in_time(storage.settle(&endpoint.tenant, &lease, &delivery, settlement, now))).await;
    drop(permit);
    wake.notify_one();
}

/// Tries to store the result of an attempt, with growing pauses between the tries, for at most [`SETTLE_WITHIN`]. `settle`
/// returns `false` if the lease has lapsed.
async fn store_result<F: Future<Output = Result<bool, StorageError>>>(settle: impl Fn() -> F) {
    let tries = async {
        let [mut pause, longest] = SETTLE_PAUSES;
        loop {
            match settle().await {
                Ok(true) => return,
                Ok(false) => {
                    tracing::warn!("the lease of an attempt has ended, or an earlier try has stored its result");
                    return;
                }
                Err(error) => tracing::warn!(%error, "the result of an attempt could not be stored"),
            }
            sleep(pause).await;
            pause = longest.min(pause * 2);
        }
    };
    if timeout(SETTLE_WITHIN, tries).await.is_err() {
        tracing::error!("the result of an attempt could not be stored; the webhook will be sent again");
    }
}

/// Draws random bits for a pause. Without randomness, the pause has its middle length.
fn jitter() -> u16 {
    let mut bytes = [0; 2];
    if SystemRandomness.fill(&mut bytes).is_ok() { u16::from_be_bytes(bytes) } else { u16::MAX / 2 }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::{pending, ready};

    use tokio::time::Instant;

    use super::*;

    /// Stores a result in a storage that works after this time. Returns the times of the tries, in milliseconds.
    async fn tries(works_after: Duration, answer: bool) -> Vec<u128> {
        let (began, tries) = (Instant::now(), RefCell::new(Vec::new()));
        let switched_off = || StorageError::Unavailable("switched off".to_owned());
        store_result(|| {
            tries.borrow_mut().push(began.elapsed().as_millis());
            ready(if began.elapsed() < works_after { Err(switched_off()) } else { Ok(answer) })
        })
        .await;
        assert!(began.elapsed() <= SETTLE_WITHIN);
        tries.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_is_stored_after_a_short_failure_of_the_database() {
        for answer in [true, false] {
            assert_eq!(tries(Duration::ZERO, answer).await, [0], "{answer}");
        }
        assert_eq!(tries(Duration::from_secs(10), true).await, [0, 250, 750, 1_750, 3_750, 7_750, 11_750]);
        let all = tries(Duration::MAX, true).await;
        assert_eq!(all[6..], [11_750, 15_750], "the last try is shortly before the end");
    }

    #[tokio::test(start_paused = true)]
    async fn a_database_that_does_not_answer_is_given_up_before_the_lease_lapses() {
        let began = Instant::now();
        store_result(|| in_time(pending())).await;
        assert_eq!(began.elapsed(), SETTLE_WITHIN);
    }

    #[test]
    fn an_endpoint_without_anything_to_do_looks_every_second_at_first_and_later_every_five_seconds() {
        let poll = Duration::from_secs(1);
        assert_eq!([0, 9, 10, u32::MAX].map(|turns| pause(poll, turns).as_secs()), [1, 1, 5, 5]);
    }
}
