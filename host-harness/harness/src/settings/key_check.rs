//! Decides at the start of a command whether the host keys can be used: whether they exist, whether a first key may be
//! created, and whether they open the stored data keys.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::{HostKeyCheck, HostKeys, KeyFile, KeyFileError, Keyring};
use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_host::{HostKeyId, TenantId};

use super::address::Address;
use super::fake::FakeAddress;
use super::keys::{EarlierKeys, FoundKeys, HostKeySource};
use super::tenant::TenantScope;
use crate::failure::{Failure, missing_key_file};
use crate::output::Report;

/// The part of an error message that says how to name host keys.
const NAME_THEM: &str =
    "set TIKTOK_SHOP_HOST_KEYS, or name a key file with --key-file; keys init makes one for an empty database";

/// Whether a command needs host keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyNeed {
    /// The command seals or opens values. Host keys must be here and fit the database.
    Required,
    /// The command changes the key file. It checks the host keys itself, so that its errors can say what to do. It
    /// never creates a first key.
    KeyFile,
    /// The command shows which host keys are missing. It needs none.
    Shown,
    /// The command works without host keys, because it opens nothing.
    None,
}

/// The kind of a command's database. It decides which host keys the command may use or create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DatabaseOrigin {
    /// The database in the data folder, because nothing names a database.
    Default,
    /// A file that an option, a variable or the configuration file names.
    Named,
    /// A PostgreSQL server. It is always named.
    Server,
    /// The memory of this process.
    Memory,
    /// A database of a fake, whose connections are invented.
    Fake,
}

impl DatabaseOrigin {
    /// Returns the origin of a command's database. `named` is the address that the settings name, if they name one.
    pub(crate) const fn of(named: Option<&Address>, fake: Option<FakeAddress>) -> Self {
        match (named, fake) {
            (Some(Address::Memory), _) => Self::Memory,
            (_, Some(_)) => Self::Fake,
            (Some(Address::Postgres(_)), None) => Self::Server,
            (Some(Address::Sqlite(_)), None) => Self::Named,
            (None, None) => Self::Default,
        }
    }
}

/// The host keys of a command, before its database is opened.
pub(crate) enum Prepared {
    Here(HostKeySource),
    /// The key file in the data folder does not exist. It may be created if the database contains no data key.
    FirstRun(PathBuf),
}

/// Checks whether the host keys that were found can serve the command, before the database is opened.
///
/// # Errors
/// The command needs host keys, and there are none. With a PostgreSQL server, a setting must name the host keys: a key
/// file in the data folder of one machine or container is missing on the other machines that use the server.
pub(crate) fn prepare(
    found: FoundKeys,
    database: DatabaseOrigin,
    need: KeyNeed,
    report: &Report,
) -> Result<Prepared, Failure> {
    // A command that changes the key file of the data folder first needs its database, so it may ask for the key file
    // after the database is opened.
    let is_deferred = need == KeyNeed::KeyFile
        && matches!(found, FoundKeys::DefaultFileMissing(_))
        && matches!(database, DatabaseOrigin::Default | DatabaseOrigin::Fake);
    let needs_none = matches!(need, KeyNeed::None | KeyNeed::Shown);
    let missing = match (found, database) {
        (FoundKeys::Default(_), DatabaseOrigin::Server) => {
            format!("host keys: with PostgreSQL, host keys must be named: {NAME_THEM}")
        }
        (FoundKeys::Named(keys) | FoundKeys::Default(keys), _) => return Ok(Prepared::Here(keys)),
        (FoundKeys::DefaultFileMissing(_), DatabaseOrigin::Memory) => {
            let keys = HostKeys::draw().map_err(|error| Failure::Unavailable(format!("no randomness: {error}")))?;
            return Ok(Prepared::Here(HostKeySource::Environment(keys)));
        }
        (FoundKeys::DefaultFileMissing(path), DatabaseOrigin::Default | DatabaseOrigin::Fake)
            if need == KeyNeed::Required =>
        {
            return Ok(Prepared::FirstRun(path));
        }
        (FoundKeys::DefaultFileMissing(_), DatabaseOrigin::Server) => {
            format!("host keys: none are named: {NAME_THEM}")
        }
        (FoundKeys::DefaultFileMissing(path), _) => format!(
            "host keys: {}: there is no such file, and no other host keys are named: {NAME_THEM}",
            path.display()
        ),
        (FoundKeys::NamedFileMissing(path), _) => {
            let text = missing_key_file(&path);
            if need == KeyNeed::None {
                report.note(&text);
            }
            text
        }
        (FoundKeys::EarlierFileMissing { service, path }, _) => {
            let text = format!(
                "host keys: {}: there is no such file; with a key service, a key file only opens earlier data",
                path.display()
            );
            if needs_none {
                report.note(&text);
                let earlier = Some(EarlierKeys::Missing(text));
                return Ok(Prepared::Here(HostKeySource::Service { service, earlier }));
            }
            text
        }
    };
    if needs_none || is_deferred {
        return Ok(Prepared::Here(HostKeySource::Missing(missing)));
    }
    Err(Failure::Unavailable(missing))
}

