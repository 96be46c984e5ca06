//! The pool of connections to a PostgreSQL server. If the server refuses more connections, the calls share those that
//! are open.
//!
//! sqlx's own pool decides for each call whether the call opens a connection. A call that has begun to open a
//! connection keeps trying until its time is over, although other connections become free meanwhile. So if the server
//! allows a role fewer connections than the pool may open, such calls fail. In this pool, a call whose connection is
//! refused returns to the queue, and the pool opens no more connections for a while.
//!
//! A call owns a permit for as long as it uses a connection. Calls get permits in the order in which they asked. If the
//! server refuses to open a connection for a call while other connections are open, the pool withholds the permit of
//! this call for [`REFUSAL_PAUSE`]. So the number of permits falls to the number of open connections. The pool never
//! withholds the last permit: it withholds a permit only while a connection is open, and for every open
//! connection there is one permit.

use std::fmt;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Error, Executor as _, PgConnection, Row as _};
use tiktok_shop_host::storage::StorageError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::open::error::OpenError;
use crate::postgres_options::PostgresOptions;
use crate::sql::error::{postgres_code, storage_error};

/// A connection that was idle for ten minutes is closed.
const MAX_IDLE: Duration = Duration::from_secs(600);
/// A connection that is 30 minutes old is closed. New connections then reach a server that has moved to another
/// machine.
const MAX_AGE: Duration = Duration::from_secs(1_800);
/// The time between two searches of the pool for connections that were idle for too long.
const IDLE_CHECK: Duration = Duration::from_secs(60);
/// The time for which the pool withholds the permit of a call after the server has refused a connection for the call.
const REFUSAL_PAUSE: Duration = Duration::from_secs(10);
/// The first pause and the longest pause between two attempts of a call to open a connection. A call pauses if the
/// server is starting or is a standby, or if the server has no connection left and no connection of the pool is open.
const BACKOFF: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(800)];

/// A pool of PostgreSQL connections. A clone uses the same connections.
#[derive(Clone)]
pub(crate) struct PostgresPool(Arc<Shared>);

struct Shared {
    connect: PgConnectOptions,
    options: PostgresOptions,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Open>>,
    /// The number of open connections.
    open: Arc<watch::Sender<usize>>,
    /// Why the latest attempt to open a connection failed. `None` if it succeeded.
    last_refusal: Mutex<Option<StorageError>>,
    /// When a call last ended in the middle of a statement. The server may have failed, so connections that became idle
    /// before this time are checked.
    last_break: Mutex<Option<Instant>>,
}

/// An open connection. When it is dropped, the connection is closed.
pub(crate) struct Open {
    connection: PgConnection,
    opened_at: Instant,
    used_at: Instant,
    _counted: Counted,
}

/// Counts a connection as open for as long as the value exists.
struct Counted(Arc<watch::Sender<usize>>);

impl Counted {
    fn new(open: &Arc<watch::Sender<usize>>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open = open.saturating_sub(1));
    }
}

/// A connection that a call has borrowed. If the call ends early, for example at its deadline, this value is dropped.
/// Then the connection is closed, because nobody knows what the server is doing with it.
pub(crate) struct Lent {
    // The fields are dropped in this order: the connection must be closed before another call gets the permit.
    open: Open,
    end: End,
    permit: OwnedSemaphorePermit,
}

/// How the use of a connection ends. If this value is dropped before the connection is given back, the pool remembers the
/// time.
struct End {
    pool: Arc<Shared>,
    is_break: bool,
}

impl Drop for End {
    fn drop(&mut self) {
        if self.is_break {
            *self.pool.last_break.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }
}

impl Lent {
    fn new(open: Open, pool: &Arc<Shared>, permit: OwnedSemaphorePermit) -> Self {
        Self { open, end: End { pool: Arc::clone(pool), is_break: true }, permit }
    }

    pub(crate) fn connection(&mut self) -> &mut PgConnection {
        &mut self.open.connection
    }

    /// Gives the connection back to the pool after a statement. If the error may mean that the server has failed, closes
    /// the connection instead.
    pub(crate) fn give_back_after<T>(self, outcome: &Result<T, StorageError>) {
        if !matches!(outcome, Err(StorageError::Unavailable(_))) {
            self.give_back();
        }
    }

