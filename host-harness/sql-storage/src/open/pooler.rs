//! Finds out whether a connection pooler shares the server's sessions between its clients.
//!
//! The storage makes settings and prepares statements that are valid for one session. In session mode, a pooler keeps
//! one session for each client. In transaction mode and in statement mode, a pooler gives a session to another client
//! after each transaction or statement. Then a client would use settings and statements of another client.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Error, Executor as _, PgConnection, Row as _};
use tokio::time::timeout;

use super::error::OpenError;
use crate::pool::postgres::Refusal;

const PROCESS: &str = "SELECT pg_backend_pid()";

/// Checks that `first` keeps its session while another client is connected. A busy pooler may escape this check,
/// because it may give the two clients two sessions by chance.
///
/// # Errors
/// The pooler shares sessions, or the server refuses the second connection for another reason than its number.
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
            // There is no place for a second connection, so this can't be checked.
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
