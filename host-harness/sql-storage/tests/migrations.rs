//! Tests that databases of earlier releases (`tests/fixtures`) are migrated with nothing lost: also after an
//! interruption at any statement, and while a host of an earlier release still runs.
//!
//! These tests compare database rows. The tests of the program compare what people see
//! (`host-harness/harness/tests/command_line/fixtures.rs`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken expectation is a failed test"
)]

mod schema;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _, Row as _};
use tempfile::TempDir;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::storage::{
    BrowserDigest, ConnectionStorage as _, ConsentStorage as _, Due, InstallDigest, InstallRecord, Next, Swapped,
    TokenStorage as _, TokenWrite,
};
use tiktok_shop_private_file as private_file;
use tiktok_shop_sql_storage::{OpenError, OpenMode, PostgresOptions, SchemaChange, SqlStorage};

use self::schema::new_schema;

/// The versions of the schema for which the fixtures contain a database.
const KEPT: [i64; 2] = [4, 5];

/// The kind of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// The kinds that can be tried here. Without a PostgreSQL server, the test prints that PostgreSQL was not tried.
    fn all() -> impl Iterator<Item = Self> {
        [Some(Self::Sqlite), tiktok_shop_test_postgres::test_postgres().map(|_| Self::Postgres)].into_iter().flatten()
    }
}

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A database that a fixture has filled.
struct Database {
    kind: Kind,
    /// The address for a connection that is not one of the storage.
    address: String,
    /// The file of an SQLite database, and the folder that contains it.
    file: Option<(TempDir, PathBuf)>,
}

impl Database {
    /// Creates a database as a program with this version of the schema has left it.
    async fn of_version(kind: Kind, version: i64) -> Self {
        let database = Self::empty(kind).await;
        let path = package().join(format!("tests/fixtures/schema-{version}/{}.sql", kind.folder()));
        let sql = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        database.run(&sql).await;
        if kind == Kind::Sqlite {
            // An earlier host has switched the file to a write-ahead log. A dump does not contain this setting.
            database.run("PRAGMA journal_mode = WAL").await;
        }
        database
    }

    /// Copies the files of an SQLite database, also its log, as a killed process leaves them.
    fn copy_as_after_a_kill(&self) -> Option<Self> {
        let (_, from) = self.file.as_ref()?;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("connections.sqlite");
        for suffix in ["", "-wal"] {
            let with_suffix = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
            fs::copy(with_suffix(from), with_suffix(&path)).unwrap();
            fs::set_permissions(with_suffix(&path), fs::Permissions::from_mode(0o600)).unwrap();
        }
        let address = format!("sqlite://{}", path.display());
        Some(Self { kind: self.kind, address, file: Some((folder, path)) })
    }

