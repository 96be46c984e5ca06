//! `call`: requests that TikTok's own checks let through, its answers as they are, and what the connection itself gets
//! wrong.

use std::time::Duration;

use fake_tiktok_shop::{EarlierToken, FailureStatus, Fault};
use serde_json::Value;
use tiktok_shop_host::call::{CallRequest, CallResponse, CallScope, HttpMethod};
use tiktok_shop_host::connection::ShopPolicy;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::{CallError, ShopId};
use tiktok_shop_tests::{Stage, TOKEN_REFRESH, customer_id, grant, refusal, tenant};

const ORDERS: &str = "/order/202309/orders/search";
const UPLOAD: &str = "/product/202309/images/upload";

async fn connected() -> (Stage, ShopId) {
    let stage = Stage::new();
    let shop = stage.connect("alice", "one-shop").await.unwrap().shops.remove(0).id;
    stage.clear_requests();
    (stage, shop)
}

fn search(shop: &ShopId) -> CallRequest {
    CallRequest::new(CallScope::Shop(shop.clone()), HttpMethod::Post, ORDERS).query("page_size", "2").json("{}")
}

async fn send(stage: &Stage, request: CallRequest) -> Result<CallResponse, CallError> {
    stage.host.call(&tenant(0), &customer_id("alice"), request).await
}

fn body(response: &CallResponse) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

#[tokio::test]
async fn a_shop_call_passes_every_check_of_tiktok() {
    let (stage, shop) = connected().await;
    let response = send(&stage, search(&shop)).await.unwrap();
    assert!(response.is_success(), "{response:?} {}", body(&response));
    assert_eq!(body(&response)["data"]["orders"].as_array().map(Vec::len), Some(2));
    assert_eq!(response.request_id.as_deref(), body(&response)["request_id"].as_str());
    assert_eq!(stage.fake.requests().len(), 1);
}

#[tokio::test]
async fn a_seller_call_goes_without_a_cipher() {
    let (stage, shop) = connected().await;
    let path = "/seller/202309/shops";
    let response = send(&stage, CallRequest::new(CallScope::Seller(None), HttpMethod::Get, path)).await.unwrap();
    assert!(response.is_success(), "{}", body(&response));
    let refused = send(&stage, CallRequest::new(CallScope::Shop(shop), HttpMethod::Get, path)).await.unwrap();
    assert_eq!(
        (refused.http_status, refused.code.as_deref()),
        (400, Some("36009004")),
        "a business error is an answer"
    );
}

