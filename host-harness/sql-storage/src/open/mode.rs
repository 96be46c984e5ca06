//! Defines the modes in which a database is opened, and the changes that opening can make to its tables.

/// The mode in which a database is opened: it says what may be created or changed. Only [`Migrate`](Self::Migrate)
/// changes tables that exist, so that no host changes the tables of a running fleet by accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Opens a database that has the tables of this release. Creates and changes nothing, also if the file is empty or
    /// belongs to another program. Use this mode in a host. If another program has crashed and left a log (`-wal`),
    /// SQLite may make or renew the index of this log (`-shm`), which contains no data of its own.
    Existing,
    /// Opens a database as [`Existing`](Self::Existing) does. Creates the database file if it does not exist, but not
    /// its folder. Creates the tables if there are none. Tables of an earlier release stay as they are, and opening
    /// fails.
    Create,
    /// Creates what is missing as [`Create`](Self::Create) does, and changes tables of an earlier release to those of
    /// this release. Several processes may open a database in this mode at the same time: one process changes the
    /// tables, and the other processes wait.
    /// In PostgreSQL, a transaction that uses a table for more than a minute, for example that of `pg_dump`, makes the
    /// change of this table fail with [`OpenError::Locked`](crate::OpenError::Locked). The next attempt continues.
    Migrate,
}

/// The change that opening a database has made to its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaChange {
    /// The database had the tables of this release.
    None,
    /// The database had no tables, and they were created.
    Created,
    /// The database had the tables of an earlier release, and they were changed.
    Migrated {
        /// The version of the schema before the change.
        from: i64,
    },
}
