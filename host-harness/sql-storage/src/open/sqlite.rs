//! Opens the storage in SQLite: one private file in WAL mode, for the processes of one machine.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, ConnectOptions as _, Connection as _, Executor as _, Row as _};
use tiktok_shop_host::storage::StorageError;
use tiktok_shop_private_file as private_file;
use tiktok_shop_private_file::PrivateFileError;

use super::error::OpenError;
use super::migrations::{SchemaConnection as _, prepare};
use super::mode::OpenMode;
use crate::clock::{BootClock, MachineClock};
use crate::expiry::ExpiryPauses;
use crate::pool::Pool;
use crate::sql::dialect::Dialect;
use crate::sql::error::storage_error;
use crate::sql::run::fetch_all;
use crate::sql::statement::statement;
use crate::storage::SqlStorage;

/// The number of connections that only read. In WAL mode readers and the writer don't wait for each other.
const READERS: u32 = 4;
/// How long a call waits for a free connection of this process. After the call has got this connection, the driver
/// waits up to 5 more seconds if another process holds the write lock.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// With `synchronous = FULL` a commit is on the disk when it succeeds. The next weaker setting does not promise that in
/// WAL mode. With `secure_delete` SQLite overwrites deleted values with zeros.
/// With `temp_store`, it needs no folder for temporary files, and writes no value there. With `cache_size`, each of the
/// connections keeps up to 16 MiB of the file in memory. With SQLite's default of 2 MB, a search in a large database reads
/// most of its pages from the system again.
const SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                        PRAGMA secure_delete = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;";

/// The size of a page of a new database, in bytes. Most rows and token records then fit into one page. With SQLite's
/// default of 4096 bytes they would not, and a search would read the further pages of each row that it compares. A
/// database that already has tables keeps its page size.
const PAGE_SIZE: &str = "PRAGMA page_size = 8192";

/// The characters of a path that are percent-encoded in an address. The driver decodes them.
const ENCODED_IN_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

impl SqlStorage {
    /// Opens the SQLite database in this file. `mode` says what may be created or changed. If this function creates the
    /// file, only the user of this process can read and write it. The folder of the file must exist. Other processes of
    /// this machine may use the file at the same time. The file must not be on a network file system.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn sqlite(path: impl AsRef<Path>, mode: OpenMode) -> Result<Self, OpenError> {
        Self::sqlite_by_clock(path, mode, Arc::new(BootClock::read().map_err(OpenError::Boot)?)).await
    }

    /// Checks the path of an SQLite file, without looking at the file. Refuses a path that contains a control character
    /// or another invisible character. Also refuses `:memory:`, SQLite's name for a database in memory.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn check_path(path: &Path) -> Result<(), OpenError> {
        if path == Path::new(":memory:") {
            return Err(OpenError::InMemory);
        }
        OpenError::if_invisible(&path.to_string_lossy(), "path")
    }

    /// Opens the SQLite database in this file as [`sqlite`](Self::sqlite) does, but measures ages with this clock. This
    /// function is for tests.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn sqlite_by_clock(
        path: impl AsRef<Path>,
        mode: OpenMode,
        clock: Arc<dyn MachineClock>,
    ) -> Result<Self, OpenError> {
        Self::sqlite_with_settings(path, mode, clock, SETTINGS).await
    }

    /// Opens the database. Every connection executes the SQL in `settings` before the storage uses this connection.
    async fn sqlite_with_settings(
        path: impl AsRef<Path>,
        mode: OpenMode,
        clock: Arc<dyn MachineClock>,
        settings: &'static str,
    ) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let path = path.as_ref();
        let mut locked = create_if_allowed(path, mode).await?;
        for suffix in ["-wal", "-shm"] {
            private_file::check(&with_suffix(path, suffix))?;
        }
        // The driver's address can't express a relative path or the step `..`, so the path is made canonical.
        let path = path.canonicalize().map_err(|source| PrivateFileError::Io { path: path.to_owned(), source })?;
        let text = path.to_str().ok_or_else(|| OpenError::Path(path.clone()))?;
        let failed = |error| OpenError::of_sqlite(error, &path);
        let address = format!("sqlite://{}", utf8_percent_encode(text, ENCODED_IN_PATH));
        let options = connect_options(&format!("{address}?mode=rw"))?;
        let dialect = Dialect::Sqlite(clock);
        let schema_change = {
            // The lock and the settings write files. A file that is not a database of the connector stays as it is.
            if !has_tables(&path, &address).await? && mode == OpenMode::Existing {
                // Another process may be creating the tables at this moment. That process holds the lock until the
                // tables are complete. A lock file that is not private does not belong to the connector.
                locked = lock(&path, private_file::lock_existing).await.unwrap_or_default();
                if locked.is_none() || !has_tables(&path, &address).await? {
                    return Err(OpenError::NotOfConnector(path.clone()));
                }
            }
            // SQLite's own lock does not cover all the steps of a migration. This file lock lets only one process at a
            // time migrate the database.
            let _lock = match locked {
                Some(locked) => locked,
                None => lock(&path, private_file::lock).await?,
            };
            let mut connection = AnyConnection::connect_with(&options).await.map_err(failed)?;
            connection.execute(PAGE_SIZE).await.map_err(failed)?;
            connection.execute(settings).await.map_err(failed)?;
            prepare(&mut connection, mode).await.map_err(|error| error.naming(&path))?
        };
        let pool = |max_connections: u32| {
            AnyPoolOptions::new()
                .max_connections(max_connections)
                .acquire_timeout(MAX_WAIT)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
                .after_connect(move |connection, _| {
                    Box::pin(async move { connection.execute(settings).await.map(drop) })
                })
                .connect_lazy_with(options.clone())
        };
        // The database has one write lock, so the pool for writers has one connection. The writers of this process wait
        // for this connection in order. With more connections, the writers would poll for the write lock.
        let [readers, writers] = [READERS, 1].map(|connections| Pool::Sqlite(pool(connections)));
        Ok(Self { dialect, readers, writers, deadline: None, schema_change, expiry_pauses: ExpiryPauses::default() })
    }

    /// Checks SQLite's file, and returns a line for each problem: a damaged page, a wrong index, or a reference to a
    /// missing database row. Reads the whole file. For PostgreSQL, checks nothing and returns an empty list.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn problems(&self) -> Result<Vec<String>, StorageError> {
        if matches!(self.dialect, Dialect::Postgres) {
            return Ok(Vec::new());
        }
        let mut problems = Vec::new();
        for row in fetch_all(&self.readers, statement("PRAGMA integrity_check")).await? {
            let line: String = row.try_get(0).map_err(storage_error)?;
            if line != "ok" {
                problems.push(line);
            }
        }
        for row in fetch_all(&self.readers, statement("PRAGMA foreign_key_check")).await? {
            let table: String = row.try_get(0).map_err(storage_error)?;
            problems.push(format!("a row of {table} refers to a missing row"));
        }
        Ok(problems)
    }
}

