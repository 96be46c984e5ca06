//! Tests of the library function `accept_webhook`, the entry point for webhooks. The function verifies each webhook,
//! lets the platform handle the webhook once, and chooses the HTTP status for TikTok.

use std::cell::RefCell;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tiktok_shop_host::connection::{ConnectionStatus, UnixSeconds};
use tiktok_shop_host::credentials::{AppCredentials, CredentialsError, CredentialsProvider};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::HostStorage;
use tiktok_shop_host::webhook::{Webhook, WebhookEffect, WebhookReply};
use tiktok_shop_host::{CallError, TenantId};
use tiktok_shop_tests::{Access, BEGIN, DAY, Interceptor, Passage, Stage, tenant};

/// Returns the value of the header `Authorization` that TikTok sends with this body to the app with the index `app`.
pub(crate) fn signature(stage: &Stage, app: usize, body: &str) -> String {
    let app = stage.fake.apps().swap_remove(app);
    stage.fake.webhook_signature(&app.service_id, body.as_bytes()).unwrap()
}

/// Returns the body of a webhook of type 7, which TikTok sends at the time `occurred`. The body announces that the
/// authorization for the shop of the seller `one-shop` ends at the time `at`.
pub(crate) fn ending_notice(id: &str, at: u64, occurred: u64) -> String {
    format!(
        r#"{{"type":7,"tts_notification_id":"{id}","shop_id":"7490000000000000001","timestamp":{occurred},"data":{{"expiration_time":{at}}}}}"#
    )
}

/// A platform that records the webhooks that it handles.
#[derive(Default)]
struct Platform {
    handled: RefCell<Vec<Webhook>>,
}

impl Platform {
    async fn deliver(&self, stage: &Stage, body: &str) -> WebhookReply<Infallible> {
        self.deliver_signed(stage, &signature(stage, 0, body), body).await
    }

    async fn deliver_signed(&self, stage: &Stage, authorization: &str, body: &str) -> WebhookReply<Infallible> {
        let handle = async |webhook| {
            self.handled.borrow_mut().push(webhook);
            Ok(())
        };
        stage.host.accept_webhook(&tenant(0), None, authorization, body.into(), handle).await
    }

    fn count(&self) -> usize {
        self.handled.borrow().len()
    }
}

const ORDER: &str = r#"{"type":1,"tts_notification_id":"7600000000000000001","shop_id":"7490000000000000001","timestamp":1767225600,"data":{"order_id":"1"}}"#;

#[tokio::test]
async fn a_webhook_is_handled_once_with_its_owners() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    let platform = Platform::default();
    let reply = platform.deliver(&stage, ORDER).await;
    assert_eq!((reply.status(), reply), (200, WebhookReply::Handled));
    // TikTok delivers the same webhook again to another host.
    let other = stage.another_host();
    let authorization = signature(&stage, 0, ORDER);
    let unreached = async |_| -> Result<(), Infallible> { panic!("handled twice") };
    let reply = other.accept_webhook(&tenant(0), None, &authorization, ORDER.into(), unreached).await;
    assert_eq!((reply.status(), reply), (200, WebhookReply::Repeated));

    let handled = platform.handled.take();
    let [webhook] = handled.as_slice() else { panic!("{handled:?}") };
    assert_eq!((webhook.event_type, webhook.effect), (1, WebhookEffect::None));
    assert_eq!(webhook.data, r#"{"order_id":"1"}"#);
    let owners: Vec<_> = webhook.owners.iter().map(|owner| (owner.key.customer.as_str(), owner.may_use)).collect();
    assert_eq!(owners, [("alice", true)]);
}

