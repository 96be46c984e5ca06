//! Tests of the API host with its default switches: the checks of a call, and the list of shops.

use std::time::Duration;

use fake_tiktok_shop::{Market, Shop};
use serde_json::{Map, Value, json};

use crate::client::{API_HOST, SHOPS, START, SignedCall, World, send};

#[tokio::test]
async fn every_kind_of_seller_has_its_own_list_of_shops() {
    let world = World::new();
    for (seller, regions, seller_type) in [
        ("one-shop", vec!["GB"], "LOCAL"),
        ("several-regions", vec!["DE", "FR", "IE"], "LOCAL"),
        ("cross-border", vec!["GB", "US", "MY", "TH", "VN"], "CROSS_BORDER"),
        ("no-shop", vec![], ""),
    ] {
        let (access_token, _) = world.connect(seller).await;
        let data = world.list_shops(&access_token).await.data();
        let shops = data["shops"].as_array().unwrap();
        assert_eq!(shops.iter().map(|shop| &shop["region"]).collect::<Vec<_>>(), regions, "{seller}");
        for shop in shops {
            assert_eq!(shop["seller_type"], seller_type);
            assert_eq!(shop["id"].as_str().unwrap().len(), 19);
        }
    }
}

/// Apps of different markets run side by side. The same seller has another account and other shops in each of them.
#[tokio::test]
async fn an_app_sees_only_the_shops_of_its_market() {
    let world = World::new();
    world.control.update_app(&world.app.service_id, |app| app.market = Market::OutsideUs).unwrap();
    let regions = async |world: &World, access_token: &str| -> Vec<String> {
        let data = world.list_shops(access_token).await.data();
        data["shops"].as_array().unwrap().iter().map(|shop| shop["region"].as_str().unwrap().to_owned()).collect()
    };
    let first = world.exchange(&world.code("cross-border")).await;
    let (global, global_account) = (first.text("access_token"), first.text("open_id"));
    assert_eq!(regions(&world, &global).await, ["GB", "MY", "TH", "VN"]);
    let us_app = world.control.apps()[2].clone();
    assert_eq!(us_app.market, Market::Us);
    let link = "https://services.us.tiktokshop.com/open/authorize?service_id=7480000000000000010";
    assert_eq!(us_app.authorization_link(), link);

    let world = world.with_us_app();
    let second = world.exchange(&world.code("cross-border")).await;
    assert_ne!(second.text("open_id"), global_account);
    assert_eq!(regions(&world, &second.text("access_token")).await, ["US"]);
    // The tokens and ciphers of one app are of no use to the other app.
    assert_eq!(world.list_shops(&global).await.verdict(), (401, 105_001));
    let british = [("shop_cipher", "ROW_fixture05cipherOfGB")];
    let call =
        SignedCall { method: "POST", path: "/order/202309/orders/search", query: &british, ..SignedCall::default() };
    assert_eq!(world.signed(&call, &second.text("access_token")).await.verdict(), (400, 106_013));

    // A webhook of an app names the shops of its market only.
    world.control.deauthorize(&world.app.service_id, "cross-border").unwrap();
    let notices = world.control.webhooks();
    let shops: Vec<_> = notices.iter().map(|webhook| webhook.shop_id.clone()).collect();
    assert_eq!(shops, [Some("7490000000000000006".to_owned())]);
}

#[tokio::test]
async fn a_row_may_lack_the_cipher_and_have_unknown_members() {
    let world = World::new();
    let (access_token, _) = world.connect("several-regions").await;
    let shops = world.list_shops(&access_token).await.data()["shops"].take();
    let expected = json!({
        "id": "7490000000000000002",
        "name": "Lantern & Loom DE",
        "region": "DE",
        "seller_type": "LOCAL",
        "cipher": "ROW_fixture02cipherOfDE",
        "code": "DELCFIX002",
        "store_tier": "gold",
        "opened_at": 9_007_199_254_740_993_u64,
        "warehouses": [{ "id": "7491000000000000001", "default": true, "note": null }],
    });
    assert_eq!(shops[0], expected);
    assert_eq!(shops[2]["region"], "IE");
    assert_eq!(shops[2].get("cipher"), None);
}

#[tokio::test]
async fn shops_can_be_added_and_removed() {
    let world = World::new();
    let (access_token, _) = world.connect("no-shop").await;
    let shop = Shop {
        id: "7490000000000000099".to_owned(),
        name: "New".to_owned(),
        region: "NL".to_owned(),
        seller_type: "LOCAL".to_owned(),
        cipher: None,
        code: "NLLCFIX099".to_owned(),
        extra: Map::new(),
    };
    world.control.add_shop("no-shop", shop).unwrap();
    assert_eq!(world.list_shops(&access_token).await.data()["shops"][0]["region"], "NL");
    world.control.remove_shop("no-shop", "7490000000000000099").unwrap();
    assert_eq!(world.list_shops(&access_token).await.data(), json!({ "shops": [] }));
}

#[tokio::test]
async fn the_signature_covers_decoded_parameters() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    let call = SignedCall {
        query: &[("Zed", "Áo & mũ +1 100%/a=b?#"), ("a_b", ""), ("access_token", "")],
        ..SignedCall::default()
    };
    // The signature of this call covers `access_token`. A correct signature does not cover it.
    assert_eq!(world.signed(&call, &access_token).await.verdict(), (401, 106_001));
    let call = SignedCall { query: &[("Zed", "Áo & mũ +1 100%/a=b?#"), ("a_b", "")], ..SignedCall::default() };
    assert_eq!(world.signed(&call, &access_token).await.verdict(), (200, 0));
}

