//! The address of a database: parses it, refuses a password in an argument, and opens the database.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tiktok_shop_host::clock::Clock;
use tiktok_shop_host::storage::{HostStorage, MemoryStorage};
use tiktok_shop_sql_storage::{PostgresOptions, SqlStorage};

use super::environment;
use crate::failure::Failure;

/// The address of the database that contains the connections. It may contain a password, so it is never printed.
#[derive(Clone)]
pub(crate) enum Address {
    /// The path of an SQLite file.
    Sqlite(PathBuf),
    /// The URL of a PostgreSQL server.
    Postgres(String),
    /// The memory of this process.
    Memory,
}

impl Address {
    /// Parses an address.
    ///
    /// # Errors
    /// The text is not an address. The error does not repeat the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        // Two slashes may stand before the path, as in a URL.
        let path = text.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
        match path {
            Some("") => Err("no path after sqlite:".to_owned()),
            Some(path) => Ok(Self::Sqlite(path.into())),
            None => Err("not sqlite:PATH, postgres://… or memory:".to_owned()),
        }
    }

    /// Parses an address from an argument, which every user of this machine can read.
    ///
    /// # Errors
    /// The text is not an address, or it contains a password.
    pub(crate) fn without_password(text: &str) -> Result<Self, String> {
        // The user and the password end at the last @, because a password may contain an unencoded @ or /.
        let user = text.rsplit_once('@').and_then(|(before, _)| before.split_once("://"));
        if user.is_some_and(|(_, user)| user.contains(':')) || text.contains("password=") {
            return Err(format!(
                "an argument must not contain a password, because other users can read it; put the address into {}, \
                 for contract into {}, or into the configuration file",
                environment::STORAGE,
                environment::CONTRACT_STORAGE,
            ));
        }
        Self::parse(text)
    }

    /// Returns the address. If it contains a relative path, joins the path to `folder`.
    pub(crate) fn relative_to(self, folder: &Path) -> Self {
        match self {
            Self::Sqlite(path) => Self::Sqlite(folder.join(path)),
            other @ (Self::Postgres(_) | Self::Memory) => other,
        }
    }

    /// Opens the database. Only a storage in memory uses `clock`.
    ///
    /// # Errors
    /// See [`OpenError`](tiktok_shop_sql_storage::OpenError).
    pub(crate) async fn open(&self, clock: Arc<dyn Clock>) -> Result<Arc<dyn HostStorage>, Failure> {
        Ok(match self {
            Self::Sqlite(path) => Arc::new(SqlStorage::sqlite(path).await?),
            Self::Postgres(address) => Arc::new(SqlStorage::postgres(address, PostgresOptions::default()).await?),
            Self::Memory => Arc::new(MemoryStorage::new(clock)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_follow_two_slashes_as_in_a_url() {
        for (text, path) in [
            ("sqlite:a.db", "a.db"),
            ("sqlite:/x/a.db", "/x/a.db"),
            ("sqlite:///x/a.db", "/x/a.db"),
            ("sqlite://a.db", "a.db"),
        ] {
            assert!(matches!(Address::parse(text), Ok(Address::Sqlite(found)) if found == Path::new(path)), "{text}");
        }
        assert!(matches!(Address::parse("memory:"), Ok(Address::Memory)));
    }

    #[test]
    fn a_text_that_is_not_an_address_is_refused_and_not_repeated() {
        for text in ["", "CANARY", "mysql://CANARY@host/db", "sqlite", "/CANARY/a.db", "memory:CANARY", "Sqlite:CANARY"]
        {
            let refused = Address::parse(text).err().unwrap();
            assert_eq!(refused, "not sqlite:PATH, postgres://… or memory:", "{text}");
        }
        assert_eq!(Address::parse("sqlite:").err().unwrap(), "no path after sqlite:");
    }

    #[test]
    fn an_argument_with_a_password_is_refused_in_every_notation() {
        for text in ["postgres://host/db", "postgresql://user@host:5432/db?sslmode=require", "postgres:///db"] {
            assert!(matches!(Address::without_password(text), Ok(Address::Postgres(_))), "{text}");
        }
        for text in [
            "postgres://user:CANARY@host/db",
            "postgresql://:CANARY@host/db",
            "postgres://user:CAN/ARY@host/db",
            "postgres://user:CAN@ARY@host/db",
            "postgres://host/db?user=u&password=CANARY",
        ] {
            let refused = Address::without_password(text).err().unwrap();
            assert!(refused.contains("password") && !refused.contains("CANARY"), "{refused}");
        }
    }
}