#[tokio::test]
async fn a_webhook_that_the_platform_could_not_handle_is_handled_at_its_next_delivery() {
    let stage = Stage::new();
    let authorization = signature(&stage, 0, ORDER);
    let fail = async |_| Err("the queue is full");
    let reply = stage.host.accept_webhook(&tenant(0), None, &authorization, ORDER.into(), fail).await;
    assert_eq!((reply.status(), reply), (500, WebhookReply::NotHandled("the queue is full")));

    let platform = Platform::default();
    assert_eq!(platform.deliver(&stage, ORDER).await, WebhookReply::Handled);
    assert_eq!(platform.deliver(&stage, ORDER).await, WebhookReply::Repeated);
    assert_eq!(platform.count(), 1);
}

/// Records the accesses to the storage.
#[derive(Default)]
struct Accesses(Mutex<Vec<&'static str>>);

#[async_trait]
impl Interceptor for Accesses {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        self.0.lock().unwrap().push(access.method());
        Passage::Forward
    }
}

/// TikTok repeats a delivery whose answer it did not get. Meanwhile a refresh has asked TikTok, and the removal was not
/// true. If the repetition counted again, the next rejection of a token would erase all tokens.
#[tokio::test]
async fn a_removal_that_is_delivered_again_after_it_was_verified_makes_nothing_due() {
    let stage = Stage::new();
    let key = stage.connect("alice", "one-shop").await.unwrap().key;
    // TikTok's bodies need not have an id.
    for id in [r#""tts_notification_id":"7600000000000000006","#, ""] {
        stage.advance(1_000);
        let now = stage.fake.now();
        let body = format!(r#"{{"type":6,{id}"shop_id":"7490000000000000001","timestamp":{now},"data":{{}}}}"#);
        let platform = Platform::default();
        assert_eq!(platform.deliver(&stage, &body).await, WebhookReply::Handled);
        assert_eq!(platform.handled.borrow()[0].effect, WebhookEffect::VerificationDue);
        assert_eq!(stage.due().await, 1);
        stage.refresh("alice", RefreshMode::WhenDue).await.unwrap();
        assert_eq!(stage.due().await, 0);

        let before = stage.token_record(&key).await.unwrap();
        let accesses = Arc::new(Accesses::default());
        stage.intercept(Arc::clone(&accesses) as Arc<_>);
        assert_eq!(platform.deliver(&stage, &body).await, WebhookReply::Repeated);
        assert_eq!(*accesses.0.lock().unwrap(), ["knows_webhook"], "the component does not get it");
        assert_eq!(stage.due().await, 0, "nothing has to be verified");
        assert_eq!(stage.token_record(&key).await.unwrap(), before);
        assert_eq!(platform.count(), 1);
    }
}

#[tokio::test]
async fn a_webhook_without_an_id_is_recognised_by_its_bytes() {
    let stage = Stage::new();
    let platform = Platform::default();
    let (one, two) = (r#"{"type":1,"data":{"order_id":"1"}}"#, r#"{"type":1,"data":{"order_id":"2"}}"#);
    for (body, expected) in [
        (one, WebhookReply::Handled),
        (two, WebhookReply::Handled),
        (one, WebhookReply::Repeated),
        (two, WebhookReply::Repeated),
    ] {
        assert_eq!(platform.deliver(&stage, body).await, expected, "{body}");
    }
    // A webhook without an id is recognised by a digest of its body. An id is never taken for such a digest, even if it
    // looks like a digest.
    let digest = "sha256 0000";
    let named = format!(r#"{{"type":1,"tts_notification_id":"{digest}"}}"#);
    assert_eq!(platform.deliver(&stage, &named).await, WebhookReply::Handled);
}

#[tokio::test]
async fn a_webhook_without_tiktoks_signature_for_this_app_changes_nothing() {
    let stage = Stage::new();
    let before = stage.connect("alice", "one-shop").await.unwrap();
    let platform = Platform::default();
    let body = ending_notice("7600000000000000007", BEGIN + 20 * DAY, BEGIN + 5);
    let right = signature(&stage, 0, &body);
    let mut flipped = right.clone().into_bytes();
    flipped[63] ^= 1;
    let table = [
        (String::from_utf8(flipped).unwrap(), body.clone()),
        (right[..63].to_owned(), body.clone()),
        (right.to_uppercase(), body.clone()),
        (format!(" {right}"), body.clone()),
        (String::new(), body.clone()),
        (signature(&stage, 1, &body), body.clone()),
        (right.clone(), body.replace("\"data\":", "\"data\": ")),
        (right.clone(), format!("{body}\n")),
        // The signature is checked before the body is parsed.
        (right.clone(), "{".to_owned()),
    ];
    for (authorization, body) in table {
        let reply = platform.deliver_signed(&stage, &authorization, &body).await;
        assert_eq!((reply.status(), reply), (401, WebhookReply::Forged), "{body}");
    }
    assert_eq!(platform.count(), 0);
    assert_eq!(stage.connections("alice").await, [before]);
    // A forged webhook is not remembered, so the genuine webhook is still handled.
    assert_eq!(platform.deliver(&stage, &body).await, WebhookReply::Handled);
}

#[tokio::test]
async fn a_signed_webhook_that_cannot_be_read_is_requested_again() {
    let stage = Stage::new();
    let platform = Platform::default();
    for body in ["", "{}", "[]", r#"{"type":"#] {
        let reply = platform.deliver(&stage, body).await;
        assert_eq!(reply.status(), 500, "{body}");
        let WebhookReply::Malformed(error) = reply else { panic!("{reply:?}") };
        assert_eq!(error.failure().code, "webhook-malformed");
    }
    assert_eq!(platform.count(), 0);
}

/// TikTok signs every body that it sends, even a body with a text that was cut within a character.
#[tokio::test]
async fn a_byte_that_is_not_utf_8_or_a_byte_order_mark_costs_no_removal() {
    for body in [
        b"{\"type\":6,\"shop_id\":\"7490000000000000001\",\"data\":{\"message\":\"Caf\xe9\"}}".as_slice(),
        b"\xef\xbb\xbf{\"type\":6,\"shop_id\":\"7490000000000000001\",\"data\":{}}",
    ] {
        let stage = Stage::new();
        stage.connect("alice", "one-shop").await.unwrap();
        stage.advance(60);
        let signed = stage.fake.webhook_signature(&stage.fake.apps()[0].service_id, body).unwrap();
        let mut seen = None;
        let handle = |webhook| {
            seen = Some(webhook);
            std::future::ready(Ok::<_, Infallible>(()))
        };
        let reply = stage.host.accept_webhook(&tenant(0), None, &signed, body.to_vec(), handle).await;
        assert_eq!((reply.status(), reply), (200, WebhookReply::Handled));
        let webhook = seen.unwrap();
        assert_eq!((webhook.effect, webhook.owners.len()), (WebhookEffect::VerificationDue, 1));
        assert_eq!(stage.due().await, 1, "the next sweep asks TikTok");
    }
}

#[tokio::test]
async fn a_body_above_256_kib_is_refused() {
    let stage = Stage::new();
    let platform = Platform::default();
    let body = format!(r#"{{"type":1,"data":"{}"}}"#, "x".repeat((256 << 10) - 20));
    assert_eq!(body.len(), 256 << 10);
    assert_eq!(platform.deliver(&stage, &body).await, WebhookReply::Handled);
    let reply = platform.deliver(&stage, &format!("{body} ")).await;
    assert_eq!((reply.status(), reply), (413, WebhookReply::TooLarge));
    assert_eq!(platform.count(), 1);

    let large = format!("{body} ");
    let error =
        stage.host.receive_webhook(&tenant(0), None, &signature(&stage, 0, &large), large.into()).await.unwrap_err();
    let CallError::Connector(error) = error else { panic!("{error}") };
    assert_eq!(error.failure().code, "webhook-malformed");
    assert!(error.failure().detail.contains("262144 bytes"), "{error}");
}

/// An attacker has recorded a webhook, and sends it to the platform again and again. The storage forgets a webhook
/// after four days at the latest.
#[tokio::test]
async fn a_webhook_that_is_replayed_at_any_later_time_is_not_handled_again() {
    let stage = Stage::new();
    let platform = Platform::default();
    assert_eq!(platform.deliver(&stage, ORDER).await, WebhookReply::Handled);
    for round in 1..=12 {
        stage.advance(DAY / 2);
        // A database forgets old webhooks when it remembers a new one.
        let (id, now) = (round.to_string(), stage.fake.now());
        let new = format!(r#"{{"type":1,"tts_notification_id":"{id}","timestamp":{now}}}"#);
        assert_eq!(platform.deliver(&stage, &new).await, WebhookReply::Handled);
        assert_eq!(platform.deliver(&stage, ORDER).await, WebhookReply::Repeated, "{round} half days later");
    }
    stage.advance(365 * DAY);
    assert_eq!(platform.deliver(&stage, ORDER).await, WebhookReply::Repeated, "a year later");
    assert_eq!(platform.count(), 1 + 12);
}

#[tokio::test]
async fn a_last_repetition_and_an_event_without_a_believable_time_are_handled_however_late() {
    let stage = Stage::new();
    let platform = Platform::default();
    // TikTok repeats a webhook 2 minutes, then 30 minutes, then 3 hours and then 12 hours after the previous delivery.
    // This is the time of the last repetition.
    stage.advance(120 + 30 * 60 + 3 * 3600 + 12 * 3600);
    assert_eq!(platform.deliver(&stage, ORDER).await, WebhookReply::Handled);
    stage.advance(30 * DAY);
    for time in ["", r#","timestamp":0"#, r#","timestamp":1767225"#, r#","timestamp":4102444800"#] {
        let body = format!(r#"{{"type":1,"shop_id":"7490000000000000001"{time}}}"#);
        assert_eq!(platform.deliver(&stage, &body).await, WebhookReply::Handled, "{body}");
    }
}

#[tokio::test]
async fn a_webhook_that_one_tenant_has_handled_is_new_to_another_tenant() {
    let stage = Stage::new();
    for at in [0, 1] {
        let authorization = signature(&stage, at, ORDER);
        let handle = async |_| Ok::<_, Infallible>(());
        let reply = stage.host.accept_webhook(&tenant(at), None, &authorization, ORDER.into(), handle).await;
        assert_eq!(reply, WebhookReply::Handled, "tenant {at}");
    }
}

#[tokio::test]
async fn a_connection_shows_the_announced_end_before_the_platform_handles_the_webhook() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    let body = ending_notice("7600000000000000007", BEGIN + 20 * DAY, BEGIN + 5);
    let handle = async |webhook: Webhook| {
        assert_eq!(webhook.effect, WebhookEffect::AuthorizationEnding);
        assert_eq!(
            stage.connection("alice").await.status,
            ConnectionStatus::AuthorizationEnding(UnixSeconds(BEGIN + 20 * DAY))
        );
        Ok::<_, Infallible>(())
    };
    let authorization = signature(&stage, 0, &body);
    let reply = stage.host.accept_webhook(&tenant(0), None, &authorization, body.into(), handle).await;
    assert_eq!(reply, WebhookReply::Handled);
}

/// A provider of credentials that never answers.
struct NoCredentials;

#[async_trait]
impl CredentialsProvider for NoCredentials {
    async fn apps(&self, _: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_is_requested_again_if_the_answer_takes_longer_than_tiktok_waits() {
    let stage = Stage::in_memory();
    let host = stage.host_builder().credentials(Arc::new(NoCredentials)).build().unwrap();
    let unreached = async |_| -> Result<(), Infallible> { panic!("handled") };
    let started = tokio::time::Instant::now();
    let reply = host.accept_webhook(&tenant(0), None, &signature(&stage, 0, ORDER), ORDER.into(), unreached).await;
    assert_eq!((reply.status(), reply), (503, WebhookReply::Late));
    assert_eq!(started.elapsed().as_secs(), 2, "two seconds of tokio's paused clock");
}
