//! SQLite: one file, private, in WAL mode, for the processes of one machine.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, ConnectOptions as _, Connection as _, Executor as _, Row as _};

use super::dialect::{BootClock, Dialect, MachineClock};
use super::error::storage_error;
use super::open::{OpenError, migrate};
use super::{SqlStorage, StorageError, statement};
use tiktok_shop_private_file as private_file;

/// Readers do not wait for the writer, nor it for them.
const READERS: u32 = 4;
/// How long a connection waits for its turn, in this process or after another.
const PATIENCE: Duration = Duration::from_secs(5);

/// A commit is on the disk when it answers. In WAL mode the next-best setting would not promise that.
const SETTINGS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;";

/// All but what a path is made of; the driver decodes it again.
const IN_A_PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

impl SqlStorage {
    /// The SQLite database in this file. Unless there is one, it is made, private, and so are missing folders above it.
    /// Other processes of this machine may use it at the same time; a network file system won't do.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn sqlite(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::sqlite_by_clock(path, Arc::new(BootClock::read().map_err(OpenError::Boot)?)).await
    }

    /// The same, with ages by another clock: for tests.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn sqlite_by_clock(path: impl AsRef<Path>, clock: Arc<dyn MachineClock>) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let path = path.as_ref();
        private_file::touch(path)?;
        for beside in ["-wal", "-shm"] {
            let mut name = path.file_name().unwrap_or_default().to_owned();
            name.push(beside);
            private_file::check(&path.with_file_name(name))?;
        }
        // Absolute, and without steps back that an address would lose.
        let path = path
            .canonicalize()
            .map_err(|source| private_file::PrivateFileError::Io { path: path.to_owned(), source })?;
        let text = path.to_str().ok_or_else(|| OpenError::Path(path.clone()))?;
        let address = format!("sqlite://{}?mode=rw", utf8_percent_encode(text, IN_A_PATH));
        let options =
            AnyConnectOptions::from_str(&address).map_err(OpenError::unreachable)?.disable_statement_logging();
        let dialect = Dialect::Sqlite(clock);
        {
            // SQLite has no lock that spans the making of tables: one process after the other.
            let locked = path.clone();
            let lock = tokio::task::spawn_blocking(move || private_file::lock(&locked)).await;
            let _alone = lock.map_err(|error| OpenError::Unreachable(error.to_string()))??;
            let mut connection = AnyConnection::connect_with(&options).await.map_err(OpenError::unreachable)?;
            connection.execute(SETTINGS).await.map_err(OpenError::unreachable)?;
            migrate(&mut connection, &dialect).await?;
        }
        let pool = |most: u32| {
            AnyPoolOptions::new()
                .max_connections(most)
                .acquire_timeout(PATIENCE)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
                .after_connect(|connection, _| Box::pin(async move { connection.execute(SETTINGS).await.map(drop) }))
                .connect_lazy_with(options.clone())
        };
        // One writer: more would wait for each other in the file, blindly, instead of here.
        Ok(Self { dialect, readers: pool(READERS), writers: pool(1), deadline: None })
    }
    /// What SQLite finds wrong with its file, a line each: damaged pages, an index or a reference that leads nowhere. Reads
    /// all of it. Of a server's database nothing is looked at.
    ///
    /// # Errors
    /// See [`StorageError`].
    pub async fn problems(&self) -> Result<Vec<String>, StorageError> {
        if matches!(self.dialect, Dialect::Postgres) {
            return Ok(Vec::new());
        }
        let checked = statement("PRAGMA integrity_check".to_owned()).fetch_all(&self.readers).await;
        let lines: Result<Vec<String>, _> = checked.map_err(storage_error)?.iter().map(|row| row.try_get(0)).collect();
        let mut problems: Vec<_> = lines.map_err(storage_error)?.into_iter().filter(|line| line != "ok").collect();
        let dangling = statement("PRAGMA foreign_key_check".to_owned()).fetch_all(&self.readers).await;
        for row in dangling.map_err(storage_error)? {
            let table: String = row.try_get(0).map_err(storage_error)?;
            problems.push(format!("a row of {table} refers to one that is not there"));
        }
        Ok(problems)
    }
}
