//! Calls that a crash test watches, and ends where it likes.

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

/// Counts how often it is asked.
#[derive(Default)]
struct Counting(AtomicUsize);

#[async_trait]
impl CredentialsProvider for Counting {
    async fn current(&self, _: &TenantId) -> Result<AppCredentials, CredentialsError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Err(CredentialsError::Refused("none here".to_owned()))
    }
}

/// One call of a guest that asks for the app's credentials once, which breaks at this crossing: how it ended, and each
/// crossing with how often the host had been asked by then.
async fn call(host: &ConnectorHost, credentials: Arc<Counting>, last: u32) -> (CallError, Vec<(Crossing, usize)>) {
    let crossings = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&crossings);
    let counted = Arc::clone(&credentials);
    let host = ConnectorHost::builder()
        .component(Component::SharedWith(host.clone()))
        .storage(Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO)))))
        .keys(Arc::new(HostKeys::draw().unwrap()))
        .credentials(credentials)
        .on_crossing(move |crossing| {
            seen.lock().unwrap().push((crossing, counted.0.load(Ordering::Relaxed)));
            if crossing.number == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .build()
        .unwrap();
    let tenant = "acme".parse().unwrap();
    let error = host.authorization_url(&tenant, "state-s3cret".into()).await.unwrap_err();
    let crossings = crossings.lock().unwrap().clone();
    (error, crossings)
}

/// A host with one instance: one that is not given back would be missed.
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
async fn a_call_that_is_left_alone_ends_as_it_would_and_each_crossing_has_the_next_number() {
    let (error, crossings) = call(&host(), Arc::default(), u32::MAX).await;
    assert!(matches!(error, CallError::Trapped { .. }), "{error:?}");
    let numbers: Vec<_> = crossings.iter().map(|(crossing, _)| crossing.number).collect();
    assert_eq!(numbers, (1..=u32::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());
    let asked = crossings.iter().position(|(_, asked)| *asked == 1).unwrap();
    assert_eq!(crossings[asked - 1].0.direction, Direction::ToHost);
    assert_eq!(crossings.last().unwrap().0.direction, Direction::ToGuest);
}

#[tokio::test]
async fn a_call_ends_before_a_function_of_the_host_or_after_it_and_does_nothing_more() {
    let host = host();
    let (_, undisturbed) = call(&host, Arc::default(), u32::MAX).await;
    for (at, (crossing, asked)) in undisturbed.iter().enumerate() {
        let credentials = Arc::new(Counting::default());
        let (error, crossings) = call(&host, Arc::clone(&credentials), crossing.number).await;
        assert!(matches!(error, CallError::Aborted { .. }), "{crossing:?}: {error:?}");
        assert_eq!(crossings, undisturbed[..=at], "{crossing:?}: nothing is asked about what unwinds");
        assert_eq!(credentials.0.load(Ordering::Relaxed), *asked, "{crossing:?}");
    }
}
