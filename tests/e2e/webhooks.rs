//! `receive-webhook`: TikTok's deliveries, as its sender makes them and as nobody should.

use fake_tiktok_shop::{
    DeauthorizeNotice, ExpirationTime, GrantNotices, NotificationId, WebhookBody, WebhookData, WebhookDelivery,
    WebhookShopId, WebhookTimestamp,
};
use serde_json::json;
use tiktok_shop_host::CallError;
use tiktok_shop_host::connection::{Connection, ConnectionStatus, ReauthorizationReason, ShopStanding, UnixSeconds};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::webhook::{Webhook, WebhookEffect};
use tiktok_shop_tests::{DAY, Stage, customer_id, refusal, tenant};

async fn receive(stage: &Stage, delivery: &WebhookDelivery) -> Result<Webhook, CallError> {
    receive_as(stage, 0, delivery).await
}

async fn receive_as(stage: &Stage, app: usize, delivery: &WebhookDelivery) -> Result<Webhook, CallError> {
    let authorization = delivery.headers.iter().find(|(name, _)| name == "authorization").expect("a signature");
    stage.host.receive_webhook(&tenant(app), &authorization.1, delivery.body.clone().into_bytes()).await
}

/// Takes everything that is due, and answers it.
async fn receive_all(stage: &Stage) -> Vec<Webhook> {
    let mut received = Vec::new();
    for delivery in stage.fake.webhooks_due() {
        received.push(receive(stage, &delivery).await.unwrap());
        stage.fake.webhook_answered(delivery.number, Some(200)).unwrap();
    }
    received
}

async fn shown(stage: &Stage, customer: &str) -> Connection {
    stage.host.list_connections(&tenant(0), &customer_id(customer)).await.unwrap().remove(0)
}

fn service(stage: &Stage) -> String {
    stage.fake.apps()[0].service_id.clone()
}

fn effects(received: &[Webhook]) -> Vec<WebhookEffect> {
    received.iter().map(|webhook| webhook.effect).collect()
}

async fn due(stage: &Stage) -> usize {
    stage.storage.due(UnixSeconds(stage.fake.now()), None, 10).await.unwrap().len()
}

