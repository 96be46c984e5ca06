//! What an error of a database means for a write, in words that quote no value.

use sqlx::Error;
use sqlx::error::DatabaseError;

use super::StorageError;

/// SQLite's primary codes of statements that can't succeed as they are: a constraint, a value too big, of another type, out
/// of range.
const SQLITE_REFUSES: [i64; 4] = [18, 19, 20, 25];
/// Classes of SQLSTATE of such statements in PostgreSQL: data, constraints, syntax and names, limits.
const POSTGRES_REFUSES: [&str; 4] = ["22", "23", "42", "54"];
/// Classes whose texts are about the server and quote no value: connections, resources, operators, the system.
const POSTGRES_TELLS: [&str; 5] = ["08", "53", "55", "57", "58"];

#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's open list")]
pub(super) fn storage_error(error: Error) -> StorageError {
    match error {
        Error::Database(error) => database_error(&*error),
        Error::Io(error) => StorageError::Unavailable(format!("database connection: {error}")),
        Error::Tls(error) => StorageError::Unavailable(format!("database connection: TLS: {error}")),
        Error::PoolTimedOut => StorageError::Unavailable("no connection to the database in time".to_owned()),
        Error::PoolClosed => StorageError::Unavailable("the storage is closed".to_owned()),
        Error::WorkerCrashed => StorageError::Unavailable("the database's thread has ended".to_owned()),
        Error::Encode(_) | Error::Decode(_) | Error::ColumnDecode { .. } => {
            StorageError::Refused("a value is none that the database can hold".to_owned())
        }
        _ => StorageError::Unavailable("database connection: it broke protocol".to_owned()),
    }
}

fn database_error(error: &dyn DatabaseError) -> StorageError {
    let code = error.code().unwrap_or_default();
    if let Ok(number) = code.parse::<i64>()
        && code.len() != 5
    {
        // SQLite: an extended code has the primary one in its lower byte. Its texts name tables and columns only.
        let told = format!("SQLite error {number}: {}", error.message());
        return if SQLITE_REFUSES.contains(&(number & 0xff)) {
            StorageError::Refused(told)
        } else {
            StorageError::Unavailable(told)
        };
    }
    let class = code.get(..2).unwrap_or_default();
    let text = if POSTGRES_TELLS.contains(&class) { format!(": {}", error.message()) } else { String::new() };
    let told = format!("PostgreSQL error {code}{text}");
    if POSTGRES_REFUSES.contains(&class) { StorageError::Refused(told) } else { StorageError::Unavailable(told) }
}

/// Whether a row that others name was to go, or one was to name a row that is not there.
pub(super) fn breaks_reference(error: &Error) -> bool {
    error.as_database_error().is_some_and(DatabaseError::is_foreign_key_violation)
}
