//! A consent from the link to the callback: only the browser that began it finishes it, once, in ten minutes, for the
//! customer and the tenant it was begun for. Whatever is refused sends no request.

use std::io;
use std::sync::Arc;

use fake_tiktok_shop::{CallbackExtras, Decision, Fault};
use tiktok_shop_host::connection::{Connection, ConnectionStatus, ShopPolicy};
use tiktok_shop_host::consent::{BrowserSession, ConsentError};
use tiktok_shop_host::randomness::Randomness;
use tiktok_shop_host::{CallError, ConnectorHost, Secret};
use tiktok_shop_tests::{Sink, Stage, TOKEN_GET, customer_id, refusal, tenant};

fn browser(of: &str) -> BrowserSession {
    BrowserSession::new(format!("the session cookie of {of}").into()).unwrap()
}

/// The state of a consent that a customer begins in a browser of their own.
async fn begin(stage: &Stage, customer: &str, shops: ShopPolicy) -> String {
    let consent =
        stage.host.begin_consent(&tenant(0), &customer_id(customer), &browser(customer), shops).await.unwrap();
    let (link, state) = consent.url.expose().split_once("&state=").unwrap();
    assert!(link.starts_with("https://services.tiktokshop.com/open/authorize?service_id="), "{link}");
    state.to_owned()
}

/// The callback after a seller has allowed what that state asks for.
fn allowed(stage: &Stage, state: &str) -> String {
    stage.callback_of(0, "one-shop", Some(state), Decision::Allow)
}

async fn finish(host: &ConnectorHost, customer: &str, query: &str) -> Result<Connection, ConsentError> {
    host.finish_consent(&tenant(0), &browser(customer), query.into()).await
}

