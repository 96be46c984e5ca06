//! Webhooks to platforms, over real HTTP.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tiktok_shop_host::certificates::CertificateAuthorities;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_host::{CustomerId, TenantId};
use tiktok_shop_server::Settings;
use tiktok_shop_server::delivery::{
    AttemptFailure, Delivery, DeliveryId, DeliveryState, DeliveryStorage, EventTypes, MemoryDeliveries, NewDelivery,
};
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::http::Request;
use crate::receiver::{Received, Receiver, Reply, endpoint};
use crate::stage::{BEGIN, DAY, RETURN, SHOP, Stage};

pub(crate) fn acme() -> TenantId {
    "acme".parse().unwrap()
}

/// A delivery of a customer. Its id is the name of the customer and the number.
pub(crate) fn new(name: &str, customer: &str, number: u32) -> NewDelivery {
    NewDelivery {
        id: DeliveryId::parse(&format!("{customer}_{number}")).unwrap(),
        endpoint: name.parse().unwrap(),
        customer: Some(customer.parse::<CustomerId>().unwrap()),
        event_type: "tiktok.1".to_owned(),
        body: json!({ "type": "tiktok.1", "n": number }).to_string(),
    }
}

pub(crate) async fn append(storage: &dyn DeliveryStorage, deliveries: &[NewDelivery]) {
    let added = storage.append(&acme(), deliveries, UnixSeconds(BEGIN)).await.unwrap();
    assert_eq!(added, u64::try_from(deliveries.len()).unwrap());
}

