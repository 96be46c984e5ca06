//! The storage of a stage. The variable `TIKTOK_SHOP_TEST_STORAGE` chooses it, so that every end-to-end test can run on
//! each kind of storage:
//!
//! | value | storage |
//! | --- | --- |
//! | `memory`, or not set | the memory of this process |
//! | `sqlite` | a separate file for each stage |
//! | an address, `postgres://…` | a separate schema for each stage in this database. The schemas stay there afterwards |
//!
//! A database measures time by the stage's clock. SQLite gets that clock. In PostgreSQL, a function of the schema
//! replaces `clock_timestamp()`.

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
use tiktok_shop_sql_storage::{MachineClock, PostgresOptions, SqlStorage};
use tokio::runtime::Runtime;

/// The database of a stage's storage.
pub(crate) enum Database {
    Memory,
    Sqlite(TempDir),
    Postgres(Arc<Schema>),
}

/// The schemas of this process, each with the storage that was last opened in it. A schema is free when no stage holds
/// the schema or the storage. Free schemas are used again, because creating the tables takes longer than a test.
static SCHEMAS: Mutex<Vec<(Arc<Schema>, Weak<SqlStorage>)>> = Mutex::new(Vec::new());

/// A schema of a PostgreSQL database. The time in the schema stands still until a test moves it. Dropping this value
/// drops the schema.
pub struct Schema {
    name: String,
    pool: PgPool,
}

/// Opens the storage of a new stage. The storage measures ages by this clock.
pub(crate) fn open(clock: &Arc<ManualClock>) -> (Arc<dyn HostStorage>, Database) {
    match chosen_storage().as_deref() {
        None | Some("memory") => {
            (Arc::new(MemoryStorage::new(Arc::clone(clock) as Arc<_>)) as Arc<_>, Database::Memory)
        }
        Some("sqlite") => {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("connections.sqlite");
            let clock = Arc::new(StageClock(Arc::clone(clock)));
            let storage = block_on(SqlStorage::sqlite_by_clock(path, clock)).expect("a database in a new folder");
            (Arc::new(storage), Database::Sqlite(folder))
        }
        Some(address) => {
            let schema = Schema::for_stage(address);
            let storage = block_on(SqlStorage::postgres(&schema.address(address), PostgresOptions::default()));
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
    /// Sets the database's time to the time of the stage's clock.
    pub(crate) fn follow(&self, clock: &ManualClock) {
        if let Self::Postgres(schema) = self {
            let ms = i64::try_from(clock.monotonic().as_millis()).expect("a time within the test");
            schema.run(format!("UPDATE stage_time SET ms = {ms}"));
        }
    }

    /// Returns the content of a copy of the database. If the database keeps deleted rows in its files, they are
    /// included.
    pub(crate) fn dump(&self) -> Vec<u8> {
        match self {
            Self::Memory => Vec::new(),
            Self::Sqlite(folder) => {
                let files = std::fs::read_dir(folder.path()).expect("the database's folder");
                let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
                // The log is read before the database, because between the two reads SQLite may move the log into the
                // database and delete the log.
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

/// The stage's clock, as the clock of a machine that never sleeps.
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
    /// Creates a schema in this database.
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

    /// Returns an empty schema whose time is 0. Empties a free schema, or creates a new schema if none is free.
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

    /// Returns the database's address, extended so that PostgreSQL looks up names in this schema before all others.
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
        // A schema that is left behind does not disturb the next run.
        let _dropped = block_on(self.pool.execute(AssertSqlSafe(sql)));
    }
}
