//! Tests of the token host with its default switches.

use std::time::Duration;

use fake_tiktok_shop::Decision;
use serde_json::json;

use crate::client::{START, TOKEN_HOST, World, parameter, send};

const DAY: u64 = 86_400;

#[tokio::test]
async fn a_token_answer_has_every_documented_field() {
    let world = World::new();
    let reply = world.exchange(&world.code("one-shop")).await;
    let envelope = reply.json();
    assert_eq!(envelope["message"], "success");
    let request_id = envelope["request_id"].as_str().unwrap();
    assert!(request_id.starts_with("20260101000000") && request_id.len() == 34, "{request_id}");

    let mut data = reply.data();
    for field in ["access_token", "refresh_token"] {
        let token = data[field].take();
        assert!(token.as_str().unwrap().starts_with("ROW_"), "{token}");
    }
    let open_id = data["open_id"].take();
    assert!(open_id.as_str().unwrap().starts_with('o'), "{open_id}");
    let expected = json!({
        "access_token": null,
        "access_token_expire_in": START + 7 * DAY,
        "refresh_token": null,
        "refresh_token_expire_in": START + 36_135 * DAY,
        "open_id": null,
        "seller_name": "Teapot Corner",
        "seller_base_region": "GB",
        "user_type": 0,
        "granted_scopes": [
            "seller.authorization.info",
            "seller.shop.info",
            "seller.order.info",
            "seller.fulfillment.basic",
            "seller.product.basic",
            "seller.product.write",
        ],
    });
    assert_eq!(data, expected);
    assert!(expected["refresh_token_expire_in"].as_u64().unwrap() > u64::from(u32::MAX));
}

#[tokio::test]
async fn an_authorization_of_one_year_is_possible() {
    let world = World::new();
    let data = world.exchange(&world.code("several-regions")).await.data();
    assert_eq!(data["refresh_token_expire_in"], START + 365 * DAY);
}

#[tokio::test]
async fn each_kind_of_account_has_its_user_type() {
    let world = World::new();
    for (seller, user_type) in [("one-shop", 0), ("creator", 1), ("cross-border", 4), ("global-selling", 5)] {
        assert_eq!(world.exchange(&world.code(seller)).await.data()["user_type"], user_type, "{seller}");
    }
}

#[tokio::test]
async fn a_code_works_once() {
    let world = World::new();
    let code = world.code("one-shop");
    assert_eq!(world.exchange(&code).await.verdict(), (200, 0));
    assert_eq!(world.exchange(&code).await.verdict(), (200, 36_004_004));
}

#[tokio::test]
async fn a_failure_has_the_members_of_recorded_failures_and_no_others() {
    let mut world = World::new();
    let (_, refresh_token) = world.connect("one-shop").await;
    world.control.end_authorization("one-shop").unwrap();
    let ended = world.refresh(&refresh_token).await;
    let (unknown, wrong_code) = (world.refresh("ROW_unknown").await, world.exchange("ROW_unknown").await);
    "wrong".clone_into(&mut world.app.app_secret);
    let wrong_secret = world.refresh(&refresh_token).await;
    for (reply, code, message) in [
        (ended, 36_004_001, "rt has expired"),
        (unknown, 36_004_005, "can not find related auth record"),
        (wrong_code, 36_004_004, "invalid auth code"),
        (wrong_secret, 36_009_004, "Invalid app_key or app_secret"),
    ] {
        let mut body = reply.json();
        let request_id = body.as_object_mut().unwrap().remove("request_id");
        assert!(request_id.is_some_and(|id| id.is_string()), "{}", reply.body);
        assert_eq!((reply.status, body), (200, json!({ "code": code, "message": message })));
    }
}

#[tokio::test]
async fn a_code_lives_thirty_minutes() {
    let world = World::new();
    let (in_time, too_late) = (world.code("one-shop"), world.code("one-shop"));
    world.control.advance(Duration::from_secs(30 * 60 - 1));
    assert_eq!(world.exchange(&in_time).await.verdict(), (200, 0));
    world.control.advance(Duration::from_secs(1));
    assert_eq!(world.exchange(&too_late).await.verdict(), (200, 36_004_004));
}

