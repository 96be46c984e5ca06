//! Tests of the export `connect`, with every kind of seller, both kinds of grant, both checks of the state, and both
//! shop policies.

use std::io::Write as _;

use fake_tiktok_shop::{
    CallbackExtras, CiphersOnConsent, Decision, Ending, Fault, GrantedScopesField, Piece, RefusalError, Shop,
    WrongSecret,
};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Map;
use tiktok_shop_host::Secret;
use tiktok_shop_host::connect::Grant;
use tiktok_shop_host::connection::{Connection, ConnectionStatus, ShopPolicy, ShopStanding, UnixSeconds};
use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_tests::{
    BEGIN, DAY, SHOPS, STATE, Stage, TOKEN_GET, TOKEN_REFRESH, app_credentials, customer_id, grant, refusal, tenant,
};

#[tokio::test]
async fn one_shop_connects_with_one_token_request_and_one_listing() {
    let stage = Stage::new();
    let connection = stage.connect("alice", "one-shop").await.unwrap();

    assert_eq!(connection.status, ConnectionStatus::Active);
    assert_eq!(connection.seller_name, "Teapot Corner");
    assert_eq!(connection.seller_base_region, "GB");
    let scopes = [
        "seller.authorization.info",
        "seller.shop.info",
        "seller.order.info",
        "seller.fulfillment.basic",
        "seller.product.basic",
        "seller.product.write",
    ];
    assert_eq!(connection.granted_scopes, scopes);
    assert_eq!(connection.access_expires_at, Some(UnixSeconds(BEGIN + 7 * DAY)));
    assert!(
        connection.refresh_expires_at.unwrap() > UnixSeconds(u64::from(u32::MAX)),
        "the end needs more than 32 bits"
    );
    assert_eq!(connection.connected_at, UnixSeconds(BEGIN));
    assert_eq!(connection.shops_synced_at, Some(UnixSeconds(BEGIN)));
    assert_eq!(connection.last_failure, None);
    let [shop] = connection.shops.as_slice() else { panic!("one shop") };
    assert_eq!(shop.id.as_str(), "7490000000000000001");
    assert_eq!(shop.cipher.as_ref().map(Secret::expose), Some("ROW_fixture01cipherOfGB"));
    assert_eq!((shop.standing, shop.linked), (ShopStanding::Granted, true));

    let requests = stage.fake.requests();
    let [exchange, listing] = requests.as_slice() else { panic!("two requests, not {requests:?}") };
    assert_eq!((exchange.method.as_str(), exchange.path.as_str(), exchange.status), ("GET", TOKEN_GET, 200));
    assert_eq!(exchange.host, "auth.tiktok-shops.com");
    assert_eq!(exchange.parameter("grant_type"), Some("authorized_code"));
    assert_eq!((listing.method.as_str(), listing.path.as_str(), listing.code), ("GET", SHOPS, Some(0)));
    assert_eq!(listing.host, "open-api.tiktokglobalshop.com");
    for request in [exchange, listing] {
        assert_eq!((request.body_length, request.header("transfer-encoding")), (0, None));
    }
}

#[tokio::test]
async fn every_shop_of_every_region_is_stored_with_its_cipher() {
    let stage = Stage::new();
    for seller in ["several-regions", "cross-border"] {
        let connection = stage.connect(seller, seller).await.unwrap();
        let known = stage.fake.sellers().into_iter().find(|known| known.id == seller).unwrap();
        let listed: Vec<_> = known
            .shops
            .iter()
            .map(|shop| (shop.id.as_str(), shop.region.as_str(), shop.seller_type.as_str(), shop.cipher.as_deref()))
            .collect();
        let kept: Vec<_> = connection
            .shops
            .iter()
            .map(|shop| {
                let cipher = shop.cipher.as_ref().map(Secret::expose);
                (shop.id.as_str(), shop.region.as_str(), shop.seller_type.as_str(), cipher)
            })
            .collect();
        assert_eq!(kept, listed, "{seller}");
        assert!(connection.shops.iter().all(|shop| shop.linked));
    }
}

