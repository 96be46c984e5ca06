//! Tests that slow calls of one tenant do not hold up other tenants. Tokio's clock is paused: it moves only when no
//! task can run. So if no time has passed during a call, the call waited for nothing.
//!
//! A paused clock does not move while a thread for blocking work is busy. So the tests that keep this thread busy do not
//! pause the clock, and poll each call once.

use std::collections::BTreeMap;
use std::future::pending;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use tiktok_shop_connector_core::secret::AppSecret;
use tiktok_shop_connector_core::signing::Webhook;
use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::connection::{Connection, ConnectionKey, UnixSeconds};
use tiktok_shop_host::credentials::{AppCredentials, CredentialsError, CredentialsProvider};
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::randomness::SystemRandomness;
use tiktok_shop_host::seal::{HostKeys, Keyring};
use tiktok_shop_host::storage::{
    Access, ConnectionStorage as _, Environment, HostStorage, Intercepted, Interceptor, KeyStorage as _, MemoryStorage,
    Next, OpenRow, Passage, RowFilter, Sealed, TokenStorage as _, TokenWrite,
};
use tiktok_shop_host::sweep::{Sweep, Swept};
use tiktok_shop_host::webhook::WebhookReply;
use tiktok_shop_host::{CallError, Component, ConnectorHost, Revision, TenantId};
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
    /// How long the provider needs for an answer.
    delay: Duration,
    /// The number of apps that each tenant has besides the first app.
    other_apps: usize,
}

#[async_trait]
impl CredentialsProvider for Slow {
    async fn apps(&self, tenant: &TenantId) -> Result<Vec<AppCredentials>, CredentialsError> {
        *self.asked.lock().unwrap().entry(tenant.clone()).or_default() += 1;
        let decrease = |left: usize| left.checked_sub(1);
        let left = self.answers.get(tenant);
        if left.is_none_or(|left| left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, decrease).is_err()) {
            pending::<()>().await;
        }
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let others = (0..self.other_apps).map(|number| format!("other-{number}"));
        let app = |app_key| AppCredentials {
            app_key,
            app_secret: SECRET.into(),
            previous_app_secret: None,
            authorization_link: None,
        };
        Ok(std::iter::once("app-key".to_owned()).chain(others).map(app).collect())
    }
}

impl Slow {
    fn answering(answers: &[(&str, usize)]) -> Self {
        let answers = answers.iter().map(|(name, count)| (tenant(name), AtomicUsize::new(*count))).collect();
        Self { answers, ..Self::default() }
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

    /// An interceptor is not asked before `belongs_to`.
    fn answered(&self, method: &'static str, _: bool, _: Duration) {
        self.0.fetch_add(usize::from(method == "belongs_to"), Ordering::SeqCst);
    }
}

struct Stage {
    host: ConnectorHost,
    credentials: Arc<Slow>,
    accesses: Arc<Accesses>,
    memory: Arc<MemoryStorage>,
    keys: Arc<HostKeys>,
}

fn stage(body: Body, answers: &[(&str, usize)]) -> Stage {
    stage_with(body, Slow::answering(answers))
}

fn stage_with(body: Body, credentials: Slow) -> Stage {
    let (credentials, accesses) = (Arc::new(credentials), Arc::new(Accesses::default()));
    let keys = Arc::new(HostKeys::draw().unwrap());
    let memory = Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO))));
    let host = ConnectorHost::builder()
        .component(Component::Bytes(guest::component("plugin", body)))
        .storage(Arc::new(Intercepted::new(Arc::clone(&memory) as Arc<_>, Arc::clone(&accesses) as Arc<_>)))
        .keys(Arc::clone(&keys) as Arc<_>)
        .credentials(Arc::clone(&credentials) as Arc<_>)
        .limits(LIMITS)
        .build()
        .unwrap();
    Stage { host, credentials, accesses, memory, keys }
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
    let stage = stage(Body::Trap, &[("shop", 2)]);
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
    assert!(has_run(&at_once(webhook(&stage.host, "shop", &signature(BODY))).await));
    assert_eq!(
        stage.accesses.0.load(Ordering::SeqCst),
        1,
        "a signed one asks to which environment the storage belongs"
    );
}

