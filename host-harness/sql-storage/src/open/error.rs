//! Why a database can't be opened.

use std::path::PathBuf;

use sqlx::Error;
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_private_file::PrivateFileError;

use crate::sql::error::storage_error;

/// Why a database can't be opened. The texts of these errors never quote the address of the database, because the
/// address may contain a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// This process can't use the file, or other users can read or write it.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The path contains bytes that are not UTF-8.
    #[error("{}: the path is not UTF-8", .0.display())]
    Path(PathBuf),
    /// The id of the machine's latest boot could not be read.
    #[error("can't read the id of this machine's boot: {0}")]
    Boot(std::io::Error),
    /// The address does not have the form `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    #[error("not the address of a PostgreSQL database: postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Address,
    /// The address has a parameter that the driver does not know, and would ignore.
    #[error(
        "the address has an unknown parameter; the known ones are those of PostgreSQL, such as sslmode, host and options, and unverified-server=allowed"
    )]
    Parameter,
    /// The server is reached over a network, and the address asks for a TLS mode that does not verify the server.
    #[error(
        "the server is in a network, where anybody could pretend to be the server and get the password: use sslmode=verify-full (with sslrootcert=FILE for an authority of your own), or append unverified-server=allowed if you accept that"
    )]
    Unverified,
    /// The database does not answer, or it refuses this user.
    #[error("the database can't be opened: {0}")]
    Unreachable(String),
    /// The server is a standby. Its data may be old, and it refuses writes.
    #[error("the server is a standby: connect to the primary")]
    Standby,
    /// The database's encoding is not UTF-8, so some texts would come back changed.
    #[error("the database's encoding is {0}: create a database with ENCODING 'UTF8'")]
    Encoding(String),
    /// A newer release has changed the tables. Nothing was written.
    #[error("a newer release has changed the database's tables (schema version {0}): use that release")]
    Newer(i64),
    /// The tables could not be created or changed.
    #[error("can't bring the database's tables up to date: {0}")]
    Migration(String),
}

impl OpenError {
    /// Converts the error of an attempt to open a database.
    pub(super) fn unreachable(error: Error) -> Self {
        if matches!(error, Error::Configuration(_)) {
            return Self::Address;
        }
        Self::Unreachable(match storage_error(error) {
            StorageError::Unavailable(why) | StorageError::Refused(why) => why,
            other @ StorageError::KeyGone => other.to_string(),
        })
    }
}
