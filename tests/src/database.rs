//! Opens the storage of a stage. A stage is the surroundings of one end-to-end test: a fake TikTok Shop and the hosts
//! that use it. The environment variable `TIKTOK_SHOP_TEST_STORAGE` chooses the kind of storage, so that every
//! end-to-end test can run on each kind:
//!
//! | value | storage |
//! | --- | --- |
//! | `memory`, or not set | the memory of this process |
//! | `sqlite` | a separate file for each stage |
//! | an address, `postgres://…` | the PostgreSQL database at this address |
//!
//! In a PostgreSQL database, each stage has its own schema. The schemas stay in the database when the process ends.
//!
//! Every storage measures time by the stage's clock. The storages in memory and in SQLite read that clock. In
//! PostgreSQL, the schema contains a function that replaces `clock_timestamp()` and returns the stage's time.

use std::future::Future;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor as _, PgPool, Row as _};
use tempfile::TempDir;
use tiktok_shop_host::clock::{Clock as _, ManualClock};
use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tiktok_shop_host::storage::{HostStorage, MemoryStorage};
use tiktok_shop_sql_storage::{MachineClock, OpenMode, PostgresOptions, SqlStorage};
use tokio::runtime::Runtime;

/// The place where the storage of a stage keeps its data.
pub(crate) enum Database {
    Memory,
    Sqlite(TempDir),
    Postgres(Arc<Schema>),
}

/// The schemas that this process has created, each with the storage that was last opened in it. A schema is free when
/// no stage holds the schema and no host holds the storage. A new stage takes a free schema if there is one, because
/// creating the tables takes longer than a test.
static SCHEMAS: Mutex<Vec<(Arc<Schema>, Weak<SqlStorage>)>> = Mutex::new(Vec::new());

/// A schema of a PostgreSQL database. The time in the schema stands still until a test moves it. When this value is
/// dropped, the database deletes the schema.
pub struct Schema {
    name: String,
    pool: PgPool,
}