fn called(outcome: Result<Connection, ConsentError>) -> (&'static str, String) {
    match outcome {
        Err(ConsentError::Call(error)) => refusal(Err::<(), _>(error)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_consent_connects_the_customer_who_began_it_with_the_shops_that_were_chosen() {
    let stage = Stage::new();
    let state = begin(&stage, "alice", ShopPolicy::ExactlyOne).await;
    let connection = finish(&stage.host, "alice", &allowed(&stage, &state)).await.unwrap();
    assert_eq!((connection.key.customer, connection.shop_policy), (customer_id("alice"), ShopPolicy::ExactlyOne));
    assert_eq!(stage.requests_to(TOKEN_GET), 1);
}

#[tokio::test]
async fn a_state_tells_nothing_and_no_two_are_alike() {
    let stage = Stage::new();
    let (one, two) = (begin(&stage, "alice", ShopPolicy::All).await, begin(&stage, "alice", ShopPolicy::All).await);
    assert_ne!(one, two);
    assert!(one.len() == 32 && one.bytes().all(|byte| byte.is_ascii_hexdigit()), "{one}");
    // The stage finds a state in what is stored, if there is one; here, that something was stored.
    let _canaries = (allowed(&stage, &one), allowed(&stage, &two));
    let stored = String::from_utf8(stage.watch.written(Sink::Rows)).unwrap();
    assert!(stored.contains("ConsentRecord { customer: CustomerId(\"alice\"), browser: [digest], "), "{stored}");
}

#[tokio::test]
async fn of_two_callbacks_at_once_one_is_taken_up_and_one_token_request_is_sent() {
    let stage = Stage::new();
    let other = stage.host_builder().build().unwrap();
    let state = begin(&stage, "alice", ShopPolicy::All).await;
    let query = allowed(&stage, &state);
    // Both have read the state before either uses it: storage lets calls that run side by side meet there.
    let (one, two) = tokio::join!(finish(&stage.host, "alice", &query), finish(&other, "alice", &query));
    let (taken, refused) = if one.is_ok() { (one, two) } else { (two, one) };
    assert_eq!(refused, Err(ConsentError::StateUsed));
    assert_eq!(finish(&other, "alice", &query).await, Err(ConsentError::StateUsed));
    assert_eq!(stage.requests_to(TOKEN_GET), 1);
    let listed = stage.host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap();
    assert_eq!(listed, [taken.unwrap()]);
}

#[tokio::test]
async fn a_callback_whose_state_is_not_exactly_that_of_a_consent_is_refused() {
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
async fn another_browser_can_neither_finish_a_consent_nor_use_it_up() {
    let stage = Stage::new();
    let state = begin(&stage, "alice", ShopPolicy::All).await;
    let query = allowed(&stage, &state);
    for _ in 0..2 {
        // Of another customer, who is signed in to the same tenant.
        assert_eq!(finish(&stage.host, "mallory", &query).await, Err(ConsentError::OtherBrowser));
    }
    assert_eq!(stage.fake.requests(), []);
    assert_eq!(finish(&stage.host, "alice", &query).await.unwrap().key.customer, customer_id("alice"));
    // Nor does it learn that the state was used since.
    assert_eq!(finish(&stage.host, "mallory", &query).await, Err(ConsentError::OtherBrowser));
    assert_eq!(stage.host.list_connections(&tenant(0), &customer_id("mallory")).await.unwrap(), []);
}

#[tokio::test]
async fn a_consent_is_taken_up_within_ten_minutes_by_the_storages_clock() {
    let stage = Stage::new();
    let (kept, missed) = (begin(&stage, "alice", ShopPolicy::All).await, begin(&stage, "bob", ShopPolicy::All).await);
    let (kept, missed) = (allowed(&stage, &kept), allowed(&stage, &missed));
    stage.advance(600);
    assert_eq!(finish(&stage.host, "alice", &kept).await.unwrap().status, ConnectionStatus::Active);
    stage.advance(1);
    stage.clear_requests();
    assert_eq!(finish(&stage.host, "bob", &missed).await, Err(ConsentError::StateExpired));
    assert_eq!(stage.fake.requests(), []);
}

#[tokio::test]
async fn a_consent_of_one_app_is_worth_nothing_at_another() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| switches.callback_extras = CallbackExtras::AppKeyLocaleAndRegion);
    let state = begin(&stage, "alice", ShopPolicy::All).await;
    let query = allowed(&stage, &state);
    let outcome = stage.host.finish_consent(&tenant(1), &browser("alice"), query.as_str().into()).await;
    assert_eq!(outcome, Err(ConsentError::StateMismatch));

    // The callback of another app, with the state of this one.
    let foreign = stage.callback_of(1, "one-shop", Some(&state), Decision::Allow);
    let outcome = finish(&stage.host, "alice", &foreign).await;
    assert_eq!(called(outcome), ("invalid-request", "callback-of-another-app".to_owned()));
    assert_eq!(stage.fake.requests(), []);
}

#[tokio::test]
async fn a_callback_that_tiktok_was_too_busy_for_may_come_again() {
    let stage = Stage::new();
    let state = begin(&stage, "alice", ShopPolicy::All).await;
    let query = allowed(&stage, &state);
    let name = "HTTP 429, Retry-After: 7";
    stage.fake.fault_next(TOKEN_GET, name, Fault::named(name).unwrap());
    assert_eq!(called(finish(&stage.host, "alice", &query).await).0, "retry-after");
    // Released, it is bound as before, and as old.
    assert_eq!(finish(&stage.host, "mallory", &query).await, Err(ConsentError::OtherBrowser));
    stage.advance(7);
    assert_eq!(finish(&stage.host, "alice", &query).await.unwrap().status, ConnectionStatus::Active);
    assert_eq!(finish(&stage.host, "alice", &query).await, Err(ConsentError::StateUsed));
    assert_eq!(stage.requests_to(TOKEN_GET), 2);
}

#[tokio::test]
async fn a_refusal_and_a_spent_code_use_the_state_up() {
    let stage = Stage::new();
    let state = begin(&stage, "alice", ShopPolicy::All).await;
    let refused = stage.callback_of(0, "one-shop", Some(&state), Decision::Refuse);
    let outcome = finish(&stage.host, "alice", &refused).await;
    assert_eq!(called(outcome), ("reauthorize", "consent-refused".to_owned()));
    assert_eq!(finish(&stage.host, "alice", &refused).await, Err(ConsentError::StateUsed));
    assert_eq!(stage.fake.requests(), []);

    let first = begin(&stage, "alice", ShopPolicy::All).await;
    let query = allowed(&stage, &first);
    let healthy = finish(&stage.host, "alice", &query).await.unwrap();
    let second = begin(&stage, "alice", ShopPolicy::All).await;
    let spent = query.replace(&first, &second);
    let outcome = finish(&stage.host, "alice", &spent).await;
    assert_eq!(called(outcome), ("reauthorize", "authorization-code-spent".to_owned()));
    assert_eq!(finish(&stage.host, "alice", &spent).await, Err(ConsentError::StateUsed));
    assert_eq!(stage.host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap(), [healthy]);
}

#[tokio::test]
async fn an_install_from_the_app_store_has_no_state_and_leaves_that_of_a_consent_alone() {
    let stage = Stage::new();
    let state = begin(&stage, "alice", ShopPolicy::All).await;
    let (query, install) = (allowed(&stage, &state), stage.callback_of(0, "one-shop", None, Decision::Allow));
    let (ours, bob) = (tenant(0), customer_id("bob"));
    let take = |query: &str| stage.host.finish_app_store_install(&ours, &bob, query.into(), ShopPolicy::All);
    assert_eq!(refusal(take(&query).await), ("invalid-request", "state-mismatch".to_owned()));
    assert_eq!(finish(&stage.host, "alice", &install).await, Err(ConsentError::StateMismatch));
    assert_eq!(stage.fake.requests(), []);
    assert_eq!(take(&install).await.unwrap().key.customer, bob);
    assert_eq!(finish(&stage.host, "alice", &query).await.unwrap().key.customer, customer_id("alice"));
}

struct Broken;

impl Randomness for Broken {
    fn fill(&self, _: &mut [u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[tokio::test]
async fn without_randomness_no_consent_begins() {
    let stage = Stage::new();
    let host = stage.host_builder().randomness(Arc::new(Broken)).build().unwrap();
    let outcome = host.begin_consent(&tenant(0), &customer_id("alice"), &browser("alice"), ShopPolicy::All).await;
    let plugin = stage.host.plugin().clone();
    assert_eq!(outcome, Err(ConsentError::Call(CallError::NoRandomness { plugin })));
}

#[tokio::test]
async fn neither_a_consent_nor_its_errors_show_the_state() {
    let stage = Stage::new();
    let (alice, all) = (customer_id("alice"), ShopPolicy::All);
    let consent = stage.host.begin_consent(&tenant(0), &alice, &browser("alice"), all).await.unwrap();
    assert_eq!(format!("{consent:?}"), "Consent { url: [redacted] }");
    let query = Secret::from("code=c&state=a-state-nobody-knows");
    let error = stage.host.finish_consent(&tenant(0), &browser("alice"), query).await.unwrap_err();
    assert_eq!(format!("{error} {error:?}"), "the callback carries no state of a consent of this tenant StateMismatch");
}