#[tokio::test]
async fn codes_and_tokens_belong_to_one_app() {
    let world = World::new();
    let (code, (access_token, refresh_token)) = (world.code("one-shop"), world.connect("one-shop").await);
    let other = world.with_second_app();
    assert_eq!(other.exchange(&code).await.verdict(), (200, 36_004_004));
    assert_eq!(other.refresh(&refresh_token).await.verdict(), (200, 36_004_005));
    assert_eq!(other.list_shops(&access_token).await.verdict(), (401, 105_001));
}

#[tokio::test]
async fn an_open_id_is_stable_for_an_app_and_differs_between_apps_and_sellers() {
    let world = World::new();
    let first = world.exchange(&world.code("one-shop")).await.text("open_id");
    let again = world.exchange(&world.code("one-shop")).await.text("open_id");
    let other_seller = world.exchange(&world.code("cross-border")).await.text("open_id");
    let world = world.with_second_app();
    let other_app = world.exchange(&world.code("one-shop")).await.text("open_id");
    assert_eq!(first, again);
    assert_ne!(first, other_seller);
    assert_ne!(first, other_app);
}

#[tokio::test]
async fn a_wrong_grant_type_is_refused_and_spends_nothing() {
    let world = World::new();
    let (_, refresh_token) = world.connect("one-shop").await;
    let code = world.code("one-shop");
    for (path, name, value, grant_type) in [
        ("/api/v2/token/get", "auth_code", &code, "authorization_code"),
        ("/api/v2/token/refresh", "refresh_token", &refresh_token, "authorized_code"),
    ] {
        let query = [
            ("app_key", world.app.app_key.as_str()),
            ("app_secret", &world.app.app_secret),
            (name, value),
            ("grant_type", grant_type),
        ];
        assert_eq!(world.token_call(path, &query).await.verdict(), (200, 36_009_004), "{path}");
    }
    // Neither the code nor the refresh token was spent.
    assert_eq!(world.exchange(&code).await.verdict(), (200, 0));
    assert_eq!(world.refresh(&refresh_token).await.verdict(), (200, 0));
}

#[tokio::test]
async fn a_missing_code_or_refresh_token_is_refused_like_a_wrong_one() {
    let world = World::new();
    let credentials = [("app_key", world.app.app_key.as_str()), ("app_secret", &world.app.app_secret)];
    for (path, grant_type, code) in
        [("/api/v2/token/get", "authorized_code", 36_004_004), ("/api/v2/token/refresh", "refresh_token", 36_004_005)]
    {
        let query = [credentials[0], credentials[1], ("grant_type", grant_type)];
        assert_eq!(world.token_call(path, &query).await.verdict(), (200, code), "{path}");
    }
}

#[tokio::test]
async fn a_post_gets_a_plain_404_and_spends_nothing() {
    let world = World::new();
    let code = world.code("one-shop");
    let target = format!(
        "/api/v2/token/get?app_key={}&app_secret={}&auth_code={code}&grant_type=authorized_code",
        world.app.app_key, world.app.app_secret
    );
    let reply = send(world.address(), "POST", TOKEN_HOST, &target, &[], "").await;
    assert_eq!((reply.status, reply.body.as_str()), (404, "404 page not found"));
    assert_eq!(world.exchange(&code).await.verdict(), (200, 0));
}

#[tokio::test]
async fn a_refresh_replaces_the_pair_and_keeps_the_end_of_the_authorization() {
    let world = World::new();
    let first = world.exchange(&world.code("one-shop")).await.data();
    world.control.advance(Duration::from_secs(6 * DAY));
    let second = world.refresh(first["refresh_token"].as_str().unwrap()).await.data();
    assert_ne!(second["access_token"], first["access_token"]);
    assert_ne!(second["refresh_token"], first["refresh_token"]);
    assert_eq!(second["access_token_expire_in"], START + 13 * DAY);
    assert_eq!(second["refresh_token_expire_in"], first["refresh_token_expire_in"]);
    assert_eq!(second["open_id"], first["open_id"]);
}