#[tokio::test]
async fn a_signature_that_is_wrong_or_in_upper_case_is_refused() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    for distort in [|sign: String| sign.to_uppercase(), |sign: String| sign.chars().rev().collect(), |_| String::new()]
    {
        let reply = world.signed(&SignedCall { distort, ..SignedCall::default() }, &access_token).await;
        assert_eq!(reply.verdict(), (401, 106_001));
        assert_eq!(reply.json()["data"], Value::Null);
    }
}

#[tokio::test]
async fn a_get_with_a_body_is_refused_whether_the_body_is_signed_or_not() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    for signed_body in ["{}", ""] {
        let call = SignedCall { signed_body, sent_body: b"{}", ..SignedCall::default() };
        assert_eq!(world.signed(&call, &access_token).await.verdict(), (401, 106_001));
    }
}

#[tokio::test]
async fn the_timestamp_may_be_five_minutes_old_or_thirty_seconds_ahead() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    for (timestamp, verdict) in [
        (START - 301, (400, 36_009_004)),
        (START - 300, (200, 0)),
        (START + 30, (200, 0)),
        (START + 31, (400, 36_009_004)),
        (START * 1_000, (400, 36_009_004)),
        (u64::MAX, (400, 36_009_004)),
    ] {
        let call = SignedCall { timestamp: Some(timestamp), ..SignedCall::default() };
        assert_eq!(world.signed(&call, &access_token).await.verdict(), verdict, "{timestamp}");
    }
}

#[tokio::test]
async fn a_missing_or_wrong_parameter_is_named_in_the_message() {
    let world = World::new();
    for (query, named) in [
        ("", "app_key"),
        ("app_key=nobody", "app_key"),
        ("app_key=6fakeapp00001", "timestamp"),
        ("app_key=6fakeapp00001&timestamp=-1", "timestamp"),
        ("app_key=6fakeapp00001&timestamp=1767225600", "sign"),
        ("app_key=6fakeapp00001&app_key=6fakeapp00001", "app_key"),
    ] {
        let reply = send(world.address(), "GET", API_HOST, &format!("{SHOPS}?{query}"), &[], "").await;
        assert_eq!(reply.verdict(), (400, 36_009_004), "{query}");
        assert!(reply.json()["message"].as_str().unwrap().contains(named), "{}", reply.body);
    }
}

#[tokio::test]
async fn an_unknown_or_expired_access_token_is_refused() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    assert_eq!(world.list_shops("").await.verdict(), (400, 36_009_004));
    assert_eq!(world.list_shops("ROW_unknown").await.verdict(), (401, 105_001));
    world.control.advance(Duration::from_secs(7 * 86_400 - 1));
    assert_eq!(world.list_shops(&access_token).await.verdict(), (200, 0));
    world.control.advance(Duration::from_secs(1));
    assert_eq!(world.list_shops(&access_token).await.verdict(), (401, 105_002));
}

#[tokio::test]
async fn a_creators_access_token_is_refused() {
    let world = World::new();
    let (access_token, _) = world.connect("creator").await;
    assert_eq!(world.list_shops(&access_token).await.verdict(), (401, 101_000));
}

#[tokio::test]
async fn a_missing_scope_is_named_in_the_message() {
    let world = World::new();
    let some =
        |seller: &mut fake_tiktok_shop::Seller| seller.granted_scopes = Some(vec!["seller.shop.info".to_owned()]);
    world.control.update_seller("one-shop", some).unwrap();
    let data = world.exchange(&world.code("one-shop")).await.data();
    assert_eq!(data["granted_scopes"], json!(["seller.shop.info"]));
    let access_token = data["access_token"].as_str().unwrap();

    // A grant that exists already does not get a new scope.
    world.control.update_seller("one-shop", |seller| seller.granted_scopes = None).unwrap();
    let reply = world.list_shops(access_token).await;
    assert_eq!(reply.verdict(), (401, 105_005));
    assert!(reply.body.contains("seller.authorization.info"), "{}", reply.body);
}

#[tokio::test]
async fn listing_shops_with_a_cipher_is_refused() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    let call = SignedCall { query: &[("shop_cipher", "ROW_fixture01cipherOfGB")], ..SignedCall::default() };
    let reply = world.signed(&call, &access_token).await;
    assert_eq!(reply.verdict(), (400, 36_009_004));
    assert!(reply.body.contains("Unexpected identifier"), "{}", reply.body);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    for path in ["/authorization/202309/shops/", "/authorization/202309", "/"] {
        let call = SignedCall { path, ..SignedCall::default() };
        assert_eq!(world.signed(&call, &access_token).await.verdict(), (404, 36_009_009), "{path}");
    }
    let call = SignedCall { method: "POST", ..SignedCall::default() };
    assert_eq!(world.signed(&call, &access_token).await.verdict(), (405, 36_009_010));
}

#[tokio::test]
async fn a_signature_of_another_app_is_refused() {
    let world = World::new();
    let (access_token, _) = world.connect("one-shop").await;
    let call = SignedCall { app_key: Some("6fakeapp00002"), ..SignedCall::default() };
    assert_eq!(world.signed(&call, &access_token).await.verdict(), (401, 106_001));
}
