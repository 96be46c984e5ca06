//! PostgreSQL: one database, its primary, for any number of hosts.

use std::str::FromStr as _;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions as _, Connection as _, Error, Executor as _, Row as _};

use super::SqlStorage;
use super::dialect::Dialect;
use super::open::{OpenError, migrate};

/// How a host uses a PostgreSQL server. All times are shorter than that of one save (10 s), so that a save that met a server
/// which hangs can still be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresOptions {
    /// Most connections of this host to the server.
    pub connections: u32,
    /// How long a call waits for one of them, and for the server to be there again.
    pub connect: Duration,
    /// How long the server works on a statement, waiting for locks included. A call that has not ended half a second later is
    /// given up.
    pub statement: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { connections: 10, connect: Duration::from_secs(4), statement: Duration::from_secs(4) }
    }
}

/// A connection that nobody used for so long is closed.
const IDLE: Duration = Duration::from_secs(600);
/// And one that is so old: a server that has moved is noticed.
const OLD: Duration = Duration::from_secs(1_800);
/// What the network may take from the end of a statement on.
const MARGIN: Duration = Duration::from_millis(500);

impl SqlStorage {
    /// The PostgreSQL database at this address, `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. Tables are made in the first
    /// schema of its search path, with names that begin with `tiktok_shop_`. Over a network append `?sslmode=verify-full`.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn postgres(address: &str, options: PostgresOptions) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        if !["postgres://", "postgresql://"].iter().any(|scheme| address.starts_with(scheme)) {
            return Err(OpenError::Address);
        }
        let connect = AnyConnectOptions::from_str(address).map_err(|_| OpenError::Address)?.disable_statement_logging();
        let first = AnyConnection::connect_with(&connect);
        let mut first = tokio::time::timeout(options.connect, first)
            .await
            .map_err(|_| OpenError::Unreachable("the server does not answer in time".to_owned()))?
            .map_err(OpenError::unreachable)?;
        let told = first.fetch_one("SELECT pg_is_in_recovery(), current_setting('server_encoding')").await;
        let told = told.map_err(OpenError::unreachable)?;
        if told.try_get(0).map_err(OpenError::unreachable)? {
            return Err(OpenError::Standby);
        }
        let encoding: String = told.try_get(1).map_err(OpenError::unreachable)?;
        if encoding != "UTF8" {
            return Err(OpenError::Encoding(encoding));
        }
        migrate(&mut first, &Dialect::Postgres).await?;
        let _closed = first.close().await;

        let settings = settings(options);
        let patience = options.connect / 4;
        let pool = AnyPoolOptions::new()
            .max_connections(options.connections)
            .acquire_timeout(options.connect)
            .idle_timeout(IDLE)
            .max_lifetime(OLD)
            .after_connect(move |connection, _| {
                let settings = settings.clone();
                Box::pin(async move {
                    connection.execute(AssertSqlSafe(settings)).await?;
                    // A server that has stepped back since is not written to, and not read from.
                    let told = connection.fetch_one("SELECT pg_is_in_recovery()").await?;
                    if told.try_get(0)? { Err(Error::Configuration("the server is a standby".into())) } else { Ok(()) }
                })
            })
            .test_before_acquire(false)
            .before_acquire(move |connection, _| alive(connection, patience))
            .after_release(move |connection, _| alive(connection, patience))
            .connect_lazy_with(connect);
        let deadline = Some(options.statement + MARGIN);
        Ok(Self { dialect: Dialect::Postgres, readers: pool.clone(), writers: pool, deadline })
    }
}

/// Whether the server still answers on this connection: one may be dead with nobody telling. Found out in time, so that the
/// call that waits for a connection gets another, and none that is dead keeps a place in the pool. (The driver asks once more
/// when a connection comes back, and waits without an end: one that dies in just that round trip keeps its place until the
/// network gives up.)
fn alive(connection: &mut AnyConnection, patience: Duration) -> BoxFuture<'_, Result<bool, Error>> {
    Box::pin(async move {
        tokio::time::timeout(patience, connection.ping()).await.map_err(|_| Error::PoolTimedOut)??;
        Ok(true)
    })
}

/// What holds for a connection: deadlines, and that a commit is on the disk when it answers. A stronger promise of the
/// server's own stays.
fn settings(options: PostgresOptions) -> String {
    let statement = options.statement.as_millis();
    format!(
        "SET statement_timeout = {statement}; SET lock_timeout = {statement}; \
         SET idle_in_transaction_session_timeout = {statement}; \
         SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') IN ('off', 'local')"
    )
}
