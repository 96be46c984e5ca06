//! Tests how the storage sets up its connections to SQLite's file.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a broken expectation is a failed test")]

use super::*;
use tiktok_shop_storage_contract as contract;

async fn open(folder: &Path) -> SqlStorage {
    SqlStorage::sqlite(folder.join("storage.db"), OpenMode::Create).await.unwrap()
}

/// Runs a statement on each connection of the pool, and returns all answers. `connections` is the size of the pool.
async fn on_each_connection(pool: &Pool, connections: u32, sql: &'static str) -> Vec<String> {
    let Pool::Sqlite(pool) = pool else { panic!("not SQLite") };
    let (mut held, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..connections {
        let mut connection = pool.acquire().await.unwrap();
        for row in connection.fetch_all(sql).await.unwrap() {
            let text: Result<String, _> = row.try_get(0);
            answers.push(text.unwrap_or_else(|_| row.get::<i64, _>(0).to_string()));
        }
        held.push(connection);
    }
    answers
}

/// The value `2` of `synchronous` means `FULL`: SQLite writes the log to the disk before a commit succeeds.
#[tokio::test]
async fn every_connection_commits_to_the_disk_and_checks_foreign_keys() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path()).await;
    for (sql, expected) in [
        ("PRAGMA journal_mode", "wal"),
        ("PRAGMA synchronous", "2"),
        ("PRAGMA foreign_keys", "1"),
        ("PRAGMA cache_size", "-16384"),
    ] {
        assert_eq!(on_each_connection(&storage.writers, 1, sql).await, [expected], "{sql}");
        assert_eq!(on_each_connection(&storage.readers, READERS, sql).await, [expected; READERS as usize], "{sql}");
    }
}

/// SQLite usually returns rows in the order of an index, even if the statement does not ask for an order. With the
/// setting `reverse_unordered_selects`, SQLite returns the rows of such a statement in the opposite order. The pool may
/// replace its connections during the test, so every new connection gets this setting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_is_kept_if_lists_without_an_order_are_reversed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = format!("{SETTINGS} PRAGMA reverse_unordered_selects = ON;").leak();
    let (path, clock) = (folder.path().join("storage.db"), Arc::new(BootClock::read().unwrap()));
    let storage = SqlStorage::sqlite_with_settings(path, OpenMode::Create, clock, settings).await.unwrap();
    let [readers, writers] = [storage.readers.clone(), storage.writers.clone()];
    contract::run(Arc::new(storage), |_| {}).await.assert_kept();
    for (pool, connections) in [(readers, READERS), (writers, 1)] {
        let reversed = on_each_connection(&pool, connections, "PRAGMA reverse_unordered_selects").await;
        assert!(reversed.iter().all(|on| on == "1"), "{reversed:?}");
    }
}