#[tokio::test]
async fn a_missing_cipher_stays_missing_and_unknown_json_members_are_kept_unchanged() {
    let stage = Stage::new();
    let connection = stage.connect("alice", "several-regions").await.unwrap();
    let shop = |region: &str| connection.shops.iter().find(|shop| shop.region == region).unwrap();
    assert_eq!(shop("IE").cipher, None);
    assert!(!shop("IE").raw.contains("cipher"));
    let german = &shop("DE").raw;
    assert!(!german.contains("cipher"), "{german}");
    for member in [
        r#""store_tier":"gold""#,
        r#""opened_at":9007199254740993"#,
        r#""warehouses":[{"id":"7491000000000000001","default":true,"note":null}]"#,
    ] {
        assert!(german.contains(member), "{member} in {german}");
    }
}

#[tokio::test]
async fn a_seller_without_a_shop_is_connected_without_shops() {
    let stage = Stage::new();
    let connection = stage.connect("alice", "no-shop").await.unwrap();
    assert_eq!(connection.shops, []);
    assert_eq!((connection.status, connection.shops_synced_at), (ConnectionStatus::Active, Some(UnixSeconds(BEGIN))));
}

#[tokio::test]
async fn sellers_of_global_selling_connect_like_other_sellers() {
    let stage = Stage::new();
    for (customer, seller, shops) in [("alice", "cross-border", 5), ("bob", "global-selling", 1)] {
        let connection = stage.connect(customer, seller).await.unwrap();
        assert_eq!((connection.status, connection.shops.len()), (ConnectionStatus::Active, shops), "{seller}");
        let forced = stage.refresh(customer, RefreshMode::Forced).await.unwrap();
        assert_eq!((forced.last_failure, forced.shops.len()), (None, shops), "{seller}");
    }
}

#[tokio::test]
async fn a_creator_is_refused_and_nothing_is_stored() {
    let stage = Stage::new();
    let outcome = stage.connect("alice", "creator").await;
    assert_eq!(refusal(outcome), ("invalid-request", "not-a-seller".to_owned()));
    assert_eq!(stage.connections("alice").await, []);
    assert_eq!(stage.requests_to(SHOPS), 0);
}

#[tokio::test]
async fn a_refused_consent_requires_a_new_consent_and_sends_nothing() {
    let stage = Stage::new();
    for error in [RefusalError::AuthDenied, RefusalError::AccessDenied] {
        stage.fake.update_switches(|switches| switches.refusal_error = error);
        let query = stage.callback("one-shop", Decision::Refuse);
        assert!(query.contains("code=null"), "{query}");
        let outcome = stage.connect_with("alice", &query, ShopPolicy::All).await;
        assert_eq!(refusal(outcome), ("reauthorize", "consent-refused".to_owned()));
    }
    assert_eq!(stage.requests_to(TOKEN_GET), 0);
}

#[tokio::test]
async fn the_text_null_is_never_exchanged_as_a_code() {
    let stage = Stage::new();
    for (grant, action, code) in [
        (grant(&format!("code=null&state={STATE}")), "reauthorize", "consent-refused"),
        (grant(&format!("state={STATE}")), "invalid-request", "callback-malformed"),
        (Grant::Code("null".into()), "reauthorize", "consent-refused"),
    ] {
        let outcome = stage.host.connect(&tenant(0), &customer_id("alice"), None, grant, ShopPolicy::All).await;
        assert_eq!(refusal(outcome), (action, code.to_owned()));
    }
    assert_eq!(stage.fake.requests(), []);
}