    async fn empty(kind: Kind) -> Self {
        sqlx::any::install_default_drivers();
        match kind {
            Kind::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("connections.sqlite");
                private_file::touch(&path).unwrap();
                Self { kind, address: format!("sqlite://{}", path.display()), file: Some((folder, path)) }
            }
            Kind::Postgres => {
                let server = tiktok_shop_test_postgres::test_postgres().unwrap();
                Self { kind, address: new_schema(&server).await, file: None }
            }
        }
    }

    /// Makes a backup of the database: a copy of the SQLite file. In PostgreSQL, the fixture is the backup, because
    /// `pg_dump` has made it.
    async fn backup(&self, version: i64) -> PathBuf {
        match &self.file {
            Some((folder, _)) => {
                let path = folder.path().join("backup.sqlite");
                self.run(&format!("VACUUM INTO '{}'", path.display())).await;
                path
            }
            None => package().join(format!("tests/fixtures/schema-{version}/postgres.sql")),
        }
    }

    /// Replaces the database by a backup. No host runs meanwhile.
    async fn restore(&self, backup: &Path) {
        match &self.file {
            Some((_, path)) => {
                for suffix in ["-wal", "-shm"] {
                    let _missing = fs::remove_file(format!("{}{suffix}", path.display()));
                }
                fs::write(path, fs::read(backup).unwrap()).unwrap();
            }
            None => {
                let mut connection = self.connect().await;
                let row = connection.fetch_one("SELECT CAST(current_schema() AS TEXT)").await.unwrap();
                connection.close().await.unwrap();
                let schema: String = row.get(0);
                self.run(&format!("DROP SCHEMA {schema} CASCADE; CREATE SCHEMA {schema}")).await;
                self.run(&fs::read_to_string(backup).unwrap()).await;
            }
        }
    }

    async fn connect(&self) -> AnyConnection {
        AnyConnection::connect(&self.address).await.unwrap()
    }

    /// Runs statements in one transaction, as an operator's tool does.
    async fn run(&self, sql: &str) {
        let mut connection = self.connect().await;
        connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn open(&self, mode: OpenMode) -> Result<SqlStorage, OpenError> {
        match &self.file {
            Some((_, path)) => SqlStorage::sqlite(path, mode).await,
            None => SqlStorage::postgres(&self.address, mode, PostgresOptions::default()).await,
        }
    }

    /// Changes the tables to the newest version, and returns which change that was.
    async fn migrate(&self) -> SchemaChange {
        let storage = self.open(OpenMode::Migrate).await.unwrap();
        let change = storage.schema_change();
        storage.close().await;
        change
    }

    /// Returns the content of every table of the connector: for each table, its rows as text, each column with its name.
    async fn content(&self) -> Content {
        let mut connection = self.connect().await;
        let mut content = Content::new();
        for table in self.names(&mut connection, "").await {
            let columns = self.names(&mut connection, &table).await;
            let quoted = |column: &String| match self.kind {
                Kind::Sqlite => format!("quote({column})"),
                Kind::Postgres => format!("quote_nullable({column}::text)"),
            };
            let list: Vec<_> = columns.iter().map(quoted).collect();
            let sql = format!("SELECT {} FROM {table}", list.join(", "));
            let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
            let named =
                |row: AnyRow| columns.iter().enumerate().map(|(at, name)| (name.clone(), row.get(at))).collect();
            let mut rows: Vec<BTreeMap<String, String>> = rows.into_iter().map(named).collect();
            rows.sort();
            content.insert(table, rows);
        }
        connection.close().await.unwrap();
        content
    }

    /// Returns the names of the connector's tables, or the names of the columns of one of them.
    async fn names(&self, connection: &mut AnyConnection, table: &str) -> Vec<String> {
        let sql = match (self.kind, table) {
            (Kind::Sqlite, "") => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'tiktok_shop_%' \
                                   AND '' = $1 ORDER BY 1"
            }
            (Kind::Sqlite, _) => "SELECT name FROM pragma_table_info($1) ORDER BY 1",
            (Kind::Postgres, "") => {
                "SELECT CAST(table_name AS TEXT) FROM information_schema.tables \
                 WHERE table_schema = current_schema() AND '' = $1 ORDER BY 1"
            }
            (Kind::Postgres, _) => {
                "SELECT CAST(column_name AS TEXT) FROM information_schema.columns \
                 WHERE table_schema = current_schema() AND table_name = $1 ORDER BY 1"
            }
        };
        let rows = sqlx::query(sql).bind(table).fetch_all(connection).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Returns the statements of each migration after this version, in order.
    fn migrations_after(&self, version: i64) -> Vec<Vec<String>> {
        let folder = package().join("migrations").join(self.kind.folder());
        let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        let number = |path: &Path| path.file_name().unwrap().to_str().unwrap()[..4].parse::<i64>().unwrap();
        let later = files.into_iter().filter(|path| number(path) > version);
        later.map(|path| statements(&fs::read_to_string(path).unwrap())).collect()
    }
}

/// For each table: its rows. Each row contains its columns by name.
type Content = BTreeMap<String, Vec<BTreeMap<String, String>>>;

/// The table that says when a migration was applied, and how long it took.
const MIGRATIONS: &str = "tiktok_shop_migrations";

/// Leaves out the times at which the migrations were applied.
fn without_times(mut content: Content) -> Content {
    for row in content.get_mut(MIGRATIONS).unwrap() {
        row.retain(|column, _| !["installed_on", "execution_time"].contains(&column.as_str()));
    }
    content
}