/// The component must get no secret of TikTok Shop if it could send the secret to a fake, and the other way round.
#[tokio::test(start_paused = true)]
async fn no_webhook_is_received_with_a_storage_of_another_environment() {
    let stage = stage(Body::Trap, &[("shop", 2)]);
    assert_eq!(stage.memory.belongs_to(Environment::Fake).await, Ok(true));
    for (body, code) in [(BODY, "credentials-refused"), (b"another body", "webhook-signature-invalid")] {
        let error = at_once(webhook(&stage.host, "shop", &signature(body))).await;
        assert_eq!(error.code(), code);
    }
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

/// The only thread for blocking work is busy, so a webhook that has the credentials of its 16 apps can't be hashed yet.
#[test]
fn the_share_of_a_tenant_limits_how_many_of_its_forged_webhooks_are_hashed_at_the_same_time() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let credentials = Slow { other_apps: 15, ..Slow::answering(&[("busy", 4), ("quiet", 2)]) };
        let stage = stage_with(Body::Trap, credentials);
        // Both tenants become known, so their webhooks do not share the places for unknown tenants.
        for name in ["busy", "quiet"] {
            assert!(has_run(&webhook(&stage.host, name, &signature(BODY)).await), "{name}");
        }
        let asked = || ["busy", "quiet"].map(|name| stage.credentials.asked(name));
        assert_eq!(asked(), [1, 1]);
        let (release, released) = std::sync::mpsc::channel::<()>();
        let blocked = tokio::task::spawn_blocking(move || released.recv());

        let forged = signature(b"another body");
        let mut busy: Vec<_> = (0..3).map(|_| Box::pin(webhook(&stage.host, "busy", &forged))).collect();
        for webhook in &mut busy {
            assert!(webhook.as_mut().now_or_never().is_none(), "a webhook that is not hashed has no answer");
        }
        assert_eq!(asked(), [2, 1], "a quarter of the four places for webhooks");
        let mut quiet = Box::pin(webhook(&stage.host, "quiet", &forged));
        assert!(quiet.as_mut().now_or_never().is_none());
        assert_eq!(asked(), [2, 2], "another tenant has a place of its own");

        drop(release);
        assert_eq!(blocked.await.unwrap(), Err(RecvError), "the sender is gone");
        busy.push(quiet);
        for error in futures::future::join_all(busy).await {
            assert_eq!(error.code(), "webhook-signature-invalid");
        }
        assert_eq!(asked(), [4, 2]);
    });
}

/// A caller that stops waiting does not end the hashes, so it must not free the place either.
#[test]
fn a_webhook_whose_caller_is_gone_keeps_its_place_until_it_is_hashed() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let stage = stage(Body::Trap, &[("busy", 2)]);
        let (release, released) = std::sync::mpsc::channel::<()>();
        let blocked = tokio::task::spawn_blocking(move || released.recv());

        let forged = signature(b"another body");
        let mut gone = Box::pin(webhook(&stage.host, "busy", &forged));
        assert!(gone.as_mut().now_or_never().is_none());
        drop(gone);
        let mut next = Box::pin(webhook(&stage.host, "busy", &forged));
        assert!(next.as_mut().now_or_never().is_none());
        assert_eq!(stage.credentials.asked("busy"), 1, "the first webhook holds the only place");

        drop(release);
        assert_eq!(blocked.await.unwrap(), Err(RecvError), "the sender is gone");
        assert_eq!(next.await.code(), "webhook-signature-invalid");
        assert_eq!(stage.credentials.asked("busy"), 2);
    });
}

#[tokio::test(start_paused = true)]
async fn missing_credentials_end_a_webhook_as_they_end_a_call() {
    let stage = stage(Body::Trap, &[]);
    let error = webhook(&stage.host, "nobody", &signature(BODY)).await;
    assert_eq!(error.code(), "credentials-unavailable");
}

