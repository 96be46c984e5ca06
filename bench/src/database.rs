//! Creates, opens and fills the databases that are measured.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_sql_storage::{OpenMode, PostgresOptions, SqlStorage};
use tokio::runtime::Runtime;

use crate::platform::{Platform, Template, unique};

/// The number of connections that are sealed and inserted together.
const BATCH: u64 = 2_000;

/// Where databases are created.
#[derive(Clone)]
pub(crate) enum Server {
    /// SQLite files in this folder.
    Sqlite(PathBuf),
    /// PostgreSQL schemas on the server at this address.
    Postgres(String),
}

/// A database. A schema is dropped with this value; a file is deleted with its folder.
pub(crate) struct Database {
    storage: SqlStorage,
    schema: Option<Schema>,
    runtime: tokio::runtime::Handle,
}

/// A schema of a PostgreSQL database.
pub(crate) struct Schema {
    name: String,
    server: String,
    /// The address of the server, with this schema as the only one.
    pub(crate) address: String,
}

impl Schema {
    pub(crate) async fn create(server: &str) -> Result<Self> {
        let name = new_name();
        execute(server, format!("CREATE SCHEMA {name}")).await?;
        let mark = if server.contains('?') { '&' } else { '?' };
        let address = format!("{server}{mark}options=-c%20search_path%3D{name}");
        Ok(Self { name, server: server.to_owned(), address })
    }

    pub(crate) async fn drop_it(self) -> Result<()> {
        execute(&self.server, format!("DROP SCHEMA {} CASCADE", self.name)).await
    }
}

/// Returns a name that no other database of the bench has.
fn new_name() -> String {
    format!("bench_{}", unique().replace('-', "_"))
}

impl Server {
    /// Creates an empty database, and opens it on this runtime.
    pub(crate) fn create(&self, runtime: &Runtime) -> Result<Database> {
        let handle = runtime.handle().clone();
        runtime.block_on(async {
            Ok(match self {
                Self::Sqlite(folder) => {
                    let path = folder.join(format!("{}.sqlite", new_name()));
                    Database {
                        storage: SqlStorage::sqlite(path, OpenMode::Create).await?,
                        schema: None,
                        runtime: handle,
                    }
                }
                Self::Postgres(server) => {
                    let schema = Schema::create(server).await?;
                    let options = PostgresOptions::default();
                    let storage = SqlStorage::postgres(&schema.address, OpenMode::Create, options).await?;
                    Database { storage, schema: Some(schema), runtime: handle }
                }
            })
        })
    }
}

impl Database {
    pub(crate) fn storage(&self) -> Arc<dyn HostStorage> {
        Arc::new(self.storage.clone())
    }

    /// Inserts copies of a connection, for the customers with these numbers.
    pub(crate) async fn fill(
        &self,
        platform: &Platform,
        template: &Template,
        customers: std::ops::Range<u64>,
    ) -> Result<()> {
        let bar = ProgressBar::new(customers.end - customers.start).with_style(ProgressStyle::with_template(
            "sealing and inserting {wide_bar} {human_pos} of {human_len}, {eta} left",
        )?);
        let mut inserting = tokio::spawn(async { Ok(()) });
        let mut next = customers.start;
        while next < customers.end {
            let end = (next + BATCH).min(customers.end);
            let mut batch = Vec::new();
            for number in next..end {
                batch.push(template.copy(number).await?);
            }
            // The loop seals the next batch while the previous batch is being inserted.
            inserting.await??;
            let (storage, tenant) = (self.storage.clone(), platform.tenant.clone());
            inserting = tokio::spawn(async move { storage.insert_all(&tenant, &batch).await });
            bar.inc(end - next);
            next = end;
        }
        inserting.await??;
        bar.finish_and_clear();
        // A real server keeps its statistics up to date by itself, but only some time after so many inserts.
        if let Some(Schema { server, .. }) = &self.schema {
            execute(server, "ANALYZE".to_owned()).await?;
        }
        Ok(())
    }
}

async fn execute(server: &str, sql: String) -> Result<()> {
    let mut connection = PgConnection::connect(server).await?;
    connection.execute(AssertSqlSafe(sql)).await?;
    Ok(connection.close().await?)
}

impl Drop for Database {
    fn drop(&mut self) {
        let (storage, schema) = (self.storage.clone(), self.schema.take());
        self.runtime.block_on(async move {
            storage.close().await;
            if let Some(schema) = schema {
                // If this fails, the schema stays in the database, and the next run uses another name.
                let _left_behind = schema.drop_it().await;
            }
        });
    }
}
