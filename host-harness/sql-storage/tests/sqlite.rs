//! Tests that the storage in SQLite measures ages by the machine's boot clock, which nobody can set, and keeps states
//! and webhooks for as long as the storage traits promise.
#![allow(clippy::unwrap_used, reason = "a broken expectation is a failed test")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::{AnyConnection, Connection as _, Executor as _};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::connection::{ConnectionKey, ShopPolicy};
use tiktok_shop_host::storage::{
    BrowserDigest, ConsentRecord, ConsentStorage as _, InstallDigest, InstallRecord, KeyStorage as _, Next, Sealed,
    StateDigest, Swapped, TenantKey, TokenStorage as _, TokenWrite, WebhookDigest, WebhookStorage as _, WrappedKey,
};
use tiktok_shop_sql_storage::{MachineClock, OpenError, OpenMode, SchemaChange, SqlStorage};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// The clocks of a machine, which the test sets.
struct Machine {
    boot: &'static str,
    since_boot: Mutex<Duration>,
    wall: Mutex<Duration>,
}

impl Machine {
    fn booted(boot: &'static str) -> Arc<Self> {
        Arc::new(Self { boot, since_boot: Mutex::new(100 * SECOND), wall: Mutex::new(20_000 * DAY) })
    }

    /// Lets time pass on both clocks.
    fn advance(&self, time: Duration) {
        *self.since_boot.lock().unwrap() += time;
        *self.wall.lock().unwrap() += time;
    }

    /// Sets the wall clock, as an operator or a time server does.
    fn set_wall(&self, time: Duration) {
        *self.wall.lock().unwrap() = time;
    }
}

impl MachineClock for Machine {
    fn boot(&self) -> &str {
        self.boot
    }

    fn since_boot(&self) -> Duration {
        *self.since_boot.lock().unwrap()
    }

    fn wall(&self) -> Duration {
        *self.wall.lock().unwrap()
    }
}

fn tenant() -> TenantId {
    "t".parse().unwrap()
}

fn key() -> ConnectionKey {
    ConnectionKey { customer: "c".parse().unwrap(), account: "a".parse().unwrap() }
}

async fn open(folder: &Path, machine: &Arc<Machine>) -> SqlStorage {
    SqlStorage::sqlite_by_clock(folder.join("storage.db"), OpenMode::Create, Arc::clone(machine) as _).await.unwrap()
}

async fn put_token(storage: &SqlStorage) {
    let wrapped = Some(WrappedKey { host_key: "h".parse().unwrap(), bytes: vec![1] });
    let data_key = TenantKey { id: "k".parse().unwrap(), wrapped };
    assert_eq!(storage.add_key(&tenant(), None, &data_key).await, Ok(true));
    let value = TokenWrite { value: Sealed::new(data_key.id, vec![2]), refresh_due_at: None };
    let next = Next { revision: "r".parse().unwrap(), value };
    assert_eq!(storage.swap_token(&tenant(), &key(), None, Some(&next)).await, Ok(Swapped::Done));
}

async fn put_state(storage: &SqlStorage, state: u8) {
    let browser = BrowserDigest::new([7; 32]);
    let record = ConsentRecord { customer: "c".parse().unwrap(), app: None, browser, shops: ShopPolicy::All };
    storage.put_state(&tenant(), &StateDigest::new([state; 32]), &record).await.unwrap();
}

async fn state_age(storage: &SqlStorage, state: u8) -> Option<Duration> {
    let found = storage.load_state(&tenant(), &StateDigest::new([state; 32])).await.unwrap();
    found.map(|found| found.age)
}

async fn token_age(storage: &SqlStorage) -> Duration {
    storage.load_token(&tenant(), &key()).await.unwrap().unwrap().age
}

#[tokio::test]
async fn setting_the_wall_clock_changes_no_age() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::booted("boot");
    let storage = open(folder.path(), &machine).await;
    put_token(&storage).await;
    put_state(&storage, 1).await;
    let mut age = Duration::ZERO;
    for wall in [20_000 * DAY, 20_000 * DAY + HOUR, 10_000 * DAY, 30_000 * DAY, Duration::ZERO] {
        machine.set_wall(wall);
        assert_eq!((token_age(&storage).await, state_age(&storage, 1).await), (age, Some(age)), "{wall:?}");
        machine.advance(30 * SECOND);
        age += 30 * SECOND;
        assert_eq!((token_age(&storage).await, state_age(&storage, 1).await), (age, Some(age)), "{wall:?}");
    }
}

/// After a restart of the machine, all earlier claims count as lapsed, because the age of their records is unknown.
#[tokio::test]
async fn after_a_restart_of_the_machine_earlier_ages_are_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path(), &Machine::booted("first boot")).await;
    put_token(&storage).await;
    put_state(&storage, 1).await;
    storage.close().await;
    let storage = open(folder.path(), &Machine::booted("second boot")).await;
    assert_eq!((token_age(&storage).await, state_age(&storage, 1).await), (Duration::MAX, Some(Duration::MAX)));
}

