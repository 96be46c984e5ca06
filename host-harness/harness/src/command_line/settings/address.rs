//! The address of a storage.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tiktok_shop_host::clock::Clock;
use tiktok_shop_host::storage::{HostStorage, MemoryStorage};
use tiktok_shop_sql_storage::{PostgresOptions, SqlStorage};

use super::environment;
use crate::command_line::failure::Failure;

/// Where connections are kept. Never shown: it may hold a password.
#[derive(Clone)]
pub(crate) enum Address {
    /// A file.
    Sqlite(PathBuf),
    /// As the library takes it.
    Postgres(String),
    /// Nowhere, once the program has ended.
    Memory,
}

impl Address {
    /// # Errors
    /// It is none. Nothing of it is repeated.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        // With slashes as of a URL, or without.
        let path = text.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
        match path {
            Some("") => Err("no path after sqlite:".to_owned()),
            Some(path) => Ok(Self::Sqlite(path.into())),
            None => Err("not sqlite:PATH, postgres://… or memory:".to_owned()),
        }
    }

    /// From an argument, which every user of this machine can read.
    ///
    /// # Errors
    /// It is no address, or one with a password.
    pub(crate) fn without_password(text: &str) -> Result<Self, String> {
        // Whatever it is that stands before the last @: a password that holds @ or / need not be encoded to be one.
        let user = text.rsplit_once('@').and_then(|(before, _)| before.split_once("://"));
        if user.is_some_and(|(_, user)| user.contains(':')) || text.contains("password=") {
            return Err(format!(
                "an address with a password is no argument, other users see those; {} takes it (contract: {}), or the \
                 configuration file",
                environment::STORAGE,
                environment::CONTRACT_STORAGE,
            ));
        }
        Self::parse(text)
    }

    /// The same, with a relative path taken from this folder.
    pub(crate) fn below(self, folder: &Path) -> Self {
        match self {
            Self::Sqlite(path) => Self::Sqlite(folder.join(path)),
            other @ (Self::Postgres(_) | Self::Memory) => other,
        }
    }

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
    fn a_path_may_follow_slashes_as_in_a_url() {
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
    fn what_is_no_address_is_refused_without_being_repeated() {
        for text in ["", "CANARY", "mysql://CANARY@host/db", "sqlite", "/CANARY/a.db", "memory:CANARY", "Sqlite:CANARY"]
        {
            let refused = Address::parse(text).err().unwrap();
            assert_eq!(refused, "not sqlite:PATH, postgres://… or memory:", "{text}");
        }
        assert_eq!(Address::parse("sqlite:").err().unwrap(), "no path after sqlite:");
    }

    #[test]
    fn an_argument_has_no_password_however_it_is_written() {
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
