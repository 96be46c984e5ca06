//! Refreshes the due connections of all tenants, and writes expiry notices about authorizations that end.

mod notice;

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt as _};

use crate::connection::UnixSeconds;
use crate::error::CallError;
use crate::events::Cause;
use crate::host::ConnectorHost;
use crate::refresh::{RefreshEffect, RefreshMode, Refreshed};
use crate::storage::{Due, StorageError, run_within};

/// The settings of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// The current time. Connections that are due at this time or earlier are refreshed. Expiry notices count their
    /// days from this time.
    pub now: UnixSeconds,
    /// The number of connections that are refreshed at the same time. Leave some of
    /// [`Limits::concurrent_calls`](crate::limits::Limits::concurrent_calls) to other calls. One tenant may use only a
    /// share of the concurrent calls ([`Limits::tenant_percent`](crate::limits::Limits::tenant_percent)). Choose a
    /// number below this share. Otherwise refreshes of one tenant wait for an instance, and may end in
    /// [`CallError::Busy`].
    pub concurrency: NonZeroUsize,
    /// The sweep waits for a random part of this time before it starts. So the hosts of a fleet rarely work on the same
    /// connections, even if all hosts begin a sweep in the same minute.
    pub jitter: Duration,
}

impl Sweep {
    /// Creates the settings for a sweep with the current time `now` and a jitter of 30 seconds.
    #[must_use]
    pub const fn new(now: UnixSeconds, concurrency: NonZeroUsize) -> Self {
        Self { now, concurrency, jitter: Duration::from_secs(30) }
    }
}

/// The result of a sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// The number of connections that were refreshed: TikTok was asked, and its answer is stored.
    pub refreshed: u64,
    /// The number of connections for which nothing was sent ([`RefreshEffect::NothingSent`]), for example because
    /// another host is refreshing them, or because this host's clock is ahead of the clock of the storage.
    pub waiting: u64,
    /// The number of connections that could not be refreshed. For most of these connections, the row contains the
    /// failure, and a refresh is due again later.
    pub failed: u64,
    /// The number of expiry notices that were written: see [`EventKind::Notice`](crate::events::EventKind::Notice).
    pub notices: u64,
    /// Whether `stop` ended the sweep early. Refreshes that had begun were finished.
    pub stopped: bool,
}

/// Why a sweep ended early. The storage could not list the due connections or the authorizations that end, or could not
/// look up or store an expiry notice. Refreshes that had begun were finished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the sweep ended early: {source}")]
pub struct SweepError {
    /// The error of the storage.
    pub source: StorageError,
    /// The result of the sweep up to its early end.
    pub swept: Swept,
}

/// A due connection of a page, and the due connection before it in the list.
struct Listed {
    predecessor: Option<Due>,
    due: Due,
}

/// The number of entries in one page of a list. A page of this size has enough entries for many concurrent calls, and
/// needs little memory.
const PAGE: usize = 500;

