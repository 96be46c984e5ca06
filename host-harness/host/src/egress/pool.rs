//! Keeps idle connections for the next requests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::allow::Authority;
use super::connection::{Connection, Http1, Http2};

/// The host closes an idle connection after 20 seconds, probably before the server closes it. A request on a connection
/// that the server is closing would have an unknown outcome.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
const MAX_IDLE_PER_HOST: usize = 32;

/// The idle connections of all servers.
#[derive(Default)]
pub(super) struct Pool(Mutex<State>);

#[derive(Default)]
struct State {
    servers: BTreeMap<Authority, Idle>,
    /// The task that closes the connections that are idle for too long. `None` if there is no connection.
    watch: Option<JoinHandle<()>>,
}

/// The connections to one server.
#[derive(Default)]
struct Idle {
    /// The connections with HTTP/1, each with the time since which it is idle. The oldest is the first.
    http1: VecDeque<(Instant, Box<Http1>)>,
    /// The connection with HTTP/2. It may be in use.
    http2: Option<SharedHttp2>,
}

/// A connection with HTTP/2.
struct SharedHttp2 {
    opened: Instant,
    /// The time of its last request.
    used: Instant,
    connection: Http2,
}

impl Pool {
    /// Returns a connection that can carry a request.
    pub(super) fn take(self: &Arc<Self>, authority: Authority) -> Option<Connection> {
        loop {
            let mut newest = {
                let mut state = self.lock();
                let idle = state.servers.get_mut(&authority)?;
                idle.close_expired(Instant::now());
                if let Some(shared) = idle.http2.as_mut().filter(|shared| !shared.connection.is_full()) {
                    shared.used = Instant::now();
                    return Some(Connection::Http2(shared.connection.clone()));
                }
                idle.http1.pop_back()?.1
            };
            if newest.is_usable() {
                return Some(Connection::Http1(newest));
            }
        }
    }

    /// Keeps a connection that has become idle.
    pub(super) fn put(self: &Arc<Self>, authority: Authority, connection: Box<Http1>) {
        let mut state = self.lock();
        let idle = state.servers.entry(authority).or_default();
        if idle.http1.len() >= MAX_IDLE_PER_HOST {
            idle.http1.pop_front();
        }
        idle.http1.push_back((Instant::now(), connection));
        self.watch(&mut state);
    }

    /// Shares a new connection with HTTP/2. If there already is one that can carry the request, returns that one, and the
    /// new one is closed. A connection that is full is forgotten, and its requests go on.
    pub(super) fn share(self: &Arc<Self>, authority: Authority, connection: Http2) -> Http2 {
        let mut state = self.lock();
        let idle = state.servers.entry(authority).or_default();
        let now = Instant::now();
        idle.close_expired(now);
        idle.http2.take_if(|shared| shared.connection.is_full());
        let shared = idle.http2.get_or_insert_with(|| SharedHttp2 { opened: now, used: now, connection });
        let connection = shared.connection.clone();
        self.watch(&mut state);
        connection
    }

    /// Forgets the connection with HTTP/2 because a request that began at this time got no answer. The connection may be
    /// dead, although nobody has closed it, and every further request would wait on it in vain. The requests that use it
    /// go on. A connection that was opened later stays.
    pub(super) fn forget_shared(&self, authority: Authority, began: Instant) {
        if let Some(idle) = self.lock().servers.get_mut(&authority) {
            idle.http2.take_if(|shared| shared.opened <= began);
        }
    }

    /// Starts the task that closes idle connections, unless it runs. The task also ends with its runtime.
    fn watch(self: &Arc<Self>, state: &mut State) {
        if state.watch.as_ref().is_none_or(JoinHandle::is_finished) {
            state.watch = Some(tokio::spawn(close_idle(Arc::downgrade(self))));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    /// Closes the connections that are idle for too long, and forgets a connection with HTTP/2 that is closed.
    fn close_expired(&mut self, now: Instant) {
        let is_expired = |since: Instant| now.saturating_duration_since(since) >= IDLE_TIMEOUT;
        while self.http1.pop_front_if(|(since, _)| is_expired(*since)).is_some() {}
        self.http2.take_if(|shared| is_expired(shared.used) || shared.connection.is_closed());
    }

    /// Returns the time since which the oldest connection is idle.
    fn oldest(&self) -> Option<Instant> {
        let http1 = self.http1.front().map(|(since, _)| *since);
        http1.into_iter().chain(self.http2.as_ref().map(|shared| shared.used)).min()
    }
}

/// Closes connections that are idle for too long, until no connection is left.
async fn close_idle(pool: Weak<Pool>) {
    loop {
        let oldest = {
            let Some(pool) = pool.upgrade() else { return };
            let mut state = pool.lock();
            let now = Instant::now();
            state.servers.values_mut().for_each(|idle| idle.close_expired(now));
            let Some(oldest) = state.servers.values().filter_map(Idle::oldest).min() else {
                // From here on, the next connection starts another task.
                state.watch = None;
                return;
            };
            oldest
        };
        sleep_until(oldest + IDLE_TIMEOUT).await;
    }
}