/// Waits until a delivery has a property, and returns it. The service works meanwhile.
pub(crate) async fn until(storage: &dyn DeliveryStorage, id: &str, is: impl Fn(&Delivery) -> bool) -> Delivery {
    let id = DeliveryId::parse(id).unwrap();
    loop {
        let found = storage.load(&acme(), &id).await.unwrap().expect("the delivery is stored");
        if is(&found) {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

pub(crate) fn is_delivered(delivery: &Delivery) -> bool {
    delivery.state == DeliveryState::Delivered
}

fn memory(stage: &Stage) -> Arc<MemoryDeliveries> {
    Arc::new(MemoryDeliveries::new(stage.clock()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_signed_with_both_secrets_and_comes_in_order() {
    let stage = Stage::new().await;
    let (storage, mut receiver) = (memory(&stage), Receiver::accepting().await);
    append(&*storage, &[new("main", "a", 1), new("main", "a", 2), new("main", "a", 3)]).await;
    let _service = stage.serve_another(storage.clone(), vec![receiver.endpoint("main")], |_| {}).await;
    for number in 1..=3 {
        let received = receiver.next().await;
        received.check_signatures();
        assert!(received.head.starts_with("POST /hooks?from=connector HTTP/1.1"), "{}", received.head);
        assert_eq!((received.id(), received.header("content-type")), (&*format!("a_{number}"), "application/json"));
        assert_eq!(received.header("webhook-timestamp"), BEGIN.to_string());
        assert!(received.header("user-agent").starts_with("tiktok-shop-connector/"));
        assert_eq!(received.json(), json!({ "type": "tiktok.1", "n": number }));
        let delivered = until(&*storage, &format!("a_{number}"), is_delivered).await;
        assert_eq!((delivered.body, delivered.ended_at), (None, Some(UnixSeconds(BEGIN))));
        let statuses: Vec<_> = delivered.attempts.iter().map(|it| (it.at, it.status, it.failure)).collect();
        assert_eq!(statuses, [(BEGIN, Some(204), None)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_fails_holds_up_only_its_own_customer() {
    let stage = Stage::new().await;
    let storage = memory(&stage);
    let works = Arc::new(AtomicBool::new(false));
    let now_works = works.clone();
    let mut receiver = Receiver::start(move |request| {
        let fails = request.id() == "a_1" && !now_works.load(Ordering::SeqCst);
        Reply::Status(if fails { 500 } else { 204 }, "")
    })
    .await;
    append(&*storage, &[new("main", "a", 1), new("main", "a", 2), new("main", "b", 1), new("main", "b", 2)]).await;
    let _service = stage.serve_another(storage.clone(), vec![receiver.endpoint("main")], |_| {}).await;
    until(&*storage, "b_2", is_delivered).await;
    let failed = until(&*storage, "a_1", |it| it.attempts.len() == 1).await;
    let waits = until(&*storage, "a_2", |_| true).await;
    assert_eq!((failed.state, waits.state, waits.tries), (DeliveryState::Waiting, DeliveryState::Waiting, 0));
    let pause = failed.due_at.unwrap().0 - BEGIN;
    assert!((4..=6).contains(&pause), "{pause}");
    let mut before: Vec<_> = receiver.take(3).await.iter().map(|request| request.id().to_owned()).collect();
    before.sort();
    assert_eq!(before, ["a_1", "b_1", "b_2"]);

    works.store(true, Ordering::SeqCst);
    stage.pass(pause);
    let after: Vec<_> = receiver.take(2).await.iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(after, ["a_1", "a_2"]);
    let retried = until(&*storage, "a_1", is_delivered).await;
    let statuses: Vec<_> = retried.attempts.iter().map(|it| (it.at, it.status)).collect();
    assert_eq!(statuses, [(BEGIN, Some(500)), (BEGIN + pause, Some(204))]);
    assert!(receiver.already().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_never_answers_holds_up_no_other() {
    let stage = Stage::new().await;
    let storage = memory(&stage);
    let (slow, good) = (Receiver::start(|_| Reply::Never).await, Receiver::accepting().await);
    // More customers than the endpoint has places.
    let customers: Vec<_> = (0..20).map(|number| format!("c{number}")).collect();
    append(&*storage, &customers.iter().map(|customer| new("slow", customer, 1)).collect::<Vec<_>>()).await;
    append(&*storage, &customers.iter().map(|customer| new("good", customer, 2)).collect::<Vec<_>>()).await;
    let endpoints = vec![slow.endpoint("slow"), good.endpoint("good")];
    let _service = stage.serve_another(storage.clone(), endpoints, |_| {}).await;
    for customer in &customers {
        until(&*storage, &format!("{customer}_2"), is_delivered).await;
    }
    let stuck = until(&*storage, "c0_1", |_| true).await;
    assert_eq!((stuck.state, stuck.attempts), (DeliveryState::Waiting, vec![]));
}

/// Makes an answer of the receiver from a header with the address of another receiver.
type Answer = fn(&'static str) -> Reply;
/// What an attempt leaves behind.
type Left = (DeliveryState, Option<u16>, Option<AttemptFailure>);

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_a_receiver_has_its_consequence() {
    let stage = Stage::new().await;
    let (waiting, status) = (DeliveryState::Waiting, Some(AttemptFailure::Status));
    let mut elsewhere = Receiver::accepting().await;
    let location: &'static str = format!("location: http://{}/\r\n", elsewhere.address).leak();
    let replies: [(Answer, Left); 11] = [
        (|_| Reply::Status(200, ""), (DeliveryState::Delivered, Some(200), None)),
        (|_| Reply::Status(299, ""), (DeliveryState::Delivered, Some(299), None)),
        (|_| Reply::Endless, (DeliveryState::Delivered, Some(200), None)),
        (|location| Reply::Status(302, location), (waiting, Some(302), status)),
        (|location| Reply::Status(308, location), (waiting, Some(308), status)),
        (|_| Reply::Status(400, ""), (waiting, Some(400), status)),
        (|_| Reply::Status(404, ""), (waiting, Some(404), status)),
        (|_| Reply::Status(410, ""), (DeliveryState::Dead, Some(410), status)),
        (|_| Reply::Status(503, ""), (waiting, Some(503), status)),
        (|_| Reply::Close, (waiting, None, Some(AttemptFailure::Broken))),
        (|_| Reply::Never, (waiting, None, Some(AttemptFailure::Timeout))),
    ];
    for (reply, expected) in replies {
        let storage = memory(&stage);
        let receiver = Receiver::start(move |_| reply(location)).await;
        append(&*storage, &[new("main", "a", 1)]).await;
        let deadline = if expected.2 == Some(AttemptFailure::Timeout) { 50 } else { 15_000 };
        let service = stage.serve_another(storage.clone(), vec![receiver.endpoint("main")], |settings| {
            settings.delivery_deadline = Duration::from_millis(deadline);
        });
        let service = service.await;
        let left = until(&*storage, "a_1", |it| it.attempts.len() == 1).await;
        assert_eq!((left.state, left.attempts[0].status, left.attempts[0].failure), expected);
        service.end().await;
    }
    assert!(elsewhere.already().is_none(), "no redirect is followed");

    // Nobody listens.
    let storage = memory(&stage);
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    append(&*storage, &[new("main", "a", 1)]).await;
    let _service = stage.serve_another(storage.clone(), vec![endpoint("main", closed)], |_| {}).await;
    let left = until(&*storage, "a_1", |it| it.attempts.len() == 1).await;
    let failure = Some(AttemptFailure::NoConnection);
    assert_eq!((left.state, left.attempts[0].status, left.attempts[0].failure), (waiting, None, failure));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_with_a_certificate_of_a_private_authority_gets_webhooks_if_the_settings_name_the_authority() {
    let stage = Stage::new().await;
    let (mut receiver, authority) = Receiver::accepting_over_tls().await;
    let mut endpoint = receiver.endpoint("main");
    endpoint.address = format!("https://{}/hooks", receiver.address).parse().unwrap();

    let storage = memory(&stage);
    append(&*storage, &[new("main", "a", 1)]).await;
    let service = stage.serve_another(storage.clone(), vec![endpoint.clone()], |_| {}).await;
    let left = until(&*storage, "a_1", |it| it.attempts.len() == 1).await;
    let failure = Some(AttemptFailure::Certificate);
    assert_eq!((left.state, left.attempts[0].failure), (DeliveryState::Waiting, failure));
    service.end().await;
    assert!(receiver.already().is_none());

    let storage = memory(&stage);
    append(&*storage, &[new("main", "a", 1)]).await;
    let authorities = CertificateAuthorities::from_pem(authority.as_bytes()).unwrap();
    let trusting = |settings: &mut Settings| settings.webhook_authorities = Some(authorities);
    let _service = stage.serve_another(storage.clone(), vec![endpoint], trusting).await;
    receiver.next().await.check_signatures();
    let delivered = until(&*storage, "a_1", is_delivered).await;
    assert_eq!((delivered.attempts[0].status, delivered.attempts[0].failure), (Some(204), None));
}

/// With HTTP/2, all webhooks to an origin share one connection, and fail together with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_offers_http_2_gets_http_1() {
    let stage = Stage::new().await;
    let (mut receiver, authority) = Receiver::accepting_over_tls().await;
    let mut endpoint = receiver.endpoint("main");
    endpoint.address = format!("https://{}/hooks", receiver.address).parse().unwrap();
    let storage = memory(&stage);
    append(&*storage, &[new("main", "a", 1)]).await;
    let authorities = CertificateAuthorities::from_pem(authority.as_bytes()).unwrap();
    let trusting = |settings: &mut Settings| settings.webhook_authorities = Some(authorities);
    let _service = stage.serve_another(storage.clone(), vec![endpoint], trusting).await;
    let received = receiver.next().await;
    assert!(received.head.starts_with("POST /hooks HTTP/1.1\r\n"), "{}", received.head);
    until(&*storage, "a_1", is_delivered).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_asks_for_a_pause_gets_it() {
    let stage = Stage::new().await;
    let storage = memory(&stage);
    let receiver = Receiver::start(|_| Reply::Status(429, "retry-after: 120\r\n")).await;
    append(&*storage, &[new("main", "a", 1)]).await;
    let _service = stage.serve_another(storage.clone(), vec![receiver.endpoint("main")], |_| {}).await;
    let left = until(&*storage, "a_1", |it| it.attempts.len() == 1).await;
    assert_eq!(left.due_at, Some(UnixSeconds(BEGIN + 120)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_dies_after_three_days_and_the_next_one_goes_on() {
    let stage = Stage::new().await;
    let storage = memory(&stage);
    let works = Arc::new(AtomicBool::new(false));
    let now_works = works.clone();
    let mut receiver = Receiver::start(move |request| {
        let fails = request.id() != "a_2" && !now_works.load(Ordering::SeqCst);
        Reply::Status(if fails { 500 } else { 204 }, "")
    })
    .await;
    append(&*storage, &[new("main", "a", 1), new("main", "a", 2)]).await;
    let service = stage.serve_another(storage.clone(), vec![receiver.endpoint("main")], |_| {}).await;
    until(&*storage, "a_1", |it| it.attempts.len() == 1).await;
    stage.pass(3 * DAY);
    let dead = until(&*storage, "a_1", |it| it.state == DeliveryState::Dead).await;
    assert_eq!((dead.tries, dead.ended_at), (2, Some(UnixSeconds(BEGIN + 3 * DAY))));
    assert!(dead.body.is_some(), "a dead letter can be sent again");
    until(&*storage, "a_2", is_delivered).await;

    // A redelivered letter comes before all later ones that still wait, and again for three days.
    storage.append(&acme(), &[new("main", "a", 3)], UnixSeconds(BEGIN + 3 * DAY)).await.unwrap();
    until(&*storage, "a_3", |it| it.attempts.len() == 1).await;
    works.store(true, Ordering::SeqCst);
    while receiver.already().is_some() {}
    let answer = service.request("POST", "/v1/deliveries/a_1/redeliver").send().await;
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("waiting")), "{}", answer.text());
    let order: Vec<_> = receiver.take(2).await.iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(order, ["a_1", "a_3"]);
    let again = until(&*storage, "a_1", is_delivered).await;
    assert_eq!(again.attempts.len(), 3, "the earlier attempts are kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_deliveries_are_deleted_even_if_there_are_more_than_a_page() {
    let stage = Stage::new().await;
    let storage = memory(&stage);
    // One transaction deletes 500 deliveries.
    let old: Vec<_> = (0..501).map(|number| new("removed-endpoint", "a", number)).collect();
    append(&*storage, &old).await;
    stage.pass(34 * DAY);
    let _service = stage.serve_another(storage.clone(), Vec::new(), |_| {}).await;
    let deleted = async {
        while !storage.list(&acme(), &Default::default(), None, 1).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    // The next turn begins 30 s after the first one.
    tokio::time::timeout(Duration::from_secs(20), deleted).await.expect("the first turn deletes everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_delivery_finishes_before_the_service_ends() {
    let stage = Stage::new().await;
    let storage = memory(&stage);
    let released = Arc::new(Notify::new());
    let held = released.clone();
    let mut receiver = Receiver::start(move |_| Reply::WhenReleased(held.clone())).await;
    append(&*storage, &[new("main", "a", 1), new("main", "a", 2)]).await;
    let service = stage.serve_another(storage.clone(), vec![receiver.endpoint("main")], |_| {}).await;
    assert_eq!(receiver.next().await.id(), "a_1");
    service.stop.cancel();
    // The service closes its listener after it has noticed the stop.
    while TcpStream::connect(service.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    released.notify_one();
    service.end().await;
    assert!(is_delivered(&until(&*storage, "a_1", |_| true).await));
    let second = until(&*storage, "a_2", |_| true).await;
    assert_eq!((second.state, second.tries), (DeliveryState::Waiting, 0));
    assert!(receiver.already().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn lifecycle_events_are_delivered_from_the_first_start_on() {
    let stage = Stage::new().await;
    stage.connect("customer-1", "one-shop").await;
    let (storage, mut receiver) = (memory(&stage), Receiver::accepting().await);
    let mut some = receiver.endpoint("some");
    some.types = EventTypes::new(vec!["connection.shops_linked".to_owned()]).unwrap();
    let endpoints = vec![receiver.endpoint("all"), some];
    let service = stage.serve_another(storage.clone(), endpoints.clone(), |_| {}).await;
    // Both endpoints have found their places.
    for name in ["all", "some"] {
        while storage.position(&acme(), &name.parse().unwrap()).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    }
    stage.connect("customer-2", "one-shop").await;
    let mut types: Vec<_> = receiver.take(3).await.iter().map(|it| it.json()["type"].clone()).collect();
    types.sort_by_key(ToString::to_string);
    assert_eq!(types, ["connection.connected", "connection.shops_linked", "connection.shops_linked"]);
    service.end().await;

    // An event that happens while no service runs is delivered by the next one, and no event twice.
    stage.connect("customer-3", "one-shop").await;
    let _service = stage.serve_another(storage.clone(), vec![receiver.endpoint("all")], |_| {}).await;
    let received = receiver.take(2).await;
    let shown: Vec<_> = received.iter().map(Received::json).collect();
    let timestamp = "2026-01-01T00:00:00Z";
    assert_eq!((&shown[0]["type"], &shown[0]["timestamp"]), (&json!("connection.connected"), &json!(timestamp)));
    assert_eq!(
        (&shown[0]["data"]["customer"], &shown[0]["data"]["actor"]),
        (&json!("customer-3"), &json!("everything"))
    );
    assert_eq!((&shown[1]["data"]["event"], &shown[1]["data"]["shops"]), (&json!("shops-linked"), &json!([SHOP])));
    assert!(receiver.already().is_none());
}

/// Here, an endpoint looks for events only at the start and when it is woken.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_this_service_has_caused_wakes_its_endpoints() {
    let mut stage = Stage::new().await;
    let (storage, mut receiver) = (memory(&stage), Receiver::accepting().await);
    let rarely = |settings: &mut Settings| {
        settings.delivery_poll = Duration::from_secs(3_600);
        settings.return_addresses = vec![RETURN.parse().unwrap()];
    };
    let service = stage.serve_another(storage.clone(), vec![receiver.endpoint("main")], rarely).await;
    while storage.position(&acme(), &"main".parse().unwrap()).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    stage.address = service.address;
    let account = stage.connect("customer-1", "one-shop").await;
    let types: Vec<_> = receiver.take(2).await.iter().map(|it| it.json()["type"].clone()).collect();
    assert_eq!(types, ["connection.connected", "connection.shops_linked"]);
    let path = format!("/v1/customers/customer-1/connections/{account}/linked-shops");
    assert_eq!(stage.request("PUT", &path).json(&json!({ "shops": [] })).send().await.status, 200);
    assert_eq!(receiver.next().await.json()["type"], "connection.shops_unlinked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_tiktok_shop_reaches_every_customer_of_its_shop_once() {
    let stage = Stage::new().await;
    for customer in ["customer-1", "customer-2"] {
        stage.connect(customer, "one-shop").await;
    }
    let unlinked = stage.connect("customer-3", "one-shop").await;
    let path = format!("/v1/customers/customer-3/connections/{unlinked}/linked-shops");
    stage.request("PUT", &path).json(&json!({ "shops": [] })).send().await;
    let (storage, mut receiver) = (memory(&stage), Receiver::accepting().await);
    let mut endpoint = receiver.endpoint("main");
    endpoint.types = EventTypes::new(vec!["tiktok".to_owned()]).unwrap();
    let service = stage.serve_another(storage.clone(), vec![endpoint], |_| {}).await;
    let tiktok = stage.fake.apps().remove(0).service_id;
    let order = json!({ "order_id": "5760000000000010001", "order_status": "AWAITING_SHIPMENT" });
    stage.fake.queue_webhook(&tiktok, 1, Some(SHOP), order.clone()).unwrap();
    let webhook = stage.fake.webhooks_due().remove(0);
    let send = async || {
        let request = Request::new(service.address, "POST", "/webhooks/acme");
        let request = request.header("authorization", webhook.header("authorization").unwrap());
        request.body("application/json", webhook.body.clone().into_bytes()).send().await.status
    };
    // TikTok repeats an event whose answer it did not get.
    assert_eq!((send().await, send().await), (200, 200));
    let mut bodies: Vec<_> = receiver.take(2).await.iter().map(Received::json).collect();
    bodies.sort_by_key(|body| body["data"]["customer"].to_string());
    let sent: Value = serde_json::from_str(&webhook.body).unwrap();
    for (body, customer) in bodies.iter().zip(["customer-1", "customer-2"]) {
        assert_eq!((&body["type"], &body["data"]["customer"]), (&json!("tiktok.1"), &json!(customer)));
        assert_eq!((&body["data"]["shop"], &body["data"]["event_type"]), (&json!(SHOP), &json!(1)));
        assert_eq!((&body["data"]["data"], &body["data"]["notification_id"]), (&order, &sent["tts_notification_id"]));
        assert_eq!(body["data"]["app"], stage.fake.apps()[0].app_key);
    }
    let stored = storage.list(&acme(), &Default::default(), None, 9).await.unwrap();
    assert_eq!(stored.len(), 2, "the repetition was known");
}
