//! Counts the connections in the storage once a minute, for the metrics. Every process counts all connections, so
//! the metrics of one process are enough.

use std::collections::BTreeMap;

use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::storage::{HostStorage, StorageError};
use tokio_util::sync::CancellationToken;

use crate::operations::check_readiness;
use crate::state::{Shared, in_time};

/// A refresh that has been due for longer than this time is overdue: one hour. A sweep begins every five minutes.
const OVERDUE_AFTER: u64 = 3_600;

/// What the storage contains.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Census {
    /// The number of connections by status and app. The app is empty if an earlier release wrote the connection.
    pub(crate) connections: BTreeMap<(&'static str, String), u64>,
    pub(crate) due: u64,
    pub(crate) overdue: u64,
    /// How long the longest due refresh has been due. 0 if none is due.
    pub(crate) oldest_due_seconds: u64,
    /// The time until the next authorization ends. `None` if none does.
    pub(crate) next_end_seconds: Option<u64>,
}

impl Census {
    async fn take(storage: &dyn HostStorage, now: UnixSeconds) -> Result<Self, StorageError> {
        let mut connections = BTreeMap::new();
        for count in in_time(storage.count_rows()).await? {
            let app = count.app.map_or_else(String::new, String::from);
            *connections.entry((count.status.as_str(), app)).or_default() += count.rows;
        }
        let oldest = in_time(storage.due(now, None, 1)).await?;
        let overdue_since = UnixSeconds(now.0.saturating_sub(OVERDUE_AFTER));
        // An end in the past belongs to a connection that the next refresh will mark as ended.
        let next = in_time(storage.endings(UnixSeconds(i64::MAX.unsigned_abs()), None, 1)).await?;
        Ok(Self {
            connections,
            due: in_time(storage.count_due(now)).await?,
            overdue: in_time(storage.count_due(overdue_since)).await?,
            oldest_due_seconds: oldest.first().map_or(0, |due| now.0.saturating_sub(due.at.0)),
            next_end_seconds: next.first().map(|ending| ending.at.0.saturating_sub(now.0)),
        })
    }
}

/// Counts at once, and again after each [`Settings::count_every`](crate::Settings::count_every), until `stop` is
/// cancelled.
pub(crate) async fn count(state: Shared, stop: CancellationToken) {
    let mut turns = tokio::time::interval(state.settings.count_every);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut latest = None;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = turns.tick() => {}
        }
        let counted = async {
            let _ = check_readiness(&state).await;
            once(&state, latest.as_ref()).await
        };
        // A count changes nothing, so the service does not wait for it at its end.
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            counted = counted => latest = counted.or(latest),
        }
    }
}

async fn once(state: &Shared, earlier: Option<&Census>) -> Option<Census> {
    let now = state.now();
    match Census::take(&*state.storage, now).await {
        Ok(census) => {
            state.metrics.census(earlier, &census, now.0);
            Some(census)
        }
        Err(error) => {
            tracing::warn!(%error, "the connections could not be counted for the metrics");
            None
        }
    }
}
