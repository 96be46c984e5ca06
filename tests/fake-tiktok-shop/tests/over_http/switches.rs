//! Tests of every switch for consents, tokens and calls, with each of its values. Each test is named after its switch.
//! `deauthorization.rs` and `webhook_switches.rs` test the other switches.

use std::time::Duration;

use fake_tiktok_shop::{
    CallbackExtras, CipherFailureStatus, CiphersOnConsent, Decision, EarlierToken, FailureStatus, GrantedScopesField,
    InvalidAccessToken, RefreshGrantType, RefreshTokenField, RefreshTokenOnRefresh, RefusalError, ReplacedRefreshToken,
    TokenFailure, TokenPrefix, UnsignedEmptyObject, WrongSecret,
};
use serde_json::{Value, json};

use crate::client::{SignedCall, World};
use crate::gate::ORDERS;

const OK: (u16, i64) = (200, 0);
const NO_AUTHORIZATION: (u16, i64) = (200, 36_004_005);
const INVALID_ACCESS_TOKEN: (u16, i64) = (401, 105_001);

#[tokio::test]
async fn refresh_token_on_refresh() {
    for (answer, same) in [(RefreshTokenOnRefresh::New, false), (RefreshTokenOnRefresh::Unchanged, true)] {
        let world = World::with_switches(|switches| switches.refresh_token_on_refresh = answer);
        let (_, first) = world.connect("one-shop").await;
        let second = world.refresh(&first).await.text("refresh_token");
        assert_eq!(first == second, same);
        assert_eq!(world.refresh(&second).await.verdict(), OK);
    }
}

#[tokio::test]
async fn replaced_refresh_token() {
    for (answer, at_once, after_a_minute, after_a_year) in [
        (ReplacedRefreshToken::Refused, NO_AUTHORIZATION, NO_AUTHORIZATION, NO_AUTHORIZATION),
        (ReplacedRefreshToken::HonouredForSeconds(60), OK, NO_AUTHORIZATION, NO_AUTHORIZATION),
        (ReplacedRefreshToken::AnsweredAgainForSeconds(60), OK, NO_AUTHORIZATION, NO_AUTHORIZATION),
        (ReplacedRefreshToken::Honoured, OK, OK, OK),
    ] {
        let world = World::with_switches(|switches| switches.replaced_refresh_token = answer);
        let (_, replaced) = world.connect("one-shop").await;
        let current = world.refresh(&replaced).await.text("refresh_token");
        assert_eq!(world.refresh(&replaced).await.verdict(), at_once, "{answer:?}");
        world.control.advance(Duration::from_secs(60));
        assert_eq!(world.refresh(&replaced).await.verdict(), after_a_minute, "{answer:?}");
        world.control.advance(Duration::from_secs(365 * 86_400));
        assert_eq!(world.refresh(&replaced).await.verdict(), after_a_year, "{answer:?}");
        assert_eq!(world.refresh(&current).await.verdict(), OK, "{answer:?}");
    }
}

#[tokio::test]
async fn refresh_token_field() {
    let world = World::new();
    let (_, mut refresh_token) = world.connect("one-shop").await;
    refresh_token = world.refresh(&refresh_token).await.text("refresh_token");
    for (answer, field) in [
        (RefreshTokenField::Missing, None),
        (RefreshTokenField::Empty, Some(&json!(""))),
        (RefreshTokenField::Blank, Some(&json!(" "))),
    ] {
        world.control.update_switches(|switches| switches.refresh_token_field = answer);
        assert_eq!(world.refresh(&refresh_token).await.data().get("refresh_token"), field);
        // The answer had no new refresh token, so the old token still works.
        assert_eq!(world.refresh(&refresh_token).await.verdict(), OK);
        // With every value of the switch, the exchange of a code returns a refresh token.
        world.connect("one-shop").await;
    }
}

