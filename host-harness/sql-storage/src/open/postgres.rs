//! Opens the storage in a PostgreSQL database, which any number of hosts can use. The server must be the primary.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _, PgConnection, Row as _};
use tiktok_shop_private_file::check_tls_key;
use tokio::time::{Instant, sleep, timeout_at};

use super::error::OpenError;
use super::migrations::prepare;
use super::mode::OpenMode;
use super::{address, pooler};
use crate::expiry::ExpiryPauses;
use crate::pool::Pool;
use crate::pool::postgres::{PostgresPool, Refusal};
use crate::postgres_options::PostgresOptions;
use crate::sql::dialect::Dialect;
use crate::sql::error::postgres_code;
use crate::storage::SqlStorage;

/// The deadline of a storage function is the time limit of one statement plus this reserve for the network.
const NETWORK_RESERVE: Duration = Duration::from_millis(500);
/// The pause between two attempts to open the first connection, if the server has no connection left or is starting.
const PAUSE: Duration = Duration::from_millis(100);

impl SqlStorage {
    /// Opens the PostgreSQL database at this address: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. The tables are in
    /// the first schema of the search path that contains them. New tables are created in the first schema of the search
    /// path, with names that begin with `tiktok_shop_`. `mode` says whether tables may be created or changed.
    ///
    /// A server that is reached by a Unix socket, by `localhost` or by a loopback address needs no TLS. Every other
    /// server must prove its name over TLS: the connector uses `sslmode=verify-full`, and refuses an address with a
    /// weaker mode. `sslrootcert=FILE` names a certificate authority of your own. If the network is protected in
    /// another way, append `unverified-server=allowed`. The parameter `sslmode` of the address then decides how TLS is
    /// used. `pool-size=N` in the address overrides [`PostgresOptions::connections`]. `sslkey=FILE` names a private
    /// key: [`PostgresOptions::key_file_access`] says who may read it.
    ///
    /// Only the address decides how the database is reached. The environment variables of PostgreSQL's own library,
    /// such as `PGPASSWORD` and `PGSSLMODE`, and its password file have no effect. If one of these variables is set and
    /// the driver can't be kept from using it, opening fails with [`OpenError::Variable`].
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn postgres(address: &str, mode: OpenMode, options: PostgresOptions) -> Result<Self, OpenError> {
        let parsed = address::parse(address)?;
        parsed.refuse_variables(is_set)?;
        let address::Parsed { driver, pool_size, named: _, key_file } = parsed;
        // The driver reads the file for each connection, so that a renewed key is used.
        if let Some(path) = key_file {
            check_tls_key(&path, options.key_file_access)?;
        }
        let connect = driver.disable_statement_logging();
        let options = PostgresOptions { connections: pool_size.unwrap_or(options.connections), ..options };
        let mut first = first_connection(&connect, options.connect).await?;
        let server = first.fetch_one("SELECT pg_is_in_recovery(), current_setting('server_encoding')").await?;
        if server.try_get(0)? {
            return Err(OpenError::Standby);
        }
        let encoding: String = server.try_get(1)?;
        if encoding != "UTF8" {
            return Err(OpenError::Encoding(encoding));
        }
        pooler::check(&mut first, &connect, options.connect / 4).await?;
        let pool = PostgresPool::new(connect, options);
        // A change of the tables may take longer than the time limits. So if `mode` allows such a change, the time
        // limits are set only after the change.
        if mode == OpenMode::Existing {
            set_up(&pool, &mut first).await?;
        }
        let schema_change = prepare(&mut first, mode).await?;
        if mode != OpenMode::Existing {
            set_up(&pool, &mut first).await?;
        }
        pool.add(first);
        let pool = Pool::Postgres(pool);
        let deadline = Some(options.statement + NETWORK_RESERVE);
        Ok(Self {
            dialect: Dialect::Postgres,
            readers: pool.clone(),
            writers: pool,
            deadline,
            schema_change,
            expiry_pauses: ExpiryPauses::default(),
        })
    }
}

/// Opens a connection. If the server has no connection left or is starting, tries again for `limit`.
async fn first_connection(connect: &PgConnectOptions, limit: Duration) -> Result<PgConnection, OpenError> {
    let until = Instant::now() + limit;
    let server = match connect.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => format!("{}:{}", connect.get_host(), connect.get_port()),
    };
    loop {
        let connected = timeout_at(until, connect.connect()).await;
        let error = match connected {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error,
            Err(_) => {
                return Err(OpenError::Unreachable(format!(
                    "the server at {server} does not answer in time: check the network, and the host and the port in \
                     the address"
                )));
            }
        };
        let is_temporary = matches!(postgres_code(&error).as_deref(), Some("53300" | "57P03"));
        if !is_temporary || Instant::now() + PAUSE >= until {
            return Err(OpenError::no_connection(error, &server));
        }
        sleep(PAUSE).await;
    }
}

/// Returns whether an environment variable is set.
#[expect(clippy::disallowed_methods, reason = "the driver reads these variables, so the storage must refuse them")]
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

async fn set_up(pool: &PostgresPool, connection: &mut PgConnection) -> Result<(), OpenError> {
    pool.set_up(connection).await.map_err(|refusal| match refusal {
        Refusal::Full(error) | Refusal::Later(error) | Refusal::Final(error) => OpenError::of_storage(error),
    })
}

#[cfg(test)]
mod tests;
