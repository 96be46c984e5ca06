//! The requests about webhooks to platforms.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tiktok_shop_server::delivery::{DeliveryState, EventTypes, MemoryDeliveries};

use crate::faulty_deliveries::FaultyDeliveries;
use crate::http::Request;
use crate::outgoing::{append, is_delivered, new, until};
use crate::receiver::{Receiver, Reply};
use crate::stage::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_shown_with_their_attempts_and_redelivered() {
    let stage = Stage::new().await;
    let storage = Arc::new(MemoryDeliveries::new(stage.clock()));
    let receiver = Receiver::start(|request| Reply::Status(if request.id() == "b_1" { 204 } else { 410 }, "")).await;
    append(&*storage, &[new("main", "a", 1), new("main", "a", 2), new("main", "b", 1)]).await;
    let service = stage.serve_another(storage.clone(), vec![receiver.endpoint("main")], |_| {}).await;
    for id in ["a_1", "a_2", "b_1"] {
        until(&*storage, id, |it| it.state != DeliveryState::Waiting).await;
    }
    let page = service.get("/v1/deliveries?state=dead&limit=1").await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    assert_eq!((page["deliveries"][0]["id"].as_str(), page["deliveries"][0].get("body")), (Some("a_1"), None));
    let rest = service.get(&format!("/v1/deliveries?state=dead&cursor={cursor}&limit=200")).await.json();
    assert_eq!((&rest["deliveries"][0]["id"], &rest["next_cursor"]), (&json!("a_2"), &Value::Null));
    let of_b = service.get("/v1/deliveries?customer=b&endpoint=main").await.json();
    assert_eq!(of_b["deliveries"].as_array().unwrap().len(), 1);

    let shown = service.get("/v1/deliveries/a_1").await.json();
    assert_eq!(
        (&shown["type"], &shown["customer"], &shown["endpoint"]),
        (&json!("tiktok.1"), &json!("a"), &json!("main"))
    );
    assert_eq!(shown["body"], json!({ "type": "tiktok.1", "n": 1 }), "what was not delivered can be read");
    assert_eq!((&shown["attempts"][0]["status"], &shown["attempts"][0]["failure"]), (&json!(410), &json!("status")));
    let delivered = service.get("/v1/deliveries/b_1").await.json();
    assert_eq!((delivered["state"].as_str(), delivered.get("body")), (Some("delivered"), None));

    let refused = service.request("POST", "/v1/deliveries/b_1/redeliver").send().await;
    assert_eq!(refused.problem(), (422, "not-dead".to_owned()));
    for unknown in ["/v1/deliveries/x_1", "/v1/deliveries/%2e%2e"] {
        assert_eq!(service.get(unknown).await.problem(), (404, "unknown-delivery".to_owned()), "{unknown}");
    }
    let again = service.request("POST", "/v1/deliveries/x_1/redeliver").send().await;
    assert_eq!(again.problem(), (404, "unknown-delivery".to_owned()));
    let none = service.post("/v1/deliveries/redeliver", &json!({ "customer": "b" })).await.json();
    assert_eq!(none, json!({ "redelivered": 0 }));
    let all = service.post("/v1/deliveries/redeliver", &json!({ "endpoint": "main" })).await.json();
    assert_eq!(all, json!({ "redelivered": 2 }));
    for id in ["a_1", "a_2"] {
        let again = until(&*storage, id, |it| it.attempts.len() == 2).await;
        assert_eq!(again.state, DeliveryState::Dead);
    }
    for wrong in ["?state=CANARY", "?limit=0", "?limit=201", "?page=1"] {
        let answer = service.get(&format!("/v1/deliveries{wrong}")).await;
        assert_eq!(answer.problem(), (400, "invalid-parameter".to_owned()), "{wrong}");
        assert!(!answer.text().contains("CANARY"));
    }
    let cursor = service.get("/v1/deliveries?cursor=x").await;
    assert_eq!((cursor.status, cursor.json()["code"].as_str()), (422, Some("invalid-cursor")));
    let other = Request::new(service.address, "GET", "/v1/deliveries/a_1").key(&stage.other_key).send().await;
    assert_eq!(other.problem(), (404, "unknown-delivery".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_can_be_tried() {
    let stage = Stage::new().await;
    let storage = Arc::new(MemoryDeliveries::new(stage.clock()));
    let mut receiver = Receiver::accepting().await;
    let mut endpoint = receiver.endpoint("main");
    endpoint.types = EventTypes::new(vec!["tiktok.1".to_owned()]).unwrap();
    let service = stage.serve_another(storage.clone(), vec![endpoint], |_| {}).await;
    let listed = service.get("/v1/webhook-endpoints").await.json();
    let origin = format!("http://{}", receiver.address);
    let expected = json!({ "name": "main", "origin": origin, "types": ["tiktok.1"] });
    assert_eq!(listed, json!({ "endpoints": [expected] }), "the path of an address may be secret");
    let answer = service.request("POST", "/v1/webhook-endpoints/main/test").send().await;
    assert_eq!((answer.status, &answer.json()["type"]), (202, &json!("webhook.test")), "{}", answer.text());
    let received = receiver.next().await;
    received.check_signatures();
    assert_eq!(
        (received.json()["type"].as_str(), answer.json()["id"].as_str()),
        (Some("webhook.test"), Some(received.id()))
    );
    until(&*storage, received.id(), is_delivered).await;
    for unknown in ["second", "Main%20"] {
        let answer = service.request("POST", &format!("/v1/webhook-endpoints/{unknown}/test")).send().await;
        assert_eq!(answer.problem(), (404, "unknown-endpoint".to_owned()));
    }
    let metrics = Request::new(service.address, "GET", "/metrics").send().await.text();
    let line = "tiktok_shop_webhook_deliveries_total{outcome=\"delivered\"} 1";
    assert!(metrics.lines().any(|found| found == line), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_and_a_redelivery_that_are_stored_succeed_even_if_nothing_can_be_read_afterwards() {
    let stage = Stage::new().await;
    let storage = Arc::new(FaultyDeliveries::new(stage.clock()));
    storage.loads.store(0, Ordering::SeqCst);
    let mut receiver =
        Receiver::start(|request| Reply::Status(if request.id() == "a_1" { 410 } else { 204 }, "")).await;
    let service = stage.serve_another(storage.clone(), vec![receiver.endpoint("main")], |_| {}).await;
    let send = async |target: &str| service.request("POST", target).header("idempotency-key", "k").send().await;
    let test = "/v1/webhook-endpoints/main/test";
    let first = send(test).await;
    assert_eq!(first.status, 202, "{}", first.text());
    let shown = first.json();
    assert_eq!(
        (&shown["type"], &shown["state"], &shown["due_at"]),
        (&json!("webhook.test"), &json!("waiting"), &Value::Null)
    );
    assert_eq!(receiver.next().await.id(), shown["id"].as_str().unwrap());
    let copy = send(test).await;
    assert_eq!(copy.header("idempotency-replayed"), Some("true"));
    assert_eq!(copy.body, first.body);

    // The delivery dies, and is read once before it is redelivered.
    append(&storage.inner, &[new("main", "a", 1)]).await;
    until(&storage.inner, "a_1", |it| it.attempts.len() == 1).await;
    storage.loads.store(1, Ordering::SeqCst);
    let again = service.request("POST", "/v1/deliveries/a_1/redeliver").send().await;
    assert_eq!((again.status, &again.json()["state"]), (200, &json!("waiting")), "{}", again.text());
    until(&storage.inner, "a_1", |it| it.attempts.len() == 2).await;
    // Here, nothing is changed.
    let unread = service.request("POST", "/v1/deliveries/a_1/redeliver").send().await;
    assert_eq!(unread.problem(), (503, "storage-unavailable".to_owned()));
    let left = until(&storage.inner, "a_1", |_| true).await;
    assert_eq!((left.state, left.attempts.len()), (DeliveryState::Dead, 2));
}