#[tokio::test]
async fn access_token_after_refresh() {
    for (answer, verdict) in [(EarlierToken::Honoured, OK), (EarlierToken::Refused, INVALID_ACCESS_TOKEN)] {
        for rotation in [RefreshTokenOnRefresh::New, RefreshTokenOnRefresh::Unchanged] {
            let world = World::with_switches(|switches| {
                switches.access_token_after_refresh = answer;
                switches.refresh_token_on_refresh = rotation;
            });
            let (first, refresh_token) = world.connect("one-shop").await;
            let reply = world.refresh(&refresh_token).await;
            let second = reply.text("access_token");
            assert_eq!(world.list_shops(&first).await.verdict(), verdict);
            assert_eq!(world.list_shops(&second).await.verdict(), OK);
            let third = world.refresh(&reply.text("refresh_token")).await.text("access_token");
            assert_eq!(world.list_shops(&second).await.verdict(), verdict);
            assert_eq!(world.list_shops(&third).await.verdict(), OK);
        }
    }
}

#[tokio::test]
async fn access_token_after_consent() {
    for (answer, verdict) in [(EarlierToken::Honoured, OK), (EarlierToken::Refused, INVALID_ACCESS_TOKEN)] {
        let world = World::with_switches(|switches| switches.access_token_after_consent = answer);
        let (first, first_refresh_token) = world.connect("one-shop").await;
        let code = world.code("one-shop");
        assert_eq!(world.list_shops(&first).await.verdict(), OK, "a code alone replaces nothing");
        let second = world.exchange(&code).await.text("access_token");
        assert_eq!(world.list_shops(&first).await.verdict(), verdict);
        assert_eq!(world.list_shops(&second).await.verdict(), OK);
        assert_eq!(world.refresh(&first_refresh_token).await.verdict(), OK);
    }
}

#[tokio::test]
async fn refresh_token_after_consent() {
    for (answer, verdict) in [(EarlierToken::Honoured, OK), (EarlierToken::Refused, NO_AUTHORIZATION)] {
        let world = World::with_switches(|switches| switches.refresh_token_after_consent = answer);
        let (access_token, first) = world.connect("one-shop").await;
        let (_, second) = world.connect("one-shop").await;
        assert_eq!(world.refresh(&first).await.verdict(), verdict);
        assert_eq!(world.refresh(&second).await.verdict(), OK);
        assert_eq!(world.list_shops(&access_token).await.verdict(), OK);
    }
}

#[tokio::test]
async fn callback_extras() {
    for (answer, expected) in [
        (CallbackExtras::None, "code=null&error=auth_denied&state=s"),
        (
            CallbackExtras::AppKeyLocaleAndRegion,
            "code=null&error=auth_denied&state=s&app_key=6fakeapp00001&locale=en&shop_region=CN",
        ),
    ] {
        let world = World::with_switches(|switches| switches.callback_extras = answer);
        let consent = |decision| world.control.consent(&world.app.service_id, "cross-border", Some("s"), decision);
        assert_eq!(consent(Decision::Refuse).unwrap(), expected);
        let allowed = consent(Decision::Allow).unwrap();
        assert_eq!(allowed.contains("&app_key=6fakeapp00001&locale=en&shop_region=CN"), answer != CallbackExtras::None);
    }
}

#[tokio::test]
async fn refusal_error() {
    for (answer, expected) in [
        (RefusalError::AuthDenied, "code=null&error=auth_denied"),
        (RefusalError::AccessDenied, "code=null&error=access_denied"),
    ] {
        let world = World::with_switches(|switches| switches.refusal_error = answer);
        let callback = world.control.consent(&world.app.service_id, "one-shop", None, Decision::Refuse).unwrap();
        assert_eq!(callback, expected);
    }
}

#[tokio::test]
async fn wrong_secret() {
    for (answer, on_exchange, on_refresh) in [
        (WrongSecret::Ok, (200, 36_009_004), (200, 36_009_004)),
        (WrongSecret::BadRequest, (400, 36_009_004), (400, 36_009_004)),
        (WrongSecret::Unauthorized, (401, 36_009_004), (401, 36_009_004)),
        (WrongSecret::BadGrant, (200, 36_004_004), (200, 36_004_005)),
    ] {
        let mut world = World::with_switches(|switches| switches.wrong_secret = answer);
        let (_, refresh_token) = world.connect("one-shop").await;
        let code = world.code("one-shop");
        let app = world.app.clone();
        for (app_key, app_secret) in [("nobody", app.app_secret.as_str()), (app.app_key.as_str(), "wrong")] {
            app_key.clone_into(&mut world.app.app_key);
            app_secret.clone_into(&mut world.app.app_secret);
            assert_eq!(world.exchange(&code).await.verdict(), on_exchange, "{answer:?}");
            assert_eq!(world.refresh(&refresh_token).await.verdict(), on_refresh, "{answer:?}");
        }
        world.app = app;
        assert_eq!(world.exchange(&code).await.verdict(), OK);
        assert_eq!(world.refresh(&refresh_token).await.verdict(), OK);
    }
}