#[tokio::test]
async fn a_wrong_state_sends_no_token_request() {
    let stage = Stage::new();
    let query = stage.callback("one-shop", Decision::Allow);
    let (code, _) = query.split_once("&state=").unwrap();
    let queries = [
        code.to_owned(),
        format!("{code}&state="),
        format!("{code}&state={}", &STATE[..STATE.len() - 1]),
        format!("{code}&state={STATE}x"),
        format!("{code}&state={}", STATE.to_lowercase()),
        format!("{code}&state={STATE}&state={STATE}"),
        format!("{code}&state=other&state={STATE}"),
        "error=auth_denied&code=null&state=other".to_string(),
    ];
    for query in queries {
        let outcome = stage.connect_with("alice", &query, ShopPolicy::All).await;
        assert_eq!(refusal(outcome), ("invalid-request", "state-mismatch".to_owned()), "{query}");
    }
    assert_eq!(stage.fake.requests(), []);

    // The code was never sent to TikTok, so it still works with the right state.
    let outcome = stage.connect_with("alice", &query, ShopPolicy::All).await;
    assert_eq!(outcome.unwrap().status, ConnectionStatus::Active);
}

#[tokio::test]
async fn a_code_that_the_host_took_from_the_callback_connects() {
    let stage = Stage::new();
    let query = stage.callback("one-shop", Decision::Allow);
    let code = query.strip_prefix("code=").and_then(|rest| rest.split('&').next()).unwrap();
    let outcome =
        stage.host.connect(&tenant(0), &customer_id("alice"), None, Grant::Code(code.into()), ShopPolicy::All).await;
    assert_eq!(outcome.unwrap().shops.len(), 1);
}

#[tokio::test]
async fn further_parameters_of_the_callback_do_not_prevent_a_connection() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| switches.callback_extras = CallbackExtras::AppKeyLocaleAndRegion);
    let query = stage.callback("one-shop", Decision::Allow);
    assert!(query.contains("app_key="), "{query}");
    let outcome = stage.connect_with("alice", &query, ShopPolicy::All).await;
    assert_eq!(outcome.unwrap().status, ConnectionStatus::Active);
}

#[tokio::test]
async fn a_second_callback_with_a_used_code_does_not_change_a_working_connection() {
    let stage = Stage::new();
    let query = stage.callback("several-regions", Decision::Allow);
    let first = stage.connect_with("alice", &query, ShopPolicy::All).await.unwrap();
    let second = stage.connect_with("alice", &query, ShopPolicy::All).await;
    assert_eq!(refusal(second), ("reauthorize", "authorization-code-spent".to_owned()));
    assert_eq!(stage.connections("alice").await, [first]);
    assert_eq!(stage.refresh("alice", RefreshMode::WhenDue).await.unwrap().status, ConnectionStatus::Active);
}

#[tokio::test]
async fn a_code_that_is_older_than_thirty_minutes_is_refused() {
    let stage = Stage::new();
    let query = stage.callback("one-shop", Decision::Allow);
    stage.advance(30 * 60 + 1);
    let outcome = stage.connect_with("alice", &query, ShopPolicy::All).await;
    assert_eq!(refusal(outcome), ("reauthorize", "authorization-code-spent".to_owned()));
}

#[tokio::test]
async fn the_policy_exactly_one_links_the_only_shop_and_none_of_several() {
    let stage = Stage::new();
    for (seller, linked) in [("one-shop", 1), ("several-regions", 0), ("cross-border", 0), ("no-shop", 0)] {
        let query = stage.callback(seller, Decision::Allow);
        let connection = stage.connect_with(seller, &query, ShopPolicy::ExactlyOne).await.unwrap();
        assert_eq!(connection.shop_policy, ShopPolicy::ExactlyOne);
        assert_eq!(connection.shops.iter().filter(|shop| shop.linked).count(), linked, "{seller}");
        let listed = stage.host.list_shops(&tenant(0), &customer_id(seller)).await.unwrap();
        assert_eq!(listed.len(), linked, "{seller}");
    }
}

#[tokio::test]
async fn the_policy_decides_whether_a_later_shop_is_linked() {
    let stage = Stage::new();
    for (customer, policy) in [("all", ShopPolicy::All), ("one", ShopPolicy::ExactlyOne)] {
        let query = stage.callback("one-shop", Decision::Allow);
        stage.connect_with(customer, &query, policy).await.unwrap();
    }
    let new = Shop {
        id: "7490000000000000099".to_owned(),
        name: "Teapot Corner FR".to_owned(),
        region: "FR".to_owned(),
        seller_type: "LOCAL".to_owned(),
        cipher: None,
        code: "FRLCFIX099".to_owned(),
        extra: Map::new(),
    };
    stage.fake.add_shop("one-shop", new).unwrap();
    for (customer, linked) in [("all", [true, true]), ("one", [true, false])] {
        let connection = stage.refresh(customer, RefreshMode::WhenDue).await.unwrap();
        let found: Vec<_> = connection.shops.iter().map(|shop| shop.linked).collect();
        assert_eq!(found, linked, "{customer}");
    }
}

