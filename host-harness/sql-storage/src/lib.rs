//! Stores the data of the TikTok Shop connector's host in SQLite or PostgreSQL.
//!
//! An SQLite storage is one file for the processes of one machine. A PostgreSQL storage is one database for any number
//! of machines. The statements for both are the same, except those that open the database, begin a transaction, measure
//! time, or empty SQLite's log.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use tiktok_shop_host::storage::HostStorage;
//! use tiktok_shop_sql_storage::{OpenMode, PostgresOptions, SqlStorage};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let one_machine: Arc<dyn HostStorage> = Arc::new(SqlStorage::sqlite("connections.sqlite", OpenMode::Create).await?);
//!
//! let address = "postgres://user:password@host:5432/database?sslmode=verify-full";
//! let options = PostgresOptions::default();
//! let fleet: Arc<dyn HostStorage> = Arc::new(SqlStorage::postgres(address, OpenMode::Existing, options).await?);
//! # Ok(())
//! # }
//! ```
//!
//! With the feature `service`, the storage also stores what the service (`tiktok-shop-server`) needs.

mod clock;
mod connections;
mod consents;
mod deletion;
#[cfg(feature = "service")]
mod deliveries;
mod expiry;
mod insert_all;
mod keys;
mod open;
mod pool;
mod postgres_options;
mod requests;
mod sql;
mod storage;
mod swap;
mod tokens;
mod usable_key;
mod webhooks;

pub use self::clock::{BootClock, MachineClock};
pub use self::insert_all::NewConnection;
pub use self::open::error::OpenError;
pub use self::open::mode::{OpenMode, SchemaChange};
pub use self::postgres_options::PostgresOptions;
pub use self::storage::SqlStorage;
