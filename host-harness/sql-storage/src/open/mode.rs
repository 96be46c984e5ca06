//! What opening a database may create or change, and what it has changed.

/// What opening a database may create or change. Only [`Migrate`](Self::Migrate) changes tables that exist, so that no
/// host changes the tables of a running fleet by accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// Opens a database that has the tables of this release. Creates and changes nothing. Use this mode in a host.
    Existing,
    /// Opens a database as [`Existing`](Self::Existing) does. Creates the database file in a folder that exists, and
    /// the tables, if there are none. Tables of an earlier release stay as they are, and opening fails.
    Create,
    /// Creates what is missing as [`Create`](Self::Create) does, and changes tables of an earlier release to those of
    /// this release. Several processes may do this at the same time: one of them changes the tables, and the others
    /// wait.
    Migrate,
}

/// What opening a database has done to its tables.
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