/// Splits the text of a migration into its statements. The body of a trigger or of a function contains semicolons, too:
/// a trigger of SQLite ends with `END`, and the body of a function is between two `$$`.
fn statements(sql: &str) -> Vec<String> {
    let without_comments: Vec<_> = sql.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let (mut found, mut statement) = (Vec::new(), String::new());
    for part in without_comments.join("\n").split_inclusive(';') {
        statement.push_str(part);
        let text = statement.trim();
        let is_trigger_of_sqlite = text.starts_with("CREATE TRIGGER") && text.contains("BEGIN");
        let is_open = text.matches("$$").count() % 2 == 1 || (is_trigger_of_sqlite && !text.ends_with("END;"));
        if !is_open && !text.is_empty() {
            found.push(text.to_owned());
            statement.clear();
        }
    }
    assert_eq!(statement.trim(), "", "the migration ends with a semicolon");
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_keeps_every_value_of_an_earlier_release() {
    for kind in Kind::all() {
        for version in KEPT {
            let database = Database::of_version(kind, version).await;
            let before = database.content().await;
            let expected = if version == SqlStorage::SCHEMA_VERSION {
                SchemaChange::None
            } else {
                SchemaChange::Migrated { from: version }
            };
            assert_eq!(database.migrate().await, expected, "{kind:?} {version}");
            let after = database.content().await;
            for (table, rows) in before.into_iter().filter(|(table, _)| table != MIGRATIONS) {
                // A new column may stand between the old ones, so the rows are compared by the old columns.
                let mut kept = after[&table].clone();
                if let Some(columns) = rows.first() {
                    kept.iter_mut().for_each(|row| row.retain(|column, _| columns.contains_key(column)));
                    kept.sort();
                }
                assert_eq!(kept, rows, "{kind:?} {version} {table}");
            }
        }
    }
}

/// The process ends after one of the statements of a migration: its connection breaks, or the process is killed. The
/// database then takes back the whole migration.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_was_interrupted_at_any_statement_is_completed_by_the_next_one() {
    let mut interruptions = 0;
    for kind in Kind::all() {
        for version in KEPT {
            let complete = Database::of_version(kind, version).await;
            complete.migrate().await;
            let expected = without_times(complete.content().await);
            let statements = complete.migrations_after(version).concat();
            for end in 0..statements.len() {
                let database = Database::of_version(kind, version).await;
                let mut connection = database.connect().await;
                if kind == Kind::Sqlite {
                    // SQLite then writes what it has changed into the log before the transaction is committed.
                    connection.execute("PRAGMA cache_size = 1").await.unwrap();
                }
                let mut transaction = connection.begin().await.unwrap();
                for statement in &statements[..end] {
                    transaction.execute(AssertSqlSafe(statement.clone())).await.unwrap();
                }
                let killed = database.copy_as_after_a_kill();
                drop(transaction);
                connection.close().await.unwrap();
                for database in [Some(database), killed].into_iter().flatten() {
                    let change = database.migrate().await;
                    assert_eq!(change, SchemaChange::Migrated { from: version }, "{kind:?} {version} {end}");
                    let content = without_times(database.content().await);
                    assert!(content == expected, "{kind:?} {version}: interrupted after {end} statements");
                    interruptions += 1;
                }
            }
        }
    }
    assert!(interruptions > 0);
}

/// Each migration is one transaction. So an interruption between two of them leaves a database of the version between.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_was_interrupted_between_two_versions_continues_from_there() {
    for kind in Kind::all() {
        let complete = Database::of_version(kind, KEPT[0]).await;
        complete.migrate().await;
        let expected = without_times(complete.content().await);
        let applied = expected[MIGRATIONS].clone();
        let migrations = complete.migrations_after(KEPT[0]);
        for (reached, count) in (KEPT[0] + 1..=SqlStorage::SCHEMA_VERSION).zip(1..) {
            let database = Database::of_version(kind, KEPT[0]).await;
            for (version, statements) in (KEPT[0] + 1..).zip(&migrations[..count]) {
                database.run(&statements.join("\n")).await;
                let row = applied.iter().find(|row| row["version"].trim_matches('\'') == version.to_string()).unwrap();
                // The program was killed before it recorded how long the migration took.
                let sql = format!(
                    "INSERT INTO {MIGRATIONS} (version, description, success, checksum, execution_time) \
                     VALUES ({version}, {}, TRUE, {}, -1)",
                    row["description"], row["checksum"]
                );
                database.run(&sql).await;
            }
            let last = reached == SqlStorage::SCHEMA_VERSION;
            let change = if last { SchemaChange::None } else { SchemaChange::Migrated { from: reached } };
            assert_eq!(database.migrate().await, change, "{kind:?} {reached}");
            assert!(without_times(database.content().await) == expected, "{kind:?} {reached}");
        }
    }
}

