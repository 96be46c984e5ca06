//! Sweeps in the background: refreshes the due connections of all tenants, again and again. All replicas may sweep at
//! the same time, because the refresh protocol lets only one of them send a refresh token.

use std::num::NonZeroUsize;
use std::time::Duration;

use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::refresh::Refreshed;
use tiktok_shop_host::sweep::{Sweep, SweepOutcome};
use tokio_util::sync::CancellationToken;

use crate::model::effect_word;
use crate::state::Shared;

/// The maximum number of connections that a sweep refreshes at the same time.
const MAX_CONCURRENCY: usize = 16;

/// Returns the number of connections that a sweep refreshes at the same time: two thirds of the calls that one tenant
/// may make, so that API calls find free instances even if all due connections belong to the same tenant.
fn concurrency(limits: &Limits) -> NonZeroUsize {
    let part = limits.concurrent_calls_of_a_tenant().saturating_mul(2) / 3;
    NonZeroUsize::new(part.min(MAX_CONCURRENCY)).unwrap_or(NonZeroUsize::MIN)
}

/// How often the recorded durations are moved into their buckets.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// Sweeps at once, and again after each `every`, until `stop` is cancelled. A sweep that is running then finishes its
/// refreshes.
pub(crate) async fn sweep(state: Shared, every: Duration, stop: CancellationToken) {
    let mut turns = tokio::time::interval(every);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = turns.tick() => {}
        }
        once(&state, every, &stop).await;
    }
}

async fn once(state: &Shared, every: Duration, stop: &CancellationToken) {
    let mut sweep = Sweep::new(state.now(), concurrency(state.host.limits()));
    // With a longer random pause, a sweep could last until after the next one should begin.
    sweep.jitter = sweep.jitter.min(every);
    let count = |_: &tiktok_shop_host::storage::Due, outcome: &SweepOutcome| {
        state.metrics.refresh("sweep", word(outcome));
    };
    let result = state.host.sweep(sweep, stop.cancelled(), count).await;
    let now = state.now().0;
    match result {
        Ok(swept) => {
            let word = if swept.stopped { "stopped" } else { "complete" };
            state.metrics.swept(&swept, word, now);
            tracing::info!(%swept, "swept");
        }
        Err(error) => {
            state.metrics.swept(&error.swept, "failed", now);
            tracing::error!(%error, "a sweep ended early; the next one continues");
        }
    }
}

/// Returns the word for an outcome in metrics.
fn word(outcome: &SweepOutcome) -> &'static str {
    match outcome {
        SweepOutcome::Refreshed(refreshed) => {
            let Refreshed { effect, .. } = &**refreshed;
            effect_word(effect)
        }
        SweepOutcome::PassedOver(passed_over) => passed_over.reason.as_str(),
        SweepOutcome::Ended(_) => "ended",
        SweepOutcome::NoLongerDue => "no-longer-due",
        SweepOutcome::Failed(error) => error.known_code(),
    }
}

/// Moves the recorded durations into their buckets, until `stop` is cancelled.
pub(crate) async fn tidy(state: Shared, stop: CancellationToken) {
    let mut turns = tokio::time::interval(TIDY_EVERY);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = turns.tick() => state.metrics.tidy(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_leaves_a_third_of_a_tenants_calls_to_the_api() {
        for (concurrent_calls, tenant_percent, expected) in [
            (100, 25, 16),
            (100, 100, 16),
            (1_000, 100, 16),
            (100, 12, 8),
            (40, 25, 6),
            (12, 25, 2),
            (8, 25, 1),
            (1, 1, 1),
            (u32::MAX, 100, 16),
        ] {
            let limits = Limits { concurrent_calls, tenant_percent, ..Limits::default() };
            assert_eq!(concurrency(&limits).get(), expected, "{tenant_percent} % of {concurrent_calls}");
        }
    }
}
