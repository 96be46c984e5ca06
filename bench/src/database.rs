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

struct Schema {
    name: String,
    server: String,
}

impl Server {
    /// Creates an empty database, and opens it on this runtime.
    pub(crate) fn create(&self, runtime: &Runtime) -> Result<Database> {
        let name = format!("bench_{}", unique().replace('-', "_"));
        let handle = runtime.handle().clone();
        runtime.block_on(async {
            Ok(match self {
                Self::Sqlite(folder) => {
                    let storage = SqlStorage::sqlite(folder.join(format!("{name}.sqlite")), OpenMode::Create).await?;
                    Database { storage, schema: None, runtime: handle }
                }
                Self::Postgres(server) => {
                    execute(server, format!("CREATE SCHEMA {name}")).await?;
                    let mark = if server.contains('?') { '&' } else { '?' };
                    let address = format!("{server}{mark}options=-c%20search_path%3D{name}");
                    let schema = Some(Schema { name, server: server.clone() });
                    let storage = SqlStorage::postgres(&address, OpenMode::Create, PostgresOptions::default()).await?;
                    Database { storage, schema, runtime: handle }
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
            if let Some(Schema { name, server }) = schema {
                // If this fails, the schema stays in the database, and the next run uses another name.
                let _left_behind = execute(&server, format!("DROP SCHEMA {name} CASCADE")).await;
            }
        });
    }
}
