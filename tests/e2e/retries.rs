//! Tests of the library function `with_retries` with the shipped component. The function repeats a call after the pause
//! that the error asks for.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use fake_tiktok_shop::{Decision, Fault};
use tiktok_shop_host::CallError;
use tiktok_shop_host::connection::{ConnectionStatus, ShopPolicy};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::retry::with_retries;
use tiktok_shop_tests::{DAY, HoldsBackThePair, Stage, TOKEN_GET, TOKEN_REFRESH, customer_id, refusal, tenant};
use tokio::time::Instant;

/// Repeats a call with `with_retries`. The calls run in real time, but the pauses between them take no real time. In
/// place of each pause, the clocks of TikTok Shop and of the hosts move forward. Returns the outcome and the sum of the
/// pauses.
async fn repeat<T, F>(stage: &Stage, within: Duration, call: impl Fn() -> F) -> (Result<T, CallError>, Duration)
where
    F: Future<Output = Result<T, CallError>>,
{
    tokio::time::pause();
    let (last, paused) = (Cell::new(Instant::now()), Cell::new(Duration::ZERO));
    let outcome = with_retries(within, async || {
        let pause = last.get().elapsed();
        stage.clock.advance(pause);
        stage.fake.advance(pause);
        paused.set(paused.get() + pause);
        tokio::time::resume();
        let outcome = call().await;
        tokio::time::pause();
        last.set(Instant::now());
        outcome
    })
    .await;
    tokio::time::resume();
    (outcome, paused.get())
}

const LIMITED: &str = "HTTP 429, Retry-After: 7";

#[tokio::test]
async fn a_connect_that_met_a_rate_limit_succeeds_with_the_same_code() {
    let stage = Stage::new();
    let query = stage.callback("one-shop", Decision::Allow);
    stage.fake.fault_next(TOKEN_GET, LIMITED, Fault::named(LIMITED).unwrap());
    let connect = || stage.connect_with("alice", &query, ShopPolicy::All);
    let (connected, paused) = repeat(&stage, Duration::from_secs(60), connect).await;
    assert_eq!(connected.unwrap().status, ConnectionStatus::Active);
    assert_eq!((paused.as_secs(), stage.requests_to(TOKEN_GET)), (7, 2));
}

#[tokio::test]
async fn a_refresh_that_met_a_rate_limit_succeeds_after_the_back_off() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(8 * DAY);
    stage.fake.fault_next(TOKEN_REFRESH, LIMITED, Fault::named(LIMITED).unwrap());
    let (renewed, paused) =
        repeat(&stage, Duration::from_secs(60), || stage.refresh("alice", RefreshMode::WhenDue)).await;
    assert_eq!(renewed.unwrap().status, ConnectionStatus::Active);
    assert!((30..=38).contains(&paused.as_secs()), "{paused:?}");
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 2);
}

#[tokio::test]
async fn if_the_back_off_is_longer_than_the_callers_time_the_caller_gets_the_error() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(8 * DAY);
    stage.fake.fault_next(TOKEN_REFRESH, LIMITED, Fault::named(LIMITED).unwrap());
    let (refused, paused) =
        repeat(&stage, Duration::from_secs(10), || stage.refresh("alice", RefreshMode::WhenDue)).await;
    assert_eq!(refusal(refused), ("retry-after", "backing-off".to_owned()));
    assert_eq!((paused.as_secs(), stage.requests_to(TOKEN_REFRESH)), (7, 1));
}

#[tokio::test]
async fn a_caller_that_meets_another_hosts_claim_gets_that_hosts_new_token() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(8 * DAY);
    let storage = Arc::new(HoldsBackThePair::default());
    stage.intercept(Arc::clone(&storage) as Arc<_>);
    let other = stage.another_host();
    let renewing =
        tokio::spawn(async move { other.refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::WhenDue).await });
    storage.held().await;

    let renewing = Cell::new(Some(renewing));
    let refusals = RefCell::new(Vec::new());
    let (token, paused) = repeat(&stage, Duration::from_secs(10), async || {
        let min_validity = Duration::from_secs(600);
        let token = stage.host.access_token(&tenant(0), &customer_id("alice"), None, min_validity).await;
        if let Some(renewing) = renewing.take() {
            refusals.borrow_mut().push(refusal(token.clone()));
            storage.release();
            renewing.await.unwrap().unwrap();
        }
        token
    })
    .await;
    assert_eq!(refusals.take(), [("retry-after", "refresh-in-progress".to_owned())]);
    assert!(stage.issued("one-shop").honours_access_token(token.unwrap().token.expose()));
    assert!(paused <= Duration::from_millis(1600), "{paused:?}");
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 1);
}
