//! Tests of boundary events. Such an event happens when a guest calls a host function, and when the function returns. A
//! test can observe the events of a call, and can end the call at any of these events.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tiktok_shop_host::boundary::{BoundaryEvent, Direction};
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::credentials::{AppCredentials, CredentialsError, CredentialsProvider};
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::seal::HostKeys;
use tiktok_shop_host::storage::MemoryStorage;
use tiktok_shop_host::{CallError, Component, ConnectorHost, TenantId};

use crate::guest::{self, Body};

/// A provider without credentials. It counts the requests for credentials.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl CredentialsProvider for Counting {
    async fn apps(&self, _: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(CredentialsError::Refused("none here".to_owned()))
    }
}

/// Calls a guest that asks for the app's credentials once, and ends the call at the boundary event with number `last`.
/// Returns the error of the call. Also returns each event, with the number of requests for credentials before the
/// event.
async fn call(host: &ConnectorHost, credentials: Arc<Counting>, last: u32) -> (CallError, Vec<(BoundaryEvent, usize)>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&events);
    let counted = Arc::clone(&credentials);
    let host = ConnectorHost::builder()
        .component(Component::SharedWith(host.clone()))
        .storage(Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO)))))
        .keys(Arc::new(HostKeys::draw().unwrap()))
        .credentials(credentials)
        .on_boundary(move |event| {
            seen.lock().unwrap().push((event, counted.0.load(Ordering::Relaxed)));
            if event.number == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .build()
        .unwrap();
    // The host fetches no credentials for this operation, so only the guest asks for them.
    let (tenant, customer) = ("acme".parse().unwrap(), "customer-7".parse().unwrap());
    let error = host.list_shops(&tenant, &customer).await.unwrap_err();
    let events = events.lock().unwrap().clone();
    (error, events)
}

/// Returns a host with one instance. If a call did not give its instance back, the next call would fail.
fn host() -> ConnectorHost {
    ConnectorHost::builder()
        .component(Component::Bytes(guest::component("plugin", Body::AskOnce)))
        .storage(Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO)))))
        .keys(Arc::new(HostKeys::draw().unwrap()))
        .credentials(Arc::new(Counting::default()))
        .limits(Limits { concurrent_calls: 1, ..Limits::default() })
        .build()
        .unwrap()
}

#[tokio::test]
async fn boundary_events_are_numbered_in_order() {
    let (error, events) = call(&host(), Arc::default(), u32::MAX).await;
    assert!(matches!(error, CallError::Trapped { .. }), "{error:?}");
    let numbers: Vec<_> = events.iter().map(|(event, _)| event.number).collect();
    assert_eq!(numbers, (1..=u32::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());
    let asked = events.iter().position(|(_, asked)| *asked == 1).unwrap();
    assert_eq!(events[asked - 1].0.direction, Direction::ToHost);
    assert_eq!(events.last().unwrap().0.direction, Direction::ToGuest);
}

#[tokio::test]
async fn a_call_that_ends_at_a_boundary_event_does_nothing_more() {
    let host = host();
    let (_, undisturbed) = call(&host, Arc::default(), u32::MAX).await;
    for (at, (event, asked)) in undisturbed.iter().enumerate() {
        let credentials = Arc::new(Counting::default());
        let (error, events) = call(&host, Arc::clone(&credentials), event.number).await;
        assert!(matches!(error, CallError::Aborted { .. }), "{event:?}: {error:?}");
        assert_eq!(events, undisturbed[..=at], "{event:?}: the hook is not called while the call unwinds");
        assert_eq!(credentials.0.load(Ordering::Relaxed), *asked, "{event:?}");
    }
}