#[tokio::test(start_paused = true)]
async fn webhooks_of_invented_tenants_hold_up_no_known_tenant() {
    // The provider has no answer for an invented tenant.
    let stage = stage(Body::Trap, &[("hooked", 2), ("called", 2)]);
    let host = || stage.host.clone();
    // A tenant is known after a webhook with a right signature, or after another call.
    assert!(has_run(&at_once(webhook(&stage.host, "hooked", &signature(BODY))).await));
    assert!(has_run(&at_once(url(&stage.host, "called")).await));
    let invented = start((0..MANY).map(|number| {
        let host = host();
        async move { webhook(&host, &format!("invented-{number}"), &signature(BODY)).await }
    }))
    .await;
    let asked = || (0..MANY).map(|number| stage.credentials.asked(&format!("invented-{number}"))).sum::<usize>();
    assert_eq!(asked(), 1, "a quarter of the four places for webhooks");

    for name in ["hooked", "called"] {
        assert!(has_run(&at_once(webhook(&stage.host, name, &signature(BODY))).await), "{name}");
    }
    assert!(invented.iter().all(|webhook| !webhook.is_finished()));
    assert_eq!(asked(), 1);
    // A tenant that is not known yet waits with the invented tenants.
    let host = host();
    let _new = start(std::iter::once(async move { webhook(&host, "new", &signature(BODY)).await })).await;
    assert_eq!(stage.credentials.asked("new"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_forged_webhook_makes_no_tenant_known() {
    let stage = stage(Body::Trap, &[("forged", 1)]);
    let forged = signature(b"another body");
    assert_eq!(at_once(webhook(&stage.host, "forged", &forged)).await.code(), "webhook-signature-invalid");
    let _waiting = start(["invented", "forged"].into_iter().map(|name| {
        let host = stage.host.clone();
        async move { webhook(&host, name, &signature(BODY)).await }
    }))
    .await;
    // The invented tenant has the only place for unknown tenants.
    assert_eq!((stage.credentials.asked("invented"), stage.credentials.asked("forged")), (1, 1));
}

/// Starts a webhook of a tenant that does not exist. The provider never answers, so the webhook takes the only place
/// for webhooks of unknown tenants.
async fn start_invented(host: &ConnectorHost) -> Vec<tokio::task::JoinHandle<CallError>> {
    let host = host.clone();
    start(std::iter::once(async move { webhook(&host, "invented", &signature(BODY)).await })).await
}

#[tokio::test(start_paused = true)]
async fn a_webhook_of_an_unknown_tenant_holds_its_place_for_two_seconds() {
    let stage = stage(Body::Trap, &[("new", 1)]);
    let began = Instant::now();
    let invented = start_invented(&stage.host).await;
    assert!(has_run(&webhook(&stage.host, "new", &signature(BODY)).await));
    assert_eq!(began.elapsed().as_secs(), 2);
    // The webhook without a place waits for its credentials until the deadline.
    for webhook in invented {
        assert_eq!(webhook.await.unwrap().code(), "credentials-unavailable");
    }
    assert_eq!(began.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_too_late_for_its_webhook_makes_the_tenant_known() {
    let slow = Slow { delay: Duration::from_secs(3), ..Slow::answering(&[("slow", 2)]) };
    let stage = stage_with(Body::Trap, slow);
    let signature = signature(BODY);
    let reply =
        stage.host.accept_webhook(&tenant("slow"), None, &signature, BODY.into(), async |_| Ok::<_, ()>(())).await;
    assert_eq!(reply, WebhookReply::Late);
    tokio::time::sleep(Duration::from_secs(2)).await;

    let _invented = start_invented(&stage.host).await;
    let began = Instant::now();
    assert!(has_run(&webhook(&stage.host, "slow", &signature).await));
    assert_eq!(began.elapsed().as_secs(), 3, "the webhook waits only for the provider");
}

async fn put_row(stage: &Stage, name: &str, authorization_ends_at: Option<UnixSeconds>) {
    let key = ConnectionKey { customer: "customer-7".parse().unwrap(), account: "a".parse().unwrap() };
    let connection = Connection { authorization_ends_at, ..Connection::new(key.clone()) };
    let keyring = Keyring::new(
        Arc::clone(&stage.memory) as Arc<_>,
        Arc::clone(&stage.keys) as Arc<_>,
        Arc::new(SystemRandomness),
    );
    let revision: Revision = "r".parse().unwrap();
    let value = keyring.seal_row(&tenant(name), &revision, &OpenRow::new(connection)).await.unwrap();
    stage.memory.swap_row(&tenant(name), &key, None, Some(&Next { revision, value }), &[]).await.unwrap();
}

async fn put_token(memory: &MemoryStorage, name: &str, refresh_due_at: UnixSeconds) {
    let key = ConnectionKey { customer: "customer-7".parse().unwrap(), account: "a".parse().unwrap() };
    let data_key = memory.tenant_keys(&tenant(name)).await.unwrap().remove(0);
    let value = Sealed::new(data_key.id, b"sealed".to_vec());
    let write = TokenWrite { value, refresh_due_at: Some(refresh_due_at) };
    let next = Next { revision: "r".parse().unwrap(), value: write };
    memory.swap_token(&tenant(name), &key, None, Some(&next)).await.unwrap();
}

/// After a start, a host learns its tenants from the storage, so a flood of invented tenants can't hold up their
/// webhooks. The connection `due` is due one second after the sweep and not overdue, so the sweep sends nothing.
#[tokio::test(start_paused = true)]
async fn a_tenant_is_known_when_a_list_or_a_sweep_has_found_something_of_it() {
    let names = ["listed", "due", "ending"];
    let stage = stage(Body::Trap, &names.map(|name| (name, 1)));
    put_row(&stage, "listed", None).await;
    put_token(&stage.memory, "listed", UnixSeconds(1_000_000)).await;
    put_row(&stage, "due", None).await;
    put_token(&stage.memory, "due", UnixSeconds(1)).await;
    put_row(&stage, "ending", Some(UnixSeconds(9))).await;
    let listed = stage.host.tenant_connections(&tenant("listed"), &RowFilter::default(), None, 9).await.unwrap();
    assert_eq!(listed.len(), 1);
    let sweep = Sweep { jitter: Duration::ZERO, ..Sweep::new(UnixSeconds(0), NonZeroUsize::MIN) };
    let swept = stage.host.sweep(sweep, pending(), |_, _| ()).await.unwrap();
    assert_eq!(swept, Swept { notices: 1, ..Swept::default() });

    let _invented = start_invented(&stage.host).await;
    for name in names {
        assert_eq!(stage.credentials.asked(name), 0, "{name}: no earlier call had credentials");
        assert!(has_run(&at_once(webhook(&stage.host, name, &signature(BODY))).await), "{name}");
    }
    // A list that finds nothing makes no tenant known.
    let none = stage.host.tenant_connections(&tenant("new"), &RowFilter::default(), None, 9).await.unwrap();
    assert_eq!(none, Vec::new());
    let host = stage.host.clone();
    let _new = start(std::iter::once(async move { webhook(&host, "new", &signature(BODY)).await })).await;
    assert_eq!(stage.credentials.asked("new"), 0, "it waits with the invented tenant");
}
