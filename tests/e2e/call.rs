//! Tests of the export `call`. TikTok accepts the requests of `call`, and the caller gets TikTok's answers unchanged.
//! If the connection has a problem, `call` returns an error.

use std::time::Duration;

use fake_tiktok_shop::{EarlierToken, FailureStatus, Fault};
use serde_json::Value;
use tiktok_shop_host::call::{CallRequest, CallResponse, CallScope, HttpMethod};
use tiktok_shop_host::connection::ShopStanding;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::{CallError, ShopId};
use tiktok_shop_tests::{ORDERS, Stage, TOKEN_REFRESH, customer_id, order_search, refusal, tenant};

const UPLOAD: &str = "/product/202309/images/upload";

async fn connected() -> (Stage, ShopId) {
    let stage = Stage::new();
    let shop = stage.connect("alice", "one-shop").await.unwrap().shops.remove(0).id;
    stage.clear_requests();
    (stage, shop)
}

async fn send(stage: &Stage, request: CallRequest) -> Result<CallResponse, CallError> {
    stage.host.call(&tenant(0), &customer_id("alice"), request).await
}

fn body(response: &CallResponse) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

#[tokio::test]
async fn a_call_for_a_shop_passes_every_check_of_tiktok() {
    let (stage, shop) = connected().await;
    let response = send(&stage, order_search(&shop)).await.unwrap();
    assert!(response.is_success(), "{response:?} {}", body(&response));
    assert_eq!(body(&response)["data"]["orders"].as_array().map(Vec::len), Some(2));
    assert_eq!(response.request_id.as_deref(), body(&response)["request_id"].as_str());
    assert_eq!(stage.fake.requests().len(), 1);
}

#[tokio::test]
async fn a_call_for_a_seller_has_no_cipher() {
    let (stage, shop) = connected().await;
    let path = "/seller/202309/shops";
    let response = send(&stage, CallRequest::new(CallScope::Seller(None), HttpMethod::Get, path)).await.unwrap();
    assert!(response.is_success(), "{}", body(&response));
    let refused = send(&stage, CallRequest::new(CallScope::Shop(shop), HttpMethod::Get, path)).await.unwrap();
    assert_eq!(
        (refused.http_status, refused.code.as_deref()),
        (400, Some("36009004")),
        "TikTok's own error is an answer"
    );
}

/// TikTok lists the Irish shop without a cipher. Only TikTok knows whether it needs one, so the shop stays granted, and
/// every list shows that it has no cipher. After TikTok's answer, the connection shows the failure.
#[tokio::test]
async fn a_shop_without_a_cipher_is_listed_without_it_and_a_call_shows_what_tiktok_answers() {
    let stage = Stage::new();
    stage.connect("alice", "several-regions").await.unwrap();
    let lists = [
        stage.connection("alice").await.shops,
        stage.host.list_shops(&tenant(0), &customer_id("alice")).await.unwrap(),
    ];
    let irish = lists.map(|shops| shops.into_iter().find(|shop| shop.region == "IE").unwrap());
    for shop in &irish {
        assert_eq!((shop.standing, shop.linked, &shop.cipher), (ShopStanding::Granted, true, &None));
    }
    let refused = refusal(send(&stage, order_search(&irish[0].id)).await);
    assert_eq!(refused, ("upstream", "shop-cipher-missing".to_owned()));
    let failure = stage.connection("alice").await.last_failure.unwrap().failure;
    assert_eq!((failure.code.as_str(), stage.due().await), ("shop-cipher-missing", 1));
}

#[tokio::test]
async fn tiktok_gets_the_body_unchanged() {
    let (stage, _) = connected().await;
    let image: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let mut form =
        b"--b\r\ncontent-disposition: form-data; name=\"data\"; filename=\"a.png\"\r\ncontent-type: image/png\r\n\r\n"
            .to_vec();
    form.extend_from_slice(&image);
    form.extend_from_slice(b"\r\n--b--\r\n");
    let request = CallRequest::new(CallScope::Seller(None), HttpMethod::Post, UPLOAD)
        .body("multipart/form-data; boundary=b", form);
    let response = send(&stage, request).await.unwrap();
    assert!(response.is_success(), "{}", body(&response));
    assert_eq!(body(&response)["data"]["size"], 100_000);
}

