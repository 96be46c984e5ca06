//! Why a database can't be opened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::Error;
use sqlx::error::DatabaseError;
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_private_file::PrivateFileError;

use crate::sql::error::storage_error;

/// SQLite's code for a file that is not a database.
const NOT_A_DATABASE: &str = "26";
/// SQLite's primary codes for which an error says what to do.
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READ_ONLY: u32 = 8;
const CORRUPT: u32 = 11;
const FULL: u32 = 13;
const CANT_OPEN: u32 = 14;

/// Why a database can't be opened. The texts of these errors never quote the address of the database, because the
/// address may contain a password.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// This process can't use the file of the database or of `sslkey`, or other users can read or write it.
    #[error(transparent)]
    File(#[from] PrivateFileError),
    /// The path contains bytes that are not UTF-8.
    #[error("{}: the path is not UTF-8", .0.display())]
    Path(PathBuf),
    /// There is no database file, and the [`OpenMode`](crate::OpenMode) does not create one. Nothing was created.
    #[error(
        "there is no database at {}: correct the path, or create the database with tiktok-shop-harness migrate",
        .0.display()
    )]
    Missing(PathBuf),
    /// The file is empty, or it is another program's SQLite database, and the [`OpenMode`](crate::OpenMode) does not
    /// create tables. Nothing was written.
    #[error(
        "there is no database of the connector in {}: correct the path, or create the tables with tiktok-shop-harness \
         migrate",
        .0.display()
    )]
    NotOfConnector(PathBuf),
    /// SQLite says that the file is not a database. Nothing was written.
    #[error("{}: not an SQLite database: correct the path, or restore the file from a backup", .0.display())]
    NotADatabase(PathBuf),
    /// The folder for a new database file does not exist. Nothing was created.
    #[error("there is no folder {} for the database: correct the path, or create the folder", .0.display())]
    NoFolder(PathBuf),
    /// The path is `:memory:`, SQLite's name for a database in memory. This storage does not support it.
    #[error("a database in memory has no path: name a file; tests can use memory:")]
    InMemory,
    /// The path or the address contains an invisible character. The error names the character.
    #[error("the {place} contains {character}: remove it")]
    Invisible {
        /// The text that contains the character: `path` or `address`.
        place: &'static str,
        /// The name of the character, for example `a line break`.
        character: String,
    },
    /// The id of the machine's latest boot could not be read.
    #[error("can't read the id of this machine's boot: {0}")]
    Boot(std::io::Error),
    /// The address does not have the form `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    #[error(
        "not the address of a PostgreSQL database: write postgres://USER:PASSWORD@HOST:PORT/DATABASE, and encode the \
         characters : / ? # [ ] @ % in the user and the password, for example @ as %40"
    )]
    Address,
    /// The address contains a `#`, and the driver would ignore everything behind it.
    #[error("the address contains a #: write %23 in its place")]
    Fragment,
    /// The address names several servers.
    #[error("the address names several servers, which is not supported: name the primary, or a name that leads to it")]
    SeveralServers,
    /// The address has a parameter that the storage does not know.
    #[error("the address has an unknown parameter{}", parameter_hint(.name.as_deref(), *.similar))]
    Parameter {
        /// The name of the parameter. `None` if the text may be no name, but for example a part of a password.
        name: Option<String>,
        /// A known parameter with a similar name.
        similar: Option<&'static str>,
    },
    /// PostgreSQL knows this parameter, but the storage does not support it.
    #[error("the parameter {0} of the address is not supported: remove it")]
    Unsupported(&'static str),
    /// The value of a parameter of the address is wrong. The value is not quoted.
    #[error("the value of the parameter {0} in the address is wrong; docs/storage.md says which values it takes")]
    Value(String),
    /// The server is reached over a network, and the address asks for a TLS mode that does not verify the server.
    #[error(
        "the server is in a network, where anybody could pretend to be the server and get the password: use sslmode=verify-full (with sslrootcert=FILE for an authority of your own), or append unverified-server=allowed if you accept that"
    )]
    Unverified,
    /// An environment variable of PostgreSQL's own library is set that the driver would read. Only the address decides
    /// how the database is reached.
    #[error(
        "{name} is set and would change how the database is reached, which only its address decides: unset this \
         variable, and write its value into the address as {parameter}"
    )]
    Variable {
        /// The name of the variable.
        name: &'static str,
        /// The parameter of the address that replaces the variable.
        parameter: &'static str,
    },
    /// The database does not answer, or it refuses this user.
    #[error("the database can't be opened: {0}")]
    Unreachable(String),
    /// The address leads to a connection pooler that gives a session of the server to another client after each
    /// transaction or statement.
    #[error("a connection pooler in transaction mode or statement mode is not supported: use its session mode")]
    Pooler,
    /// The server is a standby. Its data may be old, and it refuses writes.
    #[error("the server is a standby: connect to the primary")]
    Standby,
    /// The database's encoding is not UTF-8, so some texts would come back changed.
    #[error("the database's encoding is {0}: create a database with ENCODING 'UTF8'")]
    Encoding(String),
    /// The database has no tables of the connector, and the [`OpenMode`](crate::OpenMode) does not create them.
    /// Nothing was written.
    #[error(
        "the database has no tables of the connector: correct the address, or create them with tiktok-shop-harness \
         migrate"
    )]
    NoTables,
    /// The tables are those of an earlier release, and the [`OpenMode`](crate::OpenMode) does not change them. Nothing
    /// was written.
    #[error(
        "the database has schema version {found}, and this release needs version {needed}: run tiktok-shop-harness \
         migrate"
    )]
    Older {
        /// The version of the database's schema.
        found: i64,
        /// The version that this release needs.
        needed: i64,
    },
    /// The tables are those of a newer release. Nothing was written.
    #[error(
        "the database has schema version {found}, and this release knows only version {known}: use {} or a newer one",
        .since.as_ref().map_or_else(|| "the release that changed the database".to_owned(), |since| format!("release {since}"))
    )]
    Newer {
        /// The version of the database's schema.
        found: i64,
        /// The newest version that this release knows.
        known: i64,
        /// The first release that knows the version `found`. The database contains the name of this release.
        since: Option<String>,
    },
    /// The tables could not be changed, because another session used one of them for this time. The versions of the
    /// schema that were applied before stay applied.
    #[error(
        "can't bring the database's tables up to date: another session has used one of them for {} s, for example \
         pg_dump or a query that runs long; find it in pg_stat_activity, end it or wait for its end, and run \
         tiktok-shop-harness migrate again",
        .0.as_secs()
    )]
    Locked(Duration),
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
        Self::of_storage(storage_error(error))
    }

    /// Converts the error of an attempt to connect to the PostgreSQL server at this host and port.
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other error came from the server")]
    pub(super) fn no_connection(error: Error, server: &str) -> Self {
        let why = match error {
            Error::Io(error) => format!("no connection to {server}: {error}"),
            Error::Tls(error) => format!("no connection to {server}: TLS: {error}"),
            other => return Self::unreachable(other),
        };
        Self::Unreachable(format!(
            "{why}: check that the server runs, and correct the host and the port in the address"
        ))
    }

    /// Converts an error of SQLite, and names the file.
    pub(super) fn of_sqlite(error: Error, path: &Path) -> Self {
        let code = error.as_database_error().and_then(DatabaseError::code);
        if code.is_some_and(|code| code == NOT_A_DATABASE) {
            return Self::NotADatabase(path.to_owned());
        }
        Self::unreachable(error).naming(path)
    }

    /// Adds the path of the file to an error of SQLite that does not name it.
    #[expect(clippy::wildcard_enum_match_arm, reason = "every other error names the file or says what to do")]
    pub(super) fn naming(self, path: &Path) -> Self {
        match self {
            Self::Unreachable(why) => Self::Unreachable(format!("{}: {why}{}", path.display(), sqlite_advice(&why))),
            other => other,
        }
    }

    pub(super) fn of_storage(error: StorageError) -> Self {
        Self::Unreachable(match error {
            StorageError::Unavailable(why) | StorageError::Refused(why) => why,
            other @ (StorageError::KeyGone | StorageError::RowChanged(_)) => other.to_string(),
        })
    }

    /// Returns an error if the text contains an invisible character. `place` is `path` or `address`.
    pub(super) fn if_invisible(text: &str, place: &'static str) -> Result<(), Self> {
        match text.chars().find(|c| is_invisible(*c)) {
            Some(c) => Err(Self::Invisible { place, character: name_of(c) }),
            None => Ok(()),
        }
    }
}

