//! Opens the storage in a PostgreSQL database, which any number of hosts can use. The server must be the primary.

use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, AssertSqlSafe, ConnectOptions as _, Connection as _, Error, Executor as _, Row as _};

use super::address;
use super::error::OpenError;
use super::migrations::migrate;
use crate::sql::dialect::Dialect;
use crate::storage::SqlStorage;

/// The settings with which a host uses a PostgreSQL server. Every default time is shorter than the 10 seconds that the
/// host has for one save, so that the host can try a save again after the server has hung.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostgresOptions {
    /// The highest number of connections of this host to the server. Default: 10.
    pub connections: u32,
    /// The longest time that a call waits for a connection, because no connection is free or because the server can't
    /// be reached. Default: 4 seconds.
    pub connect: Duration,
    /// How long the server may work on one statement, including the time that it waits for locks. The storage gives up
    /// a call that takes half a second longer than this time. Default: 4 seconds.
    pub statement: Duration,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { connections: 10, connect: Duration::from_secs(4), statement: Duration::from_secs(4) }
    }
}

/// A connection that was idle for ten minutes is closed.
const MAX_IDLE: Duration = Duration::from_secs(600);
/// A connection that is 30 minutes old is closed. New connections then reach a server that has moved to another
/// machine.
const MAX_AGE: Duration = Duration::from_secs(1_800);
/// The deadline of a storage function is the time limit of one statement plus this reserve for the network.
const NETWORK_RESERVE: Duration = Duration::from_millis(500);

impl SqlStorage {
    /// Opens the PostgreSQL database at this address: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. Creates missing
    /// tables in the first schema of the search path, with names that begin with `tiktok_shop_`.
    ///
    /// A server that is reached by a Unix socket, by `localhost` or by a loopback address needs no TLS. Every other
    /// server must prove its name over TLS: the connector uses `sslmode=verify-full`, and refuses an address with a
    /// weaker mode. `sslrootcert=FILE` names a certificate authority of your own. If the network is protected in
    /// another way, append `unverified-server=allowed`. The parameter `sslmode` of the address then decides how TLS is
    /// used.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn postgres(address: &str, options: PostgresOptions) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let connect = address::parse(address)?.disable_statement_logging();
        let first = AnyConnection::connect_with(&connect);
        let mut first = tokio::time::timeout(options.connect, first)
            .await
            .map_err(|_| OpenError::Unreachable("the server does not answer in time".to_owned()))?
            .map_err(OpenError::unreachable)?;
        let server = first.fetch_one("SELECT pg_is_in_recovery(), current_setting('server_encoding')").await;
        let server = server.map_err(OpenError::unreachable)?;
        if server.try_get(0).map_err(OpenError::unreachable)? {
            return Err(OpenError::Standby);
        }
        let encoding: String = server.try_get(1).map_err(OpenError::unreachable)?;
        if encoding != "UTF8" {
            return Err(OpenError::Encoding(encoding));
        }
        migrate(&mut first, &Dialect::Postgres).await?;
        let _closed = first.close().await;

        let settings = settings(options);
        let ping_timeout = options.connect / 4;
        let pool = AnyPoolOptions::new()
            .max_connections(options.connections)
            .acquire_timeout(options.connect)
            .idle_timeout(MAX_IDLE)
            .max_lifetime(MAX_AGE)
            .after_connect(move |connection, _| {
                let settings = settings.clone();
                Box::pin(async move {
                    connection.execute(AssertSqlSafe(settings)).await?;
                    // The server may have become a standby since the storage was opened. A standby's data may be old.
                    let server = connection.fetch_one("SELECT pg_is_in_recovery()").await?;
                    if server.try_get(0)? {
                        Err(Error::Configuration("the server is a standby".into()))
                    } else {
                        Ok(())
                    }
                })
            })
            .test_before_acquire(false)
            .before_acquire(move |connection, _| ping(connection, ping_timeout))
            .after_release(move |connection, _| ping(connection, ping_timeout))
            .connect_lazy_with(connect);
        let deadline = Some(options.statement + NETWORK_RESERVE);
        Ok(Self { dialect: Dialect::Postgres, readers: pool.clone(), writers: pool, deadline })
    }
}

/// Checks that the server answers on this connection within `timeout`. A connection can be dead without any sign. With
/// this check, a call that waits for a connection gets a working connection, and a dead connection does not keep its
/// place in the pool.
///
/// This check misses one kind of dead connection. When a connection comes back to the pool, the driver itself pings it,
/// and waits for the answer without a limit. A connection that dies during this ping keeps its place in the pool until
/// the operating system closes it.
fn ping(connection: &mut AnyConnection, timeout: Duration) -> BoxFuture<'_, Result<bool, Error>> {
    Box::pin(async move {
        tokio::time::timeout(timeout, connection.ping()).await.map_err(|_| Error::PoolTimedOut)??;
        Ok(true)
    })
}

/// Returns the statements that set up a connection. They set the time limits. They also ensure that a commit is on the
/// disk when it succeeds. A stronger setting of the server stays as it is.
fn settings(options: PostgresOptions) -> String {
    let statement = options.statement.as_millis();
    format!(
        "SET statement_timeout = {statement}; SET lock_timeout = {statement}; \
         SET idle_in_transaction_session_timeout = {statement}; \
         SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') IN ('off', 'local')"
    )
}

#[cfg(test)]
mod tests;