impl Prepared {
    /// Returns the host keys for an open database. On a first run, creates the key file.
    ///
    /// # Errors
    /// The key file is missing, and the database contains data keys that a new key could not open.
    pub(crate) async fn for_database(
        self,
        storage: &dyn HostStorage,
        database: DatabaseOrigin,
        report: &Report,
    ) -> Result<HostKeySource, Failure> {
        let path = match self {
            Self::Here(keys) => return Ok(keys),
            Self::FirstRun(path) => path,
        };
        // Another process may be on its first run, too. That process creates the key file before it stores its first
        // data key. So if the database contains a data key, the key file must exist by now.
        let stored = storage.key_uses(None, 1).await?;
        if let Some(found) = stored.first() {
            return match KeyFile::open(&path) {
                Ok(file) => Ok(HostKeySource::File(file)),
                Err(KeyFileError::Missing(path)) => {
                    let wrapped = found.key.wrapped.as_ref();
                    let needed =
                        wrapped.map_or_else(|| "a host key".to_owned(), |key| format!("host key {}", key.host_key));
                    Err(Failure::HostKeys(format!(
                        "{}: there is no such file, but the stored data keys need {needed}; no new key is made, because \
                         it would open none of them",
                        path.display()
                    )))
                }
                Err(error) => Err(error.into()),
            };
        }
        create(&path, database, report).map(HostKeySource::File)
    }
}

fn create(path: &Path, database: DatabaseOrigin, report: &Report) -> Result<KeyFile, Failure> {
    let is_new = !path.exists();
    let file = KeyFile::open_or_create(path)?;
    if is_new && database == DatabaseOrigin::Fake {
        report.note(&format!("created a host key for fakes in {}", path.display()));
    } else if is_new {
        report.urgent(&format!(
            "created the host key {} in {}; BACK THIS FILE UP NOW, apart from the database: without it, every \
             connection is lost and every seller must consent again",
            file.keys()?.ids().next().map_or("", HostKeyId::as_str),
            path.display()
        ));
    }
    Ok(file)
}

/// The tenants whose data keys are checked.
pub(crate) struct CheckedTenants<'a> {
    pub(crate) tenants: &'a [TenantId],
    /// Whether the command works with one tenant or with all.
    pub(crate) scope: TenantScope,
}

/// Checks whether the host keys open the stored data keys of the given tenants. If none of these tenants has a data
/// key, checks the data keys of all tenants. If there is a key service, asks it. A command that works with all tenants
/// begins with the given tenants, and reads on until a data key opens, so that the broken key of one tenant does not
/// stop the command for the others.
///
/// # Errors
/// Data keys are stored, and the host keys here open none of them. Or the command works with one tenant, and the host
/// keys of this tenant are unavailable now. A command that works with all tenants continues in this case, because the
/// host keys of other tenants may be available.
pub(crate) async fn check_fit(
    storage: &Arc<dyn HostStorage>,
    keys: &HostKeySource,
    CheckedTenants { tenants, scope }: CheckedTenants<'_>,
    report: &Report,
) -> Result<(), Failure> {
    // The provider that records errors is not used, because an error of this check belongs to no call.
    let keyring = Keyring::new(Arc::clone(storage), keys.provider(), Arc::new(SystemRandomness));
    let check = match scope {
        TenantScope::One => keyring.check_host_keys(tenants).await?,
        TenantScope::All => keyring.check_host_keys_of_all(tenants).await?,
    };
    let HostKeyCheck { usable: _, unusable } = &check;
    if unusable.is_empty() {
        return Ok(());
    }
    if let (TenantScope::One, Some(error)) = (scope, check.nothing_available()) {
        return Err(Failure::Storage(error.clone().into()));
    }
    let whys: Vec<_> = unusable.iter().map(|(_, why)| why.to_string()).collect();
    let whys = whys.join("; ");
    if !check.fits_nothing() {
        report
            .note(&format!("some stored data keys can't be opened: {whys}; keys status shows which records need them"));
        return Ok(());
    }
    let service = keys.service().map(|_| "those of the key service".to_owned());
    let here: Vec<_> = service.into_iter().chain(keys.ids()?.iter().map(ToString::to_string)).collect();
    Err(Failure::HostKeys(format!(
        "none of the host keys here ({}) opens a stored data key: {whys}; nothing was sent or changed",
        here.join(", ")
    )))
}
