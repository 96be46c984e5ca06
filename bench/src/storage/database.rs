//! Creates and opens the databases that the benchmark `storage` compares.

use std::path::PathBuf;

use anyhow::{Result, bail};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tiktok_shop_host::randomness::Randomness as _;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_sql_storage::{OpenMode, SqlStorage};

/// The number of connections in the almost empty database.
pub(super) const FEW: u64 = 10;
/// A kind of database.
pub(super) enum Kind {
    /// SQLite files in this folder.
    Sqlite(PathBuf),
    /// PostgreSQL schemas on the server at this address.
    Postgres(String),
}

/// A database. A PostgreSQL schema is deleted when this value is dropped; an SQLite file is deleted with its folder.
pub(super) struct Database {
    name: &'static str,
    /// The address that the measuring process opens. It is empty for a storage in memory. The process fills such a
    /// storage by itself.
    pub(super) address: String,
    schema: Option<Schema>,
}

struct Schema {
    name: String,
    server: String,
}

impl Kind {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }

    /// For SQLite, chooses the file of the database, which is created when it is opened. For PostgreSQL, creates an
    /// empty schema.
    pub(super) async fn create(&self, size: &str) -> Result<Database> {
        match self {
            Self::Sqlite(folder) => {
                let path = folder.join(format!("{size}.sqlite"));
                Ok(Database { name: "sqlite", address: format!("sqlite:{}", path.display()), schema: None })
            }
            Self::Postgres(server) => {
                let mut bits = [0; 8];
                SystemRandomness.fill(&mut bits)?;
                let name = format!("bench_{size}_{:016x}", u64::from_be_bytes(bits));
                execute(server, format!("CREATE SCHEMA {name}")).await?;
                let mark = if server.contains('?') { '&' } else { '?' };
                let address = format!("{server}{mark}options=-c%20search_path%3D{name}");
                let schema = Some(Schema { name, server: server.clone() });
                Ok(Database { name: "postgres", address, schema })
            }
        }
    }
}

impl Database {
    pub(super) const fn memory() -> Self {
        Self { name: "memory", address: String::new(), schema: None }
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) async fn open(&self) -> Result<SqlStorage> {
        if self.address.is_empty() {
            bail!("a storage in memory cannot be opened");
        }
        open_sql(&self.address).await
    }
}

/// Opens the SQL database at this address.
pub(super) async fn open_sql(address: &str) -> Result<SqlStorage> {
    Ok(match address.strip_prefix("sqlite:") {
        Some(path) => SqlStorage::sqlite(path, OpenMode::Create).await?,
        None => SqlStorage::postgres(address, OpenMode::Create, Default::default()).await?,
    })
}

async fn execute(server: &str, sql: String) -> Result<()> {
    let mut connection = PgConnection::connect(server).await?;
    connection.execute(AssertSqlSafe(sql)).await?;
    Ok(connection.close().await?)
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(Schema { name, server }) = self.schema.take() else { return };
        // `drop` may block the thread here, because the benchmark has ended or failed.
        let sql = format!("DROP SCHEMA {name} CASCADE");
        tokio::task::block_in_place(|| {
            let _left_behind = tokio::runtime::Handle::current().block_on(execute(&server, sql));
        });
    }
}
