//! Tests of every switch for webhooks, with each of its values. Most tests are named after their switch.

use std::time::Duration;

use fake_tiktok_shop::{
    EndingNoticeZone, ExpirationTime, GrantNotices, NotificationId, RefusedWebhook, Switches, WebhookBody,
    WebhookCopies, WebhookData, WebhookDelay, WebhookFate, WebhookOrder, WebhookShopId, WebhookTimestamp,
};
use serde_json::{Value, json};

use crate::client::{START, World};
use crate::webhooks::{DAY, FIRST_ID, SHOP, connect_for, ending, json_of, only, order, signature, take};

#[tokio::test]
async fn ending_notice_zone() {
    for (answer, hour) in [(EndingNoticeZone::Utc, 24), (EndingNoticeZone::UtcPlus8, 16)] {
        let world = World::with_switches(|switches| switches.ending_notice_zone = answer);
        connect_for(&world, "one-shop", 31).await;
        world.control.set_now(START + 2 * DAY);
        assert_eq!(take(&world), [ending(1, 0), ending(1, hour * 3_600)], "{answer:?}");
    }
}

#[tokio::test]
async fn grant_notices() {
    for (answer, shops) in [(GrantNotices::EachShop, 5), (GrantNotices::One, 1)] {
        let world = World::with_switches(|switches| switches.grant_notices = answer);
        connect_for(&world, "cross-border", 31).await;
        world.control.set_now(START + DAY);
        let taken = take(&world);
        assert_eq!((taken.len(), taken[0].0, taken[0].1.as_str()), (shops, 7, "7490000000000000005"), "{answer:?}");
        world.control.deauthorize_shop(&world.app.service_id, "cross-border", "7490000000000000006").unwrap();
        assert_eq!(take(&world), [(6, "7490000000000000006".to_owned(), DAY)]);
        world.control.deauthorize(&world.app.service_id, "cross-border").unwrap();
        let taken = take(&world);
        let left = shops.min(4);
        assert_eq!((taken.len(), taken[0].0, taken[0].1.as_str()), (left, 6, "7490000000000000005"), "{answer:?}");
    }
}

#[tokio::test]
async fn forms_of_a_webhook() {
    type Change = fn(&mut Switches);
    let cases: [(Change, &str, Option<Value>); 9] = [
        (|s| s.notification_id = NotificationId::Text, "tts_notification_id", Some(json!(FIRST_ID))),
        (
            |s| s.notification_id = NotificationId::Number,
            "tts_notification_id",
            Some(json!(7_600_000_000_000_000_001_u64)),
        ),
        (|s| s.notification_id = NotificationId::Missing, "tts_notification_id", None),
        (|s| s.webhook_shop_id = WebhookShopId::Text, "shop_id", Some(json!(SHOP))),
        (|s| s.webhook_shop_id = WebhookShopId::Number, "shop_id", Some(json!(7_490_000_000_000_000_001_u64))),
        (|s| s.webhook_timestamp = WebhookTimestamp::Milliseconds, "timestamp", Some(json!(START * 1_000))),
        (|s| s.webhook_timestamp = WebhookTimestamp::Text, "timestamp", Some(json!(START.to_string()))),
        (|s| s.webhook_data = WebhookData::Json, "data", Some(json!({ "order_id": "1", "order_status": "UNPAID" }))),
        (|s| s.webhook_data = WebhookData::Text, "data", Some(json!(r#"{"order_id":"1","order_status":"UNPAID"}"#))),
    ];
    for (change, member, expected) in cases {
        let world = World::with_switches(change);
        order(&world, "1");
        let delivery = only(&world);
        assert_eq!(json_of(&delivery).get(member), expected.as_ref(), "{member}");
        assert_eq!(delivery.header("authorization"), Some(signature(&world, &delivery.body).as_str()));
    }
    let world = World::new();
    world.control.queue_webhook(&world.app.service_id, 20, None, json!({ "cancel_time": "1" })).unwrap();
    assert_eq!(json_of(&only(&world)).get("shop_id"), None);
}

#[tokio::test]
async fn expiration_time() {
    let ends_at = START + 31 * DAY;
    for (answer, expected) in
        [(ExpirationTime::Text, json!(ends_at.to_string())), (ExpirationTime::Number, json!(ends_at))]
    {
        let world = World::with_switches(|switches| switches.expiration_time = answer);
        connect_for(&world, "one-shop", 31).await;
        world.control.set_now(START + DAY);
        assert_eq!(json_of(&only(&world))["data"]["expiration_time"], expected);
    }
}

#[tokio::test]
async fn webhook_copies() {
    for (answer, copies) in [(WebhookCopies::One, 1), (WebhookCopies::Two, 2)] {
        let world = World::with_switches(|switches| switches.webhook_copies = answer);
        order(&world, "1");
        let due = world.control.webhooks_due();
        assert_eq!(due.len(), copies);
        assert!(due.iter().all(|delivery| delivery.body == due[0].body && delivery.headers == due[0].headers));
        for delivery in due {
            assert_eq!(world.control.webhook_answered(delivery.number, Some(200)), Ok(WebhookFate::Delivered));
        }
        assert_eq!(world.control.webhooks_due(), []);
    }
}

#[tokio::test]
async fn webhook_order() {
    for (answer, ids) in [(WebhookOrder::OldestFirst, ["1", "2", "3"]), (WebhookOrder::NewestFirst, ["3", "2", "1"])] {
        let world = World::with_switches(|switches| switches.webhook_order = answer);
        for (later, id) in [(0, "1"), (0, "2"), (9, "3")] {
            world.control.advance(Duration::from_secs(later));
            order(&world, id);
        }
        let due = world.control.webhooks_due();
        let orders: Vec<_> = due.iter().map(|delivery| json_of(delivery)["data"]["order_id"].clone()).collect();
        assert_eq!(orders, ids, "{answer:?}");
    }
}

#[tokio::test]
async fn webhook_body() {
    for (answer, fits) in [(WebhookBody::AsSigned, true), (WebhookBody::ReEncoded, false)] {
        let world = World::with_switches(|switches| switches.webhook_body = answer);
        order(&world, "1");
        let delivery = only(&world);
        let signed = delivery.header("authorization").unwrap();
        assert_eq!(signature(&world, &delivery.body) == signed, fits, "{answer:?}");
        assert_eq!(signature(&world, &json_of(&delivery).to_string()), signed, "the JSON is the same");
    }
}

#[tokio::test]
async fn webhook_delay() {
    for (answer, later) in [(WebhookDelay::None, 0), (WebhookDelay::Seconds(55_920), 55_920)] {
        let world = World::with_switches(|switches| switches.webhook_delay = answer);
        order(&world, "1");
        assert_eq!(world.control.webhooks_due().len(), usize::from(later == 0));
        world.control.set_now(START + later);
        let delivery = only(&world);
        assert_eq!(json_of(&delivery)["timestamp"], json!(START));
        let fate = world.control.webhook_answered(delivery.number, None);
        assert_eq!(fate, Ok(WebhookFate::SentAgainAt(START + later + 120)), "the delay must not apply to a retry");
    }
}

#[tokio::test]
async fn refused_webhook() {
    for (answer, fate) in [
        (RefusedWebhook::Delivered, WebhookFate::Delivered),
        (RefusedWebhook::SentAgain, WebhookFate::SentAgainAt(START + 120)),
    ] {
        let world = World::with_switches(|switches| switches.refused_webhook = answer);
        order(&world, "1");
        assert_eq!(world.control.webhook_answered(only(&world).number, Some(401)), Ok(fate));
    }
}