impl ConnectorHost {
    /// Refreshes every due connection once. Then writes expiry notices about authorizations that end within 30 days, 7
    /// days or 1 day. If `stop` completes, the sweep ends early. `on_each` is called after each refresh. Up to
    /// `concurrency` refreshes run at the same time. While one of them is slow, the others go on.
    ///
    /// All hosts of a fleet may sweep at the same time. If two hosts refresh the same connection, only one host renews
    /// its tokens. Each host shuffles every page and skips connections that another host has refreshed or is
    /// refreshing, so two hosts rarely send requests for the same connection.
    ///
    /// # Errors
    /// [`SweepError`]
    pub async fn sweep(
        &self,
        sweep: Sweep,
        stop: impl Future<Output = ()>,
        mut on_each: impl FnMut(&Due, &Result<Refreshed, CallError>),
    ) -> Result<Swept, SweepError> {
        let mut swept = Swept::default();
        let mut stop = pin!(stop);
        let start = pin!(tokio::time::sleep(self.random_part_of(sweep.jitter)));
        if let Either::Right(_) = select(start, stop.as_mut()).await {
            return Ok(Swept { stopped: true, ..swept });
        }
        let mut waiting = Vec::new().into_iter();
        let mut last: Option<Due> = None;
        let mut listed_all = None;
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < sweep.concurrency.get() && !swept.stopped && listed_all.is_none() {
                match waiting.next() {
                    Some(listed) => {
                        // Each refresh runs on its own task. Otherwise the refreshes would stand still while this loop
                        // loads the next page. A refresh that stands still may hold the database connection that the
                        // loading needs.
                        running.push(tokio::spawn(self.clone().refresh_due(sweep.now, listed)));
                    }
                    None => {
                        match run_within(self.storage_timeout(), self.storage().due(sweep.now, last.as_ref(), PAGE))
                            .await
                        {
                            Ok(page) if page.is_empty() => listed_all = Some(Ok(())),
                            Ok(page) => {
                                let predecessor = std::mem::replace(&mut last, page.last().cloned());
                                waiting = self.in_random_order(predecessor, page).into_iter();
                            }
                            Err(source) => listed_all = Some(Err(source)),
                        }
                    }
                }
            }
            let ended = if swept.stopped {
                running.next().await
            } else {
                match select(running.next(), stop.as_mut()).await {
                    Either::Left((ended, _)) => ended,
                    Either::Right(_) => {
                        swept.stopped = true;
                        continue;
                    }
                }
            };
            let Some(ended) = ended else { break };
            // A panic is a bug of this program and no failure of this connection, so it is not counted as a failed
            // refresh.
            let Ok((due, Some(outcome))) = ended else { continue };
            match &outcome {
                Ok(Refreshed { effect: RefreshEffect::Renewed | RefreshEffect::ShopsRead, .. }) => swept.refreshed += 1,
                Ok(Refreshed { effect: RefreshEffect::NothingSent(_), .. }) => swept.waiting += 1,
                Err(_) => swept.failed += 1,
            }
            on_each(&due, &outcome);
        }
        let done = match listed_all {
            Some(Ok(())) if !swept.stopped => self.write_notices(sweep.now, stop, &mut swept).await,
            Some(outcome) => outcome,
            None => Ok(()),
        };
        match done {
            Ok(()) => Ok(swept),
            Err(source) => Err(SweepError { source, swept }),
        }
    }

    /// Refreshes a connection if it is still due. The outcome is `None` if it is no longer due.
    async fn refresh_due(self, now: UnixSeconds, listed: Listed) -> (Due, Option<Result<Refreshed, CallError>>) {
        let Listed { predecessor, due } = listed;
        // Ask for the first due entry after the predecessor. If that entry comes later in the order than this
        // connection, the connection is no longer due. If the storage fails, the connection is refreshed anyway,
        // because with `WhenDue` the connector checks the due time again.
        let first = run_within(self.storage_timeout(), self.storage().due(now, predecessor.as_ref(), 1)).await;
        if first.is_ok_and(|first| first.first().is_none_or(|first| *first > due)) {
            return (due, None);
        }
        let Due { tenant, key, .. } = &due;
        let origin = self.origin(Cause::Sweep);
        let outcome = self.refresh_from(origin, tenant, &key.customer, Some(&key.account), RefreshMode::WhenDue).await;
        (due, Some(outcome))
    }

    /// Shuffles a page. If the source of randomness fails, the page keeps its order.
    fn in_random_order(&self, predecessor: Option<Due>, page: Vec<Due>) -> Vec<Listed> {
        let predecessors: Vec<_> = std::iter::once(predecessor).chain(page.iter().cloned().map(Some)).collect();
        let mut listed: Vec<_> =
            predecessors.into_iter().zip(page).map(|(predecessor, due)| Listed { predecessor, due }).collect();
        listed.sort_by_cached_key(|_| self.random_part_of(Duration::from_secs(3_600)));
        listed
    }
}

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refreshed, waiting, failed, notices, stopped } = self;
        write!(f, "{refreshed} refreshed, ")?;
        if *waiting > 0 {
            write!(f, "{waiting} waiting, ")?;
        }
        write!(f, "{failed} failed, notices: {notices}{}", if *stopped { ", stopped" } else { "" })
    }
}
