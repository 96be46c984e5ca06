//! Makes deliveries of the lifecycle events in the storage of the host, in their order and each once.

use std::time::Duration;

use tiktok_shop_host::TenantId;
use tiktok_shop_host::events::EventPosition;
use tiktok_shop_host::storage::StorageError;

use super::content;
use super::endpoint::Endpoint;
use crate::state::{Shared, in_time};

/// The number of events that become deliveries in one transaction.
const PAGE: usize = 200;
/// A database keeps positions as signed numbers.
const MAX_POSITION: u64 = i64::MAX.unsigned_abs();
/// If there are no events, the stored position is read again after this time. A database that has lost its latest writes
/// in a failover gives the positions of lost events to new events, and has an earlier position of the endpoint.
const READ_AGAIN: Duration = Duration::from_secs(30);

/// The stored position of an endpoint, as far as this process knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownPosition {
    position: EventPosition,
    /// When this process last read or moved the stored position, by the monotonic clock.
    since: Duration,
}

/// Makes deliveries of the next page of events behind the stored position. Returns whether there may be more events.
/// After an error, nothing is known any more, because the database may have failed over. All replicas may do this at the
/// same time, because only one of them can move the position.
pub(crate) async fn collect(
    state: &Shared,
    endpoint: &Endpoint,
    known: &mut Option<KnownPosition>,
) -> Result<bool, StorageError> {
    let began = state.clock.monotonic();
    let KnownPosition { position: from, since } = match known.take() {
        Some(known) => known,
        None => KnownPosition { position: position(state, endpoint).await?, since: began },
    };
    let page = in_time(state.storage.events(&endpoint.tenant, Some(from), PAGE)).await?;
    let Some(to) = page.last().map(|event| event.position) else {
        if began.saturating_sub(since) < READ_AGAIN {
            *known = Some(KnownPosition { position: from, since });
            return Ok(false);
        }
        let stored = position(state, endpoint).await?;
        *known = Some(KnownPosition { position: stored, since: began });
        return Ok(stored != from);
    };
    let mut deliveries = Vec::new();
    for event in &page {
        match content::of_event(endpoint, event) {
            Ok(delivery) => deliveries.extend(delivery),
            Err(error) => tracing::error!(%error, "an event can't be delivered, and is left out"),
        }
    }
    let (storage, now) = (&state.outgoing.storage, state.now());
    let advance = storage.advance(&endpoint.tenant, &endpoint.name, Some(from), to, &deliveries, now);
    // If another replica was faster, the position is read again.
    *known = in_time(advance).await?.then_some(KnownPosition { position: to, since: began });
    Ok(known.is_none() || page.len() == PAGE)
}

/// Returns the stored position of an endpoint. An endpoint that has none begins behind the last event, so that a new
/// endpoint does not get the events of years.
async fn position(state: &Shared, endpoint: &Endpoint) -> Result<EventPosition, StorageError> {
    let storage = &state.outgoing.storage;
    if let Some(position) = in_time(storage.position(&endpoint.tenant, &endpoint.name)).await? {
        return Ok(position);
    }
    let last = last_position(state, &endpoint.tenant).await?;
    let advance = storage.advance(&endpoint.tenant, &endpoint.name, None, last, &[], state.now());
    if in_time(advance).await? {
        return Ok(last);
    }
    // Another replica was faster.
    Ok(in_time(storage.position(&endpoint.tenant, &endpoint.name)).await?.unwrap_or(last))
}

/// Returns the position of the tenant's last event, or zero. The storage can only say whether there are events behind a
/// position, so this halves an interval.
async fn last_position(state: &Shared, tenant: &TenantId) -> Result<EventPosition, StorageError> {
    let has_later = async |position: u64| {
        let page = in_time(state.storage.events(tenant, Some(EventPosition(position)), 1)).await?;
        Ok::<_, StorageError>(!page.is_empty())
    };
    let (mut low, mut high) = (0_u64, 1_u64);
    while has_later(high).await? {
        low = high;
        high = high.saturating_mul(2).min(MAX_POSITION);
    }
    // There are events behind `low`, unless it is zero, and there are none behind `high`.
    if low == 0 && !has_later(0).await? {
        return Ok(EventPosition(0));
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if has_later(middle).await? { low = middle } else { high = middle }
    }
    Ok(EventPosition(high))
}
