//! Converts errors of the driver and of the database into errors for the host. The texts of the errors never quote a
//! value.

use std::borrow::Cow;

use sqlx::Error;
use sqlx::error::DatabaseError;
use tiktok_shop_host::storage::StorageError;

use super::code::meaning;

/// SQLite's primary codes for statements that fail at every attempt: 18 (a value is too big), 19 (a value breaks a
/// constraint), 20 (a value has the wrong type), 25 (out of range).
const SQLITE_REFUSED: [i64; 4] = [18, 19, 20, 25];
/// PostgreSQL's classes of SQLSTATE for statements that fail at every attempt: 22 (data), 23 (constraints), 42 (syntax
/// and names), 54 (limits).
const POSTGRES_REFUSED: [&str; 4] = ["22", "23", "42", "54"];
/// PostgreSQL's classes of SQLSTATE whose texts are about the server and quote no value: 08 (connections), 53
/// (resources), 55 (prerequisites), 57 (interventions of an operator), 58 (the system).
const POSTGRES_SERVER: [&str; 5] = ["08", "53", "55", "57", "58"];

/// Converts an error of the driver or the database.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's open list")]
pub(crate) fn storage_error(error: Error) -> StorageError {
    match error {
        Error::Database(error) => database_error(&*error),
        Error::Io(error) => StorageError::Unavailable(format!("database connection: {error}")),
        Error::Tls(error) => StorageError::Unavailable(format!("database connection: TLS: {error}")),
        Error::PoolTimedOut => StorageError::Unavailable("no connection to the database in time".to_owned()),
        Error::PoolClosed => StorageError::Unavailable("the storage is closed".to_owned()),
        Error::WorkerCrashed => StorageError::Unavailable("the database's thread has ended".to_owned()),
        Error::Encode(_) | Error::Decode(_) | Error::ColumnDecode { .. } => {
            StorageError::Refused("the database can't hold a value".to_owned())
        }
        _ => StorageError::Unavailable("database connection: it broke protocol".to_owned()),
    }
}

fn database_error(error: &dyn DatabaseError) -> StorageError {
    let code = error.code().unwrap_or_default();
    // A SQLSTATE has five characters. SQLite's codes are numbers of at most four digits.
    if let Ok(number) = code.parse::<i64>()
        && code.len() != 5
    {
        // SQLite's texts contain only names of tables and columns, so they are safe to quote.
        let text = format!("SQLite error {number}: {}", error.message());
        // The lower byte of an extended SQLite code is the primary code.
        return if SQLITE_REFUSED.contains(&(number & 0xff)) {
            StorageError::Refused(text)
        } else {
            StorageError::Unavailable(text)
        };
    }
    let class = code.get(..2).unwrap_or_default();
    let message = if POSTGRES_SERVER.contains(&class) { format!(": {}", error.message()) } else { String::new() };
    let text = match meaning(&code) {
        Some(meaning) => format!("{meaning} (PostgreSQL error {code}{message})"),
        None => format!("PostgreSQL error {code}{message}"),
    };
    if POSTGRES_REFUSED.contains(&class) { StorageError::Refused(text) } else { StorageError::Unavailable(text) }
}

/// Returns the SQLSTATE of an error that PostgreSQL has sent. Returns `None` for every other error.
pub(crate) fn postgres_code(error: &Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(DatabaseError::code).filter(|code| code.len() == 5)
}