#[tokio::test]
async fn parameters_in_any_script_are_signed_decoded_and_sent_encoded() {
    let (stage, shop) = connected().await;
    let request = CallRequest::new(CallScope::Shop(shop), HttpMethod::Post, "/product/202502/products/search")
        .query("page_size", "1")
        .query("seller_note", "Ä ö/ü?&=+%20 日本 🎁")
        .json(r#"{"seller_skus":["Größe 1"]}"#);
    let response = send(&stage, request).await.unwrap();
    assert!(response.is_success(), "{}", body(&response));
}

#[tokio::test]
async fn a_token_that_tiktok_refuses_with_any_status_is_renewed_once_and_the_call_is_repeated() {
    for status in [FailureStatus::Ok, FailureStatus::Unauthorized] {
        let (stage, shop) = connected().await;
        stage.fake.update_switches(|switches| switches.status_105002 = status);
        stage.advance(3600);
        stage.fake.end_access_tokens("one-shop").unwrap();
        assert!(send(&stage, order_search(&shop)).await.unwrap().is_success());
        assert_eq!((stage.requests_to(ORDERS), stage.requests_to(TOKEN_REFRESH)), (2, 1));
        // For ten minutes after a renewal, the connector does not renew the token again, even if TikTok refuses the new
        // token.
        stage.fake.end_access_tokens("one-shop").unwrap();
        assert_eq!(refusal(send(&stage, order_search(&shop)).await), ("retry-after", "backing-off".to_owned()));
        assert_eq!((stage.requests_to(ORDERS), stage.requests_to(TOKEN_REFRESH)), (3, 1));
    }
}

#[tokio::test]
async fn a_call_after_the_app_was_removed_requires_a_new_consent() {
    let (stage, shop) = connected().await;
    stage.advance(3600);
    stage.fake.revoke("one-shop").unwrap();
    assert_eq!(refusal(send(&stage, order_search(&shop)).await), ("reauthorize", "authorization-revoked".to_owned()));
    assert_eq!((stage.requests_to(ORDERS), stage.requests_to(TOKEN_REFRESH)), (1, 1));
}

#[tokio::test]
async fn a_missing_scope_is_misconfigured_and_renews_no_token() {
    let stage = Stage::new();
    let shop = stage.connect_app(1, "alice", "one-shop").await.unwrap().shops.remove(0).id;
    let request = CallRequest::new(CallScope::Shop(shop), HttpMethod::Post, "/product/202502/products/search")
        .query("page_size", "1")
        .json("{}");
    let error = stage.host.call(&tenant(1), &customer_id("alice"), request).await.unwrap_err();
    assert!(error.to_string().contains("the scope seller.product.basic was not granted"), "{error}");
    assert_eq!(refusal::<()>(Err(error)), ("misconfigured", "missing-permission".to_owned()));
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 0);
}

#[tokio::test]
async fn a_call_with_a_wrong_clock_is_repeated_with_tiktoks_time() {
    for (host_is, seconds) in [("behind", 3600_u64), ("behind", 301), ("ahead of", 31)] {
        let (stage, shop) = connected().await;
        if host_is == "behind" {
            stage.fake.advance(Duration::from_secs(seconds));
        } else {
            stage.clock.advance(Duration::from_secs(seconds));
        }
        assert!(send(&stage, order_search(&shop)).await.unwrap().is_success(), "{seconds} s {host_is}");
        assert_eq!((stage.requests_to(ORDERS), stage.requests_to(TOKEN_REFRESH)), (2, 0));
        assert!(
            stage.refresh("alice", RefreshMode::WhenDue).await.is_ok(),
            "a refresh reads the shops in the same way"
        );
    }
}

#[tokio::test]
async fn after_a_lost_answer_only_a_read_may_be_repeated() {
    let (stage, shop) = connected().await;
    let lost = "reply lost: TikTok acted, then reset";
    stage.fake.fault_next(ORDERS, lost, Fault::named(lost).unwrap());
    assert_eq!(refusal(send(&stage, order_search(&shop)).await), ("upstream", "outcome-unknown".to_owned()));
    assert_eq!(stage.requests_to(ORDERS), 1);
    let path = "/event/202309/webhooks";
    stage.fake.fault_next(path, lost, Fault::named(lost).unwrap());
    let read = CallRequest::new(CallScope::Shop(shop), HttpMethod::Get, path);
    assert_eq!(refusal(send(&stage, read).await), ("retry-after", "answer-incomplete".to_owned()));
    assert_eq!(stage.requests_to(path), 1);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_an_error() {
    let (stage, shop) = connected().await;
    let mut request = order_search(&shop);
    request.query = vec![("page_size".into(), "100".into())];
    request.max_response_bytes = 10_000;
    assert_eq!(refusal(send(&stage, request.clone()).await), ("upstream", "answer-too-large".to_owned()));
    request.max_response_bytes = 1 << 20;
    let response = send(&stage, request).await.unwrap();
    assert!(response.body.len() > 10_000 && response.is_success());
}

#[tokio::test]
async fn an_unknown_shop_is_refused() {
    let (stage, _) = connected().await;
    let unknown: ShopId = "7499999999999999999".parse().unwrap();
    assert_eq!(refusal(send(&stage, order_search(&unknown)).await), ("invalid-request", "unknown-shop".to_owned()));
    assert_eq!(stage.fake.requests(), []);
}

#[tokio::test]
async fn a_call_after_another_consent_uses_the_tokens_of_that_consent() {
    let (stage, shop) = connected().await;
    stage.fake.update_switches(|switches| switches.access_token_after_consent = EarlierToken::Refused);
    stage.connect("alice", "one-shop").await.unwrap();
    stage.clear_requests();
    assert!(send(&stage, order_search(&shop)).await.unwrap().is_success());
    assert_eq!(stage.fake.requests().len(), 1);
}
