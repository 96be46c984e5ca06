//! Tests of the checks that every call must pass, on every path of the API.

use std::time::Duration;

use fake_tiktok_shop::{CiphersOnConsent, FailureStatus, Fault};

use crate::client::{SHOPS, START, SignedCall, World};

pub(crate) const ORDERS: &str = "/order/202309/orders/search";
pub(crate) const PRODUCTS: &str = "/product/202502/products/search";
pub(crate) const UPLOAD: &str = "/product/202309/images/upload";
pub(crate) const WEBHOOKS: &str = "/event/202309/webhooks";
pub(crate) const DEAUTHORIZE: &str = "/authorization/202403/shops";
pub(crate) const ACTIVE_SHOPS: &str = "/seller/202309/shops";
/// The path that ships the package of the first order of `one-shop`.
pub(crate) const SHIP: &str = "/fulfillment/202309/packages/1150000000000010001/ship";

/// The method and the path of each call without a `shop_cipher`.
const SELLER_CALLS: [(&str, &str); 3] = [("GET", SHOPS), ("GET", ACTIVE_SHOPS), ("POST", UPLOAD)];

/// The method and the path of each call with a `shop_cipher`.
const SHOP_CALLS: [(&str, &str); 9] = [
    ("POST", ORDERS),
    ("POST", "/product/202309/products/search"),
    ("POST", "/product/202312/products/search"),
    ("POST", PRODUCTS),
    ("POST", SHIP),
    ("GET", WEBHOOKS),
    ("PUT", WEBHOOKS),
    ("DELETE", WEBHOOKS),
    ("DELETE", DEAUTHORIZE),
];

fn all_calls() -> impl Iterator<Item = (&'static str, &'static str)> {
    SELLER_CALLS.into_iter().chain(SHOP_CALLS)
}

#[tokio::test]
async fn a_wrong_signature_app_key_or_timestamp_is_refused_on_every_path() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    for (method, path) in all_calls() {
        let call = || SignedCall { method, path, ..SignedCall::default() };
        for (call, verdict, words) in [
            (SignedCall { distort: |sign| sign.to_uppercase(), ..call() }, (401, 106_001), "sign"),
            (SignedCall { app_key: Some("nobody"), ..call() }, (400, 36_009_004), "app_key"),
            (SignedCall { timestamp: Some(START - 301), ..call() }, (400, 36_009_004), "timestamp"),
            (SignedCall { timestamp: Some(START + 31), ..call() }, (400, 36_009_004), "timestamp"),
        ] {
            let reply = world.signed(&call, &access_token).await;
            assert_eq!(reply.verdict(), verdict, "{method} {path}");
            assert!(reply.json()["message"].as_str().unwrap().contains(words), "{}", reply.body);
        }
    }
}

