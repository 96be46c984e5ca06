//! A guest that takes all it can get is ended by the limit it hits, which the host is told, and every other call goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tiktok_shop_host_harness::{
    AppCredentials, CallError, ConnectorHost, CredentialsError, CredentialsProvider, Deadlines, EgressPolicy, Resource,
    Rotation, TenantId,
};
use tiktok_shop_tests::{customer_id, tenant};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::hostile_guest::{self, LIMITS, deadlines, obey, used_up};

fn host() -> ConnectorHost {
    hostile_guest::host(EgressPolicy::production())
}

#[tokio::test]
async fn each_limit_ends_the_call_and_is_named() {
    let host = host();
    for (order, resource) in [
        ("compute", Resource::Cpu),
        ("host calls", Resource::Cpu),
        ("large host calls\n1000000", Resource::Cpu),
        ("large host calls\n2000000", Resource::HostcallBytes),
        ("text\n2000000", Resource::HostcallBytes),
        ("handles", Resource::Handles),
        ("headers", Resource::HeaderBytes),
        ("memory", Resource::Memory),
        ("random bytes\n4097", Resource::RandomBytes),
        ("random bytes\n18446744073709551615", Resource::RandomBytes),
        ("stack\n1000000", Resource::Stack),
    ] {
        assert_eq!(used_up(obey(&host, order).await), resource, "{order}");
    }
}

#[tokio::test]
async fn what_stays_within_the_limits_passes() {
    let host = host();
    for (order, outcome) in [("random bytes\n4096", "4096"), ("stack\n500", "500")] {
        assert_eq!(obey(&host, order).await.as_deref(), Ok(outcome), "{order}");
    }
    assert_eq!(obey(&host, "text\n1000000").await.map(|text| text.len()), Ok(1_000_000));
    assert_eq!(host.list_shops(&tenant(0), &customer_id("1000")).await.unwrap().len(), 1_000);
}

#[tokio::test]
async fn an_answer_without_end_is_not_copied() {
    let host = host();
    // A megabyte in the host's memory, not so many in the guest's.
    assert_eq!(used_up(host.list_shops(&tenant(0), &customer_id("10000")).await), Resource::HostcallBytes);
    let refreshed = host.refresh(&tenant(0), &customer_id("any"), None, Rotation::Forced).await;
    assert_eq!(used_up(refreshed), Resource::Memory, "the text of an error");
}

#[tokio::test]
async fn requests_that_nobody_waits_for_end_with_the_call() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let policy = EgressPolicy::production()
        .stand_in(tiktok_shop_host_harness::Authority::Auth, silent.local_addr().unwrap())
        .unwrap();
    let host = hostile_guest::host(policy);
    assert_eq!(used_up(obey(&host, "requests\nauth.tiktok-shops.com").await), Resource::Handles);
    // Those that were connected are hung up: each connection ends without a request, or with one and no more.
    let mut connections = 0;
    while let Ok(Ok((connection, _))) = tokio::time::timeout(Duration::ZERO, silent.accept()).await {
        connections += 1;
        loop {
            connection.readable().await.unwrap();
            match connection.try_read(&mut [0; 1024]) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    }
    assert!(connections <= LIMITS.handles, "{connections}");
}

/// Counts how often it is asked, and tells of it.
#[derive(Default)]
struct Asked {
    times: AtomicUsize,
    now: Notify,
}

#[async_trait]
impl CredentialsProvider for Asked {
    async fn current(&self, _: &TenantId) -> Result<AppCredentials, CredentialsError> {
        self.times.fetch_add(1, Ordering::SeqCst);
        self.now.notify_one();
        Err(CredentialsError::Refused("none".to_owned()))
    }
}

/// On one thread: a guest that kept it to itself would stop the test.
#[tokio::test(flavor = "current_thread")]
async fn calls_begin_and_end_while_another_computes_for_ever() {
    let asked = Arc::new(Asked::default());
    let host = hostile_guest::builder()
        .credentials(Arc::clone(&asked) as Arc<_>)
        .deadlines(Deadlines { cpu: Duration::from_secs(3_600), ..Deadlines::default() })
        .build()
        .unwrap();
    let endless = tokio::spawn({
        let host = host.clone();
        async move { obey(&host, "compute").await }
    });
    asked.now.notified().await;
    for _ in 0..3 {
        assert_eq!(obey(&host, "random bytes\n16").await.as_deref(), Ok("16"));
    }
    // On the same engine, by a host with a deadline of its own.
    assert_eq!(used_up(obey(&self::host(), "compute").await), Resource::Cpu);
    assert!(!endless.is_finished());
    assert_eq!(asked.times.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_waits_for_ever_ends_at_the_calls_deadline() {
    let host = host();
    let started = Instant::now();
    let outcome = obey(&host, "wait").await;
    assert!(matches!(outcome, Err(CallError::DeadlineExceeded { .. })), "{outcome:?}");
    assert_eq!(started.elapsed(), deadlines().call);
}

#[tokio::test]
async fn a_call_after_each_ended_one_finds_nothing_amiss() {
    let host =
        hostile_guest::alone(tiktok_shop_host_harness::Limits { concurrent_calls: 1, ..LIMITS }).build().unwrap();
    for order in ["compute", "handles", "memory", "stack\n1000000"] {
        used_up(obey(&host, order).await);
        assert_eq!(obey(&host, "random bytes\n16").await.as_deref(), Ok("16"), "after {order}");
    }
}
