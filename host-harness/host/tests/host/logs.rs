//! Tests that the log of failed calls contains no secret, at every log level.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tiktok_shop_canaries::Canaries;
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::connect::Grant;
use tiktok_shop_host::connection::ShopPolicy;
use tiktok_shop_host::credentials::{AppCredentials, StaticCredentials};
use tiktok_shop_host::log_filter::LogFilter;
use tiktok_shop_host::randomness::Randomness;
use tiktok_shop_host::seal::HostKeys;
use tiktok_shop_host::storage::MemoryStorage;
use tiktok_shop_host::{CallError, Component, ConnectorHost, ConnectorHostBuilder, TenantId};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::prelude::*;

use crate::guest::{self, Body};

const CODE: &str = "ROW_code-7c1e94a05b";
const STATE: &str = "state-5d80f2b6c3a9";
const SECRET: &str = "b0c9d8e7f6a5948372615f4e3d2c1b0a";

/// The log lines of one test. The test and its tasks run on one thread, so the subscriber of that thread sees all
/// lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn begin() -> (Self, DefaultGuard) {
        let lines = Self::default();
        let writer = lines.clone();
        let layer =
            tracing_subscriber::fmt::layer().with_ansi(false).without_time().with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(LogFilter));
        (lines, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn tenant() -> TenantId {
    "acme".parse().unwrap()
}

fn builder(body: Body) -> ConnectorHostBuilder {
    let credentials = AppCredentials {
        app_key: "key".to_owned(),
        app_secret: SECRET.into(),
        previous_app_secret: Some(SECRET.into()),
        authorization_link: None,
    };
    ConnectorHost::builder()
        .component(Component::Bytes(guest::component("plugin", body)))
        .storage(Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO)))))
        .keys(Arc::new(HostKeys::draw().unwrap()))
        .credentials(Arc::new(StaticCredentials::new().with(tenant(), credentials)))
}

/// Calls `connect` with a callback. Returns the error of the call, and the `Display` and `Debug` text of this error.
async fn connect(host: &ConnectorHost) -> (CallError, String) {
    let query = format!("code={CODE}&state={STATE}");
    let grant = Grant::Callback { query: query.into(), state: STATE.into() };
    let outcome = host.connect(&tenant(), &"customer-7".parse().unwrap(), None, grant, ShopPolicy::All).await;
    let error = outcome.unwrap_err();
    let text = format!("{error} {error:?}");
    (error, text)
}

fn assert_no_secret(text: &str) {
    let mut canaries = Canaries::default();
    canaries.add("authorization code", CODE);
    canaries.add("state", STATE);
    canaries.add("app secret", SECRET);
    assert_eq!(canaries.found_in(text.as_bytes()).len(), 0, "{text}");
}

#[tokio::test]
async fn a_guest_that_traps_with_secrets_in_its_memory_leaves_no_secret_in_the_log() {
    let (lines, _subscribed) = Lines::begin();
    let (error, text) = connect(&builder(Body::AskOnce).build().unwrap()).await;
    assert!(matches!(error, CallError::Trapped { .. }), "{error:?}");
    let log = lines.text();
    let end = "ERROR call{operation=\"connect\" tenant=\"acme\" customer=\"customer-7\"}: \
               tiktok_shop_host::guest::call_log: call ended outcome=\"trapped\"";
    assert_eq!(log.matches(end).count(), 1, "{log}");
    assert_eq!(log.matches("answer=Err(Trapped {").count(), 1, "{log}");
    assert_no_secret(&(log + &text));
}

/// A source of randomness that panics. The text of the panic contains a secret.
struct Broken;

impl Randomness for Broken {
    fn fill(&self, _: &mut [u8]) -> io::Result<()> {
        panic!("{SECRET}")
    }
}

#[tokio::test]
async fn a_panic_in_the_host_ends_the_call_without_logging_its_text() {
    let (lines, _subscribed) = Lines::begin();
    let host = builder(Body::Trap).randomness(Arc::new(Broken)).build().unwrap();
    for calls in 1..=2 {
        let (error, text) = connect(&host).await;
        assert!(matches!(error, CallError::Aborted { .. }), "{error:?}");
        let log = lines.text();
        assert_eq!(log.matches("ERROR call{").count(), calls, "{log}");
        assert_eq!(log.matches("call ended outcome=\"aborted\"").count(), calls, "{log}");
        assert_no_secret(&(log + &text));
    }
}