/// After one hour, a state is deleted when another consent begins.
#[tokio::test]
async fn a_state_is_kept_for_one_hour() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::booted("boot");
    let storage = open(folder.path(), &machine).await;
    put_state(&storage, 1).await;
    machine.advance(HOUR);
    put_state(&storage, 2).await;
    assert_eq!((state_age(&storage, 1).await, state_age(&storage, 2).await), (Some(HOUR), Some(Duration::ZERO)));
    machine.advance(SECOND);
    put_state(&storage, 3).await;
    assert_eq!((state_age(&storage, 1).await, state_age(&storage, 2).await), (None, Some(SECOND)));
}

/// After 30 minutes, a pending install is deleted when another install or a consent begins.
#[tokio::test]
async fn a_pending_install_is_kept_for_30_minutes() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::booted("boot");
    let storage = open(folder.path(), &machine).await;
    let record = InstallRecord { browser: BrowserDigest::new([7; 32]), sealed: vec![1, 2, 3] };
    let [first, second] = [InstallDigest::new([1; 32]), InstallDigest::new([2; 32])];
    storage.put_install(&tenant(), &first, &record).await.unwrap();
    machine.advance(HOUR / 2);
    storage.put_install(&tenant(), &second, &record).await.unwrap();
    let stored = storage.load_install(&tenant(), &first).await.unwrap().unwrap();
    assert_eq!((stored.age, stored.sealed), (HOUR / 2, Some(vec![1, 2, 3])));
    machine.advance(SECOND);
    put_state(&storage, 1).await;
    assert_eq!(storage.load_install(&tenant(), &first).await, Ok(None));
    assert!(storage.load_install(&tenant(), &second).await.unwrap().is_some());
}

/// Old webhooks are deleted when another webhook is remembered.
#[tokio::test]
async fn a_webhook_is_remembered_for_three_days() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::booted("boot");
    let storage = open(folder.path(), &machine).await;
    let [first, other] = [WebhookDigest::new([1; 32]), WebhookDigest::new([2; 32])];
    storage.remember_webhook(&tenant(), &first).await.unwrap();
    machine.advance(3 * DAY);
    storage.remember_webhook(&tenant(), &other).await.unwrap();
    assert_eq!(storage.knows_webhook(&tenant(), &first).await, Ok(true));
}

/// Tries to open the file in this mode, which must fail. Returns the error.
async fn open_error(path: &Path, mode: OpenMode) -> OpenError {
    SqlStorage::sqlite(path, mode).await.err().unwrap()
}

#[tokio::test]
async fn only_create_and_migrate_make_a_file_and_only_in_a_folder_that_exists() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, deep) = (folder.path().join("missing.db"), folder.path().join("none/missing.db"));
    assert!(matches!(open_error(&missing, OpenMode::Existing).await, OpenError::Missing(path) if path == missing));
    assert!(matches!(open_error(&deep, OpenMode::Existing).await, OpenError::Missing(path) if path == deep));
    for mode in [OpenMode::Create, OpenMode::Migrate] {
        let error = open_error(&deep, mode).await;
        assert!(matches!(&error, OpenError::NoFolder(path) if *path == folder.path().join("none")), "{error}");
    }
    assert!(matches!(open_error(Path::new(":memory:"), OpenMode::Create).await, OpenError::InMemory));
    let with_line_break = folder.path().join("a\nb.db");
    assert!(matches!(open_error(&with_line_break, OpenMode::Create).await, OpenError::Invisible { .. }));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was created");

    for (name, mode) in [("created.db", OpenMode::Create), ("migrated.db", OpenMode::Migrate)] {
        let path = folder.path().join(name);
        let storage = SqlStorage::sqlite(&path, mode).await.unwrap();
        assert_eq!(storage.schema_change(), SchemaChange::Created);
        storage.close().await;
        let storage = SqlStorage::sqlite(&path, OpenMode::Existing).await.unwrap();
        assert_eq!(storage.schema_change(), SchemaChange::None);
    }
}

/// A crash may leave an empty file, and an operator may create an empty file.
#[tokio::test]
async fn an_empty_file_gets_its_tables_only_from_create_and_migrate() {
    let folder = tempfile::tempdir().unwrap();
    let path = empty(folder.path().join("empty.db"));
    let error = open_error(&path, OpenMode::Existing).await;
    assert!(matches!(&error, OpenError::NotOfConnector(found) if *found == path.canonicalize().unwrap()), "{error}");
    assert_eq!(fs::metadata(&path).unwrap().len(), 0, "reading writes nothing");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no lock and no log is made");
    assert_eq!(SqlStorage::sqlite(&path, OpenMode::Create).await.unwrap().schema_change(), SchemaChange::Created);
}

/// Creates an empty private file.
fn empty(path: PathBuf) -> PathBuf {
    fs::write(&path, "").unwrap();
    make_private(&path);
    path
}

fn make_private(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    PathBuf::from(format!("{}{suffix}", path.display()))
}

/// Opens a connection that is not one of the storage.
async fn connect(path: &Path) -> AnyConnection {
    sqlx::any::install_default_drivers();
    AnyConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap()
}

