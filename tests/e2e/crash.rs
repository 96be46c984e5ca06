//! Tests of processes that are killed while they write to a database. Every answered write is stored. A write without
//! an answer is stored completely or not at all.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use tiktok_shop_host::randomness::{Randomness as _, SystemRandomness};
use tiktok_shop_host::seal::{KeyFile, Keyring};
use tiktok_shop_sql_storage::{OpenMode, PostgresOptions, SqlStorage};
use tiktok_shop_tests::Schema;
use tiktok_shop_tests::crash::WriterLog;

const KILLS: usize = 25;
/// The number of lines after which a writer is killed is random, and less than this. 600 lines describe about 300
/// writes.
const MAX_LINES: u64 = 600;

fn start_writer(database: &str, keys: &Path) -> Child {
    #[expect(clippy::disallowed_methods, reason = "the test kills this process")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_storage-writer"));
    command.arg(database).arg(keys).stdout(Stdio::piped()).spawn().unwrap()
}

/// Draws a random number that is less than `limit`.
fn draw_below(limit: u64) -> u64 {
    let mut bytes = [0; 8];
    SystemRandomness.fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % limit
}

/// Kills a writer with SIGKILL after it has printed this number of lines. Reads into `log` every line that the writer
/// has printed.
fn kill_after(lines: u64, mut writer: Child, log: &mut WriterLog) {
    let mut printed = BufReader::new(writer.stdout.take().unwrap()).lines();
    for _ in 0..lines {
        log.read_line(&printed.next().expect("the writer still runs").unwrap());
    }
    writer.kill().unwrap();
    for line in printed {
        log.read_line(&line.unwrap());
    }
    assert!(!writer.wait().unwrap().success());
}

/// Starts a writer for this database and kills it, [`KILLS`] times. After each kill, compares the stored records with
/// the lines of all writers. Returns a summary for people: how many writes were answered, how many unanswered writes
/// were stored, and how many unanswered writes were not stored.
async fn kill_repeatedly(database: &str, keys: &Path, open: impl AsyncFn() -> SqlStorage) -> String {
    let mut log = WriterLog::default();
    for round in 0..KILLS {
        // The first writer is killed at once, so usually before or while it creates the tables.
        let lines = if round == 0 { 0 } else { draw_below(MAX_LINES) };
        kill_after(lines, start_writer(database, keys), &mut log);

        let storage = open().await;
        assert_eq!(storage.problems().await.unwrap(), [""; 0]);
        let keys = Arc::new(KeyFile::open_or_create(keys).unwrap());
        let keyring = Keyring::new(Arc::new(storage.clone()), keys, Arc::new(SystemRandomness));
        log.check(&storage, &keyring).await;
        storage.close().await;
    }
    let WriterLog { answered, found_done, found_undone, .. } = log;
    let count = format!(
        "{KILLS} kills, {answered} answered writes, {found_done} unanswered and stored, {found_undone} unanswered and not"
    );
    assert!(answered > KILLS && found_done + found_undone > 0, "no kill interrupted a write: {count}");
    count
}

#[tokio::test]
async fn a_killed_writer_leaves_an_sqlite_file_intact() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("connections.sqlite");
    let open = async || SqlStorage::sqlite(&database, OpenMode::Create).await.unwrap();
    println!("{}", kill_repeatedly(database.to_str().unwrap(), &folder.path().join("keys"), open).await);
}

/// After the kill, the server gets nothing more from the writer. When the writer's session ends, the server rolls back
/// the unfinished transaction.
#[tokio::test]
async fn a_killed_writer_leaves_a_postgresql_database_intact() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let folder = tempfile::tempdir().unwrap();
    let schema = Schema::create(&server);
    let database = schema.address(&server);
    let open = async || SqlStorage::postgres(&database, OpenMode::Create, PostgresOptions::default()).await.unwrap();
    println!("{}", kill_repeatedly(&database, &folder.path().join("keys"), open).await);
}