/// A host of an earlier release is started again after `migrate` of a later release.
#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_later_release_are_refused_without_writing() {
    for kind in Kind::all() {
        let database = Database::of_version(kind, KEPT[0]).await;
        database.migrate().await;
        let later = SqlStorage::SCHEMA_VERSION + 1;
        database.run("CREATE TABLE tiktok_shop_of_a_later_release (value TEXT)").await;
        let row = format!(
            "INSERT INTO {MIGRATIONS} (version, description, success, checksum, execution_time) \
             SELECT {later}, 'more, since release 9.8.7', TRUE, checksum, 1 FROM {MIGRATIONS} WHERE version = 1"
        );
        database.run(&row).await;
        let before = database.content().await;
        for mode in [OpenMode::Existing, OpenMode::Create, OpenMode::Migrate] {
            let error = database.open(mode).await.unwrap_err();
            let OpenError::Newer { found, known, since } = error else { panic!("{kind:?}: {error}") };
            assert_eq!((found, known), (later, SqlStorage::SCHEMA_VERSION));
            assert_eq!(since.as_deref(), Some("9.8.7"));
            assert!(database.content().await == before, "{kind:?} {mode:?}");
        }
    }
}

/// The first version of the schema in which a host of schema 5 may not write rows. Such a host does not know how the rows
/// of this version are sealed.
const ROWS_REFUSED_SINCE: i64 = 6;

/// Writes a row as a host of schema 5 does: over the row of the customer `one-shop`, or as the first row of another
/// customer. `swap_row.sql` contains the statements of such a host.
async fn write_as_schema_5(database: &Database, customer: &str) -> Result<(), sqlx::Error> {
    let sql = fs::read_to_string(package().join("tests/fixtures/schema-5/swap_row.sql")).unwrap();
    let [update, delete_shops, insert_shop, insert] = statements(&sql).try_into().unwrap();
    let is_update = customer == "one-shop";
    let mut connection = database.connect().await;
    let found = format!(
        "SELECT account, {} FROM tiktok_shop_connections WHERE tenant = 'acme' AND customer = 'one-shop'",
        COLUMNS_OF_SCHEMA_5.join(", ")
    );
    let row = connection.fetch_one(AssertSqlSafe(found)).await.unwrap();
    let account: String = row.get("account");
    let mut transaction = connection.begin().await.unwrap();
    let write = if is_update { update } else { insert };
    let mut query = sqlx::query(AssertSqlSafe(write)).bind("acme").bind(customer).bind(&account);
    for column in COLUMNS_OF_SCHEMA_5 {
        query = match column {
            "revision" => query.bind("written-by-schema-5"),
            "sealed" => query.bind(row.get::<Vec<u8>, _>(column)),
            number if NUMBERS_OF_SCHEMA_5.contains(&number) => query.bind(row.get::<Option<i64>, _>(number)),
            text => query.bind(row.get::<Option<String>, _>(text)),
        };
    }
    if is_update {
        query = query.bind(row.get::<String, _>("revision"));
    }
    let written = async {
        query.execute(&mut *transaction).await?;
        let delete = sqlx::query(AssertSqlSafe(delete_shops)).bind("acme").bind(customer);
        delete.bind(&account).execute(&mut *transaction).await?;
        let shop = sqlx::query(AssertSqlSafe(insert_shop)).bind("acme").bind(customer).bind(&account);
        let shop = shop.bind("7490000000000000001").bind(0_i64).bind("Teapot Corner").bind("GB");
        let shop = shop.bind("LOCAL").bind("GBLCFIX001").bind("{}").bind("granted").bind(true);
        shop.execute(&mut *transaction).await?;
        transaction.commit().await
    };
    let written = written.await;
    connection.close().await.unwrap();
    written
}

/// While a fleet is updated, hosts of the earlier release run on the new tables.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_schema_5_that_still_runs_writes_no_row_that_the_new_tables_refuse() {
    let is_refused = SqlStorage::SCHEMA_VERSION >= ROWS_REFUSED_SINCE;
    for kind in Kind::all() {
        let database = Database::of_version(kind, 5).await;
        database.migrate().await;
        let before = database.content().await;
        for customer in ["one-shop", "a-new-customer"] {
            let written = write_as_schema_5(&database, customer).await;
            assert_eq!(written.is_err(), is_refused, "{kind:?} {customer}: {written:?}");
            assert_eq!(database.content().await == before, is_refused, "{kind:?} {customer}");
        }
    }
}