/// Copies the files of a database while a connection holds it open. The copy is in the state in which a crash leaves a
/// database: its newest tables are only in its log.
fn copy_as_after_a_crash(from: &Path, to: &Path, suffixes: &[&str]) {
    for suffix in suffixes {
        let copy = with_suffix(to, suffix);
        fs::copy(with_suffix(from, suffix), &copy).unwrap();
        make_private(&copy);
    }
}

/// Returns whether the file contains this text.
fn contains(path: &Path, text: &str) -> bool {
    fs::read(path).unwrap().windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn another_programs_database_whose_writer_crashed_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let original = empty(folder.path().join("original.db"));
    let mut writer = connect(&original).await;
    writer.execute("PRAGMA journal_mode = WAL; CREATE TABLE theirs (value TEXT);").await.unwrap();
    for (name, suffixes) in [("with-index.db", &["", "-wal", "-shm"][..]), ("without-index.db", &["", "-wal"][..])] {
        let path = folder.path().join(name);
        copy_as_after_a_crash(&original, &path, suffixes);
        let log = with_suffix(&path, "-wal");
        assert!(!contains(&path, "theirs") && contains(&log, "theirs"), "{name}: the table is only in the log");
        let before = (fs::read(&path).unwrap(), fs::read(&log).unwrap());
        let error = open_error(&path, OpenMode::Existing).await;
        assert!(matches!(&error, OpenError::NotOfConnector(of) if *of == path.canonicalize().unwrap()), "{error}");
        assert!((fs::read(&path).unwrap(), fs::read(&log).unwrap()) == before, "{name} was changed");
        assert!(!with_suffix(&path, ".lock").exists(), "{name}");
    }
    writer.close().await.unwrap();
}

#[tokio::test]
async fn another_programs_database_that_was_closed_gets_no_log_and_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let path = empty(folder.path().join("theirs.db"));
    let mut writer = connect(&path).await;
    writer.execute("PRAGMA journal_mode = WAL; CREATE TABLE theirs (value TEXT);").await.unwrap();
    writer.close().await.unwrap();
    assert!(contains(&path, "theirs"));
    let before = fs::read(&path).unwrap();
    let error = open_error(&path, OpenMode::Existing).await;
    assert!(matches!(&error, OpenError::NotOfConnector(of) if *of == path.canonicalize().unwrap()), "{error}");
    assert!(fs::read(&path).unwrap() == before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn tables_that_a_crash_has_left_only_in_the_log_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let original = empty(folder.path().join("original.db"));
    let mut held = connect(&original).await;
    held.execute("PRAGMA journal_mode = WAL;").await.unwrap();
    held.execute("SELECT name FROM sqlite_master;").await.unwrap();
    let created = SqlStorage::sqlite(&original, OpenMode::Create).await.unwrap();
    assert_eq!(created.schema_change(), SchemaChange::Created);
    let path = folder.path().join("crashed.db");
    copy_as_after_a_crash(&original, &path, &["", "-wal"]);
    assert!(!contains(&path, "tiktok_shop_migrations"), "the tables are only in the log");
    let opened = SqlStorage::sqlite(&path, OpenMode::Existing).await.unwrap();
    assert_eq!(opened.schema_change(), SchemaChange::None);
    held.close().await.unwrap();
}

/// Waits until this process waits for a file lock.
#[cfg(target_os = "linux")]
async fn until_a_lock_is_waited_for() {
    let process = format!(" {} ", std::process::id());
    let is_waiting = |line: &str| line.contains("-> FLOCK") && line.contains(&process);
    let started = tokio::time::Instant::now();
    while !fs::read_to_string("/proc/locks").unwrap().lines().any(is_waiting) {
        assert!(started.elapsed() < Duration::from_secs(60), "nothing waits for a lock");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The test stands for a process that opens the database for the first time, with `Create` or `Migrate`. Its file is
/// still empty, and it holds the lock.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_host_that_finds_an_empty_file_waits_for_the_process_that_creates_the_tables() {
    let folder = tempfile::tempdir().unwrap();
    let (path, complete) = (folder.path().join("storage.db"), folder.path().join("complete.db"));
    SqlStorage::sqlite(&complete, OpenMode::Create).await.unwrap();
    let lock = tiktok_shop_private_file::lock(&path).unwrap();
    empty(path.clone());
    let host = tokio::spawn(SqlStorage::sqlite(path.clone(), OpenMode::Existing));
    until_a_lock_is_waited_for().await;
    let copy = format!("VACUUM INTO '{}'", path.display());
    connect(&complete).await.execute(sqlx::AssertSqlSafe(copy)).await.unwrap();
    drop(lock);
    assert_eq!(host.await.unwrap().unwrap().schema_change(), SchemaChange::None);
}

#[tokio::test]
async fn an_empty_file_that_nobody_fills_is_refused_although_there_is_a_lock_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = empty(folder.path().join("storage.db"));
    drop(tiktok_shop_private_file::lock(&path).unwrap());
    let error = open_error(&path, OpenMode::Existing).await;
    assert!(matches!(&error, OpenError::NotOfConnector(of) if *of == path.canonicalize().unwrap()), "{error}");
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
}
