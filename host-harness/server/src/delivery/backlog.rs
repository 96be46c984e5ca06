//! Measures the backlog of deliveries for the metrics, and deletes old deliveries.

use std::time::Duration;

use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::storage::StorageError;
use tokio_util::sync::CancellationToken;

use super::storage::DeliveryState;
use crate::state::{Shared, in_time};

/// How often the backlog is measured.
const EVERY: Duration = Duration::from_secs(30);
const DAY: u64 = 86_400;
/// How long a delivery is kept in each state, in seconds. TikTok repeats an event for 15.5 hours, and a repetition is
/// known as long as its delivery is stored. Only a delivery to an endpoint that is no longer configured waits for longer
/// than three days.
const KEPT: [(DeliveryState, u64); 3] =
    [(DeliveryState::Delivered, 7 * DAY), (DeliveryState::Dead, 30 * DAY), (DeliveryState::Waiting, 33 * DAY)];
/// The number of deliveries that are deleted in one transaction.
const PAGE: usize = 500;

/// Measures the backlog and deletes old deliveries, until `stop` is cancelled.
pub(crate) async fn watch(state: Shared, stop: CancellationToken) {
    let mut turns = tokio::time::interval(EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = turns.tick() => {}
        }
        // Each part is done even if another one fails. Otherwise a failing count could stop the deletions for ever.
        for (kind, kept) in KEPT {
            if let Err(error) = delete_old(&state, kind, kept, &stop).await {
                let kind = kind.as_str();
                tracing::warn!(%error, state = kind, "old webhooks could not be deleted; this is tried again");
            }
            if stop.is_cancelled() {
                return;
            }
        }
        if let Err(error) = measure(&state).await {
            tracing::warn!(%error, "the backlog of webhooks could not be measured; this is tried again");
        }
    }
}

/// Deletes the deliveries that have been in this state for longer than `kept` seconds.
async fn delete_old(
    state: &Shared,
    kind: DeliveryState,
    kept: u64,
    stop: &CancellationToken,
) -> Result<(), StorageError> {
    let before = UnixSeconds(state.now().0.saturating_sub(kept));
    loop {
        let deleted = in_time(state.outgoing.storage.delete_old(kind, before, PAGE)).await?;
        // After a full page there may be more. One page each time would fall behind a busy service.
        if deleted < PAGE as u64 || stop.is_cancelled() {
            return Ok(());
        }
    }
}

/// Measures the backlog for the metrics.
async fn measure(state: &Shared) -> Result<(), StorageError> {
    let backlog = in_time(state.outgoing.storage.backlog(&state.outgoing.names())).await?;
    let waits = backlog.oldest_waiting.map_or(0, |since| state.now().0.saturating_sub(since.0));
    state.metrics.backlog(waits, backlog.dead);
    Ok(())
}
