//! Refreshes the due connections of all tenants, reports the connections that it passes over, and writes expiry notices
//! about authorizations that end.

mod notice;
mod outcome;

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures::future::{Either, FutureExt as _, select};
use futures::stream::{FuturesUnordered, StreamExt as _};
use tiktok_shop_connector_core::time::UnixSeconds as CoreSeconds;
use tiktok_shop_connector_core::token::{self, Expiry, MAX_BACK_OFF};
use tokio::task::{JoinError, JoinHandle};

pub(crate) use self::notice::WrittenNotices;
pub use self::outcome::{AccessTokenState, PassedOver, PassedOverReason, SweepOutcome, Swept};
use crate::connection::{Connection, ConnectionKey, UnixSeconds};
use crate::error::{Action, CallError, codes};
use crate::events::Cause;
use crate::host::ConnectorHost;
use crate::id::TenantId;
use crate::refresh::RefreshMode;
use crate::storage::{Due, RowEntry, StorageError, run_within};

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

/// Why a sweep ended early. The storage could not list the due connections or the authorizations that end, could not
/// read the rows of connections, or could not look up or store an expiry notice. Refreshes that had begun were
/// finished.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the sweep ended early: {source}")]
pub struct SweepError {
    /// The error of the storage.
    pub source: StorageError,
    /// The result of the sweep up to its early end.
    pub swept: Swept,
}

/// One of the two lists of connections that a sweep processes. It processes `Due` first, and `DueLater` second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    /// The connections that are due now.
    Due,
    /// The connections whose due time in the storage is later than now, by at most the longest pause after a failure.
    /// Some of these connections are overdue, and wait only for the end of a claim or of a pause. All other connections
    /// of the list are not due.
    DueLater,
}

/// A connection of a page, and the connection before it in the list.
struct Listed {
    predecessor: Option<Due>,
    due: Due,
}

/// The state of a running sweep.
struct Course<E> {
    sweep: Sweep,
    swept: Swept,
    on_each: E,
    /// The last entry that was loaded from the storage. The next page begins after this entry.
    last: Option<Due>,
    /// The connections of the list `Due` whose refresh is running.
    running: HashSet<(TenantId, ConnectionKey)>,
    /// The connections that this sweep could not refresh. After a failure, the storage has a later due time for the
    /// connection, so the list `DueLater` contains the connection again.
    not_refreshed: HashSet<(TenantId, ConnectionKey)>,
    /// The tenants whose latest refreshes failed because of their credentials.
    failing: HashMap<TenantId, Failing>,
    /// The connections of the list `Due` that were no longer due when their turn came. Another call may hold a claim on
    /// such a connection. Then the list `DueLater` contains the connection again, and its outcome there counts.
    no_longer_due: HashMap<(TenantId, ConnectionKey), Due>,
}

/// The latest refreshes of a tenant, which all failed because of the tenant's credentials.
struct Failing {
    times: u32,
    latest: CallError,
}

/// The number of failures because of a tenant's credentials after which the sweep begins no further refresh of the tenant.
/// A source of credentials that hangs takes up to 10 s for each refresh, and the connections of other tenants must not
/// wait for thousands of them.
const MAX_FAILURES_OF_A_TENANT: u32 = 3;

/// The number of entries in one page of a list. A page of this size has enough entries for many concurrent calls, and
/// needs little memory.
const PAGE: usize = 500;
/// The number of rows that one call of the storage reads. A storage that reads row by row has enough time for them.
const ROWS_AT_ONCE: usize = 100;