#[tokio::test]
async fn a_wrong_app_secret_is_misconfigured_if_tiktok_reports_it() {
    for (answer, expected) in [
        (WrongSecret::Ok, ("misconfigured", "app-rejected")),
        (WrongSecret::BadRequest, ("misconfigured", "app-rejected")),
        (WrongSecret::Unauthorized, ("misconfigured", "app-rejected")),
        // TikTok may answer a wrong secret in the same way as a used code. Then the connector cannot tell the two
        // apart.
        (WrongSecret::BadGrant, ("reauthorize", "authorization-code-spent")),
    ] {
        let stage = Stage::new();
        stage.fake.update_switches(|switches| switches.wrong_secret = answer);
        let mut wrong = app_credentials(&stage.fake.apps()[0]);
        wrong.app_secret = "0000000000000000000000000000000000000000".into();
        let host = stage.host_with(StaticCredentials::new().with(tenant(0), wrong));
        let query = stage.callback("one-shop", Decision::Allow);
        let outcome = host.connect(&tenant(0), &customer_id("alice"), None, grant(&query), ShopPolicy::All).await;
        assert_eq!(refusal(outcome), (expected.0, expected.1.to_owned()), "{answer:?}");
    }
}

#[tokio::test]
async fn a_connection_stays_if_its_shops_cannot_be_read() {
    let stage = Stage::new();
    stage
        .fake
        .update_seller("one-shop", |seller| seller.granted_scopes = Some(vec!["seller.shop.info".to_owned()]))
        .unwrap();
    let connection = stage.connect("alice", "one-shop").await.unwrap();
    assert_eq!((connection.shops_synced_at, connection.shops.len()), (None, 0));
    let failure = connection.last_failure.unwrap().failure;
    assert_eq!(failure.code, "missing-permission");
    assert!(failure.detail.contains("the scope seller.authorization.info was not granted"), "{}", failure.detail);

    // The seller consents again, but the test does not exchange the code. So the stored token still lacks the scope.
    let query = stage.callback("one-shop", Decision::Allow);
    assert!(query.starts_with("code="));
    let outcome = stage.refresh("alice", RefreshMode::WhenDue).await;
    assert_eq!(refusal(outcome), ("misconfigured", "missing-permission".to_owned()));
    assert_eq!(stage.requests_to(TOKEN_REFRESH), 0, "new tokens would not bring the missing scope");
}

#[tokio::test]
async fn a_new_consent_of_the_same_account_replaces_the_connection() {
    let stage = Stage::new();
    let first = stage.connect("alice", "several-regions").await.unwrap();
    stage.advance(DAY);
    stage.fake.remove_shop("several-regions", "7490000000000000003").unwrap();
    let second = stage.connect("alice", "several-regions").await.unwrap();
    assert_eq!(second.key, first.key);
    assert_eq!(second.connected_at, first.connected_at);
    assert_eq!(second.refreshed_at, UnixSeconds(BEGIN + DAY));
    let gone = second.shops.iter().find(|shop| shop.id.as_str() == "7490000000000000003").unwrap();
    assert_eq!((gone.standing, gone.linked), (ShopStanding::NoLongerGranted, true));
    assert_eq!(stage.connections("alice").await, [second]);
}

