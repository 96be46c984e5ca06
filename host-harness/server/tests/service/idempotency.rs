//! Requests with an idempotency key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use tiktok_shop_host::TenantId;
use tiktok_shop_host::storage::{
    Access, BegunRequest, HostStorage, Interceptor, Passage, RequestDigest, RequestStorage, StorageError, StoredRequest,
};
use tiktok_shop_server::Parts;
use tokio::sync::Notify;

use crate::http::{Answer, Request};
use crate::stage::{Change, SHOP, Stage};

const SEARCH: &str = "/v1/customers/customer-7/shops/7490000000000000001/tiktok/order/202309/orders/search?page_size=1";

impl Stage {
    async fn keyed(&self, target: &str, key: &str, body: &serde_json::Value) -> Answer {
        self.request("POST", target).header("idempotency-key", key).json(body).send().await
    }

    /// Returns the number of calls that TikTok Shop has got since the last time.
    fn calls(&self) -> usize {
        let number = self.fake.requests().len();
        self.fake.clear_requests();
        number
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_carried_out_once_and_gets_the_same_answer() {
    let stage = Stage::new().await;
    assert!(SEARCH.contains(SHOP));
    stage.connect("customer-7", "one-shop").await;
    stage.calls();
    let first = stage.keyed(SEARCH, "\"8e03978e-40d5\"", &json!({})).await;
    assert_eq!((first.status, first.header("idempotency-replayed"), stage.calls()), (200, None, 1), "{}", first.text());
    let again = stage.keyed(SEARCH, "8e03978e-40d5", &json!({})).await;
    assert_eq!((again.status, again.header("idempotency-replayed"), stage.calls()), (200, Some("true"), 0));
    assert_eq!(again.body, first.body);
    for header in ["content-type", "x-answered-by", "x-tiktok-code", "x-tiktok-request-id"] {
        assert_eq!(again.header(header), first.header(header), "{header}");
    }
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    // Another key carries the request out again.
    assert_eq!((stage.keyed(SEARCH, "another", &json!({})).await.status, stage.calls()), (200, 1));

    // A session begins once, and its secret address comes again.
    let sessions = "/v1/customers/customer-7/connect-sessions";
    let session = stage.keyed(sessions, "session", &json!({})).await;
    let repeated = stage.keyed(sessions, "session", &json!({})).await;
    assert_eq!((session.status, repeated.status, &repeated.body), (201, 201, &session.body));
    stage.keep("address", session.json()["address"].as_str().unwrap());

    // After 24 hours, the key is forgotten.
    stage.pass(86_401);
    assert_eq!((stage.keyed(SEARCH, "another", &json!({})).await.status, stage.calls()), (200, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_belongs_to_one_request_of_one_api_key() {
    let stage = Stage::new().await;
    stage.connect("customer-7", "one-shop").await;
    stage.keyed(SEARCH, "k", &json!({})).await;
    stage.calls();
    let reused = (422, "idempotency-key-reused".to_owned());
    assert_eq!(stage.keyed(SEARCH, "k", &json!({ "order_status": "UNPAID" })).await.problem(), reused);
    assert_eq!(stage.keyed(&SEARCH.replace("size=1", "size=2"), "k", &json!({})).await.problem(), reused);
    let put = stage.request("PUT", SEARCH).header("idempotency-key", "k").json(&json!({})).send().await;
    assert_eq!(put.problem(), reused);
    let with = async |key: &str| {
        let request = Request::new(stage.address, "POST", SEARCH).key(key).header("idempotency-key", "k");
        request.json(&json!({})).send().await
    };
    // The other API keys of the tenant learn nothing of the answer, whether or not they may send calls.
    for (scope, key) in &stage.scoped {
        let answer = with(key).await;
        assert_eq!(answer.problem(), (422, "idempotency-key-of-another-api-key".to_owned()), "{scope}");
    }
    // The keys of another tenant are others.
    assert_eq!(with(&stage.other_key).await.problem(), (422, "unknown-shop".to_owned()));
    assert_eq!(with("ttsk_unknown").await.problem(), (401, "unauthenticated".to_owned()));
    for wrong in ["", "a b", "\"a", "\u{e9}", &"k".repeat(257), "a\r\nidempotency-key: b"] {
        let answer = stage.keyed(SEARCH, wrong, &json!({})).await;
        assert_eq!(answer.problem(), (400, "invalid-parameter".to_owned()), "{wrong}");
    }
    assert_eq!(stage.calls(), 0, "nothing was sent");
    // A GET may be repeated anyway, and a token is not kept.
    let get = stage.request("GET", "/v1/events").header("idempotency-key", "k").send().await;
    assert_eq!((get.status, get.header("idempotency-replayed")), (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_not_kept() {
    let stage = Stage::new().await;
    let account = stage.connect("customer-7", "one-shop").await;
    for what in ["access-token", "export"] {
        let target = format!("/v1/customers/customer-7/connections/{account}/{what}");
        for _ in 0..2 {
            let answer = stage.keyed(&target, "k", &json!({})).await;
            assert_eq!((answer.status, answer.header("idempotency-replayed")), (200, None), "{}", answer.text());
        }
    }
    let events = stage.get("/v1/events").await.json();
    let kinds = events["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap());
    let shown = kinds.filter(|kind| ["token-shown", "grant-exported"].contains(kind)).collect::<Vec<_>>();
    assert_eq!(shown, ["token-shown", "token-shown", "grant-exported", "grant-exported"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_an_effect_may_be_sent_again_with_the_same_key() {
    let stage = Stage::new().await;
    let refused = stage.keyed(SEARCH, "k", &json!({})).await;
    assert_eq!(refused.problem(), (422, "unknown-shop".to_owned()));
    let malformed = stage.keyed("/v1/customers/c/disconnect", "d", &json!({ "unknown": 1 })).await;
    assert_eq!(malformed.problem(), (400, "malformed-body".to_owned()));
    let corrected = stage.keyed("/v1/customers/c/disconnect", "d", &json!({ "tiktok_access": "keep" })).await;
    assert_eq!(corrected.status, 200, "{}", corrected.text());
    stage.connect("customer-7", "one-shop").await;
    assert_eq!(stage.keyed(SEARCH, "k", &json!({})).await.status, 200);
}

/// Holds the first read of a token record after it is switched on, so that a call stands still in the middle.
#[derive(Default)]
pub(crate) struct HoldsTheCall {
    pub(crate) on: AtomicBool,
    pub(crate) reached: Notify,
    pub(crate) released: Notify,
}

#[async_trait::async_trait]
impl Interceptor for HoldsTheCall {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        if access.method() == "load_token" && self.on.swap(false, Ordering::SeqCst) {
            self.reached.notify_one();
            self.released.notified().await;
        }
        Passage::Forward
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_running_request_waits_and_a_client_that_goes_away_loses_nothing() {
    let holds = Arc::new(HoldsTheCall::default());
    let stage = Stage::with(|_| {}, Some(holds.clone())).await;
    stage.connect("customer-7", "one-shop").await;
    stage.calls();
    holds.on.store(true, Ordering::SeqCst);
    let request = stage.request("POST", SEARCH).header("idempotency-key", "k").json(&json!({}));
    let client = tokio::spawn(request.send());
    holds.reached.notified().await;
    let copy = stage.keyed(SEARCH, "k", &json!({})).await;
    assert_eq!(copy.problem(), (409, "idempotency-in-progress".to_owned()));
    assert_eq!(copy.header("retry-after"), Some("1"));
    client.abort();
    let _ = client.await;
    holds.released.notify_one();
    let mut answer = stage.keyed(SEARCH, "k", &json!({})).await;
    while answer.status == 409 {
        tokio::task::yield_now().await;
        answer = stage.keyed(SEARCH, "k", &json!({})).await;
    }
    assert_eq!((answer.status, answer.header("idempotency-replayed"), stage.calls()), (200, Some("true"), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_in_the_middle_the_outcome_is_unknown_and_nothing_is_sent_again() {
    let holds = Arc::new(HoldsTheCall::default());
    let mut stage = Stage::with(|settings| settings.shutdown_deadline = Duration::ZERO, Some(holds.clone())).await;
    stage.connect("customer-7", "one-shop").await;
    holds.on.store(true, Ordering::SeqCst);
    let request = stage.request("POST", SEARCH).header("idempotency-key", "k").json(&json!({}));
    let client = tokio::spawn(request.send());
    holds.reached.notified().await;
    // The call stands still for ever, and another process takes over.
    stage.stop.cancel();
    (&mut stage.serving).await.unwrap();
    stage.restart().await;
    stage.calls();
    assert_eq!(stage.keyed(SEARCH, "k", &json!({})).await.problem(), (409, "idempotency-in-progress".to_owned()));
    stage.pass(301);
    for _ in 0..2 {
        let answer = stage.keyed(SEARCH, "k", &json!({})).await;
        assert_eq!(answer.problem(), (409, "idempotency-outcome-unknown".to_owned()));
        assert_eq!((&answer.json()["action"], answer.header("retry-after")), (&json!("upstream"), None));
    }
    assert_eq!(stage.calls(), 0);
    client.abort();
}

/// Remembers a request. Then gives the answer only after it is released, or loses it. Fails the first ends of requests.
struct Disturbed {
    requests: Arc<dyn RequestStorage>,
    holds: AtomicBool,
    fails: AtomicBool,
    reached: Notify,
    released: Notify,
    /// The number of ends that fail from now on.
    failing_ends: AtomicU32,
    /// Tells that the outcome of a request is stored.
    ended: Notify,
}

impl Disturbed {
    /// Starts another process of the service, whose memory of requests the test disturbs.
    async fn of(stage: &mut Stage) -> Arc<Self> {
        let mut disturbed = None;
        stage
            .restart_with(|parts| {
                let requests = Arc::new(Self {
                    requests: parts.requests.clone(),
                    holds: AtomicBool::new(false),
                    fails: AtomicBool::new(false),
                    reached: Notify::new(),
                    released: Notify::new(),
                    failing_ends: AtomicU32::new(0),
                    ended: Notify::new(),
                });
                disturbed = Some(requests.clone());
                Parts { requests, ..parts }
            })
            .await;
        disturbed.unwrap()
    }

    async fn end(&self, end: impl Future<Output = Result<(), StorageError>> + Send) -> Result<(), StorageError> {
        let left = |left: u32| left.checked_sub(1);
        if self.failing_ends.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
            return Err(StorageError::Unavailable("down".to_owned()));
        }
        end.await?;
        self.ended.notify_one();
        Ok(())
    }
}

#[async_trait::async_trait]
impl RequestStorage for Disturbed {
    async fn begin_request(
        &self,
        tenant: &TenantId,
        key: &RequestDigest,
        begun: &BegunRequest,
    ) -> Result<Option<StoredRequest>, StorageError> {
        let stored = self.requests.begin_request(tenant, key, begun).await;
        if self.holds.swap(false, Ordering::SeqCst) {
            self.reached.notify_one();
            self.released.notified().await;
        }
        if self.fails.load(Ordering::SeqCst) { Err(StorageError::Unavailable("lost".to_owned())) } else { stored }
    }

    async fn finish_request(
        &self,
        tenant: &TenantId,
        key: &RequestDigest,
        attempt: &[u8; 16],
        answer: &[u8],
    ) -> Result<(), StorageError> {
        self.end(self.requests.finish_request(tenant, key, attempt, answer)).await
    }

    async fn forget_request(
        &self,
        tenant: &TenantId,
        key: &RequestDigest,
        attempt: &[u8; 16],
    ) -> Result<(), StorageError> {
        self.end(self.requests.forget_request(tenant, key, attempt)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_remembered_is_carried_out_or_forgotten() {
    let mut stage = Stage::new().await;
    stage.connect("customer-7", "one-shop").await;
    let disturbed = Disturbed::of(&mut stage).await;
    stage.calls();

    // The client goes away while the storage remembers the request.
    disturbed.holds.store(true, Ordering::SeqCst);
    let client = tokio::spawn(stage.request("POST", SEARCH).header("idempotency-key", "k").json(&json!({})).send());
    disturbed.reached.notified().await;
    client.abort();
    let _ = client.await;
    disturbed.released.notify_one();
    let mut answer = stage.keyed(SEARCH, "k", &json!({})).await;
    while answer.status == 409 {
        tokio::task::yield_now().await;
        answer = stage.keyed(SEARCH, "k", &json!({})).await;
    }
    assert_eq!((answer.status, answer.header("idempotency-replayed"), stage.calls()), (200, Some("true"), 1));

    // The storage has remembered the request, but its answers are lost.
    disturbed.fails.store(true, Ordering::SeqCst);
    let failed = stage.keyed(SEARCH, "lost", &json!({})).await;
    assert_eq!((failed.problem(), stage.calls()), ((503, "storage-unavailable".to_owned()), 0));
    disturbed.fails.store(false, Ordering::SeqCst);
    let repeated = stage.keyed(SEARCH, "lost", &json!({})).await;
    assert_eq!((repeated.status, repeated.header("idempotency-replayed"), stage.calls()), (200, None, 1));

    // The same happens, and the key can't be freed at once.
    disturbed.ended.notified().await;
    disturbed.fails.store(true, Ordering::SeqCst);
    disturbed.failing_ends.store(1, Ordering::SeqCst);
    let failed = stage.keyed(SEARCH, "lost-twice", &json!({})).await;
    assert_eq!((failed.problem(), stage.calls()), ((503, "storage-unavailable".to_owned()), 0));
    disturbed.ended.notified().await;
    disturbed.fails.store(false, Ordering::SeqCst);
    let repeated = stage.keyed(SEARCH, "lost-twice", &json!({})).await;
    assert_eq!((repeated.status, repeated.header("idempotency-replayed"), stage.calls()), (200, None, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_outcome_of_a_request_is_stored_after_a_short_outage() {
    let mut stage = Stage::new().await;
    stage.connect("customer-7", "one-shop").await;
    let disturbed = Disturbed::of(&mut stage).await;

    // A request that had no effect gives its key back.
    disturbed.failing_ends.store(2, Ordering::SeqCst);
    let malformed = stage.keyed("/v1/customers/c/disconnect", "d", &json!({ "unknown": 1 })).await;
    assert_eq!(malformed.problem(), (400, "malformed-body".to_owned()));
    disturbed.ended.notified().await;
    let corrected = stage.keyed("/v1/customers/c/disconnect", "d", &json!({ "tiktok_access": "keep" })).await;
    assert_eq!(corrected.status, 200, "{}", corrected.text());
    disturbed.ended.notified().await;

    // A request that had an effect gives its answer again.
    stage.calls();
    disturbed.failing_ends.store(2, Ordering::SeqCst);
    let first = stage.keyed(SEARCH, "k", &json!({})).await;
    assert_eq!((first.status, first.header("idempotency-replayed"), stage.calls()), (200, None, 1));
    disturbed.ended.notified().await;
    let again = stage.keyed(SEARCH, "k", &json!({})).await;
    assert_eq!((again.status, again.header("idempotency-replayed"), stage.calls()), (200, Some("true"), 0));
    assert_eq!(again.body, first.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_ends_stores_the_ends_of_its_requests_within_its_deadline() {
    let cases: [(u32, Change, bool); 2] = [
        (1, |settings| settings.shutdown_deadline = Duration::from_secs(60), true),
        (u32::MAX, |settings| settings.shutdown_deadline = Duration::from_millis(50), false),
    ];
    for (failing_ends, change, is_stored) in cases {
        let mut stage = Stage::with(change, None).await;
        stage.connect("customer-7", "one-shop").await;
        let disturbed = Disturbed::of(&mut stage).await;
        disturbed.failing_ends.store(failing_ends, Ordering::SeqCst);
        assert_eq!(stage.keyed(SEARCH, "k", &json!({})).await.status, 200);
        stage.stop.cancel();
        (&mut stage.serving).await.unwrap();
        stage.restart().await;
        let copy = stage.keyed(SEARCH, "k", &json!({})).await;
        assert_eq!(copy.header("idempotency-replayed"), is_stored.then_some("true"), "{}", copy.text());
        assert_eq!(copy.status, if is_stored { 200 } else { 409 });
    }
}