/// Returns what to do about an error of SQLite, whose text begins with its number. The lower byte of the number is the
/// primary code.
fn sqlite_advice(why: &str) -> &'static str {
    let number = why.strip_prefix("SQLite error ").and_then(|rest| rest.split(':').next());
    match number.and_then(|number| number.parse::<u32>().ok()).map(|number| number & 0xff) {
        Some(BUSY | LOCKED) => ": another program has locked the file; end that program, or try again",
        Some(READ_ONLY | CANT_OPEN) => {
            ": this user must be able to read and write the file and its folder; correct their permissions"
        }
        Some(CORRUPT) => ": the file is damaged; restore it from a backup",
        Some(FULL) => ": the disk is full; make room, and try again",
        Some(_) | None => "",
    }
}

impl From<Error> for OpenError {
    fn from(error: Error) -> Self {
        Self::unreachable(error)
    }
}

/// Returns whether a character is a control character, or an invisible character that changes the text.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{a0}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}' | '\u{feff}')
}

fn name_of(c: char) -> String {
    match c {
        '\n' => "a line break".to_owned(),
        '\r' => "a carriage return".to_owned(),
        '\t' => "a tab".to_owned(),
        '\u{a0}' => "a no-break space".to_owned(),
        '\u{200b}' => "a zero-width space".to_owned(),
        '\u{feff}' => "a byte order mark".to_owned(),
        other => format!("the invisible character U+{:04X}", u32::from(other)),
    }
}

fn parameter_hint(name: Option<&str>, similar: Option<&str>) -> String {
    let name = name.map(|name| format!(" {name}")).unwrap_or_default();
    match similar {
        Some(similar) => format!("{name} (similar: {similar})"),
        None => format!("{name}; docs/storage.md lists the known ones"),
    }
}
