//! Tests that the storage in memory and the example `own_storage.rs` keep the contract. The package
//! `tiktok-shop-sql-storage` tests SQLite and PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that cannot open its database has nothing to assert")]

#[path = "../examples/own_storage.rs"]
#[expect(dead_code, unreachable_pub, reason = "the example is a program of its own")]
mod own_storage;

use std::sync::Arc;

use tiktok_shop_host::clock::SystemClock;
use tiktok_shop_host::storage::{HostStorage, MemoryStorage};
use tiktok_shop_storage_contract::{alternating, run};

#[expect(clippy::print_stdout, reason = "shown if the test fails, and with --nocapture")]
async fn assert_kept(storage: impl HostStorage + 'static) {
    let report = run(Arc::new(storage), |outcome| println!("{:?} {outcome}", outcome.took)).await;
    report.assert_kept();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_keeps_the_contract() {
    assert_kept(MemoryStorage::new(Arc::new(SystemClock::new()))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_behind_two_alternating_handles_keeps_the_contract() {
    let memory: Arc<dyn HostStorage> = Arc::new(MemoryStorage::new(Arc::new(SystemClock::new())));
    assert_kept(alternating(Arc::clone(&memory), vec![memory])).await;
}

/// Uses a file system in memory if the machine has one, because the example waits for the disk at every write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_own_storage_of_the_example_keeps_the_contract() {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    assert_kept(own_storage::OwnStorage::open(&folder.path().join("storage.redb")).unwrap()).await;
}
