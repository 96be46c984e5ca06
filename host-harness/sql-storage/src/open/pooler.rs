//! Finds out whether a connection pooler shares the server's sessions between its clients.
//!
//! The storage changes settings and prepares statements. These settings and statements are valid only for one session.
//! In session mode, a pooler keeps one session for each client. In transaction mode and in statement mode, a pooler
//! gives a session to another client after each transaction or statement. So a client would use the settings and
//! statements of another client.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Error, Executor as _, PgConnection, Row as _};
use tokio::time::timeout;

use super::error::OpenError;
use crate::pool::postgres::Refusal;

const PROCESS: &str = "SELECT pg_backend_pid()";

/// Checks that `first` keeps its session while another client is connected. This check may miss a pooler that is busy,
/// because such a pooler may give the two clients two different sessions by chance.
///
/// # Errors
/// The pooler shares sessions, or the second connection fails for another reason than the server's maximum number of
/// connections.
pub(super) async fn check(
    first: &mut PgConnection,
    connect: &PgConnectOptions,
    limit: Duration,
) -> Result<(), OpenError> {
    let process = process_of(first).await?;
    let second = async {
        let mut second = connect.connect().await?;
        // In statement mode, a pooler refuses to begin a transaction.
        let other = match second.execute("BEGIN").await {
            Ok(_) => Some(process_of(&mut second).await?),
            Err(Error::Database(_)) => None,
            Err(error) => return Err(error),
        };
        // While the second client is in a transaction, no other client can have its session.
        let process_now = process_of(first).await?;
        let _closed = second.close().await;
        Ok(other.is_some_and(|other| other != process) && process_now == process)
    };
    match timeout(limit, second).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(OpenError::Pooler),
        Ok(Err(error)) => match Refusal::from(error) {
            // The server has no connection left for the second client, so the check is not possible.
            Refusal::Full(_) => Ok(()),
            Refusal::Later(error) | Refusal::Final(error) => Err(OpenError::of_storage(error)),
        },
        // A pooler in session mode lets a client wait if all its sessions are in use.
        Err(_) => Ok(()),
    }
}

async fn process_of(connection: &mut PgConnection) -> Result<i32, Error> {
    connection.fetch_one(PROCESS).await?.try_get(0)
}
