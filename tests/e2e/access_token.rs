//! Tests of the export `access-token`. The export returns a valid access token. If the token would expire too soon for
//! the caller, the export first renews it.

use std::time::Duration;

use fake_tiktok_shop::Fault;
use tiktok_shop_host::CallError;
use tiktok_shop_host::access_token::ValidToken;
use tiktok_shop_host::connection::{ConnectionStatus, UnixSeconds};
use tiktok_shop_tests::{BEGIN, DAY, Stage, TOKEN_REFRESH, customer_id, refusal, tenant};

async fn access_token(stage: &Stage, seconds: u64) -> Result<ValidToken, CallError> {
    stage.host.access_token(&tenant(0), &customer_id("alice"), None, Duration::from_secs(seconds)).await
}

/// Returns whether TikTok accepts this access token of the seller `one-shop` in a call.
fn is_honoured(stage: &Stage, token: &ValidToken) -> bool {
    stage.issued("one-shop").honours_access_token(token.token.expose())
}

#[tokio::test]
async fn a_fresh_token_is_returned_without_a_request() {
    let stage = Stage::new();
    let connection = stage.connect("alice", "one-shop").await.unwrap();
    stage.clear_requests();
    let token = access_token(&stage, 3600).await.unwrap();
    assert_eq!((&token.account, token.expires_at), (&connection.key.account, Some(UnixSeconds(BEGIN + 7 * DAY))));
    assert!(is_honoured(&stage, &token));
    assert_eq!(stage.fake.requests(), []);
}

#[tokio::test]
async fn a_due_token_is_renewed_and_the_row_shows_the_new_end() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(7 * DAY - 3600);
    let token = access_token(&stage, 60).await.unwrap();
    assert!(is_honoured(&stage, &token));
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 1);
    let row = stage.connection("alice").await;
    assert_eq!(row.access_expires_at, token.expires_at);
    assert_eq!(access_token(&stage, 60).await.unwrap(), token, "the second call sends no request");
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 1);
}

#[tokio::test]
async fn while_the_token_host_is_down_a_valid_token_is_returned_until_its_end() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.fake.fault_every(TOKEN_REFRESH, "HTTP 503, HTML", Fault::named("HTTP 503, HTML").unwrap());
    stage.advance(6 * DAY + 3 * 3600);
    let token = access_token(&stage, 3600).await.unwrap();
    assert!(is_honoured(&stage, &token));
    stage.advance(DAY - 3 * 3600 - 120);
    assert_eq!(access_token(&stage, 3600).await.unwrap(), token, "two minutes before the token ends");
    stage.advance(120);
    assert_eq!(refusal(access_token(&stage, 0).await), ("retry-after", "tiktok-unavailable".to_owned()));
    stage.fake.clear_faults();
    stage.advance(120);
    assert!(is_honoured(&stage, &access_token(&stage, 0).await.unwrap()));
}

#[tokio::test]
async fn after_the_authorization_ended_a_consent_is_required_even_if_the_token_is_still_valid() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.advance(6 * DAY + 3 * 3600);
    stage.fake.end_authorization("one-shop").unwrap();
    for _ in 0..2 {
        assert_eq!(refusal(access_token(&stage, 60).await), ("reauthorize", "authorization-expired".to_owned()));
        let row = stage.connection("alice").await;
        assert!(matches!(row.status, ConnectionStatus::ReauthorizationRequired(_)), "{:?}", row.status);
    }
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 1, "no refresh is repeated after the authorization has ended");
}

#[tokio::test]
async fn a_validity_of_more_than_one_hour_is_refused() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    assert!(access_token(&stage, 3600).await.is_ok());
    assert_eq!(refusal(access_token(&stage, 3601).await), ("invalid-request", "validity-too-long".to_owned()));
    assert_eq!(
        refusal(access_token(&stage, u64::MAX / 2000).await),
        ("invalid-request", "validity-too-long".to_owned())
    );
}