#[tokio::test]
async fn a_wrong_access_token_is_refused_on_every_path() {
    for (status, http) in [(FailureStatus::Unauthorized, 401), (FailureStatus::Ok, 200)] {
        let world = World::with_switches(|switches| {
            switches.status_101000 = status;
            switches.status_105001 = status;
            switches.status_105002 = status;
        });
        let (access_token, _) = world.connect("one-shop").await;
        let (creators, _) = world.connect("creator").await;
        world.control.end_access_tokens("one-shop").unwrap();
        for (method, path) in all_calls() {
            let call = SignedCall { method, path, ..SignedCall::default() };
            assert_eq!(world.signed(&call, "").await.verdict(), (400, 36_009_004), "{method} {path}");
            assert_eq!(world.signed(&call, "ROW_unknown").await.verdict(), (http, 105_001), "{method} {path}");
            assert_eq!(world.signed(&call, &access_token).await.verdict(), (http, 105_002), "{method} {path}");
            assert_eq!(world.signed(&call, &creators).await.verdict(), (http, 101_000), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_scope_missing_from_the_grant_is_refused_on_every_path() {
    let world = World::new();
    world.control.update_seller("one-shop", |seller| seller.granted_scopes = Some(Vec::new())).unwrap();
    let (access_token, _) = world.connect("one-shop").await;
    for (method, path) in all_calls() {
        let call = SignedCall { method, path, ..SignedCall::default() };
        let reply = world.signed(&call, &access_token).await;
        assert_eq!(reply.verdict(), (401, 105_005), "{method} {path}");
        assert!(reply.json()["message"].as_str().unwrap().contains("the scope seller."), "{}", reply.body);
    }
}

#[tokio::test]
async fn a_call_is_refused_if_the_app_did_not_ask_for_its_scope() {
    let world = World::new().with_second_app();
    let (access_token, _) = world.connect("one-shop").await;
    let cipher = world.cipher(&access_token).await;
    let query = [("shop_cipher", cipher.as_str()), ("page_size", "1")];
    for (path, verdict) in [(ORDERS, (200, 0)), (PRODUCTS, (401, 105_005)), (SHIP, (401, 105_005))] {
        let call = SignedCall { method: "POST", path, query: &query, ..SignedCall::default() };
        assert_eq!(world.signed(&call, &access_token).await.verdict(), verdict, "{path}");
    }
}

#[tokio::test]
async fn a_scope_removed_from_the_app_no_longer_works_in_existing_grants() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    let call = SignedCall { path: ACTIVE_SHOPS, ..SignedCall::default() };
    assert_eq!(world.signed(&call, &access_token).await.verdict(), (200, 0));
    world.control.update_app(&world.app.service_id, |app| app.scopes.clear()).unwrap();
    assert_eq!(world.signed(&call, &access_token).await.verdict(), (401, 105_005));
}

#[tokio::test]
async fn a_seller_call_with_a_cipher_is_refused() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    let cipher = world.cipher(&access_token).await;
    for (method, path) in SELLER_CALLS {
        let call = SignedCall { method, path, query: &[("shop_cipher", &cipher)], ..SignedCall::default() };
        let reply = world.signed(&call, &access_token).await;
        assert_eq!(reply.verdict(), (400, 36_009_004), "{path}");
        assert!(reply.body.contains("Unexpected identifier"), "{}", reply.body);
    }
    let call = SignedCall { path: ACTIVE_SHOPS, ..SignedCall::default() };
    let shops = world.signed(&call, &access_token).await.data()["shops"].take();
    assert_eq!(shops, serde_json::json!([{ "id": "7490000000000000001", "region": "GB" }]));
}

#[tokio::test]
async fn a_shop_call_needs_a_cipher_of_the_callers_grant() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    let (others, _) = world.connect("cross-border").await;
    let (own, foreign) = (world.cipher(&access_token).await, world.cipher(&others).await);
    for (method, path) in SHOP_CALLS {
        let call = |query| SignedCall { method, path, query, ..SignedCall::default() };
        let wrong: [&[_]; 4] =
            [&[], &[("shop_cipher", "")], &[("shop_cipher", &foreign)], &[("shop_cipher", "7490000000000000001")]];
        for query in wrong {
            let reply = world.signed(&call(query), &access_token).await;
            assert_eq!(reply.verdict(), (400, 106_013), "{method} {path} {query:?}");
        }
        // The cipher is accepted. The endpoint may still refuse the request for another reason.
        let reply = world.signed(&call(&[("shop_cipher", &own)]), &access_token).await;
        assert_ne!(reply.verdict().1, 106_013, "{method} {path}");
    }
}

#[tokio::test]
async fn an_earlier_cipher_is_refused_after_a_consent_that_changes_ciphers() {
    for (answer, verdict) in [(CiphersOnConsent::Unchanged, (200, 0)), (CiphersOnConsent::New, (400, 106_013))] {
        let world = World::with_switches(|switches| switches.ciphers_on_consent = answer);
        let (access_token, _) = world.connect("one-shop").await;
        let earlier = world.cipher(&access_token).await;
        let (access_token, _) = world.connect("one-shop").await;
        let latest = world.cipher(&access_token).await;
        for (cipher, verdict) in [(earlier, verdict), (latest, (200, 0))] {
            let call = SignedCall { path: WEBHOOKS, query: &[("shop_cipher", &cipher)], ..SignedCall::default() };
            assert_eq!(world.signed(&call, &access_token).await.verdict(), verdict, "{answer:?}");
        }
    }
}

#[tokio::test]
async fn a_call_for_a_removed_shop_is_refused() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    let cipher = world.cipher(&access_token).await;
    let call = SignedCall { path: WEBHOOKS, query: &[("shop_cipher", &cipher)], ..SignedCall::default() };
    assert_eq!(world.signed(&call, &access_token).await.verdict(), (200, 0));
    world.control.remove_shop("one-shop", "7490000000000000001").unwrap();
    assert_eq!(world.signed(&call, &access_token).await.verdict(), (400, 106_013));
}

#[tokio::test]
async fn a_fault_is_played_on_every_path() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    for (method, path) in all_calls() {
        world.control.fault_next(path, "busy", Fault::named("HTTP 503, JSON").unwrap());
        let call = SignedCall { method, path, ..SignedCall::default() };
        assert_eq!(world.signed(&call, &access_token).await.verdict(), (503, 36_009_003), "{method} {path}");
        assert_eq!(world.control.requests().pop().unwrap().status, 0, "TikTok Shop did not act");
    }
    assert_eq!(world.control.faults(), []);
}

#[tokio::test]
async fn the_refusal_of_a_wrong_timestamp_carries_the_right_time() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    world.control.advance(Duration::from_secs(3_600));
    let reply = world.signed(&SignedCall { timestamp: Some(START), ..SignedCall::default() }, &access_token).await;
    assert_eq!(reply.verdict(), (400, 36_009_004));
    assert_eq!(reply.header("date"), Some("Thu, 01 Jan 2026 01:00:00 GMT"));
}
