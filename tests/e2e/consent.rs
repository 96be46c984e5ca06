//! Tests of a consent, from the link to the callback. Only the browser that began the consent can finish it: once,
//! within ten minutes, and for the same customer and tenant. If the host refuses a callback, the host sends no request.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use fake_tiktok_shop::{CallbackExtras, Decision, Fault};
use tiktok_shop_host::connection::{Connection, ConnectionStatus, ShopPolicy};
use tiktok_shop_host::consent::ConsentError;
use tiktok_shop_host::randomness::Randomness;
use tiktok_shop_host::storage::{
    Access, BrowserDigest, ConsentRecord, ConsentStorage as _, HostStorage, Interceptor, MemoryStorage, Passage,
    StateDigest,
};
use tiktok_shop_host::{CallError, ConnectorHost, Secret};
use tiktok_shop_tests::{Sink, Stage, TOKEN_GET, browser, browser_secret, customer_id, refusal, state_of, tenant};

/// Begins a consent for a customer, in the customer's own browser. Returns the state.
async fn begin(stage: &Stage, customer: &str, shops: ShopPolicy) -> String {
    let consent =
        stage.host.begin_consent(&tenant(0), &customer_id(customer), None, &browser(customer), shops).await.unwrap();
    assert!(consent.url.expose().starts_with("https://services.tiktokshop.com/open/authorize?service_id="));
    state_of(&consent).to_owned()
}

/// Lets the seller `one-shop` allow the consent with this state, and returns the query of the callback.
fn allowed(stage: &Stage, state: &str) -> String {
    stage.callback_of(0, "one-shop", Some(state), Decision::Allow)
}

async fn finish(host: &ConnectorHost, customer: &str, query: &str) -> Result<Connection, ConsentError> {
    host.finish_consent(&tenant(0), &browser(customer), query.into()).await
}

