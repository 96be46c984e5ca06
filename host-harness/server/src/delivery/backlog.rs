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
        if let Err(error) = once(&state, &stop).await {
            tracing::warn!(%error, "the backlog of webhooks could not be measured or cleaned up");
        }
    }
}

async fn once(state: &Shared, stop: &CancellationToken) -> Result<(), StorageError> {
    let (storage, now) = (&state.outgoing.storage, state.now().0);
    let backlog = in_time(storage.backlog(&state.outgoing.names())).await?;
    let waits = backlog.oldest_waiting.map_or(0, |since| now.saturating_sub(since.0));
    state.metrics.backlog(waits, backlog.dead);
    for (state, kept) in KEPT {
        let before = UnixSeconds(now.saturating_sub(kept));
        // After a full page there may be more. One page each time would fall behind a busy service.
        while in_time(storage.delete_old(state, before, PAGE)).await? == PAGE as u64 {
            if stop.is_cancelled() {
                return Ok(());
            }
        }
    }
    Ok(())
}