impl ConnectorHost {
    /// Refreshes every due connection once. Then reports the due connections that it can't refresh now: see
    /// [`PassedOver`]. Then writes expiry notices about authorizations that end within 30 days, 7 days or 1 day. Then
    /// deletes the consents and the installs that have expired. If `stop` completes, the sweep begins no further refresh,
    /// finishes the refreshes that have begun, and counts the connections that are still due. Up to `concurrency`
    /// refreshes run at the same time. While one refresh is slow, the other refreshes go on.
    ///
    /// Every connection that the sweep begins with has one outcome: `on_each` is called with the connection and its
    /// [`SweepOutcome`], and [`Swept`] counts the outcome. This is also true for a connection that another call
    /// refreshes or ends during the sweep, and for a refresh that panics. The sweep counts the refreshes of a tenant
    /// that fail because of its credentials. A refresh that gets the credentials sets the count to zero. At three, the
    /// sweep begins no further refresh of the tenant. The other due connections of the tenant get the same outcome.
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
        on_each: impl FnMut(&Due, &SweepOutcome),
    ) -> Result<Swept, SweepError> {
        let swept = Swept::default();
        let mut course = Course {
            sweep,
            swept,
            on_each,
            last: None,
            running: HashSet::new(),
            not_refreshed: HashSet::new(),
            failing: HashMap::new(),
            no_longer_due: HashMap::new(),
        };
        let mut stop = pin!(stop);
        let start = pin!(tokio::time::sleep(self.random_part_of(sweep.jitter)));
        if let Either::Right(_) = select(start, stop.as_mut()).await {
            course.swept.stopped = true;
        }
        let done = self.run_sweep(&mut course, stop).await;
        course.record_no_longer_due();
        let swept = course.swept;
        done.map(|()| swept).map_err(|source| SweepError { source, swept })
    }

    async fn run_sweep<E: FnMut(&Due, &SweepOutcome)>(
        &self,
        course: &mut Course<E>,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), StorageError> {
        for list in [List::Due, List::DueLater] {
            if !course.swept.stopped {
                self.work_off(list, course, stop.as_mut()).await?;
            }
        }
        if !course.swept.stopped {
            self.write_notices(course.sweep.now, stop, &mut course.swept).await?;
        }
        if !course.swept.stopped
            && let Err(error) = run_within(self.storage_timeout(), self.storage().delete_expired()).await
        {
            tracing::warn!(%error, "expired consents and installs could not be deleted; the next sweep deletes them");
        }
        if course.swept.stopped {
            course.swept.left = self.count_due(course.sweep.now).await?;
        }
        Ok(())
    }

    /// Processes a list, page by page.
    async fn work_off<E: FnMut(&Due, &SweepOutcome)>(
        &self,
        list: List,
        course: &mut Course<E>,
        mut stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<(), StorageError> {
        let now = course.sweep.now;
        let by = match list {
            List::Due => now,
            List::DueLater => UnixSeconds(now.0.saturating_add(MAX_BACK_OFF)),
        };
        let mut waiting = Vec::<Listed>::new().into_iter();
        let mut listed_all = None;
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < course.sweep.concurrency.get() && !course.swept.stopped && listed_all.is_none() {
                match waiting.next() {
                    Some(listed) => {
                        // The sweep has given the tenant up.
                        if let Some(error) = course.failure_of_tenant(list, &listed.due) {
                            course.record(&listed.due, &SweepOutcome::Failed(error));
                            continue;
                        }
                        // Each refresh runs on its own task. Otherwise the refreshes would stand still while this loop
                        // loads the next page. A refresh that stands still may hold the database connection that the
                        // loading needs.
                        match list {
                            List::Due if course.begins(&listed.due) => {
                                let due = listed.due.clone();
                                running.push(ended(due, tokio::spawn(self.clone().refresh_due(now, listed))));
                            }
                            List::DueLater if course.is_new(&listed.due) => {
                                let due = listed.due.clone();
                                running.push(ended(due, tokio::spawn(self.clone().refresh_overdue(listed.due))));
                            }
                            List::Due | List::DueLater => {}
                        }
                    }
                    // Pages may be read in which nothing has to be done, so the signal is also looked for here.
                    None if stop.as_mut().now_or_never().is_some() => course.swept.stopped = true,
                    None => match self.load_page(list, by, course).await {
                        Ok(None) => listed_all = Some(Ok(())),
                        Ok(Some(page)) => waiting = page.into_iter(),
                        Err(source) => listed_all = Some(Err(source)),
                    },
                }
            }
            let next = if course.swept.stopped {
                running.next().await
            } else {
                // The signal comes first. Otherwise a sweep whose refreshes end quickly would not notice it.
                match select(stop.as_mut(), running.next()).await {
                    Either::Left(_) => {
                        course.swept.stopped = true;
                        continue;
                    }
                    Either::Right((next, _)) => next,
                }
            };
            let Some((due, result)) = next else { break };
            let connection = (due.tenant.clone(), due.key.clone());
            course.running.remove(&connection);
            match result {
                Ok(Some(outcome)) => course.record(&due, &outcome),
                Ok(None) if list == List::Due => {
                    course.no_longer_due.insert(connection, due);
                }
                // The connection is not due.
                Ok(None) => {}
                // The text of the panic is not logged, because it may contain any value.
                Err(_panic) => {
                    tracing::error!(tenant = due.tenant.as_str(), "the refresh of a connection panicked in a sweep");
                    course.record(&due, &SweepOutcome::Failed(CallError::Aborted { plugin: self.plugin().clone() }));
                }
            }
        }
        listed_all.unwrap_or(Ok(()))
    }

    /// Loads the next page of a list, in random order. `None` means that the list has ended. Leaves out the connections
    /// of the list `DueLater` that are not overdue.
    async fn load_page<E: FnMut(&Due, &SweepOutcome)>(
        &self,
        list: List,
        by: UnixSeconds,
        course: &mut Course<E>,
    ) -> Result<Option<Vec<Listed>>, StorageError> {
        let page = run_within(self.storage_timeout(), self.storage().due(by, course.last.as_ref(), PAGE)).await?;
        if page.is_empty() {
            return Ok(None);
        }
        page.iter().for_each(|due| self.sandbox.remember_tenant(&due.tenant));
        let predecessor = std::mem::replace(&mut course.last, page.last().cloned());
        let page = match list {
            List::Due => page,
            List::DueLater => {
                let new: Vec<_> = page.into_iter().filter(|due| course.is_new(due)).collect();
                self.overdue(new, course.sweep.now).await?
            }
        };
        Ok(Some(self.in_random_order(predecessor, page)))
    }

    /// Returns the connections of the page that are overdue or have no row. One call reads the rows of the whole page,
    /// because a call for each row would cost more than the refreshes of the few overdue connections.
    async fn overdue(&self, page: Vec<Due>, now: UnixSeconds) -> Result<Vec<Due>, StorageError> {
        if page.is_empty() {
            return Ok(page);
        }
        let mut rows = Vec::with_capacity(page.len());
        for some in page.chunks(ROWS_AT_ONCE) {
            rows.extend(self.rows_of(some).await?);
        }
        let mut rows = rows.into_iter();
        // If there is no row, or its document can't be decoded, the connector decides whether to refresh, because it checks the token record.
        let is_overdue = |_: &Due| {
            let row = rows.next().flatten().and_then(|entry| entry.row.decode().ok());
            row.is_none_or(|row| is_overdue(&row.connection, now))
        };
        Ok(page.into_iter().filter(is_overdue).collect())
    }

    /// Returns the rows of these connections. A row that can't be read counts as missing, so that it does not hold up
    /// the other connections: the refresh of its connection then fails with an error of its own.
    async fn rows_of(&self, connections: &[Due]) -> Result<Vec<Option<RowEntry>>, StorageError> {
        let timeout = self.storage_timeout();
        let rows = run_within(timeout, self.storage().load_rows(connections)).await;
        if !matches!(rows, Err(StorageError::Refused(_))) {
            return rows;
        }
        let mut rows = Vec::with_capacity(connections.len());
        for Due { tenant, key, .. } in connections {
            match run_within(timeout, self.storage().load_row(tenant, key)).await {
                Err(StorageError::Refused(_)) => rows.push(None),
                row => rows.push(row?),
            }
        }
        Ok(rows)
    }

    /// Refreshes a connection if it is still due. The outcome is `None` if it is no longer due.
    async fn refresh_due(self, now: UnixSeconds, listed: Listed) -> Option<SweepOutcome> {
        let Listed { predecessor, due } = listed;
        // Ask for the first due entry after the predecessor. If that entry comes later in the order than this
        // connection, the connection is no longer due. If the storage fails, the connection is refreshed anyway,
        // because with `WhenDue` the connector checks the due time again.
        let first = run_within(self.storage_timeout(), self.storage().due(now, predecessor.as_ref(), 1)).await;
        if first.is_ok_and(|first| first.first().is_none_or(|first| *first > due)) {
            return None;
        }
        Some(self.refresh_listed(&due).await)
    }

    /// Refreshes an overdue connection of the list `DueLater`. Usually the connector answers that another call has
    /// claimed the refresh token, or that a pause has not ended. In these cases the connector sends nothing to TikTok.
    async fn refresh_overdue(self, due: Due) -> Option<SweepOutcome> {
        Some(self.refresh_listed(&due).await.with_next_attempt(due.at))
    }

    async fn refresh_listed(&self, due: &Due) -> SweepOutcome {
        let Due { tenant, key, .. } = due;
        let origin = self.origin(Cause::Sweep);
        let result = self.refresh_from(origin, tenant, &key.customer, Some(&key.account), RefreshMode::WhenDue).await;
        SweepOutcome::of(result, UnixSeconds(self.sandbox.clock.wall().as_secs()))
    }

    /// Counts the connections that are due now.
    async fn count_due(&self, now: UnixSeconds) -> Result<u64, StorageError> {
        let (mut number, mut last): (u64, Option<Due>) = (0, None);
        loop {
            let page = run_within(self.storage_timeout(), self.storage().due(now, last.as_ref(), PAGE)).await?;
            let Some(due) = page.last() else { return Ok(number) };
            last = Some(due.clone());
            number += page.len() as u64;
        }
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

impl<E: FnMut(&Due, &SweepOutcome)> Course<E> {
    /// Returns true if the sweep must begin the refresh of this entry of the list `Due`. If so, marks the refresh as
    /// running. A connection whose authorization ends becomes due at once, and stays due until its row contains the
    /// end. So a later page may list the connection again.
    fn begins(&mut self, due: &Due) -> bool {
        let connection = (due.tenant.clone(), due.key.clone());
        !self.not_refreshed.contains(&connection) && self.running.insert(connection)
    }

    /// Returns true if this entry of the list `DueLater` is new to the sweep: it was not in the list `Due`, and the
    /// sweep has not failed to refresh its connection.
    fn is_new(&self, due: &Due) -> bool {
        due.at > self.sweep.now && !self.not_refreshed.contains(&(due.tenant.clone(), due.key.clone()))
    }

    /// Returns the error of the tenant's latest refresh if the sweep has given the tenant up and has no outcome for this
    /// entry yet.
    fn failure_of_tenant(&self, list: List, due: &Due) -> Option<CallError> {
        let failing = self.failing.get(&due.tenant).filter(|failing| failing.times >= MAX_FAILURES_OF_A_TENANT)?;
        let connection = (due.tenant.clone(), due.key.clone());
        let is_open = match list {
            List::Due => !self.not_refreshed.contains(&connection) && !self.running.contains(&connection),
            List::DueLater => self.is_new(due),
        };
        is_open.then(|| failing.latest.clone())
    }

    /// Counts the refreshes of a tenant that failed because of its credentials.
    fn count_failures(&mut self, tenant: &TenantId, outcome: &SweepOutcome) {
        match outcome {
            SweepOutcome::Failed(error) if lacks_credentials(error) => {
                let times = self.failing.get(tenant).map_or(0, |failing| failing.times).saturating_add(1);
                self.failing.insert(tenant.clone(), Failing { times, latest: error.clone() });
            }
            // Such a call may have ended before it used the credentials, so they may be missing.
            SweepOutcome::Failed(CallError::Connector(error)) if error.action() == Action::StorageFailed => {}
            // These calls got the tenant's credentials.
            SweepOutcome::Refreshed(_)
            | SweepOutcome::PassedOver(_)
            | SweepOutcome::Ended(_)
            | SweepOutcome::Failed(CallError::Connector(_)) => drop(self.failing.remove(tenant)),
            SweepOutcome::NoLongerDue | SweepOutcome::Failed(_) => {}
        }
    }

    fn record(&mut self, due: &Due, outcome: &SweepOutcome) {
        self.swept.count(outcome);
        self.count_failures(&due.tenant, outcome);
        let connection = (due.tenant.clone(), due.key.clone());
        self.no_longer_due.remove(&connection);
        if !matches!(outcome, SweepOutcome::Refreshed(_)) {
            self.not_refreshed.insert(connection);
        }
        (self.on_each)(due, outcome);
    }

    /// Records the connections that were no longer due and that have no other outcome.
    fn record_no_longer_due(&mut self) {
        for due in std::mem::take(&mut self.no_longer_due).into_values() {
            self.record(&due, &SweepOutcome::NoLongerDue);
        }
    }
}

/// Returns whether a refresh failed because the host got no usable credentials of the tenant.
fn lacks_credentials(error: &CallError) -> bool {
    let CallError::Connector(error) = error else { return false };
    [codes::CREDENTIALS_UNAVAILABLE, codes::CREDENTIALS_REFUSED].contains(&error.failure().code.as_str())
}

/// Waits for the task that refreshes this connection. The connection is known even if the task panics.
async fn ended(due: Due, task: JoinHandle<Option<SweepOutcome>>) -> (Due, Result<Option<SweepOutcome>, JoinError>) {
    let result = task.await;
    (due, result)
}

/// Returns whether the renewal of the connection's tokens is certainly due at `now`. The connector decides this from
/// the times in the row.
fn is_overdue(connection: &Connection, now: UnixSeconds) -> bool {
    let core = |at: UnixSeconds| CoreSeconds::new(at.0);
    let expiry = connection.access_expires_at.map_or(Expiry::Unknown, |end| Expiry::At(core(end)));
    token::is_overdue(expiry, core(connection.refreshed_at), core(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Action, ConnectorError, Failure, Plugin};
    use crate::refresh::{RefreshEffect, Refreshed};

    fn connection_key() -> ConnectionKey {
        ConnectionKey { customer: "customer".parse().unwrap(), account: "account".parse().unwrap() }
    }

    /// Returns whether a sweep gives its tenant up after refreshes with these outcomes, one after the other.
    fn is_given_up_after(outcomes: &[&SweepOutcome]) -> bool {
        let mut course = Course {
            sweep: Sweep::new(UnixSeconds(7), NonZeroUsize::MIN),
            swept: Swept::default(),
            on_each: |_: &Due, _: &SweepOutcome| (),
            last: None,
            running: HashSet::new(),
            not_refreshed: HashSet::new(),
            failing: HashMap::new(),
            no_longer_due: HashMap::new(),
        };
        let next = Due { at: UnixSeconds(1), tenant: "tenant".parse().unwrap(), key: connection_key() };
        for outcome in outcomes {
            course.count_failures(&next.tenant, outcome);
        }
        course.failure_of_tenant(List::Due, &next).is_some()
    }

    /// A call that got the tenant's credentials shows that their source works, even if the call failed later.
    #[test]
    fn a_call_that_got_the_credentials_starts_the_count_of_their_failures_again() {
        let plugin = || Plugin::new("tiktok-shop:connector@0.2.0");
        let error = |action, code: &str| {
            let failure = Failure { code: code.to_owned(), detail: String::new(), http_status: None, request_id: None };
            ConnectorError { plugin: plugin(), action, failure, proxy_error: None }
        };
        let failed = |action, code| SweepOutcome::Failed(CallError::Connector(error(action, code)));
        let unavailable = &failed(Action::RetryAfter(Duration::ZERO), codes::CREDENTIALS_UNAVAILABLE);
        let refused = &failed(Action::Misconfigured, codes::CREDENTIALS_REFUSED);
        let refreshed = Refreshed { connection: Connection::new(connection_key()), effect: RefreshEffect::Renewed };
        let passed_over = PassedOver {
            reason: PassedOverReason::BackingOff,
            until: UnixSeconds(8),
            access_token: AccessTokenState::Valid,
            error: error(Action::RetryAfter(Duration::from_secs(1)), codes::BACKING_OFF),
        };
        let table = [
            (SweepOutcome::Refreshed(Box::new(refreshed)), true),
            (SweepOutcome::PassedOver(passed_over), true),
            (SweepOutcome::Ended(error(Action::Reauthorize, "authorization-revoked")), true),
            (failed(Action::Upstream, "tiktok-refused"), true),
            // These outcomes show nothing about the credentials.
            (failed(Action::StorageFailed, "token-record-unreadable"), false),
            (SweepOutcome::NoLongerDue, false),
            (SweepOutcome::Failed(CallError::Busy { plugin: plugin() }), false),
            (SweepOutcome::Failed(CallError::Aborted { plugin: plugin() }), false),
        ];
        for (other, starts_again) in &table {
            let two_more = [refused, unavailable, other, unavailable, refused];
            assert_eq!(is_given_up_after(&two_more), !starts_again, "two more failures after {other:?}");
            let three_more = [refused, unavailable, other, unavailable, refused, unavailable];
            assert!(is_given_up_after(&three_more), "three more failures after {other:?}");
        }
    }

    #[test]
    fn a_connection_is_overdue_after_its_latest_due_time() {
        const HOUR: u64 = 3_600;
        let key = connection_key();
        let issued = UnixSeconds(1_767_225_600);
        let after = |hours: u64| UnixSeconds(issued.0 + hours * HOUR);
        let table = [(Some(after(7 * 24)), 6 * 24 + 2), (Some(after(8)), 5), (None, 6)];
        for (access_expires_at, hours) in table {
            let connection = Connection { access_expires_at, refreshed_at: issued, ..Connection::new(key.clone()) };
            let overdue = |at: UnixSeconds| is_overdue(&connection, at);
            assert_eq!((overdue(UnixSeconds(after(hours).0 - 1)), overdue(after(hours))), (false, true), "{hours} h");
        }
    }
}