#[tokio::test]
async fn the_bytes_that_arrive_are_the_bytes_that_were_given() {
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
async fn parameters_in_any_letters_are_signed_decoded_and_sent_encoded() {
    let (stage, shop) = connected().await;
    let request = CallRequest::new(CallScope::Shop(shop), HttpMethod::Post, "/product/202502/products/search")
        .query("page_size", "1")
        .query("seller_note", "Ä ö/ü?&=+%20 日本 🎁")
        .json(r#"{"seller_skus":["Größe 1"]}"#);
    let response = send(&stage, request).await.unwrap();
    assert!(response.is_success(), "{}", body(&response));
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_the_call_repeated_whatever_status_says_so() {
    for status in [FailureStatus::Ok, FailureStatus::Unauthorized] {
        let (stage, shop) = connected().await;
        stage.fake.update_switches(|switches| switches.status_105002 = status);
        stage.advance(3600);
        stage.fake.end_access_tokens("one-shop").unwrap();
        assert!(send(&stage, search(&shop)).await.unwrap().is_success());
        assert_eq!((stage.requests_to(ORDERS), stage.requests_to(TOKEN_REFRESH)), (2, 1));
        // Within ten minutes there is no second renewal.
        stage.fake.end_access_tokens("one-shop").unwrap();
        assert_eq!(refusal(send(&stage, search(&shop)).await), ("retry-after", "backing-off".to_owned()));
        assert_eq!((stage.requests_to(ORDERS), stage.requests_to(TOKEN_REFRESH)), (3, 1));
    }
}

#[tokio::test]
async fn a_removed_app_ends_in_a_new_consent() {
    let (stage, shop) = connected().await;
    stage.advance(3600);
    stage.fake.revoke("one-shop").unwrap();
    assert_eq!(refusal(send(&stage, search(&shop)).await), ("reauthorize", "authorization-revoked".to_owned()));
    assert_eq!((stage.requests_to(ORDERS), stage.requests_to(TOKEN_REFRESH)), (1, 1));
}

#[tokio::test]
async fn a_scope_that_was_not_granted_is_misconfigured_and_renews_nothing() {
    let stage = Stage::new();
    let query = stage.callback_of(1, "one-shop", Some(tiktok_shop_tests::STATE), fake_tiktok_shop::Decision::Allow);
    let shop = stage
        .host
        .connect(&tenant(1), &customer_id("alice"), grant(&query), ShopPolicy::All)
        .await
        .unwrap()
        .shops
        .remove(0)
        .id;
    let request = CallRequest::new(CallScope::Shop(shop), HttpMethod::Post, "/product/202502/products/search")
        .query("page_size", "1")
        .json("{}");
    let outcome = stage.host.call(&tenant(1), &customer_id("alice"), request).await;
    assert_eq!(refusal(outcome), ("misconfigured", "missing-permission".to_owned()));
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 0);
}

#[tokio::test]
async fn a_host_whose_clock_is_wrong_is_helped_by_tiktoks_date() {
    for (host_is, seconds) in [("behind", 3600_u64), ("behind", 301), ("ahead of", 31)] {
        let (stage, shop) = connected().await;
        if host_is == "behind" {
            stage.fake.advance(Duration::from_secs(seconds));
        } else {
            stage.clock.advance(Duration::from_secs(seconds));
        }
        assert!(send(&stage, search(&shop)).await.unwrap().is_success(), "{seconds} s {host_is}");
        assert_eq!((stage.requests_to(ORDERS), stage.requests_to(TOKEN_REFRESH)), (2, 0));
        assert!(stage.refresh("alice", RefreshMode::WhenDue).await.is_ok(), "the shops are read in the same way");
    }
}

#[tokio::test]
async fn a_lost_answer_to_a_change_is_never_safe_to_repeat() {
    let (stage, shop) = connected().await;
    let lost = "reply lost: TikTok acted, then reset";
    stage.fake.fault_next(ORDERS, lost, Fault::named(lost).unwrap());
    assert_eq!(refusal(send(&stage, search(&shop)).await), ("upstream", "outcome-unknown".to_owned()));
    assert_eq!(stage.requests_to(ORDERS), 1);
    let path = "/event/202309/webhooks";
    stage.fake.fault_next(path, lost, Fault::named(lost).unwrap());
    let read = CallRequest::new(CallScope::Shop(shop), HttpMethod::Get, path);
    assert_eq!(refusal(send(&stage, read).await), ("retry-after", "answer-incomplete".to_owned()));
    assert_eq!(stage.requests_to(path), 1);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read_to_its_end() {
    let (stage, shop) = connected().await;
    let mut request = search(&shop);
    request.query = vec![("page_size".into(), "100".into())];
    request.max_response_bytes = 10_000;
    assert_eq!(refusal(send(&stage, request.clone()).await), ("upstream", "answer-too-large".to_owned()));
    request.max_response_bytes = 1 << 20;
    let response = send(&stage, request).await.unwrap();
    assert!(response.body.len() > 10_000 && response.is_success());
}

#[tokio::test]
async fn shops_that_the_customer_does_not_use_are_refused() {
    let (stage, _) = connected().await;
    let unknown: ShopId = "7499999999999999999".parse().unwrap();
    assert_eq!(refusal(send(&stage, search(&unknown)).await), ("invalid-request", "unknown-shop".to_owned()));
    assert_eq!(stage.fake.requests(), []);
}

#[tokio::test]
async fn a_call_after_another_consent_uses_what_that_consent_brought() {
    let (stage, shop) = connected().await;
    stage.fake.update_switches(|switches| switches.access_token_after_consent = EarlierToken::Refused);
    stage.connect("alice", "one-shop").await.unwrap();
    stage.clear_requests();
    assert!(send(&stage, search(&shop)).await.unwrap().is_success());
    assert_eq!(stage.fake.requests().len(), 1);
}
