//! Tests of the webhooks that the fake hands out: their causes, their form, and their retries.

use std::time::Duration;

use fake_tiktok_shop::{ControlError, WebhookDelivery, WebhookFate};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::client::{START, World};

pub(crate) const DAY: u64 = 86_400;
pub(crate) const SHOP: &str = "7490000000000000001";
pub(crate) const FIRST_ID: &str = "7600000000000000001";

/// Queues a webhook about an order's new status.
pub(crate) fn order(world: &World, order_id: &str) -> String {
    let data = json!({ "order_id": order_id, "order_status": "UNPAID" });
    world.control.queue_webhook(&world.app.service_id, 1, Some(SHOP), data).unwrap()
}

pub(crate) fn only(world: &World) -> WebhookDelivery {
    let due = world.control.webhooks_due();
    assert_eq!(due.len(), 1, "{due:?}");
    due.into_iter().next().unwrap()
}

pub(crate) fn json_of(delivery: &WebhookDelivery) -> Value {
    serde_json::from_str(&delivery.body).unwrap()
}

pub(crate) fn signature(world: &World, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(world.app.app_secret.as_bytes()).unwrap();
    mac.update(format!("{}{body}", world.app.app_key).as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Connects `seller` with an authorization that ends after `days`.
pub(crate) async fn connect_for(world: &World, seller: &str, days: u64) {
    let lasts = Duration::from_secs(days * DAY);
    world.control.update_seller(seller, |seller| seller.authorization_lasts = lasts).unwrap();
    world.connect(seller).await;
}

#[tokio::test]
async fn a_webhook_is_signed_over_app_key_and_raw_body() {
    let world = World::new();
    assert_eq!(order(&world, "576000000000000001"), FIRST_ID);
    let delivery = only(&world);
    let expected = r#"{"type":1,"tts_notification_id":"7600000000000000001","shop_id":"7490000000000000001","timestamp":1767225600,"data":{"order_id":"576000000000000001","order_status":"UNPAID"}}"#;
    assert_eq!(delivery.body, expected);
    assert_eq!(delivery.header("content-type"), Some("application/json"));
    assert_eq!(delivery.header("authorization"), Some(signature(&world, expected).as_str()));
    assert_eq!((delivery.number, delivery.failures, &delivery.service_id), (1, 0, &world.app.service_id));
    assert!(!format!("{delivery:?}").contains(delivery.header("authorization").unwrap()));

    let signed = world.control.webhook_signature(&world.app.service_id, expected.as_bytes()).unwrap();
    assert_eq!(delivery.header("authorization"), Some(signed.as_str()));
    let world = world.with_second_app();
    let signed = world.control.webhook_signature(&world.app.service_id, b"{").unwrap();
    assert_eq!(signed, signature(&world, "{"));
}

#[tokio::test]
async fn a_removed_shop_leads_to_a_webhook_of_type_6() {
    let world = World::new();
    world.connect("one-shop").await;
    world.control.advance(Duration::from_secs(5));
    world.control.deauthorize(&world.app.service_id, "one-shop").unwrap();
    let expected = json!({
        "type": 6,
        "tts_notification_id": FIRST_ID,
        "shop_id": SHOP,
        "timestamp": START + 5,
        "data": { "message": "The seller has removed the app" },
    });
    assert_eq!(json_of(&only(&world)), expected);
}

#[tokio::test]
async fn a_failed_webhook_is_sent_again_four_times() {
    let world = World::new();
    order(&world, "1");
    let first = only(&world);
    let mut now = START;
    for (failures, (status, later)) in
        [(Some(500), 120), (None, 1_800), (Some(302), 10_800), (Some(404), 43_200)].into_iter().enumerate()
    {
        let delivery = only(&world);
        assert_eq!((delivery.number, delivery.failures), (first.number, failures));
        assert_eq!((&delivery.body, &delivery.headers), (&first.body, &first.headers));
        now += later;
        let fate = world.control.webhook_answered(delivery.number, status);
        assert_eq!(fate, Ok(WebhookFate::SentAgainAt(now)));
        world.control.set_now(now - 1);
        assert_eq!(world.control.webhooks_due(), []);
        world.control.set_now(now);
    }
    assert_eq!(now, START + 55_920);
    assert_eq!(only(&world).failures, 4);
    assert_eq!(world.control.webhook_answered(first.number, Some(503)), Ok(WebhookFate::GivenUp));
    assert_eq!(world.control.webhooks_due(), []);
    let unknown = Err(ControlError::UnknownWebhook(first.number));
    assert_eq!(world.control.webhook_answered(first.number, Some(200)), unknown);
}

#[tokio::test]
async fn a_retry_delay_starts_at_the_failure_and_every_2xx_ends_the_retries() {
    for status in [200, 204, 299] {
        let world = World::new();
        order(&world, "1");
        // The first delivery happens 1000 s after the event.
        world.control.advance(Duration::from_secs(1_000));
        let delivery = only(&world);
        let fate = world.control.webhook_answered(delivery.number, None);
        assert_eq!(fate, Ok(WebhookFate::SentAgainAt(START + 1_120)));
        world.control.set_now(START + 1_120);
        let delivery = only(&world);
        assert_eq!(world.control.webhook_answered(delivery.number, Some(status)), Ok(WebhookFate::Delivered));
        assert_eq!(world.control.webhooks_due(), []);
    }
}

#[tokio::test]
async fn a_queued_webhook_is_signed_with_the_new_secret() {
    let mut world = World::new();
    order(&world, "1");
    let before = only(&world);
    world.control.update_app(&world.app.service_id, |app| app.app_secret = "another".to_owned()).unwrap();
    world.app = world.control.apps()[0].clone();
    let after = only(&world);
    assert_eq!(after.body, before.body);
    assert_eq!(after.header("authorization"), Some(signature(&world, &after.body).as_str()));
    assert_ne!(after.headers, before.headers);
}

/// Answers every due webhook with 200. Returns a tuple for each webhook: the type, the shop, and the time in seconds
/// since [`START`].
pub(crate) fn take(world: &World) -> Vec<(u64, String, u64)> {
    let taken = |delivery: WebhookDelivery| {
        assert_eq!(world.control.webhook_answered(delivery.number, Some(200)), Ok(WebhookFate::Delivered));
        let body = json_of(&delivery);
        let shop = body["shop_id"].as_str().unwrap().to_owned();
        (body["type"].as_u64().unwrap(), shop, body["timestamp"].as_u64().unwrap() - START)
    };
    world.control.webhooks_due().into_iter().map(taken).collect()
}

/// Returns the tuple that [`take`] must return for a webhook that announces the end of an authorization. The time of
/// the webhook is `day` days and `seconds` seconds after [`START`].
pub(crate) fn ending(day: u64, seconds: u64) -> (u64, String, u64) {
    (7, SHOP.to_owned(), day * DAY + seconds)
}

#[tokio::test]
async fn a_coming_end_is_announced_thirty_days_before_and_then_daily() {
    let world = World::new();
    world.control.set_now(START + 3_600);
    connect_for(&world, "one-shop", 40).await;
    world.control.set_now(START + 10 * DAY + 3_599);
    assert_eq!(take(&world), []);
    world.control.set_now(START + 10 * DAY + 3_600);
    let ends_at = START + 3_600 + 40 * DAY;
    let data = &json_of(&only(&world))["data"];
    assert_eq!(data["expiration_time"], json!(ends_at.to_string()));
    assert!(data["message"].is_string());
    assert_eq!(take(&world), [ending(10, 3_600)]);
    world.control.set_now(START + 12 * DAY);
    assert_eq!(take(&world), [ending(11, 0), ending(12, 0)]);
    world.control.set_now(ends_at + 99 * DAY);
    let rest: Vec<_> = (13..=40).map(|day| ending(day, 0)).collect();
    assert_eq!(take(&world), rest);
}

#[tokio::test]
async fn a_new_consent_ends_the_announcements() {
    let world = World::new();
    connect_for(&world, "one-shop", 31).await;
    world.control.set_now(START + 2 * DAY + 1);
    connect_for(&world, "one-shop", 365).await;
    world.control.set_now(START + 100 * DAY);
    assert_eq!(take(&world), [ending(1, 0), ending(2, 0)], "announcements that were due before the new consent");
    world.control.set_now(START + 2 * DAY + 1 + 335 * DAY);
    assert_eq!(take(&world), [ending(337, 1)]);
}

#[tokio::test]
async fn the_end_of_a_removed_or_ended_grant_is_no_longer_announced() {
    for revoked in [true, false] {
        let world = World::new();
        connect_for(&world, "one-shop", 31).await;
        world.control.set_now(START + 2 * DAY + 1);
        if revoked {
            world.control.revoke("one-shop").unwrap();
        } else {
            world.control.end_authorization("one-shop").unwrap();
        }
        world.control.set_now(START + 20 * DAY);
        assert_eq!(take(&world), [ending(1, 0), ending(2, 0)]);
    }
    let world = World::new();
    connect_for(&world, "one-shop", 31).await;
    world.control.set_now(START + DAY);
    world.control.deauthorize(&world.app.service_id, "one-shop").unwrap();
    world.control.set_now(START + 20 * DAY);
    assert_eq!(take(&world), [ending(1, 0), (6, SHOP.to_owned(), DAY)]);
}

#[tokio::test]
async fn webhooks_are_queued_shown_and_answered_over_http() {
    let world = World::new();
    let service_id = &world.app.service_id;
    let data = json!({ "order_id": "1" });
    let body = json!({ "service_id": service_id, "type": 1, "shop_id": SHOP, "data": data }).to_string();
    let queued = world.local("POST", "/_control/webhooks", &body).await;
    assert_eq!(queued.json(), json!({ "tts_notification_id": FIRST_ID }));
    let due = only(&world);
    let shown = world.local("GET", "/_control/webhooks", "").await.json();
    let [content_type, authorization] =
        [("content-type", "application/json"), ("authorization", due.header("authorization").unwrap())];
    let expected = json!([{
        "number": 1,
        "service_id": service_id,
        "failures": 0,
        "headers": [content_type, authorization],
        "body": due.body,
    }]);
    assert_eq!(shown, expected);
    for (body, fate) in [("{}", json!({ "sent-again-at": START + 120 })), (r#"{"status":200}"#, json!("delivered"))] {
        let answered = world.local("POST", "/_control/webhooks/1/answer", body).await;
        assert_eq!(answered.json(), json!([{ "number": 1, "fate": fate }]));
    }
    let gone = world.local("POST", "/_control/webhooks/1/answer", "{}").await;
    assert_eq!((gone.status, gone.json()), (404, json!({ "error": "no webhook 1 is waiting" })));
}

#[tokio::test]
async fn a_seller_removes_shops_and_grants_over_http() {
    let world = World::new();
    let lasts = r#"{"authorization_lasts_seconds":3600}"#;
    assert_eq!(world.local("PATCH", "/_control/sellers/cross-border", lasts).await.status, 200);
    let data = world.exchange(&world.code("cross-border")).await.data();
    assert_eq!(data["refresh_token_expire_in"], START + 3_600);
    let access_token = data["access_token"].as_str().unwrap();
    let path = "/_control/sellers/cross-border/deauthorize";
    let service_id = &world.app.service_id;
    let one = json!({ "service_id": service_id, "shop": "7490000000000000005" }).to_string();
    assert_eq!(world.local("POST", path, &one).await.status, 200);
    assert_eq!(world.list_shops(access_token).await.data()["shops"].as_array().unwrap().len(), 4);
    assert_eq!(world.local("POST", path, &one).await.status, 404);
    let all = json!({ "service_id": service_id }).to_string();
    assert_eq!(world.local("POST", path, &all).await.status, 200);
    assert_eq!(world.list_shops(access_token).await.verdict(), (401, 105_001));
    assert_eq!(world.local("POST", path, &all).await.status, 409);
    assert_eq!(world.control.webhooks_due().len(), 5);
}

#[tokio::test]
async fn webhooks_are_posted_to_a_receiver_on_this_machine() {
    let world = World::new();
    order(&world, "1");
    order(&world, "2");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    let receiver = tokio::spawn(async move {
        let mut received = Vec::new();
        for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n"] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = String::new();
            while !request.ends_with("}}") {
                let mut bytes = [0; 1024];
                let length = stream.read(&mut bytes).await.unwrap();
                request.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
            }
            stream.write_all(answer.as_bytes()).await.unwrap();
            received.push(request);
        }
        received
    });
    let due = world.control.webhooks_due();
    let body = json!({ "to": to, "path": "/webhooks" }).to_string();
    let sent = world.local("POST", "/_control/webhooks/send", &body).await.json();
    let again = json!({ "sent-again-at": START + 120 });
    assert_eq!(sent, json!([{ "number": 1, "fate": "delivered" }, { "number": 2, "fate": again }]));
    for (request, delivery) in receiver.await.unwrap().iter().zip(&due) {
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /webhooks HTTP/1.1\r\n"), "{head}");
        for (name, value) in &delivery.headers {
            assert!(head.contains(&format!("{name}: {value}")), "{head}");
        }
        assert_eq!(body, delivery.body);
    }

    // The receiver no longer listens, so no answer comes.
    world.control.advance(Duration::from_secs(120));
    let sent = world.control.send_webhooks(to, "/webhooks").await;
    assert_eq!(sent, Ok(vec![(2, WebhookFate::SentAgainAt(START + 120 + 1_800))]));
    let elsewhere = "192.0.2.1:80".parse().unwrap();
    let refused = world.control.send_webhooks(elsewhere, "/").await;
    assert_eq!(refused, Err(ControlError::NotLoopback(elsewhere)));
}

#[tokio::test]
async fn a_webhook_of_an_unknown_app_gets_its_exact_error() {
    let control = World::new().control;
    let unknown = || ControlError::UnknownService("nobody".to_owned());
    assert_eq!(control.queue_webhook("nobody", 1, None, json!({})), Err(unknown()));
    assert_eq!(control.webhook_signature("nobody", b""), Err(unknown()));
}
