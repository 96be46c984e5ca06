//! Tests that every storage carries a request with an idempotency key out once, and remembers its answer for 24 hours.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken expectation is a failed test")]

mod schema;

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use sqlx::{Connection as _, Executor as _, PgConnection};
use tiktok_shop_host::TenantId;
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::storage::{BegunRequest, MemoryStorage, RequestDigest, RequestStorage};
use tiktok_shop_sql_storage::{MachineClock, OpenMode, PostgresOptions, SqlStorage};

use self::schema::new_schema;

const CALLERS: u8 = 8;

fn attempt(number: u8) -> BegunRequest {
    BegunRequest { fingerprint: [7; 32], attempt: [number; 16] }
}

/// Checks everything but time.
async fn check(storage: &dyn RequestStorage) {
    let [acme, other] = ["acme", "other"].map(|tenant| tenant.parse::<TenantId>().unwrap());
    let (key, second) = (RequestDigest::of("k"), RequestDigest::of("l"));
    // Of several callers, one begins.
    let begun = join_all((1..=CALLERS).map(async |number| {
        let found = storage.begin_request(&acme, &key, &attempt(number)).await.unwrap();
        found.is_none().then_some(number)
    }));
    let winners: Vec<_> = begun.await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1, "{winners:?}");
    let winner = winners[0];
    let stored = async || storage.begin_request(&acme, &key, &attempt(99)).await.unwrap().unwrap();
    assert_eq!((stored().await.begun, stored().await.answer), (attempt(winner), None));
    assert!(stored().await.age < Duration::from_secs(60), "{:?}", stored().await.age);
    // Other keys and other tenants are others.
    assert_eq!(storage.begin_request(&acme, &second, &attempt(1)).await, Ok(None));
    assert_eq!(storage.begin_request(&other, &key, &attempt(1)).await, Ok(None));

    // Only the attempt that has begun the request can end it.
    storage.finish_request(&acme, &key, &[99; 16], b"wrong").await.unwrap();
    storage.forget_request(&acme, &key, &[99; 16]).await.unwrap();
    assert_eq!(stored().await.answer, None);
    let answer = [0, 255, b'a'].repeat(100_000);
    storage.finish_request(&acme, &key, &[winner; 16], &answer).await.unwrap();
    assert_eq!(stored().await.answer, Some(answer));
    assert_eq!(storage.begin_request(&other, &key, &attempt(2)).await.unwrap().unwrap().answer, None);
    // A request that is forgotten can begin again.
    storage.forget_request(&acme, &second, &[1; 16]).await.unwrap();
    assert_eq!(storage.begin_request(&acme, &second, &attempt(2)).await, Ok(None));
}

/// Checks that the requests of a tenant are deleted with the tenant.
async fn check_erasure<S: RequestStorage + tiktok_shop_host::storage::KeyStorage>(storage: &S) {
    let [acme, other] = ["acme", "other"].map(|tenant| tenant.parse::<TenantId>().unwrap());
    while !storage.delete_tenant(&acme, 1).await.unwrap().is_complete {}
    assert_eq!(storage.begin_request(&acme, &RequestDigest::of("k"), &attempt(1)).await, Ok(None));
    assert!(storage.begin_request(&other, &RequestDigest::of("k"), &attempt(1)).await.unwrap().is_some());
}

#[tokio::test]
async fn memory_remembers_a_request_for_24_hours() {
    let clock = Arc::new(ManualClock::at(Duration::ZERO));
    let storage = MemoryStorage::new(clock.clone());
    check(&storage).await;
    let (tenant, key) = ("acme".parse().unwrap(), RequestDigest::of("k"));
    clock.advance(Duration::from_secs(86_400));
    let found = storage.begin_request(&tenant, &key, &attempt(50)).await.unwrap().unwrap();
    assert_eq!(found.age, Duration::from_secs(86_400));
    clock.advance(Duration::from_secs(1));
    assert_eq!(storage.begin_request(&tenant, &key, &attempt(50)).await, Ok(None));
    storage.begin_request(&"other".parse().unwrap(), &key, &attempt(50)).await.unwrap();
    check_erasure(&storage).await;
}

/// A machine whose boot changes with each opening.
struct Machine {
    boot: String,
    wall: Duration,
}

impl MachineClock for Machine {
    fn boot(&self) -> &str {
        &self.boot
    }

    fn since_boot(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn wall(&self) -> Duration {
        self.wall
    }
}

#[tokio::test]
async fn sqlite_remembers_a_request_for_24_hours_also_after_a_restart_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("storage.db");
    let begin = 1_767_225_600;
    let open = async |boot: &str, seconds: u64| {
        let clock = Machine { boot: boot.to_owned(), wall: Duration::from_secs(begin + seconds) };
        SqlStorage::sqlite_by_clock(&path, OpenMode::Create, Arc::new(clock)).await.unwrap()
    };
    let storage = open("first", 0).await;
    check(&storage).await;
    storage.close().await;
    let (tenant, key) = ("acme".parse().unwrap(), RequestDigest::of("k"));
    let storage = open("second", 86_400).await;
    let found = storage.begin_request(&tenant, &key, &attempt(50)).await.unwrap().unwrap();
    assert_eq!((found.age, found.answer.is_some()), (Duration::from_secs(86_400), true));
    storage.close().await;
    let storage = open("second", 86_401).await;
    assert_eq!(storage.begin_request(&tenant, &key, &attempt(50)).await, Ok(None));
    storage.begin_request(&"other".parse().unwrap(), &key, &attempt(50)).await.unwrap();
    check_erasure(&storage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_remembers_a_request_for_24_hours() {
    let Some(server) = tiktok_shop_test_postgres::test_postgres() else { return };
    let address = new_schema(&server).await;
    let storage = SqlStorage::postgres(&address, OpenMode::Migrate, PostgresOptions::default()).await.unwrap();
    check(&storage).await;
    let (tenant, key) = ("acme".parse().unwrap(), RequestDigest::of("k"));
    // The server's clock can't be moved, so the entries are.
    let mut operator = PgConnection::connect(&address).await.unwrap();
    let older = "UPDATE tiktok_shop_requests SET begun_at = begun_at - INTERVAL '23 hours 59 minutes'";
    operator.execute(older).await.unwrap();
    let found = storage.begin_request(&tenant, &key, &attempt(50)).await.unwrap().unwrap();
    assert!(found.age >= Duration::from_secs(86_340), "{:?}", found.age);
    check_erasure(&storage).await;
    operator.execute("UPDATE tiktok_shop_requests SET begun_at = begun_at - INTERVAL '1 day'").await.unwrap();
    let other = "other".parse().unwrap();
    assert_eq!(storage.begin_request(&other, &key, &attempt(50)).await, Ok(None));
}
