//! Tests of the API's calls that have passed all checks: the answers to these calls, and the state that they change.

use fake_tiktok_shop::Fault;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::client::{API_HOST, Reply, START, SignedCall, World, send};
use crate::gate::{DEAUTHORIZE, ORDERS, PRODUCTS, SHIP, UPLOAD, WEBHOOKS};

/// A connected seller with its access token and the cipher of its first shop.
struct Connected {
    world: World,
    access_token: String,
    cipher: String,
}

impl Connected {
    async fn new() -> Self {
        let world = World::new();
        let (access_token, _) = world.connect("one-shop").await;
        let cipher = world.cipher(&access_token).await;
        Self { world, access_token, cipher }
    }

    async fn call(&self, method: &str, path: &str, query: &[(&str, &str)], body: &str) -> Reply {
        let query = [&[("shop_cipher", self.cipher.as_str())], query].concat();
        let call = SignedCall {
            method,
            path,
            query: &query,
            signed_body: body,
            sent_body: body.as_bytes(),
            ..SignedCall::default()
        };
        self.world.signed(&call, &self.access_token).await
    }

    /// Uploads an image. The signature of an upload does not cover its body.
    async fn upload(&self, content_type: &str, body: &[u8]) -> Reply {
        let headers = [("content-type", content_type)];
        let call =
            SignedCall { method: "POST", path: UPLOAD, sent_body: body, headers: &headers, ..SignedCall::default() };
        self.world.signed(&call, &self.access_token).await
    }
}