/// Opens the storage of a new stage. The storage measures time by this clock.
pub(crate) fn open(clock: &Arc<ManualClock>) -> (Arc<dyn HostStorage>, Database) {
    match chosen_storage().as_deref() {
        None | Some("memory") => {
            (Arc::new(MemoryStorage::new(Arc::clone(clock) as Arc<_>)) as Arc<_>, Database::Memory)
        }
        Some("sqlite") => {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("connections.sqlite");
            let clock = Arc::new(StageClock(Arc::clone(clock)));
            let storage = block_on(SqlStorage::sqlite_by_clock(path, OpenMode::Create, clock))
                .expect("a database in a new folder");
            (Arc::new(storage), Database::Sqlite(folder))
        }
        Some(address) => {
            let schema = Schema::for_stage(address);
            let options = PostgresOptions::default();
            let storage = block_on(SqlStorage::postgres(&schema.address(address), OpenMode::Migrate, options));
            let storage = Arc::new(storage.expect("a database that answers"));
            let mut schemas = SCHEMAS.lock().unwrap_or_else(PoisonError::into_inner);
            schemas.push((Arc::clone(&schema), Arc::downgrade(&storage)));
            (storage, Database::Postgres(schema))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the caller chooses the storage of the tests")]
fn chosen_storage() -> Option<String> {
    std::env::var("TIKTOK_SHOP_TEST_STORAGE").ok()
}

/// Blocks until the work is done. The caller may be inside another runtime, or outside of any runtime.
fn block_on<T: Send>(work: impl Future<Output = T> + Send) -> T {
    static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
    thread::scope(|scope| scope.spawn(|| RUNTIME.block_on(work)).join().expect("no panic"))
}

impl Database {
    /// Sets the time in a PostgreSQL schema to the time of the stage's clock. Does nothing for storages in memory and
    /// in SQLite, because they read that clock.
    pub(crate) fn follow(&self, clock: &ManualClock) {
        if let Self::Postgres(schema) = self {
            let ms = i64::try_from(clock.monotonic().as_millis()).expect("a time within the test");
            schema.run(format!("UPDATE stage_time SET ms = {ms}"));
        }
    }

    /// Returns all bytes of the database's files (SQLite) or all rows as text (PostgreSQL). The files of SQLite may
    /// contain rows that were deleted. Returns nothing for the storage in memory.
    pub(crate) fn dump(&self) -> Vec<u8> {
        match self {
            Self::Memory => Vec::new(),
            Self::Sqlite(folder) => {
                let files = std::fs::read_dir(folder.path()).expect("the database's folder");
                let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
                // The longest name comes first, so SQLite's log is read before the database. Between the two reads,
                // SQLite may move the log into the database and delete the log.
                paths.sort_by_key(|path| path.as_os_str().len());
                let read = |path: PathBuf| match std::fs::read(path) {
                    Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
                    bytes => bytes.expect("a file"),
                };
                paths.into_iter().rev().flat_map(read).collect()
            }
            Self::Postgres(schema) => schema.dump(),
        }
    }
}

/// The stage's clock in the form that SQLite's storage needs: as the clock of a machine that is never restarted.
struct StageClock(Arc<ManualClock>);

impl MachineClock for StageClock {
    fn boot(&self) -> &str {
        "the stage"
    }

    fn since_boot(&self) -> Duration {
        self.0.monotonic()
    }

    fn wall(&self) -> Duration {
        self.0.wall()
    }
}

impl Schema {
    /// Creates a schema in the database with this address. The time in the schema is the time at which every stage
    /// begins.
    ///
    /// # Panics
    /// If the database does not answer.
    #[must_use]
    pub fn create(address: &str) -> Self {
        let mut bits = [0; 8];
        SystemRandomness.fill(&mut bits).expect("randomness");
        let name = format!("stage_{:016x}", u64::from_be_bytes(bits));
        let schema =
            Self { pool: PgPoolOptions::new().max_connections(1).connect_lazy(address).expect("an address"), name };
        schema.run(
            "CREATE TABLE stage_time (ms BIGINT NOT NULL); INSERT INTO stage_time VALUES (0); \
             CREATE FUNCTION clock_timestamp() RETURNS TIMESTAMPTZ LANGUAGE sql VOLATILE AS \
             'SELECT TIMESTAMPTZ ''2026-01-01 00:00:00Z'' + ms * INTERVAL ''1 millisecond'' FROM stage_time'"
                .to_owned(),
        );
        schema
    }

    /// Returns a schema without data whose time is the time at which every stage begins. Takes a free schema and
    /// empties its tables, or creates a new schema if none is free.
    fn for_stage(address: &str) -> Arc<Self> {
        let mut schemas = SCHEMAS.lock().unwrap_or_else(PoisonError::into_inner);
        let is_free = |(schema, storage): &mut (Arc<Self>, Weak<_>)| {
            Arc::strong_count(schema) == 1 && storage.strong_count() == 0
        };
        let Some((schema, _)) = schemas.extract_if(.., is_free).next() else { return Arc::new(Self::create(address)) };
        drop(schemas);
        let mut tables = schema.tables();
        tables.retain(|table| !matches!(table.as_str(), "stage_time" | "tiktok_shop_migrations"));
        schema.run(format!("UPDATE stage_time SET ms = 0; TRUNCATE {}", tables.join(", ")));
        schema
    }

    fn tables(&self) -> Vec<String> {
        let Self { name, pool } = self;
        let tables = format!("SELECT tablename::text FROM pg_tables WHERE schemaname = '{name}'");
        let tables = block_on(pool.fetch_all(AssertSqlSafe(tables))).expect("a list of tables");
        tables.iter().map(|table| table.get(0)).collect()
    }

    /// Returns the database's address, extended so that PostgreSQL looks up every name first in this schema and then in
    /// `pg_catalog`.
    #[must_use]
    pub fn address(&self, database: &str) -> String {
        let mark = if database.contains('?') { '&' } else { '?' };
        format!("{database}{mark}options=-c%20search_path%3D{},pg_catalog", self.name)
    }

    fn run(&self, sql: String) {
        let Self { name, pool } = self;
        let sql = format!("CREATE SCHEMA IF NOT EXISTS {name}; SET search_path = {name}, pg_catalog; {sql}");
        block_on(pool.execute(AssertSqlSafe(sql))).expect("a database that answers");
    }

    fn dump(&self) -> Vec<u8> {
        let Self { name, pool } = self;
        let mut dump = Vec::new();
        for table in self.tables() {
            let rows = block_on(pool.fetch_all(AssertSqlSafe(format!("SELECT t::text FROM {name}.{table} t"))));
            for row in rows.expect("rows") {
                dump.extend(row.get::<String, _>(0).into_bytes());
                dump.push(b'\n');
            }
        }
        dump
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        let sql = format!("DROP SCHEMA {} CASCADE", self.name);
        // If this fails, the schema stays in the database. It does not disturb the next run, because new schemas get
        // random names.
        let _dropped = block_on(self.pool.execute(AssertSqlSafe(sql)));
    }
}