/// Returns the action and the code of the error, as [`refusal`] does. Panics if the outcome is not
/// [`ConsentError::Call`].
fn call_refusal(outcome: Result<Connection, ConsentError>) -> (&'static str, String) {
    match outcome {
        Err(ConsentError::Call(error)) => refusal(Err::<(), _>(error)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_consent_connects_its_customer_with_its_shop_policy() {
    let stage = Stage::new();
    let state = begin(&stage, "alice", ShopPolicy::ExactlyOne).await;
    let connection = finish(&stage.host, "alice", &allowed(&stage, &state)).await.unwrap();
    assert_eq!((connection.key.customer, connection.shop_policy), (customer_id("alice"), ShopPolicy::ExactlyOne));
    assert_eq!(stage.requests_to(TOKEN_GET), 1);
}

#[tokio::test]
async fn states_are_random_and_are_stored_as_digests() {
    let stage = Stage::new();
    let (one, two) = (begin(&stage, "alice", ShopPolicy::All).await, begin(&stage, "alice", ShopPolicy::All).await);
    assert_ne!(one, two);
    assert!(one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
    // Through these queries, the stage learns both states. When the stage ends, it asserts that no stored value
    // contains one of the states.
    let _queries = (allowed(&stage, &one), allowed(&stage, &two));
    let stored = String::from_utf8(stage.watch.written(Sink::Rows)).unwrap();
    assert!(
        stored.contains(
            "ConsentRecord { customer: CustomerId(\"alice\"), app: Some(AppKey(\"6fakeapp00001\")), browser: [digest], "
        ),
        "{stored}"
    );
}

#[tokio::test]
async fn of_two_simultaneous_callbacks_one_connects_and_sends_the_only_token_request() {
    let stage = Stage::new();
    let other = stage.another_host();
    let state = begin(&stage, "alice", ShopPolicy::All).await;
    let query = allowed(&stage, &state);
    // The storage lets other tasks run after a read. So both calls read the state before one of them uses it.
    let (one, two) = tokio::join!(finish(&stage.host, "alice", &query), finish(&other, "alice", &query));
    let (connected, refused) = if one.is_ok() { (one, two) } else { (two, one) };
    assert_eq!(refused, Err(ConsentError::StateUsed));
    assert_eq!(finish(&other, "alice", &query).await, Err(ConsentError::StateUsed));
    assert_eq!(stage.requests_to(TOKEN_GET), 1);
    assert_eq!(stage.connections("alice").await, [connected.unwrap()]);
}

#[tokio::test]
async fn a_callback_whose_state_differs_in_any_way_is_refused() {
    let stage = Stage::new();
    let state = begin(&stage, "alice", ShopPolicy::All).await;
    let query = allowed(&stage, &state);
    let (code, _) = query.split_once("&state=").unwrap();
    let mut states: Vec<String> = vec![
        String::new(),
        "&state=".to_owned(),
        format!("&state={}", &state[1..]),
        format!("&state={}", &state[..31]),
        format!("&state={state}0"),
        format!("&state={state}%20"),
        format!("&state={state}&state={state}"),
        format!("&state=other&state={state}"),
        format!("&State={state}"),
    ];
    for (at, digit) in state.bytes().enumerate() {
        for flipped in [digit ^ 1, digit ^ 0x20] {
            let mut bytes = state.clone().into_bytes();
            bytes[at] = flipped;
            states.push(format!(
                "&state=%{}",
                bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join("%")
            ));
        }
    }
    for state in states {
        let outcome = finish(&stage.host, "alice", &format!("{code}{state}")).await;
        assert_eq!(outcome, Err(ConsentError::StateMismatch), "{state}");
    }
    assert_eq!(stage.fake.requests(), []);
    assert_eq!(finish(&stage.host, "alice", &query).await.unwrap().status, ConnectionStatus::Active);
}

#[tokio::test]
async fn another_browser_can_neither_finish_a_consent_nor_use_its_state() {
    let stage = Stage::new();
    let state = begin(&stage, "alice", ShopPolicy::All).await;
    let query = allowed(&stage, &state);
    for _ in 0..2 {
        // This call comes from the browser of another customer of the same tenant.
        assert_eq!(finish(&stage.host, "mallory", &query).await, Err(ConsentError::OtherBrowser));
    }
    assert_eq!(stage.fake.requests(), []);
    assert_eq!(finish(&stage.host, "alice", &query).await.unwrap().key.customer, customer_id("alice"));
    // Mallory's browser does not learn that alice's browser has used the state.
    assert_eq!(finish(&stage.host, "mallory", &query).await, Err(ConsentError::OtherBrowser));
    assert_eq!(stage.connections("mallory").await, []);
}

/// Answers `load_state` from another storage.
struct Changed(Arc<MemoryStorage>);

#[async_trait]
impl Interceptor for Changed {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        if access.method() == "load_state" {
            Passage::ForwardTo(Arc::clone(&self.0) as Arc<_>)
        } else {
            Passage::Forward
        }
    }
}

/// The SHA-256 of a text. An earlier release stored it of the secret of the browser.
fn sha256(secret: &Secret) -> BrowserDigest {
    BrowserDigest::new(*StateDigest::of(secret).as_bytes())
}

/// A person who can write to the database changes the consent of alice before her callback arrives, for example so that
/// her shops go to another customer.
#[tokio::test]
async fn a_consent_that_was_changed_in_the_storage_connects_nobody() {
    let stage = Stage::new();
    let state = begin(&stage, "alice", ShopPolicy::ExactlyOne).await;
    let query = allowed(&stage, &state);
    let digest = StateDigest::of(&state.as_str().into());
    let record = stage.storage.load_state(&tenant(0), &digest).await.unwrap().unwrap().record;
    let replace = async |record: &ConsentRecord| {
        let storage = Arc::new(MemoryStorage::new(Arc::clone(&stage.clock) as Arc<_>));
        storage.put_state(&tenant(0), &digest, record).await.unwrap();
        stage.intercept(Arc::new(Changed(storage)));
    };
    let mallory = ConsentRecord { customer: customer_id("mallory"), ..record.clone() };
    for changed in [
        mallory.clone(),
        ConsentRecord { app: Some("6fakeapp00002".parse().unwrap()), ..record.clone() },
        ConsentRecord { app: None, ..record.clone() },
        ConsentRecord { shops: ShopPolicy::All, ..record.clone() },
        // This is the form of a consent of an earlier release.
        ConsentRecord { browser: sha256(&browser_secret("alice")), ..mallory },
    ] {
        replace(&changed).await;
        assert_eq!(finish(&stage.host, "alice", &query).await, Err(ConsentError::OtherBrowser), "{changed:?}");
    }
    assert_eq!(stage.fake.requests(), []);
    replace(&record).await;
    assert_eq!(finish(&stage.host, "alice", &query).await.unwrap().key.customer, customer_id("alice"));
    assert_eq!(stage.connections("mallory").await, []);
}

#[tokio::test]
async fn a_consent_can_be_finished_for_ten_minutes_by_the_storages_clock() {
    let stage = Stage::new();
    let (in_time, late) = (begin(&stage, "alice", ShopPolicy::All).await, begin(&stage, "bob", ShopPolicy::All).await);
    let (in_time, late) = (allowed(&stage, &in_time), allowed(&stage, &late));
    stage.advance(600);
    assert_eq!(finish(&stage.host, "alice", &in_time).await.unwrap().status, ConnectionStatus::Active);
    stage.advance(1);
    stage.clear_requests();
    assert_eq!(finish(&stage.host, "bob", &late).await, Err(ConsentError::StateExpired));
    assert_eq!(stage.fake.requests(), []);
}

#[tokio::test]
async fn a_consent_of_one_app_does_not_connect_another_app() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| switches.callback_extras = CallbackExtras::AppKeyLocaleAndRegion);
    let state = begin(&stage, "alice", ShopPolicy::All).await;
    let query = allowed(&stage, &state);
    let outcome = stage.host.finish_consent(&tenant(1), &browser("alice"), query.as_str().into()).await;
    assert_eq!(outcome, Err(ConsentError::StateMismatch));

    // This callback comes from another app and has the state of the first tenant's consent.
    let foreign = stage.callback_of(1, "one-shop", Some(&state), Decision::Allow);
    let outcome = finish(&stage.host, "alice", &foreign).await;
    assert_eq!(call_refusal(outcome), ("invalid-request", "callback-of-another-app".to_owned()));
    assert_eq!(stage.fake.requests(), []);
}

#[tokio::test]
async fn a_callback_that_met_a_rate_limit_may_be_repeated() {
    let stage = Stage::new();
    let state = begin(&stage, "alice", ShopPolicy::All).await;
    let query = allowed(&stage, &state);
    let name = "HTTP 429, Retry-After: 7";
    stage.fake.fault_next(TOKEN_GET, name, Fault::named(name).unwrap());
    assert_eq!(call_refusal(finish(&stage.host, "alice", &query).await).0, "retry-after");
    // After the failure, the state counts as unused again. The state still belongs to the same browser, and its age
    // still counts from the start of the consent.
    assert_eq!(finish(&stage.host, "mallory", &query).await, Err(ConsentError::OtherBrowser));
    stage.advance(7);
    assert_eq!(finish(&stage.host, "alice", &query).await.unwrap().status, ConnectionStatus::Active);
    assert_eq!(finish(&stage.host, "alice", &query).await, Err(ConsentError::StateUsed));
    assert_eq!(stage.requests_to(TOKEN_GET), 2);
}

/// A person may paste the wrong text, and a proxy may cut a query short.
#[tokio::test]
async fn a_callback_with_neither_code_nor_error_does_not_use_the_state() {
    let stage = Stage::new();
    let state = begin(&stage, "alice", ShopPolicy::All).await;
    let query = allowed(&stage, &state);
    let (code, _) = query.split_once("&state=").unwrap();
    for malformed in [
        format!("state={state}"),
        format!("code=&state={state}"),
        format!("code=%20&error=&state={state}"),
        format!("https://platform.example/callback?{query}"),
        format!("{code}&{code}&state={state}"),
        format!("{query}&locale={}", "x".repeat(8192)),
    ] {
        assert_eq!(finish(&stage.host, "alice", &malformed).await, Err(ConsentError::Malformed), "{malformed}");
    }
    assert_eq!(stage.fake.requests(), []);
    assert_eq!(finish(&stage.host, "alice", &query).await.unwrap().status, ConnectionStatus::Active);
}

#[tokio::test]
async fn a_refused_consent_and_a_spent_code_use_the_state() {
    let stage = Stage::new();
    let state = begin(&stage, "alice", ShopPolicy::All).await;
    let refused = stage.callback_of(0, "one-shop", Some(&state), Decision::Refuse);
    let outcome = finish(&stage.host, "alice", &refused).await;
    assert_eq!(call_refusal(outcome), ("reauthorize", "consent-refused".to_owned()));
    assert_eq!(finish(&stage.host, "alice", &refused).await, Err(ConsentError::StateUsed));
    assert_eq!(stage.fake.requests(), []);

    let first = begin(&stage, "alice", ShopPolicy::All).await;
    let query = allowed(&stage, &first);
    let connection = finish(&stage.host, "alice", &query).await.unwrap();
    let second = begin(&stage, "alice", ShopPolicy::All).await;
    let spent = query.replace(&first, &second);
    let outcome = finish(&stage.host, "alice", &spent).await;
    assert_eq!(call_refusal(outcome), ("reauthorize", "authorization-code-spent".to_owned()));
    assert_eq!(finish(&stage.host, "alice", &spent).await, Err(ConsentError::StateUsed));
    assert_eq!(stage.connections("alice").await, [connection]);
}

/// Randomness that always fails.
struct NoRandomness;

impl Randomness for NoRandomness {
    fn fill(&self, _: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[tokio::test]
async fn without_randomness_no_consent_can_begin() {
    let stage = Stage::new();
    let host = stage.host_builder().randomness(Arc::new(NoRandomness)).build().unwrap();
    let outcome = host.begin_consent(&tenant(0), &customer_id("alice"), None, &browser("alice"), ShopPolicy::All).await;
    let plugin = stage.host.plugin().clone();
    assert_eq!(outcome, Err(ConsentError::Call(CallError::NoRandomness { plugin })));
}

#[tokio::test]
async fn the_texts_of_a_consent_and_its_errors_do_not_contain_the_state() {
    let stage = Stage::new();
    let (alice, all) = (customer_id("alice"), ShopPolicy::All);
    let consent = stage.host.begin_consent(&tenant(0), &alice, None, &browser("alice"), all).await.unwrap();
    assert_eq!(format!("{consent:?}"), "Consent { url: [redacted] }");
    let query = Secret::from("code=c&state=a-state-nobody-knows");
    let error = stage.host.finish_consent(&tenant(0), &browser("alice"), query).await.unwrap_err();
    assert_eq!(format!("{error} {error:?}"), "the callback carries no state of a consent of this tenant StateMismatch");
}