#[tokio::test]
async fn an_order_reaches_every_customer_who_has_the_shop() {
    let stage = Stage::new();
    let shop = stage.connect("alice", "one-shop").await.unwrap().shops.remove(0).id;
    stage.connect("bob", "one-shop").await.unwrap();
    stage.connect("carol", "cross-border").await.unwrap();
    stage.host.link_shops(&tenant(0), &customer_id("bob"), None, &[]).await.unwrap();
    stage.clear_requests();
    let id = stage.fake.queue_webhook(&service(&stage), 1, Some(shop.as_str()), json!({"order_id": "5"})).unwrap();
    let [webhook] = &receive_all(&stage).await[..] else { panic!("one webhook") };
    assert_eq!((webhook.notification_id.as_deref(), webhook.event_type), (Some(id.as_str()), 1));
    assert_eq!((webhook.shop.as_ref(), webhook.occurred_at), (Some(&shop), Some(UnixSeconds(stage.fake.now()))));
    assert_eq!(webhook.data, r#"{"order_id":"5"}"#);
    let owners = webhook.owners.iter().map(|owner| (owner.key.customer.as_str(), owner.linked));
    assert_eq!(owners.collect::<Vec<_>>(), [("alice", true), ("bob", false)]);
    assert_eq!(webhook.effect, WebhookEffect::None);
    assert_eq!(stage.fake.requests(), [], "no network");
}

#[tokio::test]
async fn a_type_nobody_knows_is_no_error() {
    let stage = Stage::new();
    stage.fake.queue_webhook(&service(&stage), 4_000_000_000, None, json!({})).unwrap();
    let [webhook] = &receive_all(&stage).await[..] else { panic!("one webhook") };
    assert_eq!((webhook.event_type, webhook.effect, webhook.owners.len()), (4_000_000_000, WebhookEffect::None, 0));
}

#[tokio::test]
async fn the_removal_of_the_app_is_recorded_and_verified_by_the_next_refresh() {
    for (notices, deliveries) in [(GrantNotices::EachShop, 5), (GrantNotices::One, 1)] {
        let stage = Stage::new();
        stage.fake.update_switches(|switches| switches.grant_notices = notices);
        stage.connect("alice", "cross-border").await.unwrap();
        stage.advance(601);
        stage.fake.deauthorize(&service(&stage), "cross-border").unwrap();
        stage.clear_requests();
        assert_eq!(effects(&receive_all(&stage).await), vec![WebhookEffect::VerificationDue; deliveries]);
        assert_eq!(stage.fake.requests(), [], "no network");
        assert_eq!(shown(&stage, "alice").await.status, ConnectionStatus::Active, "nothing is believed yet");
        assert_eq!(due(&stage).await, 1);

        let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
        assert_eq!(refusal(outcome), ("reauthorize", "authorization-revoked".to_owned()));
        let revoked = ConnectionStatus::ReauthorizationRequired(ReauthorizationReason::AuthorizationRevoked);
        assert_eq!(shown(&stage, "alice").await.status, revoked);
        assert_eq!(due(&stage).await, 0);
        stage.clear_requests();
        assert_eq!(refusal(stage.refresh("alice", RefreshMode::Forced).await).1, "authorization-revoked");
        assert_eq!(stage.fake.requests(), [], "the tokens are erased: not even a forced refresh has one to send");

        let again = stage.connect("alice", "cross-border").await.unwrap();
        assert_eq!(again.status, ConnectionStatus::Active, "a new consent recovers it");
    }
}

#[tokio::test]
async fn the_removal_of_one_shop_of_several_marks_that_one() {
    let stage = Stage::new();
    let shop = stage.connect("alice", "cross-border").await.unwrap().shops.remove(2);
    stage.advance(60);
    stage.fake.deauthorize_shop(&service(&stage), "cross-border", shop.id.as_str()).unwrap();
    assert_eq!(effects(&receive_all(&stage).await), [WebhookEffect::VerificationDue]);
    let connection = stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
    assert_eq!(connection.status, ConnectionStatus::Active);
    let gone: Vec<_> = connection
        .shops
        .iter()
        .filter(|held| held.standing == ShopStanding::NoLongerGranted)
        .map(|held| &held.id)
        .collect();
    assert_eq!(gone, [&shop.id]);
    assert_eq!(due(&stage).await, 0);
}

/// TikTok gives up after 15.5 hours: a notice as late as that is acted upon.
#[tokio::test]
async fn a_notice_is_taken_however_late_it_comes() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(60);
    stage.fake.deauthorize(&service(&stage), "one-shop").unwrap();
    for wait in [0, 120, 1800, 3 * 3600, 12 * 3600] {
        stage.advance(wait);
        let [delivery] = &stage.fake.webhooks_due()[..] else { panic!("after {wait} s") };
        if wait < 12 * 3600 {
            stage.fake.webhook_answered(delivery.number, None).unwrap();
        } else {
            assert_eq!(receive(&stage, delivery).await.unwrap().effect, WebhookEffect::VerificationDue);
        }
    }
}

#[tokio::test]
async fn a_notice_from_before_a_reconnect_harms_nothing_however_often_it_is_replayed() {
    for timestamp in [WebhookTimestamp::Seconds, WebhookTimestamp::Milliseconds, WebhookTimestamp::Text] {
        let stage = Stage::new();
        stage.fake.update_switches(|switches| switches.webhook_timestamp = timestamp);
        stage.connect("alice", "one-shop").await.unwrap();
        stage.advance(60);
        stage.fake.deauthorize(&service(&stage), "one-shop").unwrap();
        stage.advance(60);
        let again = stage.connect("alice", "one-shop").await.unwrap();
        for _ in 0..3 {
            let [delivery] = &stage.fake.webhooks_due()[..] else { panic!("one webhook") };
            assert_eq!(receive(&stage, delivery).await.unwrap().effect, WebhookEffect::None, "{timestamp:?}");
            stage.fake.webhook_answered(delivery.number, Some(500)).unwrap();
            stage.advance(3 * 3600);
        }
        assert_eq!(due(&stage).await, 0);
        assert_eq!(shown(&stage, "alice").await, again);
    }
}

