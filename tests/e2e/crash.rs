//! Processes that are killed while they write, and servers that are restarted under them: what was answered is there, and
//! what was under way is there whole or not at all.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use tiktok_shop_host::randomness::Randomness as _;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::{KeyFile, Keyring};
use tiktok_shop_sql_storage::{PostgresOptions, SqlStorage};
use tiktok_shop_tests::Schema;
use tiktok_shop_tests::crash::WriterLog;

const KILLS: usize = 25;
/// Lines that a writer says before it is killed, at most: some hundred writes.
const MOST_LINES: u64 = 600;

fn writer(database: &str, keys: &Path) -> Child {
    #[expect(clippy::disallowed_methods, reason = "the subject is a process that is killed")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_storage-writer"));
    command.arg(database).arg(keys).stdout(Stdio::piped()).spawn().unwrap()
}

fn below(most: u64) -> u64 {
    let mut bytes = [0; 8];
    SystemRandomness.fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % most
}

/// Kills a writer after so many lines, with `kill -9`, and hears what it has said until then.
fn kill_after(lines: u64, mut writer: Child, log: &mut WriterLog) {
    let mut said = BufReader::new(writer.stdout.take().unwrap()).lines();
    for _ in 0..lines {
        log.read_line(&said.next().expect("it lives").unwrap());
    }
    writer.kill().unwrap();
    for line in said {
        log.read_line(&line.unwrap());
    }
    assert!(!writer.wait().unwrap().success());
}

/// Kills writers of this database over and over, and holds what is there against what they have said. Gives the count.
async fn kill_over_and_over(database: &str, keys: &Path, open: impl AsyncFn() -> SqlStorage) -> String {
    let mut log = WriterLog::default();
    for round in 0..KILLS {
        // The first dies while it makes the tables, or before.
        let lines = if round == 0 { 0 } else { below(MOST_LINES) };
        kill_after(lines, writer(database, keys), &mut log);

        let storage = open().await;
        assert_eq!(storage.problems().await.unwrap(), [""; 0]);
        let keys = Arc::new(KeyFile::open_or_create(keys).unwrap());
        let keyring = Keyring::new(Arc::new(storage.clone()), keys, Arc::new(SystemRandomness));
        log.check(&storage, &keyring).await;
        storage.close().await;
    }
    let WriterLog { answered, found_done, found_undone, .. } = log;
    let count =
        format!("{KILLS} kills, {answered} writes answered, {found_done} under way and done, {found_undone} not");
    assert!(answered > KILLS && found_done + found_undone > 0, "no kill met a write: {count}");
    count
}

#[tokio::test]
async fn a_writer_that_is_killed_at_any_moment_leaves_an_sqlite_file_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("connections.sqlite");
    let open = async || SqlStorage::sqlite(&database).await.unwrap();
    println!("{}", kill_over_and_over(database.to_str().unwrap(), &folder.path().join("keys"), open).await);
}

/// What the server has not heard of by then it hears of never: a session that ends rolls back what it had begun.
#[tokio::test]
async fn a_writer_that_is_killed_at_any_moment_leaves_a_postgresql_database_in_order() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let folder = tempfile::tempdir().unwrap();
    let schema = Schema::make(&server);
    let database = schema.address(&server);
    let open = async || SqlStorage::postgres(&database, PostgresOptions::default()).await.unwrap();
    println!("{}", kill_over_and_over(&database, &folder.path().join("keys"), open).await);
}
