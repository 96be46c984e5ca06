//! The end of the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use tiktok_shop_host::refresh::{RefreshEffect, RefreshMode};
use tiktok_shop_host::storage::{Access, HostStorage, Interceptor, Passage};
use tiktok_shop_server::Settings;
use tiktok_shop_server::delivery::{DeliveryStorage as _, MemoryDeliveries};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::outgoing::acme;
use crate::receiver::Receiver;
use crate::stage::{DAY, Stage};

/// Holds the save of new tokens, which is the second write of a token record in a refresh: the first one is the claim.
#[derive(Default)]
struct HoldsTheSave {
    /// The number of writes until the save. Zero: nothing is held.
    writes: AtomicU32,
    reached: Notify,
    released: Notify,
}

#[async_trait::async_trait]
impl Interceptor for HoldsTheSave {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        if access.method() == "swap_token" {
            let left = self.writes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if left == Ok(1) {
                self.reached.notify_one();
                self.released.notified().await;
            }
        }
        Passage::Forward
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_in_the_middle_of_a_refresh_saves_the_new_tokens() {
    let holds = Arc::new(HoldsTheSave::default());
    let mut stage = Stage::with(|_| {}, Some(holds.clone())).await;
    let account = stage.connect("customer-7", "one-shop").await;
    stage.pass(8 * DAY);
    holds.writes.store(2, Ordering::SeqCst);
    let refresh = format!("/v1/customers/customer-7/connections/{account}/refresh");
    let request = stage.request("POST", &refresh).json(&json!({ "mode": "forced" }));
    let answering = tokio::spawn(request.send());
    holds.reached.notified().await;

    // TikTok Shop has answered, and the new tokens are not saved yet.
    stage.stop.cancel();
    // The listener is closed soon, so a connection attempt fails sooner or later.
    while TcpStream::connect(stage.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!stage.serving.is_finished(), "the service waits for the save");
    holds.released.notify_one();
    let answer = answering.await.unwrap();
    assert_eq!((answer.status, &answer.json()["effect"]), (200, &json!("renewed")), "{}", answer.text());
    (&mut stage.serving).await.unwrap();

    let (tenant, customer) = ("acme".parse().unwrap(), "customer-7".parse().unwrap());
    let again = stage.host.refresh(&tenant, &customer, None, RefreshMode::Forced).await.unwrap();
    assert_eq!(again.effect, RefreshEffect::Renewed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_does_not_end_its_refresh() {
    let holds = Arc::new(HoldsTheSave::default());
    let mut stage = Stage::with(|_| {}, Some(holds.clone())).await;
    let account = stage.connect("customer-7", "one-shop").await;
    stage.pass(8 * DAY);
    holds.writes.store(2, Ordering::SeqCst);
    let refresh = format!("/v1/customers/customer-7/connections/{account}/refresh");
    let client = tokio::spawn(stage.request("POST", &refresh).json(&json!({})).send());
    holds.reached.notified().await;
    client.abort();
    let _ = client.await;
    stage.stop.cancel();
    holds.released.notify_one();
    (&mut stage.serving).await.unwrap();
    let (tenant, customer) = ("acme".parse().unwrap(), "customer-7".parse().unwrap());
    let listed = stage.host.list_connections(&tenant, &customer).await.unwrap();
    assert_eq!(listed[0].refreshed_at.0, crate::stage::BEGIN + 8 * DAY, "the new tokens are saved");
}

/// The service looks for events by itself only once an hour. So only the end of the call can make it look.
#[tokio::test(flavor = "multi_thread")]
async fn the_events_of_a_call_are_sent_at_once_even_if_its_client_has_gone_away() {
    let holds = Arc::new(HoldsTheSave::default());
    let stage = Stage::with(|_| {}, Some(holds.clone())).await;
    let account = stage.connect("customer-7", "one-shop").await;
    stage.pass(8 * DAY);
    let (deliveries, mut receiver) = (Arc::new(MemoryDeliveries::new(stage.clock())), Receiver::accepting().await);
    let hourly = |settings: &mut Settings| settings.delivery_poll = Duration::from_secs(3_600);
    let service = stage.serve_another(deliveries.clone(), vec![receiver.endpoint("main")], hourly).await;
    // The endpoint has found its place.
    while deliveries.position(&acme(), &"main".parse().unwrap()).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    holds.writes.store(2, Ordering::SeqCst);
    let body = r#"{"mode":"forced"}"#;
    let request = format!(
        "POST /v1/customers/customer-7/connections/{account}/refresh HTTP/1.1\r\nhost: {}\r\n\
         authorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        service.address,
        stage.key,
        body.len()
    );
    let mut client = TcpStream::connect(service.address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    holds.reached.notified().await;
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"", "the service has noticed that nobody waits for its answer");

    holds.released.notify_one();
    let sent = tokio::time::timeout(Duration::from_secs(60), receiver.next()).await.expect("the endpoint is woken");
    assert_eq!(sent.json()["type"], "connection.refresh_forced");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_ends_at_its_deadline_even_if_a_call_hangs() {
    let holds = Arc::new(HoldsTheSave::default());
    let mut stage =
        Stage::with(|settings| settings.shutdown_deadline = Duration::from_millis(50), Some(holds.clone())).await;
    let account = stage.connect("customer-7", "one-shop").await;
    holds.writes.store(1, Ordering::SeqCst);
    let refresh = format!("/v1/customers/customer-7/connections/{account}/refresh");
    let _client = tokio::spawn(stage.request("POST", &refresh).json(&json!({ "mode": "forced" })).send());
    holds.reached.notified().await;
    stage.stop.cancel();
    (&mut stage.serving).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_does_not_hold_up_the_end() {
    let mut stage = Stage::new().await;
    let _idle = TcpStream::connect(stage.address).await.unwrap();
    assert_eq!(stage.get("/healthz").await.status, 200);
    stage.stop.cancel();
    (&mut stage.serving).await.unwrap();
}