#[tokio::test]
async fn a_new_consent_overwrites_the_ciphers() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| switches.ciphers_on_consent = CiphersOnConsent::New);
    let ciphers = |connection: &Connection| -> Vec<_> {
        connection.shops.iter().map(|shop| shop.cipher.as_ref().map(|cipher| cipher.expose().to_owned())).collect()
    };
    let first = ciphers(&stage.connect("alice", "several-regions").await.unwrap());
    let second = ciphers(&stage.connect("alice", "several-regions").await.unwrap());
    let changed = |cipher: &Option<String>| cipher.as_ref().map(|cipher| format!("{cipher}v1"));
    assert_eq!(second, first.iter().map(changed).collect::<Vec<_>>());
    assert_eq!(second[2], None, "a missing cipher stays missing");
}

#[tokio::test]
async fn a_token_answer_without_scopes_still_connects() {
    let stage = Stage::new();
    stage.fake.update_switches(|switches| switches.granted_scopes_field = GrantedScopesField::Missing);
    let connection = stage.connect("alice", "one-shop").await.unwrap();
    assert_eq!(connection.granted_scopes, [""; 0]);
}

#[tokio::test]
async fn malformed_arguments_are_refused_before_anything_is_sent() {
    let stage = Stage::new();
    let long = format!("code={}&state={STATE}", "x".repeat(9000));
    let outcome = stage.connect_with("alice", &long, ShopPolicy::All).await;
    assert_eq!(refusal(outcome), ("invalid-request", "callback-malformed".to_owned()));
    let twice = format!("code=a&code=b&state={STATE}");
    let outcome = stage.connect_with("alice", &twice, ShopPolicy::All).await;
    assert_eq!(refusal(outcome), ("invalid-request", "callback-malformed".to_owned()));
    assert_eq!(stage.fake.requests(), []);
}

/// Compresses a text in the gzip format.
fn gzip(plain: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(plain.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// The connector asks for an answer without compression. A gateway may compress the answer nevertheless.
#[tokio::test]
async fn tokens_in_a_compressed_answer_are_stored() {
    let answer = format!(
        r#"{{"code":0,"message":"success","data":{{"access_token":"ROW_access_in_gzip","access_token_expire_in":{},"refresh_token":"ROW_refresh_in_gzip","open_id":"account-in-gzip","user_type":0}}}}"#,
        BEGIN + 7 * DAY
    );
    let by_transfer = "transfer-encoding: gzip, chunked";
    for header in ["content-encoding: gzip", "Content-Encoding: identity\r\nContent-Encoding: GZIP", by_transfer] {
        let mut body = gzip(&answer);
        if header == by_transfer {
            let length = format!("{:x}\r\n", body.len());
            body = [length.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
        }
        let head =
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n{header}\r\n\r\n");
        let fault = Fault { acts: false, sends: vec![Piece::Text(head), Piece::Bytes(body)], then: Ending::Close };
        let stage = Stage::new();
        stage.fake.fault_next(TOKEN_GET, header, fault);
        let connection = stage.connect("alice", "one-shop").await.unwrap();
        assert_eq!(connection.key.account.as_str(), "account-in-gzip", "{header}");
        let record = String::from_utf8(stage.token_record(&connection.key).await.unwrap()).unwrap();
        assert!(record.contains("ROW_access_in_gzip") && record.contains("ROW_refresh_in_gzip"), "{header}");
    }
}

#[tokio::test]
async fn an_answer_in_an_unknown_coding_is_an_error_that_names_it() {
    let stage = Stage::new();
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-encoding: br\r\n\r\n";
    let sends = vec![Piece::Text(head.to_owned()), Piece::Bytes(vec![0x0b, 0x02, 0x80, 0x7b, 0x7d, 0x03])];
    stage.fake.fault_next(TOKEN_GET, "br", Fault { acts: false, sends, then: Ending::Close });
    let query = stage.callback("one-shop", Decision::Allow);
    let error = stage.connect_with("alice", &query, ShopPolicy::All).await.unwrap_err();
    assert!(error.to_string().contains("[content-encoding: br]"), "{error}");
    assert_eq!(refusal::<Connection>(Err(error)), ("retry-after", "answer-coded".to_owned()));
    // The code was not spent, so the same callback works.
    assert_eq!(stage.connect_with("alice", &query, ShopPolicy::All).await.unwrap().status, ConnectionStatus::Active);
}
