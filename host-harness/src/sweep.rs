//! Refreshes what is due, over all tenants, and gives notice of what ends.

use std::fmt;
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt as _};

use crate::connection::{Connection, Rotation, UnixSeconds};
use crate::error::CallError;
use crate::host::ConnectorHost;
use crate::imports::answered_within;
use crate::storage::{Due, StorageError};

/// How a sweep goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// What was due by then is refreshed; notices count their days from it.
    pub now: UnixSeconds,
    /// Connections refreshed side by side. Leave some of [`Limits::concurrent_calls`](crate::Limits::concurrent_calls) to
    /// other calls.
    pub concurrency: NonZeroUsize,
    /// The sweep starts after a random part of this time, so that the hosts of a fleet that begin at the same minute do not
    /// meet at the same connections.
    pub jitter: Duration,
}

impl Sweep {
    /// What is due at `now`, so many side by side, started within 30 seconds.
    #[must_use]
    pub const fn new(now: UnixSeconds, concurrency: NonZeroUsize) -> Self {
        Self { now, concurrency, jitter: Duration::from_secs(30) }
    }
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Connections in order now.
    pub refreshed: u64,
    /// Connections that could not be refreshed. Each keeps its failure; most are due again later.
    pub failed: u64,
    /// Notices given of authorizations that end: see [`EventKind::Notice`](crate::EventKind::Notice).
    pub notices: u64,
    /// It was told to stop before all was done. What had begun was finished.
    pub stopped: bool,
}

/// Why a sweep ended early: storage did not say what is due or what ends, or did not take a notice. What had begun was
/// finished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the sweep ended early: {source}")]
pub struct SweepError {
    /// What storage said.
    pub source: StorageError,
    /// What was done until then.
    pub swept: Swept,
}

/// A connection of a page, and the one before it.
struct Listed {
    before: Option<Due>,
    due: Due,
}

/// One page of the list of what is due: enough to keep many calls going, little to hold.
pub(crate) const PAGE: usize = 500;

impl ConnectorHost {
    /// Refreshes every connection that is due, once, until none is left or `stop` is ready. `on_each` hears of each one as
    /// it ends. A connection that is slow or broken takes up one of `concurrency` places and holds up no other. Then gives
    /// notice of the authorizations that end within 30, 7 or 1 days.
    ///
    /// A fleet may sweep on every machine at once: of two hosts that meet at one connection, one refreshes it. Each goes
    /// through a page in an order of its own and passes over what another has done or is doing, so they meet rarely, and
    /// TikTok Shop is not asked by all of them.
    ///
    /// # Errors
    /// [`SweepError`]
    pub async fn sweep(
        &self,
        sweep: Sweep,
        stop: impl Future<Output = ()>,
        mut on_each: impl FnMut(&Due, &Result<Connection, CallError>),
    ) -> Result<Swept, SweepError> {
        let mut swept = Swept::default();
        let mut stop = pin!(stop);
        let start = pin!(tokio::time::sleep(self.part_of(sweep.jitter)));
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
                        // On a task of its own: while the next page is waited for nobody looks after these, and one of
                        // them may hold what the page needs, a connection to the database.
                        running.push(tokio::spawn(self.clone().refresh_due(sweep.now, listed)));
                    }
                    None => {
                        match answered_within(self.answer(), self.storage().due(sweep.now, last.as_ref(), PAGE)).await {
                            Ok(page) if page.is_empty() => listed_all = Some(Ok(())),
                            Ok(page) => {
                                let before = std::mem::replace(&mut last, page.last().cloned());
                                waiting = self.in_random_order(before, page).into_iter();
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
            // A panic is a bug, and not of this connection's alone.
            let Ok((due, Some(outcome))) = ended else { continue };
            match outcome {
                Ok(_) => swept.refreshed += 1,
                Err(_) => swept.failed += 1,
            }
            on_each(&due, &outcome);
        }
        let done = match listed_all {
            Some(Ok(())) if !swept.stopped => self.give_notices(sweep.now, stop, &mut swept).await,
            Some(outcome) => outcome,
            None => Ok(()),
        };
        match done {
            Ok(()) => Ok(swept),
            Err(source) => Err(SweepError { source, swept }),
        }
    }

    /// `None`: it is due no longer.
    async fn refresh_due(self, now: UnixSeconds, listed: Listed) -> (Due, Option<Result<Connection, CallError>>) {
        let Listed { before, due } = listed;
        // The first behind its predecessor, if it still is what it was; what storage does not tell, the call finds out.
        let first = answered_within(self.answer(), self.storage().due(now, before.as_ref(), 1)).await;
        if first.is_ok_and(|first| first.first().is_none_or(|first| *first > due)) {
            return (due, None);
        }
        let Due { tenant, key, .. } = &due;
        let outcome = self.refresh(tenant, &key.customer, Some(&key.account), Rotation::WhenDue).await;
        (due, Some(outcome))
    }

    /// Without randomness in the order in which they are listed.
    fn in_random_order(&self, before: Option<Due>, page: Vec<Due>) -> Vec<Listed> {
        let predecessors: Vec<_> = std::iter::once(before).chain(page.iter().cloned().map(Some)).collect();
        let mut listed: Vec<_> =
            predecessors.into_iter().zip(page).map(|(before, due)| Listed { before, due }).collect();
        listed.sort_by_cached_key(|_| self.part_of(Duration::from_secs(3_600)));
        listed
    }
}

impl fmt::Display for Swept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { refreshed, failed, notices, stopped } = self;
        write!(
            f,
            "{refreshed} refreshed, {failed} failed, notices: {notices}{}",
            if *stopped { ", stopped" } else { "" }
        )
    }
}
