//! Tests that slow calls of one tenant do not hold up other tenants. Tokio's clock is paused: it moves only when no
//! task can run. So if no time has passed during a call, the call waited for nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tiktok_shop_connector_core::secret::AppSecret;
use tiktok_shop_connector_core::signing::Webhook;
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::credentials::{AppCredentials, CredentialsError, CredentialsProvider};
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::seal::HostKeys;
use tiktok_shop_host::storage::{Access, HostStorage, Intercepted, Interceptor, MemoryStorage, Passage};
use tiktok_shop_host::webhook::WebhookReply;
use tiktok_shop_host::{CallError, Component, ConnectorHost, TenantId};
use tokio::time::Instant;

use crate::guest::{self, Body};

const LIMITS: Limits = Limits {
    concurrent_calls: 8,
    concurrent_webhooks: 4,
    tenant_percent: 25,
    webhook_body_bytes: 1_000,
    component_bytes: 4 << 20,
    memory_bytes: 1 << 20,
    table_elements: 1_000,
    hostcall_bytes: 1 << 20,
    handles: 10,
    random_bytes: 1_000,
    header_bytes: 1_000,
    response_bytes: 1_000,
};
/// The number of instances that one tenant may use: a quarter of the eight instances.
const SHARE: usize = 2;
const MANY: usize = 10_000;

/// A provider of credentials that answers the first requests of a tenant at once, and never answers the later requests.
#[derive(Default)]
struct Slow {
    answers: BTreeMap<TenantId, AtomicUsize>,
    asked: Mutex<BTreeMap<TenantId, usize>>,
}

#[async_trait]
impl CredentialsProvider for Slow {
    async fn apps(&self, tenant: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        *self.asked.lock().unwrap().entry(tenant.clone()).or_default() += 1;
        let decrease = |left: usize| left.checked_sub(1);
        let left = self.answers.get(tenant);
        if left.is_none_or(|left| left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, decrease).is_err()) {
            std::future::pending::<()>().await;
        }
        Ok(vec![AppCredentials {
            app_key: "app-key".to_owned(),
            app_secret: SECRET.into(),
            previous_app_secret: None,
            authorization_link: None,
        }])
    }
}

impl Slow {
    fn answering(answers: &[(&str, usize)]) -> Arc<Self> {
        let answers = answers.iter().map(|(name, count)| (tenant(name), AtomicUsize::new(*count))).collect();
        Arc::new(Self { answers, asked: Mutex::default() })
    }

    fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().get(&tenant(name)).copied().unwrap_or_default()
    }
}

const SECRET: &str = "the secret of the app";

/// Counts the accesses that reach the storage.
#[derive(Default)]
struct Accesses(AtomicUsize);

#[async_trait]
impl Interceptor for Accesses {
    async fn passage(&self, _: Access<'_>, _: &dyn HostStorage) -> Passage {
        self.0.fetch_add(1, Ordering::SeqCst);
        Passage::Forward
    }
}

struct Stage {
    host: ConnectorHost,
    credentials: Arc<Slow>,
    accesses: Arc<Accesses>,
}

fn stage(body: Body, answers: &[(&str, usize)]) -> Stage {
    let (credentials, accesses) = (Slow::answering(answers), Arc::new(Accesses::default()));
    let memory = Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO))));
    let host = ConnectorHost::builder()
        .component(Component::Bytes(guest::component("plugin", body)))
        .storage(Arc::new(Intercepted::new(memory, Arc::clone(&accesses) as Arc<_>)))
        .keys(Arc::new(HostKeys::draw().unwrap()))
        .credentials(Arc::clone(&credentials) as Arc<_>)
        .limits(LIMITS)
        .build()
        .unwrap();
    Stage { host, credentials, accesses }
}

fn tenant(name: &str) -> TenantId {
    name.parse().unwrap()
}

/// Makes a call for which the host fetches the app's credentials, and returns the error of the call.
async fn url(host: &ConnectorHost, name: &str) -> CallError {
    host.authorization_url(&tenant(name), None, "state".into()).await.unwrap_err()
}

/// Makes a call for which the host fetches no credentials in advance, and returns the error of the call.
async fn list(host: &ConnectorHost, name: &str) -> CallError {
    host.list_shops(&tenant(name), &"customer-7".parse().unwrap()).await.unwrap_err()
}

fn signature(body: &[u8]) -> String {
    Webhook { app_key: "app-key", body, authorization: &[] }.signature(&AppSecret::new(SECRET.to_owned()))
}

async fn webhook(host: &ConnectorHost, name: &str, signature: &str) -> CallError {
    host.receive_webhook(&tenant(name), None, signature, BODY.into()).await.unwrap_err()
}

const BODY: &[u8] = b"{}";

/// Awaits a call and returns its error. Checks that the call did not wait.
async fn at_once(call: impl Future<Output = CallError>) -> CallError {
    let started = Instant::now();
    let error = call.await;
    assert_eq!(started.elapsed(), Duration::ZERO, "{error}");
    error
}

fn has_run(error: &CallError) -> bool {
    matches!(error, CallError::Trapped { .. })
}

/// Starts many calls, and waits until none of them can go on.
async fn start<F>(calls: impl Iterator<Item = F>) -> Vec<tokio::task::JoinHandle<CallError>>
where
    F: Future<Output = CallError> + Send + 'static,
{
    let started: Vec<_> = calls.map(tokio::spawn).collect();
    // The paused clock moves only when no task can run.
    tokio::time::sleep(Duration::from_millis(1)).await;
    started
}

