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
    for (sql, expected) in [("PRAGMA journal_mode", "wal"), ("PRAGMA synchronous", "2"), ("PRAGMA foreign_keys", "1")] {
        assert_eq!(on_each_connection(&storage.writers, 1, sql).await, [expected], "{sql}");
        assert_eq!(on_each_connection(&storage.readers, READERS, sql).await, [expected; READERS as usize], "{sql}");
    }
}

/// SQLite usually reads an index in its order, even if the statement does not ask for an order. With
/// `reverse_unordered_selects`, SQLite reads backwards if the statement does not ask for an order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_is_kept_if_lists_without_an_order_are_reversed() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path()).await;
    on_each_connection(&storage.writers, 1, "PRAGMA reverse_unordered_selects = ON").await;
    on_each_connection(&storage.readers, READERS, "PRAGMA reverse_unordered_selects = ON").await;
    let reversed = on_each_connection(&storage.readers, READERS, "PRAGMA reverse_unordered_selects").await;
    assert_eq!(reversed, ["1"; READERS as usize]);
    contract::run(Arc::new(storage), |_| {}).await.assert_kept();
}
