//! Tests of the export `receive-webhook`, with correctly signed deliveries of the fake TikTok Shop, and with
//! forged and changed deliveries.

use fake_tiktok_shop::{
    DeauthorizeNotice, ExpirationTime, GrantNotices, NotificationId, WebhookBody, WebhookData, WebhookDelivery,
    WebhookShopId, WebhookTimestamp,
};
use serde_json::json;
use tiktok_shop_host::CallError;
use tiktok_shop_host::connection::{ConnectionStatus, ReauthorizationReason, ShopStanding, UnixSeconds};
use tiktok_shop_host::credentials::{AppCredentials, StaticCredentials};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::webhook::{Webhook, WebhookEffect};
use tiktok_shop_tests::{DAY, Stage, app_credentials, customer_id, refusal, tenant};

async fn receive(stage: &Stage, delivery: &WebhookDelivery) -> Result<Webhook, CallError> {
    receive_as(stage, 0, delivery).await
}

async fn receive_as(stage: &Stage, app: usize, delivery: &WebhookDelivery) -> Result<Webhook, CallError> {
    let signature = delivery.header("authorization").expect("a signature");
    stage.host.receive_webhook(&tenant(app), None, signature, delivery.body.clone().into_bytes()).await
}

/// Receives all webhooks that are due, and answers TikTok with 200.
async fn receive_all(stage: &Stage) -> Vec<Webhook> {
    let mut received = Vec::new();
    for delivery in stage.fake.webhooks_due() {
        received.push(receive(stage, &delivery).await.unwrap());
        stage.fake.webhook_answered(delivery.number, Some(200)).unwrap();
    }
    received
}

fn service(stage: &Stage) -> String {
    stage.fake.apps()[0].service_id.clone()
}

fn effects(received: &[Webhook]) -> Vec<WebhookEffect> {
    received.iter().map(|webhook| webhook.effect).collect()
}

#[tokio::test]
async fn a_webhook_names_every_customer_who_has_the_shop() {
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
    let owners = webhook.owners.iter().map(|owner| (owner.key.customer.as_str(), owner.may_use));
    assert_eq!(owners.collect::<Vec<_>>(), [("alice", true), ("bob", false)]);
    assert_eq!(webhook.effect, WebhookEffect::None);
    assert_eq!(stage.fake.requests(), [], "no request is sent");
}

#[tokio::test]
async fn a_customer_whose_grant_was_revoked_may_not_see_events_of_the_shop() {
    let stage = Stage::new();
    let shop = stage.connect("alice", "one-shop").await.unwrap().shops.remove(0).id;
    stage.connect("bob", "one-shop").await.unwrap();
    stage.advance(601);
    stage.fake.deauthorize(&service(&stage), "one-shop").unwrap();
    receive_all(&stage).await;
    for customer in ["alice", "bob"] {
        assert_eq!(refusal(stage.refresh(customer, RefreshMode::WhenDue).await).1, "authorization-revoked");
        let connection = stage.connection(customer).await;
        let shops: Vec<_> = connection.shops.iter().map(|shop| (shop.standing, shop.cipher.is_some())).collect();
        assert_eq!(shops, [(ShopStanding::Unconfirmed, false)]);
        assert_eq!(stage.host.list_shops(&tenant(0), &customer_id(customer)).await.unwrap(), []);
    }
    stage.connect("bob", "one-shop").await.unwrap();
    stage.fake.queue_webhook(&service(&stage), 1, Some(shop.as_str()), json!({"order_id": "5"})).unwrap();
    let [webhook] = &receive_all(&stage).await[..] else { panic!("one webhook") };
    let owners = webhook.owners.iter().map(|owner| (owner.key.customer.as_str(), owner.may_use));
    assert_eq!(owners.collect::<Vec<_>>(), [("alice", false), ("bob", true)]);
}

#[tokio::test]
async fn a_webhook_of_an_unknown_type_is_accepted() {
    let stage = Stage::new();
    stage.fake.queue_webhook(&service(&stage), 4_000_000_000, None, json!({})).unwrap();
    let [webhook] = &receive_all(&stage).await[..] else { panic!("one webhook") };
    assert_eq!((webhook.event_type, webhook.effect, webhook.owners.len()), (4_000_000_000, WebhookEffect::None, 0));
}