#[tokio::test]
async fn what_is_forged_replayed_to_another_tenant_or_rewritten_is_refused() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(60);
    stage.fake.deauthorize(&service(&stage), "one-shop").unwrap();
    let [sent] = &stage.fake.webhooks_due()[..] else { panic!("one webhook") };
    let refused = |outcome| assert_eq!(refusal(outcome), ("invalid-request", "webhook-signature-invalid".to_owned()));

    refused(receive_as(&stage, 1, sent).await);
    let mut forged = sent.clone();
    forged.headers = vec![("authorization".to_owned(), "0".repeat(64))];
    refused(receive(&stage, &forged).await);
    forged.headers = vec![("authorization".to_owned(), String::new())];
    refused(receive(&stage, &forged).await);
    let mut changed = sent.clone();
    changed.body.push(' ');
    refused(receive(&stage, &changed).await);
    stage.fake.update_switches(|switches| switches.webhook_body = WebhookBody::ReEncoded);
    let [rewritten] = &stage.fake.webhooks_due()[..] else { panic!("one webhook") };
    assert_ne!(rewritten.body, sent.body);
    refused(receive(&stage, rewritten).await);

    assert_eq!(due(&stage).await, 0, "nothing was recorded");
    assert_eq!(receive(&stage, sent).await.unwrap().effect, WebhookEffect::VerificationDue);
}

#[tokio::test]
async fn a_coming_end_is_shown_until_a_new_consent_whatever_form_it_comes_in() {
    for form in 0..4 {
        let stage = Stage::new();
        stage.fake.update_switches(|switches| match form {
            0 => {}
            1 => switches.expiration_time = ExpirationTime::Number,
            2 => switches.webhook_data = WebhookData::Text,
            _ => {
                switches.notification_id = NotificationId::Missing;
                switches.webhook_shop_id = WebhookShopId::Number;
                switches.webhook_timestamp = WebhookTimestamp::Milliseconds;
            }
        });
        stage.connect("alice", "several-regions").await.unwrap();
        stage.advance(335 * DAY + 3600);
        stage.refresh("alice", RefreshMode::Forced).await.unwrap();
        let received = receive_all(&stage).await;
        assert!(!received.is_empty() && received.iter().all(|one| one.event_type == 7), "form {form}");
        assert!(received.iter().all(|one| one.effect == WebhookEffect::AuthorizationEnding), "form {form}");
        let ConnectionStatus::AuthorizationEnding(end) = shown(&stage, "alice").await.status else {
            panic!("form {form}")
        };
        assert!(end.0 > stage.fake.now() && end.0 <= stage.fake.now() + 30 * DAY, "form {form}");
        stage.connect("alice", "several-regions").await.unwrap();
        assert_eq!(shown(&stage, "alice").await.status, ConnectionStatus::Active, "form {form}");
    }
}

#[tokio::test]
async fn the_secret_before_a_rotation_is_still_accepted() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(60);
    stage.fake.deauthorize(&service(&stage), "one-shop").unwrap();
    let old = stage.fake.apps()[0].app_secret.clone();
    let rotated = tiktok_shop_host::credentials::AppCredentials {
        previous_app_secret: Some(old.as_str().into()),
        app_secret: "the-new-secret-0123456789abcdef".into(),
        ..tiktok_shop_tests::app_credentials(&stage.fake.apps()[0])
    };
    let host = stage.host_with(tiktok_shop_host::credentials::StaticCredentials::new().with(tenant(0), rotated));
    let [delivery] = &stage.fake.webhooks_due()[..] else { panic!("one webhook") };
    let authorization = &delivery.headers.iter().find(|(name, _)| name == "authorization").unwrap().1;
    let received = host.receive_webhook(&tenant(0), authorization, delivery.body.clone().into_bytes()).await.unwrap();
    assert_eq!(received.effect, WebhookEffect::VerificationDue);
}

#[tokio::test]
async fn a_removal_that_tiktok_does_not_announce_is_found_by_the_next_refresh() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| switches.deauthorize_notice = DeauthorizeNotice::None);
    stage.connect("alice", "one-shop").await.unwrap();
    stage.fake.revoke("one-shop").unwrap();
    assert_eq!(receive_all(&stage).await, []);
    assert_eq!(
        refusal(stage.refresh("alice", RefreshMode::WhenDue).await).0,
        "retry-after",
        "it was connected a moment ago"
    );
    // The rest of ten minutes, and a jitter of at most a quarter of them.
    stage.advance(751);
    assert_eq!(
        refusal(stage.refresh("alice", RefreshMode::WhenDue).await),
        ("reauthorize", "authorization-revoked".to_owned())
    );
}
