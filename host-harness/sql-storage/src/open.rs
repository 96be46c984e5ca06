//! Opens a database: SQLite's file or PostgreSQL's server, and the tables in it.

mod address;
pub(crate) mod error;
mod migrations;
pub(crate) mod postgres;
mod sqlite;
