//! Webhooks after a crash, and from several services at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tiktok_shop_host::connection::UnixSeconds;
use tiktok_shop_server::delivery::{
    DeliveryFilter, DeliveryState, DeliveryStorage as _, LEASE, Lease, MemoryDeliveries,
};

use crate::delivery_storage::Place;
use crate::http::Request;
use crate::outgoing::{acme, append, is_delivered, new, until};
use crate::receiver::{Receiver, Reply};
use crate::stage::{BEGIN, SHOP, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_has_stored_before_a_crash_is_delivered_by_the_next_one() {
    let stage = Stage::new().await;
    for place in Place::all().await {
        let mut receiver = Receiver::accepting().await;
        append(&*place.storage, &[new("main", "a", 1), new("main", "b", 1), new("main", "a", 2)]).await;
        // A process has claimed both queues and then crashed. Nobody knows whether it has sent anything.
        let (lease, name) = (Lease::draw().unwrap(), "main".parse().unwrap());
        let claimed = place.storage.claim(&acme(), &name, &lease, UnixSeconds(BEGIN), 9).await.unwrap();
        assert_eq!(claimed.len(), 2);
        let next = place.again().await;
        let _service = stage.serve_another(next.clone(), vec![receiver.endpoint("main")], |_| {}).await;
        append(&*place.storage, &[new("main", "c", 1)]).await;
        until(&*next, "c_1", is_delivered).await;
        assert_eq!(receiver.next().await.id(), "c_1");
        assert!(receiver.already().is_none(), "the leases of the crashed process still hold");
        place.age(LEASE.as_secs()).await;
        for id in ["a_1", "a_2", "b_1"] {
            until(&*next, id, is_delivered).await;
        }
        let mut received: Vec<_> = receiver.take(3).await.iter().map(|request| request.id().to_owned()).collect();
        let of_a: Vec<_> = received.iter().filter(|id| id.starts_with('a')).cloned().collect();
        assert_eq!(of_a, ["a_1", "a_2"]);
        received.sort();
        assert_eq!(received, ["a_1", "a_2", "b_1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_services_with_one_database_keep_the_order_of_each_customer() {
    const CUSTOMERS: u32 = 8;
    const DELIVERIES: u32 = 12;
    let stage = Stage::new().await;
    for place in Place::all().await {
        let mut receiver = Receiver::start(|_| Reply::Status(204, "")).await;
        let mut services = Vec::new();
        for _ in 0..3 {
            let storage = place.again().await;
            services.push(stage.serve_another(storage, vec![receiver.endpoint("main")], |_| {}).await);
        }
        // The deliveries are appended while the services send, as in real life.
        for number in 1..=DELIVERIES {
            let batch: Vec<_> = (0..CUSTOMERS).map(|customer| new("main", &format!("c{customer}"), number)).collect();
            append(&*place.storage, &batch).await;
        }
        let total = usize::try_from(CUSTOMERS * DELIVERIES).unwrap();
        let mut order: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for request in receiver.take(total).await {
            let (customer, number) = request.id().split_once('_').unwrap();
            order.entry(customer.to_owned()).or_default().push(number.parse().unwrap());
        }
        assert_eq!(order.len(), usize::try_from(CUSTOMERS).unwrap());
        for (customer, numbers) in order {
            assert_eq!(numbers, (1..=DELIVERIES).collect::<Vec<_>>(), "{customer}");
        }
        for service in services {
            service.end().await;
        }
        let left = place.storage.list(&acme(), &DeliveryFilter::default(), None, 1000).await.unwrap();
        assert!(left.len() == total && left.iter().all(|it| it.state == DeliveryState::Delivered && it.tries == 1));
        assert!(receiver.already().is_none(), "nothing came twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lifecycle_events_become_deliveries_once_even_with_several_services() {
    let stage = Stage::new().await;
    let storage = Arc::new(MemoryDeliveries::new(stage.clock()));
    let mut receiver = Receiver::accepting().await;
    let mut services = Vec::new();
    for _ in 0..3 {
        services.push(stage.serve_another(storage.clone(), vec![receiver.endpoint("main")], |_| {}).await);
    }
    while storage.position(&acme(), &"main".parse().unwrap()).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    for number in 0..5 {
        stage.connect(&format!("customer-{number}"), "one-shop").await;
    }
    let received = receiver.take(10).await;
    for number in 0..5 {
        let customer = format!("customer-{number}");
        let of_customer = received.iter().map(|request| request.json());
        let types: Vec<_> =
            of_customer.filter(|body| body["data"]["customer"] == *customer).map(|body| body["type"].clone()).collect();
        assert_eq!(types, ["connection.connected", "connection.shops_linked"], "{customer}");
    }
    for service in services {
        service.end().await;
    }
    assert!(receiver.already().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn tiktok_shop_gets_200_only_after_its_event_is_stored() {
    let stage = Stage::new().await;
    stage.connect("customer-1", "one-shop").await;
    let place = Place::sqlite().await;
    let mut receiver = Receiver::accepting().await;
    let service = stage.serve_another(place.storage.clone(), vec![receiver.endpoint("main")], |_| {}).await;
    let tiktok = stage.fake.apps().remove(0).service_id;
    stage.fake.queue_webhook(&tiktok, 1, Some(SHOP), json!({ "order_id": "1" })).unwrap();
    let webhook = stage.fake.webhooks_due().remove(0);
    let send = async || {
        let request = Request::new(service.address, "POST", "/webhooks/acme");
        let request = request.header("authorization", webhook.header("authorization").unwrap());
        request.body("application/json", webhook.body.clone().into_bytes()).send().await.status
    };
    let fails = "BEGIN SELECT RAISE(ABORT, 'switched off'); END";
    place.execute(&format!("CREATE TRIGGER fails BEFORE INSERT ON tiktok_shop_deliveries {fails}")).await;
    assert_eq!(send().await, 500);
    place.execute("DROP TRIGGER fails").await;
    assert_eq!(send().await, 200, "the event was not remembered as handled");
    assert_eq!(receiver.next().await.json()["type"], "tiktok.1");
}
