//! Tests of the limits for a guest that takes as much as it can get. The call ends at the limit, the error names the
//! limit, and other calls continue.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tiktok_shop_host::credentials::{AppCredentials, CredentialsError, CredentialsProvider};
use tiktok_shop_host::deadlines::Deadlines;
use tiktok_shop_host::egress::{Authority, EgressPolicy};
use tiktok_shop_host::error::Resource;
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::{CallError, Component, ConnectorHost, ConnectorHostBuilder, TenantId};
use tiktok_shop_tests::{customer_id, tenant};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::hostile_guest::{self, LIMITS, exhausted, obey};

fn host() -> ConnectorHost {
    hostile_guest::builder().build().unwrap()
}

/// Builds a host that lets a call compute for only 50 ms. On a busy machine, this limit may also end a call that
/// computes little.
fn impatient(builder: ConnectorHostBuilder) -> ConnectorHost {
    builder.deadlines(Deadlines { cpu: Duration::from_millis(50), ..Deadlines::default() }).build().unwrap()
}

#[tokio::test]
async fn endless_computing_in_the_guest_or_in_host_calls_ends_at_the_limit() {
    let host = impatient(hostile_guest::builder());
    for order in ["compute", "host calls", "large host calls\n1000000"] {
        assert_eq!(exhausted(obey(&host, order).await), Resource::Cpu, "{order}");
    }
}

#[tokio::test]
async fn each_limit_ends_the_call_with_an_error_that_names_it() {
    let host = host();
    for (order, resource) in [
        ("large host calls\n2000000", Resource::HostcallBytes),
        ("text\n2000000", Resource::HostcallBytes),
        ("handles\n101", Resource::Handles),
        ("requests\nauth.tiktok-shops.com", Resource::Handles),
        ("headers\n17", Resource::HeaderBytes),
        ("memory", Resource::Memory),
        ("bodies", Resource::Memory),
        ("random bytes\n4097", Resource::RandomBytes),
        ("random bytes\n18446744073709551615", Resource::RandomBytes),
        ("stack\n1000000", Resource::Stack),
    ] {
        assert_eq!(exhausted(obey(&host, order).await), resource, "{order}");
    }
}

#[tokio::test]
async fn a_call_within_the_limits_succeeds() {
    let host = host();
    for (order, outcome) in
        [("handles\n99", "99"), ("headers\n15", "15"), ("random bytes\n4096", "4096"), ("stack\n500", "500")]
    {
        assert_eq!(obey(&host, order).await.as_deref(), Ok(outcome), "{order}");
    }
    assert_eq!(obey(&host, "text\n1000000").await.map(|text| text.len()), Ok(1_000_000));
    assert_eq!(host.list_shops(&tenant(0), &customer_id("1000")).await.unwrap().len(), 1_000);
}

#[tokio::test]
async fn an_oversized_answer_is_not_copied() {
    let host = host();
    // The host would need more than 1 MiB for a copy of this answer. The guest has enough memory for it.
    assert_eq!(exhausted(host.list_shops(&tenant(0), &customer_id("10000")).await), Resource::HostcallBytes);
    let refreshed = host.refresh(&tenant(0), &customer_id("any"), None, RefreshMode::Forced).await;
    assert_eq!(exhausted(refreshed), Resource::Memory, "the text of the error is oversized");
}

/// A provider of credentials that counts its requests. In the first call, the host makes the first request before the
/// guest starts, and the guest makes the second request. The provider answers the second request only when the test
/// allows it.
#[derive(Default)]
struct Gate {
    asked: Notify,
    times: AtomicUsize,
    go: Notify,
}

#[async_trait]
impl CredentialsProvider for Gate {
    async fn apps(&self, _: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        if self.times.fetch_add(1, Ordering::SeqCst) == 1 {
            self.asked.notify_one();
            self.go.notified().await;
        }
        Err(CredentialsError::Refused("none".to_owned()))
    }
}

fn gated(gate: &Arc<Gate>) -> ConnectorHostBuilder {
    hostile_guest::builder().credentials(Arc::clone(gate) as Arc<_>)
}

/// tokio's clock is paused and does not move while a task can run. So no deadline ends the request.
#[tokio::test(start_paused = true)]
async fn an_open_request_ends_with_its_call() {
    let gate = Arc::new(Gate::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let policy = EgressPolicy::production().stand_in(Authority::Auth, listener.local_addr().unwrap()).unwrap();
    let host = gated(&gate).egress(policy).build().unwrap();
    let started = Instant::now();
    let call = tokio::spawn(async move { obey(&host, "abandon\nauth.tiktok-shops.com").await });
    let mut connection = listener.accept().await.unwrap().0;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.unwrap());
    }
    gate.go.notify_one();
    call.await.unwrap().unwrap();
    assert_eq!(connection.read(&mut [0]).await.unwrap(), 0, "the connection is closed");
    assert_eq!(started.elapsed(), Duration::ZERO);
}

/// The test runs on one thread. So the other calls can run only if the guest gives the thread back.
#[tokio::test(flavor = "current_thread")]
async fn calls_begin_and_end_while_another_call_computes_endlessly() {
    let gate = Arc::new(Gate::default());
    gate.go.notify_one();
    // The limit of 60 s is long enough for any machine. If the guest keeps the thread, this limit ends the call. So the
    // test fails, but it does not hang.
    let patient = Deadlines { cpu: Duration::from_secs(60), ..Deadlines::default() };
    let host = gated(&gate).deadlines(patient).build().unwrap();
    let endless = tokio::spawn({
        let host = host.clone();
        async move { obey(&host, "compute").await }
    });
    gate.asked.notified().await;
    for _ in 0..3 {
        assert_eq!(obey(&host, "random bytes\n16").await.as_deref(), Ok("16"));
    }
    // This host shares the engine with the other host, but has its own limit.
    assert_eq!(exhausted(obey(&impatient(hostile_guest::builder()), "compute").await), Resource::Cpu);
    assert!(!endless.is_finished());
    assert_eq!(gate.times.load(Ordering::SeqCst), 5, "two for the endless call, and one for each of the others");
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_waits_endlessly_ends_at_the_calls_deadline() {
    let host = host();
    let started = Instant::now();
    let outcome = obey(&host, "wait").await;
    assert!(matches!(outcome, Err(CallError::DeadlineExceeded { .. })), "{outcome:?}");
    assert_eq!(started.elapsed(), Deadlines::default().call);
}

/// The pool has one instance, so the next call gets the memory of the ended call.
#[tokio::test]
async fn after_each_limit_the_next_call_works() {
    let host = hostile_guest::with_own_engine(Limits { concurrent_calls: 1, ..LIMITS }).build().unwrap();
    let same = impatient(hostile_guest::builder().component(Component::SharedWith(host.clone())));
    for order in ["compute", "handles\n101", "memory", "stack\n1000000"] {
        exhausted(obey(&same, order).await);
        assert_eq!(obey(&host, "random bytes\n16").await.as_deref(), Ok("16"), "after {order}");
    }
}
