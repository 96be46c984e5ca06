//! The databases that are compared.

use std::path::PathBuf;

use anyhow::{Result, bail};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tiktok_shop_host::randomness::Randomness as _;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_sql_storage::SqlStorage;

use super::open_sql;

/// A kind of database.
pub(super) enum Kind {
    /// Files in this folder.
    Sqlite(PathBuf),
    /// Schemas at this address.
    Postgres(String),
}

/// One database. What it takes up is given back when it is dropped, or with the folder.
pub(super) struct Database {
    name: &'static str,
    /// What a process opens; `memory:` is filled by itself.
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

    /// An empty one.
    pub(super) async fn make(&self, size: &str) -> Result<Database> {
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
            bail!("memory is not opened");
        }
        open_sql(&self.address).await
    }
}

async fn execute(server: &str, sql: String) -> Result<()> {
    let mut connection = PgConnection::connect(server).await?;
    connection.execute(AssertSqlSafe(sql)).await?;
    Ok(connection.close().await?)
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(Schema { name, server }) = self.schema.take() else { return };
        // Dropping blocks; the bench is at its end or has failed.
        let sql = format!("DROP SCHEMA {name} CASCADE");
        tokio::task::block_in_place(|| {
            let _left_behind = tokio::runtime::Handle::current().block_on(execute(&server, sql));
        });
    }
}
