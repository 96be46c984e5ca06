//! Tests of calls that fail. The host continues to work after each failed call.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::connect::Grant;
use tiktok_shop_host::connection::ShopPolicy;
use tiktok_shop_host::credentials::{AppCredentials, CredentialsError, CredentialsProvider, StaticCredentials};
use tiktok_shop_host::deadlines::Deadlines;
use tiktok_shop_host::error::Resource;
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::randomness::Randomness;
use tiktok_shop_host::seal::HostKeys;
use tiktok_shop_host::storage::MemoryStorage;
use tiktok_shop_host::{CallError, Component, ConnectorHost, ConnectorHostBuilder, CustomerId, TenantId};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::guest::{self, Body};

fn builder(body: Body, credentials: Arc<dyn CredentialsProvider>) -> ConnectorHostBuilder {
    ConnectorHost::builder()
        .component(Component::Bytes(guest::component("plugin", body)))
        .storage(Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO)))))
        .keys(Arc::new(HostKeys::draw().unwrap()))
        .credentials(credentials)
        .limits(Limits { concurrent_calls: 1, ..Limits::default() })
        .deadlines(Deadlines { cpu: Duration::from_millis(50), ..Deadlines::default() })
}

fn host(body: Body, credentials: Arc<dyn CredentialsProvider>) -> ConnectorHost {
    builder(body, credentials).build().unwrap()
}

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

/// Makes a call for which the host fetches no credentials in advance. If the guest asks for credentials during the
/// call, the host asks the provider.
async fn list(host: &ConnectorHost) -> CallError {
    host.list_shops(&tenant(), &"customer-7".parse().unwrap()).await.unwrap_err()
}

#[tokio::test]
async fn a_trap_ends_the_call_and_the_next_one_runs() {
    let host = host(Body::Trap, Arc::new(StaticCredentials::new()));
    let customer: CustomerId = "customer-7".parse().unwrap();
    for _ in 0..3 {
        let grant = Grant::Code("code-s3cret".into());
        let error = host.connect(&tenant(), &customer, None, grant, ShopPolicy::All).await.unwrap_err();
        assert!(matches!(error, CallError::Trapped { .. }), "{error:?}");
        assert!(error.to_string().starts_with("tiktok-shop:connector@0.2.0: wasm trap: wasm `unreachable`"), "{error}");
        assert!(!format!("{error:?} {error}").contains("s3cret"), "{error:?}");
    }
}

/// A source of randomness that returns bytes this many times and then fails.
struct Limited(AtomicUsize);

impl Randomness for Limited {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        let decrease = |left: usize| left.checked_sub(1);
        let left =
            self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, decrease).map_err(|_| io::ErrorKind::Other)?;
        bytes.fill(u8::try_from(left).unwrap());
        Ok(())
    }
}

#[tokio::test]
async fn a_call_does_not_start_without_the_randomness_for_its_revisions() {
    let host = builder(Body::Trap, Arc::new(StaticCredentials::new()))
        .randomness(Arc::new(Limited(AtomicUsize::new(2))))
        .build()
        .unwrap();
    for _ in 0..2 {
        let error = list(&host).await;
        assert!(matches!(error, CallError::Trapped { .. }), "the call started: {error:?}");
    }
    for _ in 0..2 {
        let error = list(&host).await;
        assert!(matches!(error, CallError::NoRandomness { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_guest_that_grows_its_table_forever_is_ended() {
    let error = list(&host(Body::GrowTable, Arc::new(StaticCredentials::new()))).await;
    assert!(matches!(error, CallError::Exhausted { resource: Resource::Table, .. }), "{error:?}");
}

/// A provider of credentials that never answers.
struct Silent;

#[async_trait]
impl CredentialsProvider for Silent {
    async fn apps(&self, _: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_never_answers_fails_at_its_deadline() {
    let host = host(Body::AskOnce, Arc::new(Silent));
    let started = Instant::now();
    let error = list(&host).await;
    assert!(matches!(error, CallError::Trapped { .. }), "{error:?}");
    assert_eq!(started.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_finishes_ends_at_its_deadline() {
    let host = host(Body::AskForever, Arc::new(Silent));
    let started = Instant::now();
    let error = list(&host).await;
    assert!(matches!(error, CallError::DeadlineExceeded { .. }), "{error:?}");
    assert_eq!(error.to_string(), "tiktok-shop:connector@0.2.0: not done within 120 s");
    assert_eq!(started.elapsed().as_secs(), 120);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_free_instance_waits_and_then_returns_busy() {
    let host = host(Body::AskForever, Arc::new(Silent));
    let first = tokio::spawn({
        let host = host.clone();
        async move { list(&host).await }
    });
    tokio::task::yield_now().await;
    let started = Instant::now();
    let error = list(&host).await;
    assert!(matches!(error, CallError::Busy { .. }), "{error:?}");
    assert_eq!(started.elapsed().as_secs(), 10);
    assert!(matches!(first.await.unwrap(), CallError::DeadlineExceeded { .. }));
    let error = list(&host).await;
    assert!(matches!(error, CallError::DeadlineExceeded { .. }), "the instance is free again: {error:?}");
}

/// A provider of credentials that notifies `asked` when it is called, waits for `go`, notifies `answered`, and panics.
#[derive(Default)]
struct Gate {
    asked: Notify,
    go: Notify,
    answered: Notify,
}

#[async_trait]
impl CredentialsProvider for Gate {
    async fn apps(&self, _: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        self.asked.notify_one();
        self.go.notified().await;
        self.answered.notify_one();
        panic!("a backend's panic is an error value to the guest");
    }
}

#[tokio::test]
async fn a_call_continues_after_its_caller_has_stopped_waiting() {
    let gate = Arc::new(Gate::default());
    let host = host(Body::AskOnce, Arc::clone(&gate) as Arc<dyn CredentialsProvider>);
    tokio::select! {
        error = list(&host) => panic!("the call ended first: {error:?}"),
        () = gate.asked.notified() => {}
    }
    drop(host);
    gate.go.notify_one();
    gate.answered.notified().await;
}

#[tokio::test]
async fn a_panic_of_a_backend_becomes_an_error_value_for_the_guest() {
    let gate = Arc::new(Gate::default());
    let host = host(Body::AskOnce, Arc::clone(&gate) as Arc<dyn CredentialsProvider>);
    gate.go.notify_one();
    let error = list(&host).await;
    assert!(matches!(error, CallError::Trapped { .. }), "the guest gets an error value, and then traps: {error:?}");
}
