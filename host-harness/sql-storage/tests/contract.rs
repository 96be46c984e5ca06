//! Tests that the storages in SQLite and PostgreSQL keep the storage contract. Some tests use a database through one
//! handle, other tests through several handles that take turns.
#![allow(clippy::unwrap_used, reason = "a test that can't open its database has nothing to assert")]

use std::sync::Arc;

use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_sql_storage::{OpenMode, PostgresOptions, SqlStorage};
use tiktok_shop_storage_contract as contract;
use tiktok_shop_storage_contract::alternating;

#[expect(clippy::print_stdout, reason = "shown if a test fails, and with --nocapture")]
async fn assert_contract(storage: impl HostStorage + 'static) {
    let report = contract::run(Arc::new(storage), |outcome| println!("{:?} {outcome}", outcome.took));
    report.await.assert_kept();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    assert_contract(SqlStorage::sqlite(folder.path().join("storage.db"), OpenMode::Create).await.unwrap()).await;
}

/// Two handles take turns, like two processes of one machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_opened_twice_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storage.db");
    let [first, second] = [
        SqlStorage::sqlite(&path, OpenMode::Create).await.unwrap(),
        SqlStorage::sqlite(&path, OpenMode::Create).await.unwrap(),
    ];
    assert_contract(alternating(Arc::new(first), vec![Arc::new(second)])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_contract() {
    let Some(address) = tiktok_shop_test_postgres::test_postgres() else { return };
    assert_contract(SqlStorage::postgres(&address, OpenMode::Migrate, PostgresOptions::default()).await.unwrap()).await;
}

/// Three handles take turns, like three hosts of a fleet. The test above may run on the same database at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_opened_three_times_keeps_the_contract() {
    let Some(address) = tiktok_shop_test_postgres::test_postgres() else { return };
    let open = async || SqlStorage::postgres(&address, OpenMode::Migrate, PostgresOptions::default()).await.unwrap();
    let others: Vec<Arc<dyn HostStorage>> = vec![Arc::new(open().await), Arc::new(open().await)];
    assert_contract(alternating(Arc::new(open().await), others)).await;
}