#[tokio::test]
async fn the_next_refresh_verifies_that_the_app_was_removed() {
    // In the last case, the tokens are only 60 seconds old. Even then, the refresh verifies the removal at once, and
    // does not wait until ten minutes have passed.
    for (notices, deliveries, later) in
        [(GrantNotices::EachShop, 5, 601), (GrantNotices::One, 1, 601), (GrantNotices::One, 1, 60)]
    {
        let stage = Stage::new();
        stage.fake.update_switches(|switches| switches.grant_notices = notices);
        stage.connect("alice", "cross-border").await.unwrap();
        stage.advance(later);
        stage.fake.deauthorize(&service(&stage), "cross-border").unwrap();
        stage.clear_requests();
        assert_eq!(effects(&receive_all(&stage).await), vec![WebhookEffect::VerificationDue; deliveries]);
        assert_eq!(stage.fake.requests(), [], "no request is sent");
        assert_eq!(
            stage.connection("alice").await.status,
            ConnectionStatus::Active,
            "a webhook alone does not end the connection"
        );
        assert_eq!(stage.due().await, 1);

        let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
        assert_eq!(refusal(outcome), ("reauthorize", "authorization-revoked".to_owned()));
        let revoked = ConnectionStatus::ReauthorizationRequired(ReauthorizationReason::AuthorizationRevoked);
        assert_eq!(stage.connection("alice").await.status, revoked);
        assert_eq!(stage.due().await, 0);
        stage.clear_requests();
        assert_eq!(refusal(stage.refresh("alice", RefreshMode::Forced).await).1, "authorization-revoked");
        assert_eq!(stage.fake.requests(), [], "the tokens are erased, so a forced refresh has none to send");

        let again = stage.connect("alice", "cross-border").await.unwrap();
        assert_eq!(again.status, ConnectionStatus::Active, "a new consent recovers the connection");
    }
}

#[tokio::test]
async fn if_one_shop_of_several_was_removed_only_that_shop_is_marked() {
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
        .filter(|shop| shop.standing == ShopStanding::NoLongerGranted)
        .map(|shop| &shop.id)
        .collect();
    assert_eq!(gone, [&shop.id]);
    assert_eq!(stage.due().await, 0);
}

/// TikTok delivers a webhook for the last time about 15.5 hours after the event. Even that delivery counts.
#[tokio::test]
async fn a_deauthorization_webhook_counts_even_at_its_last_delivery() {
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
async fn a_deauthorization_webhook_from_before_a_reconnect_changes_nothing() {
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
        assert_eq!(stage.due().await, 0);
        assert_eq!(stage.connection("alice").await, again);
    }
}

#[tokio::test]
async fn a_webhook_that_is_forged_changed_or_sent_to_another_tenant_is_refused() {
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

    assert_eq!(stage.due().await, 0, "no verification was recorded");
    assert_eq!(receive(&stage, sent).await.unwrap().effect, WebhookEffect::VerificationDue);
}

#[tokio::test]
async fn an_announced_end_is_shown_until_the_next_consent_in_every_form_of_the_webhook() {
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
        assert!(!received.is_empty() && received.iter().all(|webhook| webhook.event_type == 7), "form {form}");
        assert!(received.iter().all(|webhook| webhook.effect == WebhookEffect::AuthorizationEnding), "form {form}");
        let ConnectionStatus::AuthorizationEnding(end) = stage.connection("alice").await.status else {
            panic!("form {form}")
        };
        assert!(end.0 > stage.fake.now() && end.0 <= stage.fake.now() + 30 * DAY, "form {form}");
        stage.connect("alice", "several-regions").await.unwrap();
        assert_eq!(stage.connection("alice").await.status, ConnectionStatus::Active, "form {form}");
    }
}

#[tokio::test]
async fn a_signature_with_the_previous_app_secret_is_accepted() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(60);
    stage.fake.deauthorize(&service(&stage), "one-shop").unwrap();
    let old = stage.fake.apps()[0].app_secret.clone();
    let rotated = AppCredentials {
        previous_app_secret: Some(old.as_str().into()),
        app_secret: "the-new-secret-0123456789abcdef".into(),
        ..app_credentials(&stage.fake.apps()[0])
    };
    let host = stage.host_with(StaticCredentials::new().with(tenant(0), rotated));
    let [delivery] = &stage.fake.webhooks_due()[..] else { panic!("one webhook") };
    let signature = delivery.header("authorization").unwrap();
    let received = host.receive_webhook(&tenant(0), None, signature, delivery.body.clone().into_bytes()).await.unwrap();
    assert_eq!(received.effect, WebhookEffect::VerificationDue);
}

#[tokio::test]
async fn a_refresh_finds_a_removal_that_tiktok_did_not_announce() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| switches.deauthorize_notice = DeauthorizeNotice::None);
    stage.connect("alice", "one-shop").await.unwrap();
    stage.fake.revoke("one-shop").unwrap();
    assert_eq!(receive_all(&stage).await, []);
    assert_eq!(
        refusal(stage.refresh("alice", RefreshMode::WhenDue).await).0,
        "retry-after",
        "the consent is less than ten minutes ago"
    );
    // The pause ends ten minutes after the consent, plus a random time of at most 150 s.
    stage.advance(751);
    assert_eq!(
        refusal(stage.refresh("alice", RefreshMode::WhenDue).await),
        ("reauthorize", "authorization-revoked".to_owned())
    );
}
