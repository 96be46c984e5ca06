//! Opens an SQLite file or a PostgreSQL database, and creates or changes its tables if the caller asks for that.

mod address;
pub(crate) mod error;
mod migrations;
pub(crate) mod mode;
mod pooler;
pub(crate) mod postgres;
mod sqlite;
