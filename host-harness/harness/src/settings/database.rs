//! Finds the database of a command, and says which commands create it.
//!
//! A mistyped address must not become a new, empty database in which nothing is found. So only `migrate` creates a
//! database that a setting names. The commands that begin a connection create the default database. Only `migrate`
//! changes the tables of an earlier release.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser as _};
use tiktok_shop_host::clock::Clock;
use tiktok_shop_private_file::{self as private_file, Access};
use tiktok_shop_sql_storage::OpenMode;

use super::configured_text::{path, visible_ascii};
use super::environment::{CONFIG, FAKE, FILE_ACCESS, STORAGE, variable};
use super::{Address, FakeAddress, OpenedDatabase, SHARED, database, fake_database, read_config};
use crate::failure::Failure;

/// Which database a command creates if there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Creation {
    /// The command creates no database. If the database does not exist, the command fails.
    Nothing,
    /// Only the default database, which is used if no setting names a database.
    Default,
}

/// The database of a command.
pub(super) struct Database {
    pub(super) address: Address,
    /// Whether this is the default database, because no setting names a database.
    is_default: bool,
}

impl Database {
    /// Finds the database. An option wins over the environment variable, and the variable wins over the configuration
    /// file. `of_option` and `of_file` are the addresses that the option and the file contain.
    pub(super) fn find(
        of_option: Option<Address>,
        of_file: Option<Address>,
        fake: Option<FakeAddress>,
    ) -> Result<Self, Failure> {
        let named = match of_option {
            Some(address) => Some(address),
            None => match variable(STORAGE)? {
                Some(text) => {
                    let address = Address::parse(&text);
                    Some(address.map_err(|what| Failure::Malformed(format!("{STORAGE}: {what}")))?)
                }
                None => of_file,
            },
        };
        Ok(match named {
            Some(address) => Self { address, is_default: false },
            None => {
                let path = if fake.is_some() { fake_database()? } else { database()? };
                Self { address: Address::Sqlite(path), is_default: true }
            }
        })
    }

    /// Returns the address if a setting names the database, otherwise `None`.
    pub(super) const fn named(&self) -> Option<&Address> {
        if self.is_default { None } else { Some(&self.address) }
    }

    /// Returns whether the command is about to create this database.
    pub(super) fn is_created_by(&self, creation: Creation) -> bool {
        let exists = matches!(&self.address, Address::Sqlite(path) if path.exists());
        creation == Creation::Default && self.is_default && !exists
    }

    pub(super) async fn open(
        &self,
        creation: Creation,
        access: Access,
        clock: Arc<dyn Clock>,
    ) -> Result<OpenedDatabase, Failure> {
        let mode = match creation {
            Creation::Default if self.is_default => OpenMode::Create,
            Creation::Default | Creation::Nothing => OpenMode::Existing,
        };
        self.create_default_folder(mode)?;
        self.address.open(mode, access, clock).await
    }

    /// Creates the program's own folder for the default database. A folder that a setting names must exist.
    fn create_default_folder(&self, mode: OpenMode) -> Result<(), Failure> {
        match (&self.address, mode) {
            (Address::Sqlite(path), OpenMode::Create | OpenMode::Migrate) if self.is_default => {
                Ok(private_file::create_folder_of(path)?)
            }
            _ => Ok(()),
        }
    }
}

/// The options of a command that works with a database but with no connection in it.
#[derive(Args)]
pub(crate) struct DatabaseArgs {
    /// Database: sqlite:… or postgres:… [env: TIKTOK_SHOP_STORAGE]
    #[arg(long, value_name = "ADDRESS", value_parser = Address::without_password, help_heading = SHARED)]
    storage: Option<Address>,

    /// Who may read: owner, group, mounted
    #[arg(long, value_name = "WHO", env = FILE_ACCESS, hide_env_values = true, help_heading = SHARED)]
    #[arg(value_parser = visible_ascii::<Access>)]
    file_access: Option<Access>,

    /// Configuration file in TOML
    #[arg(long, value_name = "FILE", env = CONFIG, hide_env_values = true, help_heading = SHARED)]
    #[arg(value_parser = OsStringValueParser::new().try_map(path))]
    config: Option<PathBuf>,

    /// Use the fake TikTok Shop at this address
    #[arg(long, value_name = "URL", env = FAKE, hide_env_values = true, help_heading = SHARED)]
    #[arg(value_parser = visible_ascii::<FakeAddress>)]
    fake: Option<FakeAddress>,
}

impl DatabaseArgs {
    /// Finds the database, and creates the program's own folder for the default database. Also returns who may read a
    /// file that the address names.
    pub(crate) fn find_for_migration(self) -> Result<(Address, Access), Failure> {
        let config = read_config(self.config, self.file_access)?;
        let access = self.file_access.or(config.file_access).unwrap_or_default();
        let database = Database::find(self.storage, config.storage, self.fake)?;
        database.create_default_folder(OpenMode::Migrate)?;
        Ok((database.address, access))
    }
}
