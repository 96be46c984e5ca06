//! Every storage that the library brings keeps the contract, with one handle and with several.
#![allow(clippy::unwrap_used, reason = "a test that can't open its database has nothing to assert")]

#[path = "../../examples/own_storage.rs"]
#[expect(dead_code, unreachable_pub, reason = "an example, to be read as a program")]
mod own_storage;

use std::sync::Arc;

use tiktok_shop_host::clock::SystemClock;
use tiktok_shop_host::storage::{HostStorage, MemoryStorage};
use tiktok_shop_sql_storage::{PostgresOptions, SqlStorage};
use tiktok_shop_storage_contract as contract;
use tiktok_shop_storage_contract::Alternating;

#[expect(clippy::print_stdout, reason = "shown where a test fails, and with --nocapture")]
async fn keeps_the_contract(storage: impl HostStorage + 'static) {
    let report = contract_tests::run(Arc::new(storage), |outcome| println!("{:?} {outcome}", outcome.took));
    report.await.assert_kept();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contract() {
    keeps_the_contract(MemoryStorage::new(Arc::new(SystemClock::new()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    keeps_the_contract(SqlStorage::sqlite(folder.path().join("storage.db")).await.unwrap()).await;
}

/// As two processes of one machine would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_opened_twice_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storage.db");
    let [first, second] = [SqlStorage::sqlite(&path).await.unwrap(), SqlStorage::sqlite(&path).await.unwrap()];
    keeps_the_contract(Alternating::new(Arc::new(first), vec![Arc::new(second)])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_keeps_the_contract() {
    let Some(address) = tiktok_shop_test_postgres::test_postgres() else { return };
    keeps_the_contract(SqlStorage::postgres(&address, PostgresOptions::default()).await.unwrap()).await;
}

/// As three hosts of a fleet would. Beside the test above it meets another run on the same database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_opened_thrice_keeps_the_contract() {
    let Some(address) = tiktok_shop_test_postgres::test_postgres() else { return };
    let open = async || SqlStorage::postgres(&address, PostgresOptions::default()).await.unwrap();
    let others: Vec<Arc<dyn HostStorage>> = vec![Arc::new(open().await), Arc::new(open().await)];
    keeps_the_contract(Alternating::new(Arc::new(open().await), others)).await;
}

/// The example in the documentation. Where there is a disk in memory, on that: it writes each record for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storage_of_ones_own_keeps_the_contract() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    keeps_the_contract(own_storage::OwnStorage::open(&folder.path().join("storage.redb")).unwrap()).await;
}