#[tokio::test]
async fn every_order_is_on_exactly_one_page() {
    let shop = Connected::new().await;
    let (mut token, mut ids) = (String::new(), Vec::new());
    loop {
        let first = [("page_size", "50"), ("page_token", token.as_str())];
        let query = if token.is_empty() { &first[..1] } else { &first[..] };
        let data = shop.call("POST", ORDERS, query, "").await.data();
        assert_eq!(data["total_count"], 120);
        ids.extend(data["orders"].as_array().unwrap().iter().map(|order| order["id"].as_str().unwrap().to_owned()));
        token = data["next_page_token"].as_str().unwrap().to_owned();
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(ids.len(), 120);
    assert!(ids.is_sorted() && ids.iter().all(|id| id.len() == 19), "{ids:?}");
    for size in ["0", "101", "-1", "many"] {
        let reply = shop.call("POST", ORDERS, &[("page_size", size)], "").await;
        assert_eq!(reply.verdict(), (400, 36_009_004), "{size}");
    }
    assert_eq!(shop.call("POST", ORDERS, &[], "").await.verdict(), (400, 36_009_004));
}

#[tokio::test]
async fn a_larger_page_size_makes_a_larger_answer() {
    let shop = Connected::new().await;
    let small = shop.call("POST", ORDERS, &[("page_size", "1")], "").await;
    let large = shop.call("POST", ORDERS, &[("page_size", "100")], "").await;
    assert_eq!((small.verdict(), large.verdict()), ((200, 0), (200, 0)));
    assert!(small.body.len() < 2_048 && large.body.len() > 65_536, "{} {}", small.body.len(), large.body.len());
}

#[tokio::test]
async fn filters_in_the_body_limit_the_rows() {
    let shop = Connected::new().await;
    let size = [("page_size", "10")];
    for (status, count) in [("AWAITING_SHIPMENT", 120), ("AWAITING_COLLECTION", 0)] {
        let body = json!({ "order_status": status }).to_string();
        assert_eq!(shop.call("POST", ORDERS, &size, &body).await.data()["total_count"], count, "{status}");
    }
    for version in ["202309", "202312", "202502"] {
        let path = format!("/product/{version}/products/search");
        for (body, count) in [
            (json!({}), 40),
            (json!({ "status": "ALL" }), 40),
            (json!({ "status": "DRAFT" }), 10),
            (json!({ "status": "ALL", "seller_skus": ["MŨ-Đỏ-7", "超市🛍"] }), 1),
        ] {
            let data = shop.call("POST", &path, &size, &body.to_string()).await.data();
            assert_eq!(data["total_count"], count, "{version} {body}");
        }
    }
}

#[tokio::test]
async fn an_empty_list_null_and_null_members_are_empty_filters() {
    let shop = Connected::new().await;
    let size = [("page_size", "10")];
    for (path, count) in [(ORDERS, 120), (PRODUCTS, 40)] {
        for body in ["", "{}", "[]", "null", r#"{"status":null}"#, r#"{"order_status":null,"seller_skus":null}"#] {
            let data = shop.call("POST", path, &size, body).await.data();
            assert_eq!(data["total_count"], count, "{path} {body}");
        }
        for body in ["[{}]", "7", "true", r#""status""#] {
            assert_eq!(shop.call("POST", path, &size, body).await.verdict(), (400, 36_009_022), "{path} {body}");
        }
    }
    // A call that is not a search requires a JSON object as its body.
    assert_eq!(shop.call("PUT", WEBHOOKS, &[], "[]").await.verdict(), (400, 36_009_022));
}

#[tokio::test]
async fn a_body_that_differs_from_the_signed_bytes_is_refused() {
    let shop = Connected::new().await;
    let query = [("shop_cipher", shop.cipher.as_str()), ("page_size", "1")];
    for sent_body in [r#"{"status": "ALL"}"#, r#"{}"#, ""] {
        let call = SignedCall {
            method: "POST",
            path: PRODUCTS,
            query: &query,
            signed_body: r#"{"status":"ALL"}"#,
            sent_body: sent_body.as_bytes(),
            ..SignedCall::default()
        };
        assert_eq!(shop.world.signed(&call, &shop.access_token).await.verdict(), (401, 106_001), "{sent_body}");
    }
}

#[tokio::test]
async fn a_body_must_be_a_json_object_with_one_content_type() {
    let shop = Connected::new().await;
    let query = [("shop_cipher", shop.cipher.as_str()), ("page_size", "1")];
    for (headers, body, verdict) in [
        (&[("content-type", "application/json")][..], "{", (400, 36_009_022)),
        (&[("content-type", "application/json")], "[1]", (400, 36_009_022)),
        (&[("content-type", "Application/JSON; charset=utf-8")], "{}", (200, 0)),
        (&[("content-type", "text/plain")], "{}", (400, 36_009_023)),
        (&[], "{}", (400, 36_009_023)),
        (&[], "", (200, 0)),
        (&[("content-type", "application/json"), ("content-type", "application/json")], "{}", (400, 36_009_022)),
    ] {
        let call = SignedCall {
            method: "POST",
            path: PRODUCTS,
            query: &query,
            signed_body: body,
            sent_body: body.as_bytes(),
            headers,
            ..SignedCall::default()
        };
        assert_eq!(shop.world.signed(&call, &shop.access_token).await.verdict(), verdict, "{headers:?} {body}");
    }
}

#[tokio::test]
async fn an_upload_arrives_byte_for_byte() {
    let shop = Connected::new().await;
    // The image contains all 256 byte values, line ends, and text that looks like a boundary.
    let image: Vec<u8> =
        (0..=255).chain(*b"\r\n--b\r\n\r\n--bnd").chain((0..200_000).map(|n| (n % 251) as u8)).collect();
    let mut body = b"--bnd9\r\nContent-Disposition: form-data; name=\"use_case\"\r\n\r\nMAIN_IMAGE\r\n--bnd9\r\n\
          Content-Disposition: form-data; name=\"data\"; filename=\"a.png\"\r\ncontent-type: image/png\r\n\r\n"
        .to_vec();
    body.extend_from_slice(&image);
    body.extend_from_slice(b"\r\n--bnd9--\r\n");
    let data = shop.upload("multipart/form-data; boundary=bnd9", &body).await.data();
    let digest: String = Sha256::digest(&image).iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = json!({
        "uri": format!("tos-fixture/{digest}"),
        "use_case": "MAIN_IMAGE",
        "size": image.len(),
        "sha256": digest,
    });
    assert_eq!(data, expected);

    for (content_type, body) in [
        ("multipart/form-data", &body[..]),
        ("multipart/form-data; boundary=other", &body),
        ("multipart/form-data; boundary=bnd9", &body[..body.len() - 6]),
        ("multipart/form-data; boundary=bnd9", b""),
    ] {
        assert_eq!(shop.upload(content_type, body).await.verdict(), (400, 36_009_022), "{content_type}");
    }
    // If the content type is not `multipart/form-data`, the signature must cover the body.
    assert_eq!(shop.upload("application/json", &body).await.verdict(), (401, 106_001));
    let without_image = b"--b\r\nContent-Disposition: form-data; name=\"use_case\"\r\n\r\nMAIN_IMAGE\r\n--b--\r\n";
    assert_eq!(shop.upload("multipart/form-data; boundary=b", without_image).await.verdict(), (400, 36_009_004));
}

#[tokio::test]
async fn a_package_can_be_shipped_only_once() {
    let shop = Connected::new().await;
    let package = "1150000000000010001";
    assert_eq!(shop.world.control.shipped_packages(), [""; 0]);
    assert_eq!(shop.call("POST", SHIP, &[], "").await.data(), json!({}));
    assert_eq!(shop.world.control.shipped_packages(), [package]);
    assert_eq!(shop.call("POST", SHIP, &[], "").await.verdict(), (200, 21_011_006));

    let first = shop.call("POST", ORDERS, &[("page_size", "1")], "").await.data()["orders"][0].take();
    assert_eq!((&first["packages"][0]["id"], &first["status"]), (&json!(package), &json!("AWAITING_COLLECTION")));

    // The first id belongs to a package of another seller. The other two ids belong to no package.
    for other in ["1150000000000050001", "1150000000000010121", "1"] {
        let path = format!("/fulfillment/202309/packages/{other}/ship");
        assert_eq!(shop.call("POST", &path, &[], "").await.verdict(), (400, 36_009_004), "{other}");
    }
    let path = "/fulfillment/202309/packages//ship";
    assert_eq!(shop.call("POST", path, &[], "").await.verdict(), (404, 36_009_009));
    assert_eq!(shop.world.control.shipped_packages(), [package]);
}

#[tokio::test]
async fn a_package_stays_shipped_when_the_answer_is_lost() {
    let shop = Connected::new().await;
    let lost = "reply lost: TikTok acted, HTTP 502";
    shop.world.control.fault_next(SHIP, lost, Fault::named(lost).unwrap());
    assert_eq!(shop.call("POST", SHIP, &[], "").await.status, 502);
    assert_eq!(shop.world.control.shipped_packages().len(), 1);
    let record = shop.world.control.requests().pop().unwrap();
    assert_eq!((record.status, record.code, record.fault.as_deref()), (200, Some(0), Some(lost)));
    assert_eq!(shop.call("POST", SHIP, &[], "").await.verdict(), (200, 21_011_006));
}

#[tokio::test]
async fn webhooks_are_set_listed_and_deleted_for_one_app_and_shop() {
    let shop = Connected::new().await;
    let set = async |address: &str| {
        let body = json!({ "event_type": "ORDER_STATUS_CHANGE", "address": address }).to_string();
        shop.call("PUT", WEBHOOKS, &[], &body).await.verdict()
    };
    let list = async || shop.call("GET", WEBHOOKS, &[], "").await.data();
    let row = |address: &str, updated: u64| {
        json!({
            "event_type": "ORDER_STATUS_CHANGE",
            "address": address,
            "create_time": START,
            "update_time": updated,
        })
    };
    assert_eq!(list().await, json!({ "total_count": 0, "webhooks": [] }));
    assert_eq!(set("https://one.example").await, (200, 0));
    shop.world.control.set_now(START + 9);
    assert_eq!(set("https://two.example").await, (200, 0));
    let expected = json!({ "total_count": 1, "webhooks": [row("https://two.example", START + 9)] });
    assert_eq!(list().await, expected);

    let longest_allowed = format!("https://{}.example", "x".repeat(239));
    assert_eq!((longest_allowed.len(), set(&longest_allowed).await), (255, (200, 0)));
    assert_eq!(set(&format!("{longest_allowed}x")).await, (400, 36_009_004));
    assert_eq!(set("").await, (400, 36_009_004));

    for _ in 0..2 {
        let body = r#"{"event_type":"ORDER_STATUS_CHANGE"}"#;
        assert_eq!(shop.call("DELETE", WEBHOOKS, &[], body).await.verdict(), (200, 0));
        assert_eq!(list().await["total_count"], 0);
    }
    assert_eq!(shop.call("DELETE", WEBHOOKS, &[], "").await.verdict(), (400, 36_009_004));
}

#[tokio::test]
async fn other_apps_and_shops_have_webhooks_of_their_own() {
    let shop = Connected::new().await;
    let body = r#"{"event_type":"RETURN","address":"https://one.example"}"#;
    assert_eq!(shop.call("PUT", WEBHOOKS, &[], body).await.verdict(), (200, 0));
    assert_eq!(shop.call("GET", WEBHOOKS, &[], "").await.data()["total_count"], 1);

    let world = shop.world;
    let (others, _) = world.connect("cross-border").await;
    let cipher = world.cipher(&others).await;
    let call = SignedCall { path: WEBHOOKS, query: &[("shop_cipher", &cipher)], ..SignedCall::default() };
    assert_eq!(world.signed(&call, &others).await.data()["total_count"], 0);

    let world = world.with_second_app();
    let (access_token, _) = world.connect("one-shop").await;
    let call = SignedCall { path: WEBHOOKS, query: &[("shop_cipher", &shop.cipher)], ..SignedCall::default() };
    assert_eq!(world.signed(&call, &access_token).await.data()["total_count"], 0);
}

#[tokio::test]
async fn a_wrong_method_is_refused() {
    let shop = Connected::new().await;
    for (method, path) in [("GET", ORDERS), ("PUT", UPLOAD), ("DELETE", SHIP), ("POST", WEBHOOKS), ("GET", DEAUTHORIZE)]
    {
        let reply = send(shop.world.address(), method, API_HOST, path, &[], "").await;
        assert_eq!(reply.verdict(), (405, 36_009_010), "{method} {path}");
    }
}