/// Works on the new tables as hosts of the present release do: refreshes and ends connections, and begins an install.
async fn work_on_the_new_tables(storage: &SqlStorage) {
    let due = storage.due(UnixSeconds(u64::MAX >> 1), None, 100).await.unwrap();
    assert!(due.len() > 2);
    for (at, Due { tenant, key, .. }) in due.iter().enumerate() {
        let token = storage.load_token(tenant, key).await.unwrap().unwrap();
        let next = Next {
            revision: "written-by-the-present-release".parse().unwrap(),
            value: TokenWrite { value: token.value, refresh_due_at: None },
        };
        let next = (at > 0).then_some(&next);
        let swapped = storage.swap_token(tenant, key, Some(&token.revision), next).await.unwrap();
        assert!(matches!(swapped, Swapped::Done));
    }
    let Due { tenant, key, .. } = &due[0];
    let row = storage.load_row(tenant, key).await.unwrap().unwrap();
    let swapped = storage.swap_row(tenant, key, Some(&row.revision), None, &[]).await.unwrap();
    assert!(matches!(swapped, Swapped::Done));
    let install = InstallRecord { browser: BrowserDigest::new([7; 32]), sealed: vec![1, 2, 3] };
    storage.put_install(tenant, &InstallDigest::new([1; 32]), &install).await.unwrap();
}

/// An operator goes back to the earlier release: they stop all hosts, and restore the backup from before `migrate`.
#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_has_everything_that_stood_in_it_and_works_with_the_earlier_release() {
    for kind in Kind::all() {
        for version in KEPT {
            let database = Database::of_version(kind, version).await;
            let before = database.content().await;
            let backup = database.backup(version).await;
            let storage = database.open(OpenMode::Migrate).await.unwrap();
            work_on_the_new_tables(&storage).await;
            storage.close().await;
            assert!(database.content().await != before, "{kind:?} {version}");

            database.restore(&backup).await;
            assert!(database.content().await == before, "{kind:?} {version}");
            let refused = database.open(OpenMode::Existing).await.unwrap_err();
            assert!(matches!(refused, OpenError::Older { .. }), "{kind:?} {version}: {refused}");
            if version == 5 {
                for customer in ["one-shop", "a-new-customer"] {
                    write_as_schema_5(&database, customer).await.unwrap();
                }
            }
            // The next attempt to roll over finds the tables of the earlier release.
            assert_eq!(database.migrate().await, SchemaChange::Migrated { from: version }, "{kind:?} {version}");
        }
    }
}

/// The columns that a host of schema 5 writes, in the order of the parameters `$4` to `$29` of `swap_row.sql`.
const COLUMNS_OF_SCHEMA_5: [&str; 26] = [
    "revision",
    "app_key",
    "token_lineage",
    "token_generation",
    "seller_name",
    "seller_base_region",
    "granted_scopes",
    "shop_policy",
    "status",
    "status_ends_at",
    "status_reason",
    "access_expires_at",
    "refresh_expires_at",
    "authorization_ends_at",
    "ends_at",
    "connected_at",
    "granted_at",
    "refreshed_at",
    "shops_synced_at",
    "failure_at",
    "failure_code",
    "failure_detail",
    "failure_http_status",
    "failure_request_id",
    "sealed_by",
    "sealed",
];

const NUMBERS_OF_SCHEMA_5: [&str; 12] = [
    "token_generation",
    "status_ends_at",
    "access_expires_at",
    "refresh_expires_at",
    "authorization_ends_at",
    "ends_at",
    "connected_at",
    "granted_at",
    "refreshed_at",
    "shops_synced_at",
    "failure_at",
    "failure_http_status",
];

#[test]
fn a_body_with_semicolons_is_one_statement() {
    let sql = "-- A comment; it is left out.\nCREATE TABLE a (b TEXT);\n\nCREATE TRIGGER t BEFORE UPDATE ON a BEGIN\n\
               SELECT 1; SELECT 2;\nEND;\nCREATE FUNCTION f() RETURNS trigger AS $$ BEGIN x; END; $$ LANGUAGE plpgsql;";
    let split = statements(sql);
    let begins: Vec<_> = split.iter().map(|statement| &statement[..10]).collect();
    assert_eq!(begins, ["CREATE TAB", "CREATE TRI", "CREATE FUN"]);
}
