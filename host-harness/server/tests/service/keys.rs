//! What an API key allows, and what it does not.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tiktok_shop_server::Scope;

use crate::http::Request;
use crate::idempotency::HoldsTheCall;
use crate::stage::{SHOP, Stage};

/// Every request of the API, with the scope that it needs. The paths contain a customer who is not connected.
const REQUESTS: [(&str, &str, Scope); 27] = [
    ("GET", "/v1/connections", Scope::Read),
    ("GET", "/v1/events", Scope::Read),
    ("GET", "/v1/deliveries", Scope::Read),
    ("GET", "/v1/deliveries/msg_1", Scope::Read),
    ("POST", "/v1/deliveries/redeliver", Scope::Admin),
    ("POST", "/v1/deliveries/msg_1/redeliver", Scope::Admin),
    ("GET", "/v1/webhook-endpoints", Scope::Read),
    ("POST", "/v1/webhook-endpoints/main/test", Scope::Admin),
    ("POST", "/v1/customers/c/connect-sessions", Scope::Connect),
    ("GET", "/v1/customers/c/connect-sessions/cs_1", Scope::Connect),
    ("GET", "/v1/customers/c/connections", Scope::Read),
    ("GET", "/v1/customers/c/connections/a", Scope::Read),
    ("PUT", "/v1/customers/c/connections/a/linked-shops", Scope::Connect),
    ("POST", "/v1/customers/c/connections/a/refresh", Scope::Connect),
    ("POST", "/v1/customers/c/connections/a/access-token", Scope::Token),
    ("GET", "/v1/customers/c/shops", Scope::Read),
    ("POST", "/v1/customers/c/disconnect", Scope::Connect),
    ("POST", "/v1/customers/c/shared-connections", Scope::Connect),
    ("POST", "/v1/customers/c/imports", Scope::Admin),
    ("POST", "/v1/customers/c/installs", Scope::Connect),
    ("POST", "/v1/customers/c/installs/i/confirm", Scope::Connect),
    ("POST", "/v1/customers/c/installs/i/cancel", Scope::Connect),
    ("POST", "/v1/customers/c/connections/a/export", Scope::Admin),
    ("GET", "/v1/apps", Scope::Read),
    ("POST", "/v1/customers/c/calls", Scope::Call),
    ("GET", "/v1/customers/c/shops/7/tiktok/order", Scope::Call),
    ("DELETE", "/v1/customers/c/accounts/a/tiktok/order", Scope::Call),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_request_needs_its_scope_and_no_other_scope_helps() {
    let stage = Stage::new().await;
    for (method, target, needed) in REQUESTS {
        for (scope, key) in &stage.scoped {
            let answer = Request::new(stage.address, method, target).key(key).json(&json!({})).send().await;
            if *scope == needed {
                assert!(![401, 403, 429].contains(&answer.status), "{method} {target} {scope}: {}", answer.text());
            } else {
                assert_eq!(answer.problem(), (403, "scope-missing".to_owned()), "{method} {target} {scope}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_known_key_is_refused() {
    let stage = Stage::new().await;
    let unknown = format!("ttsk_{}60e05bd1", "0".repeat(64));
    let mut damaged = stage.key.clone();
    damaged.replace_range(10..11, if stage.key.as_bytes()[10] == b'0' { "1" } else { "0" });
    let twice = format!("Bearer {}\r\nauthorization: Bearer {}", stage.key, stage.key);
    for (method, target, _) in REQUESTS {
        for authorization in [
            None,
            Some(String::new()),
            Some(stage.key.clone()),
            Some(format!("Basic {}", stage.key)),
            Some(format!("Bearer {unknown}")),
            Some(format!("Bearer {damaged}")),
            Some(format!("Bearer {}x", stage.key)),
            Some(twice.clone()),
        ] {
            let mut request = Request::new(stage.address, method, target);
            if let Some(value) = &authorization {
                request = request.header("authorization", value);
            }
            let answer = request.json(&json!({})).send().await;
            assert_eq!(answer.problem(), (401, "unauthenticated".to_owned()), "{method} {target}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_another_tenant_reaches_nothing() {
    let stage = Stage::new().await;
    let account = stage.connect("customer-7", "one-shop").await;
    let (id, _) = stage.session("customer-7").await;
    stage.fake.clear_requests();
    let ask = async |method: &str, target: String, body: Value| {
        Request::new(stage.address, method, &target).key(&stage.other_key).json(&body).send().await
    };
    let customer = "/v1/customers/customer-7";
    let listed = ask("GET", format!("{customer}/connections"), json!({})).await.json();
    assert_eq!(listed, json!({ "connections": [] }));
    assert_eq!(ask("GET", "/v1/events".to_owned(), json!({})).await.json()["events"], json!([]));
    for (method, target, body) in [
        ("GET", format!("{customer}/connections/{account}"), json!({})),
        ("GET", format!("{customer}/connect-sessions/{id}"), json!({})),
        ("POST", format!("{customer}/connections/{account}/refresh"), json!({})),
        ("POST", format!("{customer}/connections/{account}/access-token"), json!({})),
        ("PUT", format!("{customer}/connections/{account}/linked-shops"), json!({ "shops": [] })),
        ("DELETE", format!("{customer}/accounts/{account}/tiktok/order/202309/orders"), json!({})),
    ] {
        let answer = ask(method, target.clone(), body).await;
        assert_eq!(answer.status, 404, "{method} {target}: {}", answer.text());
    }
    let call = ask("POST", format!("{customer}/shops/{SHOP}/tiktok/order/202309/orders/search"), json!({})).await;
    assert_eq!(call.problem(), (422, "unknown-shop".to_owned()));
    let ended = ask("POST", format!("{customer}/disconnect"), json!({ "tiktok_access": "revoke" })).await.json();
    assert_eq!(ended["found"], json!([]));
    assert_eq!(stage.fake.requests(), []);
    let kept = stage.get(&format!("{customer}/connections/{account}")).await.json();
    assert_eq!(kept["status"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_sends_too_much_must_wait_and_other_keys_go_on() {
    let stage = Stage::with(|settings| settings.requests_per_second = NonZeroU32::MIN, None).await;
    assert_eq!(stage.get("/v1/events").await.status, 200);
    // The second request comes within a second, unless the machine stands still: then the third or fourth does.
    let mut answer = stage.get("/v1/events").await;
    for _ in 0..20 {
        if answer.status == 429 {
            break;
        }
        answer = stage.get("/v1/events").await;
    }
    assert_eq!(answer.problem(), (429, "rate-limited".to_owned()));
    assert_eq!(answer.header("retry-after"), Some("1"));
    let other = Request::new(stage.address, "GET", "/v1/events").key(&stage.other_key).send().await;
    assert_eq!(other.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_hangs_up_keeps_its_place_until_its_call_has_ended() {
    let holds = Arc::new(HoldsTheCall::default());
    let stage = Stage::with(|settings| settings.requests_in_flight = NonZeroU32::MIN, Some(holds.clone())).await;
    stage.connect("customer-7", "one-shop").await;
    holds.on.store(true, Ordering::SeqCst);
    let search = format!("/v1/customers/customer-7/shops/{SHOP}/tiktok/order/202309/orders/search?page_size=1");
    let client = tokio::spawn(stage.request("POST", &search).json(&json!({})).send());
    holds.reached.notified().await;
    client.abort();
    let _ = client.await;
    // The service notices soon that the client has gone away. The call still runs.
    for _ in 0..50 {
        let answer = stage.get("/v1/events").await;
        assert_eq!(answer.problem(), (429, "rate-limited".to_owned()));
        assert_eq!(answer.json()["detail"], "too many requests of the API key are running");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    holds.released.notify_one();
    while stage.get("/v1/events").await.status == 429 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.get("/v1/events").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stated_reason_is_in_the_event_and_a_malformed_one_is_refused_before_anything_happens() {
    let stage = Stage::new().await;
    let account = stage.connect("customer-7", "one-shop").await;
    let token = format!("/v1/customers/customer-7/connections/{account}/access-token");
    let show = |reason: &str| stage.request("POST", &token).header("x-reason", reason).json(&json!({}));
    assert_eq!(show("case 4711").send().await.status, 200);
    assert_eq!(stage.post(&token, &json!({})).await.status, 200);
    let shown = async || {
        let events = stage.get("/v1/events").await.json();
        let shown = events["events"].as_array().unwrap().iter().filter(|event| event["event"] == "token-shown");
        shown.map(|event| event["stated_reason"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(shown().await, [json!("case 4711"), Value::Null]);

    let search = format!("/v1/customers/customer-7/shops/{SHOP}/tiktok/order/202309/orders/search?page_size=1");
    let call = |reason: &str| {
        let request = stage.request("POST", &search).header("x-reason", reason).header("idempotency-key", "k");
        request.json(&json!({}))
    };
    let long = "x".repeat(256);
    stage.fake.clear_requests();
    for reason in ["", "a\tb", "Zo\u{eb}", &format!("{long}x"), "a\r\nx-reason: b"] {
        for request in [show(reason), call(reason)] {
            assert_eq!(request.send().await.problem(), (400, "invalid-parameter".to_owned()), "{reason:?}");
        }
    }
    assert_eq!(stage.fake.requests(), [], "nothing was sent");
    assert_eq!(shown().await.len(), 2);
    assert_eq!(call(&long).send().await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_of_a_signed_call_has_its_stated_reason() {
    let stage = Stage::new().await;
    stage.connect("customer-7", "one-shop").await;
    stage.pass(3_600);
    stage.fake.revoke("one-shop").unwrap();
    let search = format!("/v1/customers/customer-7/shops/{SHOP}/tiktok/order/202309/orders/search?page_size=1");
    let call = stage.request("POST", &search).header("x-reason", "case 4711").json(&json!({}));
    assert_eq!(call.send().await.problem(), (409, "authorization-revoked".to_owned()));
    let events = stage.get("/v1/events").await.json();
    let mut events = events["events"].as_array().unwrap().iter();
    let ended = events.find(|event| event["event"] == "reauthorization-required").unwrap();
    assert_eq!(ended["stated_reason"], "case 4711");
}
