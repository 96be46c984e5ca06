//! Opens an SQLite file or a PostgreSQL database, and creates its tables.

mod address;
pub(crate) mod error;
mod migrations;
pub(crate) mod postgres;
mod sqlite;