    /// Gives the connection back to the pool. No statement may be running on it, and no transaction may be open.
    pub(crate) fn give_back(self) {
        let Self { mut open, mut end, permit } = self;
        open.used_at = Instant::now();
        end.is_break = false;
        let mut idle = end.pool.lock_idle();
        if !end.pool.permits.is_closed() {
            idle.push(open);
        }
        drop(idle);
        drop(permit);
    }
}

/// How pgbouncer says that it has no more connections to give (`max_client_conn`, `max_user_client_connections`).
const POOLER_LIMITS: [&str; 2] = ["no more connections allowed", "client connections exceeded"];

/// Why a server gave no connection, and whether another attempt makes sense.
pub(crate) enum Refusal {
    /// The server, a role or a connection pooler has no more connections to give.
    Full(StorageError),
    /// The server is starting, or it is a standby that may be promoted soon.
    Later(StorageError),
    /// The server will refuse the next attempt, too.
    Final(StorageError),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let code = postgres_code(&error).map(String::from);
        let is_starting = code.as_deref() == Some("57P03")
            || matches!(&error, Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused);
        let message = error.to_string();
        let error = storage_error(error);
        match code.as_deref() {
            Some("53300") => Self::Full(error),
            // pgbouncer has no code of its own for its limits.
            Some("08P01") if POOLER_LIMITS.iter().any(|limit| message.contains(limit)) => Self::Full(error),
            _ if is_starting => Self::Later(error),
            _ => Self::Final(error),
        }
    }
}

impl PostgresPool {
    /// Creates a pool that opens its connections later, when calls need them.
    pub(crate) fn new(connect: PgConnectOptions, options: PostgresOptions) -> Self {
        let permits = usize::try_from(options.connections).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared {
            connect,
            options,
            permits: Arc::new(Semaphore::new(permits)),
            idle: Mutex::default(),
            open: Arc::new(watch::Sender::new(0)),
            last_refusal: Mutex::default(),
            last_break: Mutex::default(),
        });
        tokio::spawn(close_idle(Arc::downgrade(&shared)));
        Self(shared)
    }

    /// Sets the time limits of a connection, and checks that the server is not a standby.
    pub(crate) async fn set_up(&self, connection: &mut PgConnection) -> Result<(), Refusal> {
        self.0.set_up(connection).await
    }

    /// Adds an open connection to the pool, after `set_up` has prepared it. The next call uses this connection.
    pub(crate) fn add(&self, connection: PgConnection) {
        let open = self.0.opened(connection);
        self.0.lock_idle().push(open);
    }

    /// Borrows a connection. Waits if all connections are in use.
    ///
    /// # Errors
    /// The server has refused a connection and will refuse the next attempt, too, or the call got none in time.
    pub(crate) async fn lend(&self) -> Result<Lent, StorageError> {
        let shared = &self.0;
        let lent = timeout(shared.options.connect, shared.find()).await;
        lent.unwrap_or_else(|_| Err(shared.too_late()))
    }

    /// Closes every connection. Returns after the running calls have ended and all connections are closed.
    pub(crate) async fn close(&self) {
        let idle = {
            // `give_back` checks under the same lock whether the pool is closed. So after this block, no call adds a
            // connection to the list of idle connections.
            let mut idle = self.0.lock_idle();
            self.0.permits.close();
            std::mem::take(&mut *idle)
        };
        for Open { connection, _counted, .. } in idle {
            let _closed = timeout(self.0.options.connect, connection.close()).await;
        }
        let mut open = self.0.open.subscribe();
        let _all_closed = open.wait_for(|open| *open == 0).await.is_ok();
    }
}

impl Shared {
    fn lock_idle(&self) -> std::sync::MutexGuard<'_, Vec<Open>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a permit, and finds an idle connection or opens a new one.
    async fn find(self: &Arc<Self>) -> Result<Lent, StorageError> {
        let [mut pause, longest] = BACKOFF;
        loop {
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            let permit = permit.map_err(|_| StorageError::Unavailable("the storage is closed".to_owned()))?;
            while let Some(mut open) = self.pop_idle() {
                if self.may_be_used_unchecked(&open) || self.answers(&mut open).await {
                    return Ok(Lent::new(open, self, permit));
                }
                // The server or the network has probably failed, so the other idle connections are dead as well. To ask
                // each of them would take all the time that the call has.
                self.lock_idle().clear();
            }
            let refusal = match self.open().await {
                Ok(open) => {
                    self.remember(None);
                    return Ok(Lent::new(open, self, permit));
                }
                Err(refusal) => refusal,
            };
            match refusal {
                Refusal::Full(error) => {
                    self.remember(Some(error));
                    if *self.open.borrow() > 0 {
                        self.withhold(permit);
                        continue;
                    }
                }
                Refusal::Later(error) => self.remember(Some(error)),
                Refusal::Final(error) => return Err(error),
            }
            drop(permit);
            sleep(pause).await;
            pause = longest.min(pause * 2);
        }
    }