#[tokio::test]
async fn token_failure() {
    let link = "invalid auth code. For more details: https://m.tiktok.shop/s/fixture";
    for (answer, message, data) in
        [(TokenFailure::Recorded, "invalid auth code", None), (TokenFailure::LikeApiHost, link, Some(&Value::Null))]
    {
        let world = World::with_switches(|switches| switches.token_failure = answer);
        let failure = world.exchange("ROW_unknown").await.json();
        assert_eq!((&failure["message"], failure.get("data")), (&json!(message), data), "{answer:?}");
        let on_the_api_host = world.list_shops("ROW_unknown").await.json();
        assert_eq!(on_the_api_host.get("data"), Some(&Value::Null));
        assert!(on_the_api_host["message"].as_str().unwrap().contains(". For more details: https://"));
    }
}

#[tokio::test]
async fn refresh_grant_type() {
    for (answer, verdict) in [(RefreshGrantType::RefreshToken, (200, 36_009_004)), (RefreshGrantType::Either, OK)] {
        let world = World::with_switches(|switches| switches.refresh_grant_type = answer);
        let (_, refresh_token) = world.connect("one-shop").await;
        let refresh = async |grant_type| {
            let query = [
                ("app_key", world.app.app_key.as_str()),
                ("app_secret", &world.app.app_secret),
                ("refresh_token", &refresh_token),
                ("grant_type", grant_type),
            ];
            world.token_call("/api/v2/token/refresh", &query).await.verdict()
        };
        assert_eq!(refresh("password").await, (200, 36_009_004));
        assert_eq!(refresh("authorized_code").await, verdict, "{answer:?}");
        assert_eq!(refresh("refresh_token").await == OK, verdict != OK, "a refresh token works once");
    }
}