#[tokio::test(start_paused = true)]
async fn slow_credentials_of_a_tenant_with_ten_thousand_calls_hold_up_nobody_else() {
    let stage = stage(Body::AskOnce, &[("quiet", 1)]);
    let calls = start((0..MANY).map(|_| {
        let host = stage.host.clone();
        async move { url(&host, "busy").await }
    }))
    .await;
    assert_eq!(stage.credentials.asked("busy"), SHARE, "the others wait for their turn to ask");

    assert!(has_run(&at_once(url(&stage.host, "quiet")).await));
    assert!(calls.iter().all(|call| !call.is_finished()));
    for call in calls {
        let error = call.await.unwrap();
        assert!(matches!(error, CallError::Busy { .. } | CallError::Trapped { .. }), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_needs_no_credentials_does_not_wait_for_them() {
    let stage = stage(Body::Trap, &[]);
    let calls = start((0..MANY).map(|_| {
        let host = stage.host.clone();
        async move { url(&host, "busy").await }
    }))
    .await;
    assert!(has_run(&at_once(list(&stage.host, "busy")).await));
    assert!(calls.iter().all(|call| !call.is_finished()));
}

#[tokio::test(start_paused = true)]
async fn a_tenant_whose_calls_hold_their_instances_leaves_three_quarters_to_others() {
    // Each call waits in the guest, because the guest asks for credentials that never come.
    let stage = stage(Body::AskForever, &[]);
    let host = || stage.host.clone();
    let _busy = start((0..MANY).map(|_| {
        let host = host();
        async move { list(&host, "busy").await }
    }))
    .await;
    let _others = start(["a", "b", "c"].into_iter().flat_map(|name| [name; MANY / 100]).map(|name| {
        let host = host();
        async move { list(&host, name).await }
    }))
    .await;
    for name in ["busy", "a", "b", "c"] {
        assert_eq!(stage.credentials.asked(name), SHARE, "{name}: as many calls run as the share allows");
    }
    // All instances are in use, so a call of a further tenant waits, and then fails with `Busy`.
    assert!(matches!(list(&stage.host, "d").await, CallError::Busy { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_webhook_does_not_wait_for_the_instances_of_calls() {
    let stage = stage(Body::AskForever, &[("hooked", 1)]);
    let host = || stage.host.clone();
    let _calls = start(["a", "b", "c", "d"].into_iter().flat_map(|name| [name; SHARE]).map(|name| {
        let host = host();
        async move { list(&host, name).await }
    }))
    .await;
    assert!(matches!(list(&stage.host, "e").await, CallError::Busy { .. }), "all instances of calls are in use");
    let host = host();
    let _webhook = start(std::iter::once(async move { webhook(&host, "hooked", &signature(BODY)).await })).await;
    assert_eq!(stage.credentials.asked("hooked"), 2, "the host has asked, and then the guest of the webhook");
}

#[tokio::test(start_paused = true)]
async fn a_call_does_not_wait_for_the_instances_of_webhooks() {
    let names = ["a", "b", "c", "d"];
    let stage = stage(Body::AskForever, &names.map(|name| (name, 1)));
    let host = || stage.host.clone();
    let _webhooks = start(names.into_iter().map(|name| {
        let host = host();
        async move { webhook(&host, name, &signature(BODY)).await }
    }))
    .await;
    assert_eq!(stage.credentials.asked("a"), 2, "the host has asked, and then the guest of the webhook");
    let host = host();
    let _call = start(std::iter::once(async move { list(&host, "a").await })).await;
    assert_eq!(stage.credentials.asked("a"), 3, "the guest of the call has asked");
}

#[tokio::test(start_paused = true)]
async fn a_forged_webhook_takes_no_instance_and_reaches_no_storage() {
    let stage = stage(Body::Trap, &[("shop", 1)]);
    let forged = signature(b"another body");
    for authorization in ["", "0123", &forged, &signature(BODY).to_uppercase(), "not in the form of a signature"] {
        let error = at_once(webhook(&stage.host, "shop", authorization)).await;
        assert_eq!(error.code(), "webhook-signature-invalid", "{authorization}");
    }
    assert_eq!(stage.credentials.asked("shop"), 1, "only a webhook in the form of a signed one asks for credentials");
    let large = vec![b'x'; 1_001];
    let reply =
        stage.host.accept_webhook(&tenant("shop"), None, &forged, large.clone(), async |_| Ok::<_, ()>(())).await;
    assert_eq!(reply, WebhookReply::TooLarge);
    let error = stage.host.receive_webhook(&tenant("shop"), None, &signature(&large), large).await.unwrap_err();
    assert_eq!(error.code(), "webhook-malformed");
    assert_eq!(stage.credentials.asked("shop"), 1, "a large body asks for nothing");
    assert_eq!(stage.accesses.0.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn forged_webhooks_are_refused_while_all_instances_are_in_use() {
    let names = ["a", "b", "c", "d"];
    let stage = stage(Body::AskForever, &["a", "b", "c", "d", "other"].map(|name| (name, 1)));
    let host = || stage.host.clone();
    let _webhooks = start(names.into_iter().map(|name| {
        let host = host();
        async move { webhook(&host, name, &signature(BODY)).await }
    }))
    .await;
    for name in names {
        assert_eq!(stage.credentials.asked(name), 2, "{name}: the guest of the webhook has asked, too");
    }
    let error = at_once(webhook(&stage.host, "other", &signature(b"another body"))).await;
    assert_eq!(error.code(), "webhook-signature-invalid");
}

#[tokio::test(start_paused = true)]
async fn missing_credentials_end_a_webhook_as_they_end_a_call() {
    let stage = stage(Body::Trap, &[]);
    let error = webhook(&stage.host, "nobody", &signature(BODY)).await;
    assert_eq!(error.code(), "credentials-unavailable");
}