    /// Returns the idle connection that was used last. Closes connections that are too old or were idle for too long.
    fn pop_idle(&self) -> Option<Open> {
        let mut idle = self.lock_idle();
        let now = Instant::now();
        idle.retain(|open| now - open.opened_at < MAX_AGE && now - open.used_at < MAX_IDLE);
        idle.pop()
    }

    /// Tells whether the connection was idle for so short a time that a check is not worth a round trip. If the server
    /// fails within this time, the next statement fails, as a statement does that is running. The host repeats writes,
    /// and recognises a write that took effect.
    fn may_be_used_unchecked(&self, open: &Open) -> bool {
        let last_break = *self.last_break.lock().unwrap_or_else(PoisonError::into_inner);
        open.used_at.elapsed() < self.options.check_after_idle && last_break.is_none_or(|at| at < open.used_at)
    }

    /// Tells whether the server answers on this connection. A connection can be dead although no error was reported.
    /// Because of this check, a call gets a working connection, and the pool drops a dead connection.
    async fn answers(&self, open: &mut Open) -> bool {
        matches!(timeout(self.options.connect / 4, open.connection.ping()).await, Ok(Ok(())))
    }

    /// Opens a connection. If other connections are open, the attempt may last only a quarter of the time for which a
    /// call may wait. The reason is connection poolers: if a pooler has used up its connections to the server, it
    /// accepts a new client but lets the client wait.
    async fn open(&self) -> Result<Open, Refusal> {
        let opening = async {
            let mut connection = self.connect.connect().await?;
            self.set_up(&mut connection).await?;
            Ok(self.opened(connection))
        };
        if *self.open.borrow() == 0 {
            return opening.await;
        }
        timeout(self.options.connect / 4, opening).await.unwrap_or_else(|_| {
            Err(Refusal::Full(StorageError::Unavailable("the server opens no more connections".to_owned())))
        })
    }

    fn opened(&self, connection: PgConnection) -> Open {
        let now = Instant::now();
        Open { connection, opened_at: now, used_at: now, _counted: Counted::new(&self.open) }
    }

    /// Sets the time limits of a new connection. If `synchronous_commit` is `off` or `local`, sets it to `on`, so that
    /// a commit is on the disk when it succeeds. Any other value of `synchronous_commit` stays as it is.
    ///
    /// # Errors
    /// The server does not answer, or it is a standby. The data of a standby may be old.
    async fn set_up(&self, connection: &mut PgConnection) -> Result<(), Refusal> {
        let statement = self.options.statement.as_millis();
        let settings = format!(
            "SET statement_timeout = {statement}; SET lock_timeout = {statement}; \
             SET idle_in_transaction_session_timeout = {statement}; \
             SELECT set_config('synchronous_commit', 'on', false) \
             WHERE current_setting('synchronous_commit') IN ('off', 'local')"
        );
        connection.execute(AssertSqlSafe(settings)).await?;
        let server = connection.fetch_one("SELECT pg_is_in_recovery()").await?;
        if server.try_get(0)? {
            return Err(Refusal::Later(StorageError::Unavailable(OpenError::Standby.to_string())));
        }
        Ok(())
    }

    /// Removes a permit for [`REFUSAL_PAUSE`], so that the next calls wait until an open connection is free.
    fn withhold(self: &Arc<Self>, permit: OwnedSemaphorePermit) {
        permit.forget();
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            sleep(REFUSAL_PAUSE).await;
            if let Some(pool) = pool.upgrade() {
                pool.permits.add_permits(1);
            }
        });
    }

    fn remember(&self, refusal: Option<StorageError>) {
        *self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
    }

    fn too_late(&self) -> StorageError {
        let refusal = self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner);
        let why = refusal.as_ref().map(|refusal| match refusal {
            StorageError::Unavailable(why) | StorageError::Refused(why) => format!(": {why}"),
            other @ (StorageError::KeyGone | StorageError::RowChanged(_)) => format!(": {other}"),
        });
        let why = why.unwrap_or_default();
        StorageError::Unavailable(format!("no connection to the database in time{why}"))
    }
}

/// Closes connections that were idle for too long. Runs until the pool is dropped.
async fn close_idle(pool: Weak<Shared>) {
    loop {
        sleep(IDLE_CHECK).await;
        let Some(pool) = pool.upgrade() else { return };
        let now = Instant::now();
        pool.lock_idle().retain(|open| now - open.used_at < MAX_IDLE);
    }
}

impl fmt::Debug for PostgresPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresPool").field("open", &*self.0.open.borrow()).finish_non_exhaustive()
    }
}