#[tokio::test]
async fn token_prefix() {
    for (answer, prefix) in
        [(TokenPrefix::Row, "ROW_"), (TokenPrefix::Gcp, "GCP_"), (TokenPrefix::Ttp, "TTP_"), (TokenPrefix::None, "")]
    {
        let world = World::with_switches(|switches| switches.token_prefix = answer);
        let (access_token, refresh_token) = world.connect("one-shop").await;
        let refreshed = world.refresh(&refresh_token).await;
        for token in [&access_token, &refresh_token, &refreshed.text("access_token"), &refreshed.text("refresh_token")]
        {
            let digits = token.strip_prefix(prefix).unwrap();
            assert!(digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
        }
        assert_eq!(world.list_shops(&access_token).await.verdict(), OK);
    }
}

#[tokio::test]
async fn unsigned_empty_object() {
    for (answer, verdict) in [(UnsignedEmptyObject::Refused, (401, 106_001)), (UnsignedEmptyObject::Accepted, OK)] {
        let world = World::with_switches(|switches| switches.unsigned_empty_object = answer);
        let (access_token, _) = world.connect("one-shop").await;
        let cipher = world.cipher(&access_token).await;
        let query = [("shop_cipher", cipher.as_str()), ("page_size", "1")];
        for (signed_body, sent_body, verdict) in
            [("", "{}", verdict), ("{}", "{}", OK), ("", "{ }", (401, 106_001)), ("", "[]", (401, 106_001))]
        {
            let call = SignedCall {
                method: "POST",
                path: ORDERS,
                query: &query,
                signed_body,
                sent_body: sent_body.as_bytes(),
                ..SignedCall::default()
            };
            assert_eq!(world.signed(&call, &access_token).await.verdict(), verdict, "{answer:?} {sent_body}");
        }
    }
}

#[tokio::test]
async fn status_101000() {
    for (answer, status) in [(FailureStatus::Unauthorized, 401), (FailureStatus::Ok, 200)] {
        let world = World::with_switches(|switches| switches.status_101000 = answer);
        let (access_token, _) = world.connect("creator").await;
        assert_eq!(world.list_shops(&access_token).await.verdict(), (status, 101_000));
    }
}

#[tokio::test]
async fn invalid_access_token() {
    for (answer, verdict) in
        [(InvalidAccessToken::Code105001, (401, 105_001)), (InvalidAccessToken::Code36009004, (400, 36_009_004))]
    {
        let world = World::with_switches(|switches| switches.invalid_access_token = answer);
        assert_eq!(world.list_shops("ROW_unknown").await.verdict(), verdict);
    }
}

#[tokio::test]
async fn status_105001() {
    for (answer, status) in [(FailureStatus::Unauthorized, 401), (FailureStatus::Ok, 200)] {
        let world = World::with_switches(|switches| switches.status_105001 = answer);
        assert_eq!(world.list_shops("ROW_unknown").await.verdict(), (status, 105_001));
    }
}

#[tokio::test]
async fn status_105002() {
    for (answer, status) in [(FailureStatus::Unauthorized, 401), (FailureStatus::Ok, 200)] {
        let world = World::with_switches(|switches| switches.status_105002 = answer);
        let (access_token, _) = world.connect("one-shop").await;
        world.control.advance(Duration::from_secs(7 * 86_400));
        assert_eq!(world.list_shops(&access_token).await.verdict(), (status, 105_002));
    }
}

#[tokio::test]
async fn status_106013() {
    for (answer, status) in [(CipherFailureStatus::BadRequest, 400), (CipherFailureStatus::Ok, 200)] {
        let world = World::with_switches(|switches| switches.status_106013 = answer);
        let (access_token, _) = world.connect("one-shop").await;
        let call = SignedCall { path: "/event/202309/webhooks", ..SignedCall::default() };
        assert_eq!(world.signed(&call, &access_token).await.verdict(), (status, 106_013));
    }
}

#[tokio::test]
async fn granted_scopes_field() {
    let granted = json!(["seller.shop.info"]);
    let asked = json!(World::new().app.scopes);
    for (answer, expected) in [
        (GrantedScopesField::Present, Some(&granted)),
        (GrantedScopesField::Requested, Some(&asked)),
        (GrantedScopesField::Missing, None),
    ] {
        let world = World::with_switches(|switches| switches.granted_scopes_field = answer);
        let ticked = Some(vec!["seller.shop.info".to_owned()]);
        world.control.update_seller("one-shop", |seller| seller.granted_scopes = ticked).unwrap();
        let data = world.exchange(&world.code("one-shop")).await.data();
        assert_eq!(data.get("granted_scopes"), expected, "{answer:?}");
        let refreshed = world.refresh(data["refresh_token"].as_str().unwrap()).await.data();
        assert_eq!(refreshed.get("granted_scopes"), expected, "{answer:?}");
        // Only granted scopes work, no matter what the field contains.
        let listing = world.list_shops(data["access_token"].as_str().unwrap()).await;
        assert_eq!(listing.verdict(), (401, 105_005));
    }
}

#[tokio::test]
async fn ciphers_on_consent() {
    for (answer, same) in [(CiphersOnConsent::Unchanged, true), (CiphersOnConsent::New, false)] {
        let world = World::with_switches(|switches| switches.ciphers_on_consent = answer);
        let (first_token, _) = world.connect("cross-border").await;
        let first = world.list_shops(&first_token).await.data()["shops"].take();
        let (second_token, _) = world.connect("cross-border").await;
        let second = world.list_shops(&second_token).await.data()["shops"].take();
        for (first, second) in first.as_array().unwrap().iter().zip(second.as_array().unwrap()) {
            assert_eq!(first["id"], second["id"]);
            assert_eq!(first["cipher"] == second["cipher"], same, "{first} {second}");
        }
        // The consent does not change another app's ciphers.
        let other = world.with_second_app();
        let (access_token, _) = other.connect("cross-border").await;
        assert_eq!(other.list_shops(&access_token).await.data()["shops"], first);
    }
}