#[tokio::test]
async fn an_authorization_ends_after_its_length() {
    let world = World::new();
    let (_, refresh_token) = world.connect("several-regions").await;
    world.control.advance(Duration::from_secs(365 * DAY - 1));
    let refresh_token = world.refresh(&refresh_token).await.text("refresh_token");
    world.control.advance(Duration::from_secs(1));
    assert_eq!(world.refresh(&refresh_token).await.verdict(), (200, 36_004_001));
}

#[tokio::test]
async fn an_access_token_outlives_its_ended_authorization() {
    let world = World::new();
    let (access_token, refresh_token) = world.connect("one-shop").await;
    world.control.end_authorization("one-shop").unwrap();
    assert_eq!(world.refresh(&refresh_token).await.verdict(), (200, 36_004_001));
    assert_eq!(world.list_shops(&access_token).await.verdict(), (200, 0));
    let (_, renewed) = world.connect("one-shop").await;
    assert_eq!(world.refresh(&renewed).await.verdict(), (200, 0));
    assert_eq!(world.refresh(&refresh_token).await.verdict(), (200, 36_004_001));
}

#[tokio::test]
async fn revoking_an_authorization_revokes_its_tokens_and_codes() {
    let world = World::new();
    let (access_token, refresh_token) = world.connect("one-shop").await;
    let (other_access_token, _) = world.connect("cross-border").await;
    let code = world.code("one-shop");
    world.control.revoke("one-shop").unwrap();
    assert_eq!(world.refresh(&refresh_token).await.verdict(), (200, 36_004_005));
    assert_eq!(world.list_shops(&access_token).await.verdict(), (401, 105_001));
    assert_eq!(world.exchange(&code).await.verdict(), (200, 36_004_004));
    assert_eq!(world.list_shops(&other_access_token).await.verdict(), (200, 0));

    let (renewed, _) = world.connect("one-shop").await;
    assert_eq!(world.list_shops(&renewed).await.verdict(), (200, 0));
    assert_eq!(world.list_shops(&access_token).await.verdict(), (401, 105_001));
}

#[tokio::test]
async fn issued_tokens_are_reported_with_their_validity() {
    let world = World::new();
    let (service_id, seller) = (world.app.service_id.as_str(), "one-shop");
    assert_eq!(world.control.issued(service_id, seller).unwrap().open_id, None);
    let (access_token, first) = world.connect(seller).await;
    let second = world.refresh(&first).await.text("refresh_token");

    let issued = world.control.issued(service_id, seller).unwrap();
    assert_eq!(issued.refresh_tokens.iter().map(|t| &t.token).collect::<Vec<_>>(), [&first, &second]);
    assert!(!issued.honours_refresh_token(&first));
    assert!(issued.honours_refresh_token(&second));
    assert!(issued.honours_access_token(&access_token));
    assert_eq!(issued.access_tokens[0].expires_at, START + 7 * DAY);
    let debug = format!("{issued:?}");
    assert!(!debug.contains(&access_token) && !debug.contains(&second), "{debug}");

    world.control.advance(Duration::from_secs(7 * DAY));
    assert!(!world.control.issued(service_id, seller).unwrap().honours_access_token(&access_token));
}

#[tokio::test]
async fn tokens_work_when_the_clock_is_at_its_end() {
    let world = World::new();
    world.control.advance(Duration::MAX);
    world.control.update_seller("one-shop", |seller| seller.authorization_lasts = Duration::MAX).unwrap();
    let (access_token, refresh_token) = world.connect("one-shop").await;
    assert_eq!(world.refresh(&refresh_token).await.verdict(), (200, 0));
    assert_eq!(world.list_shops(&access_token).await.verdict(), (200, 0));
}

#[tokio::test]
async fn the_callback_of_a_refused_consent_has_no_valid_code() {
    let world = World::new();
    let callback = world.control.consent(&world.app.service_id, "one-shop", None, Decision::Refuse).unwrap();
    assert_eq!(callback, "code=null&error=auth_denied");
    assert_eq!(world.exchange(&parameter(&callback, "code").unwrap()).await.verdict(), (200, 36_004_004));
}