/// Creates an empty file if there is no file at this path and `mode` allows it. Only the user of this process can read
/// and write the new file. Returns the lock of the file if the file was missing. The lock is taken before the file is
/// created, so that a process that finds the empty file waits for the tables.
async fn create_if_allowed(path: &Path, mode: OpenMode) -> Result<Option<File>, OpenError> {
    SqlStorage::check_path(path)?;
    if private_file::check(path)? {
        return Ok(None);
    }
    if mode == OpenMode::Existing {
        return Err(OpenError::Missing(path.to_owned()));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if !folder.is_dir() {
        return Err(OpenError::NoFolder(folder.to_owned()));
    }
    let locked = lock(path, private_file::lock).await?;
    private_file::touch(path)?;
    Ok(Some(locked))
}

/// Takes the lock of a file with this function, which may block.
async fn lock<T: Send + 'static>(path: &Path, take: fn(&Path) -> Result<T, PrivateFileError>) -> Result<T, OpenError> {
    let path = path.to_owned();
    let taken = tokio::task::spawn_blocking(move || take(&path)).await;
    Ok(taken.map_err(|error| OpenError::Unreachable(error.to_string()))??)
}

/// Returns whether the database has tables of the connector. Writes neither into the database nor into its log. If the
/// log is not empty, SQLite makes or renews the index of the log (`-shm`), which contains no data of its own.
async fn has_tables(path: &Path, address: &str) -> Result<bool, OpenError> {
    // With `immutable`, SQLite makes no file, but it does not read the log.
    let has_log = with_suffix(path, "-wal").metadata().is_ok_and(|log| log.len() > 0);
    let options = connect_options(&format!("{address}?mode=ro&immutable={}", !has_log))?;
    let failed = |error| OpenError::of_sqlite(error, path);
    let mut connection = AnyConnection::connect_with(&options).await.map_err(failed)?;
    let has_table = connection.has_table().await;
    connection.close().await.map_err(failed)?;
    has_table.map_err(failed)
}

fn connect_options(address: &str) -> Result<AnyConnectOptions, OpenError> {
    Ok(AnyConnectOptions::from_str(address).map_err(OpenError::unreachable)?.disable_statement_logging())
}

/// Returns the path of a file that belongs to the database.
fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests;
