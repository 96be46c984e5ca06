//! Tests of the control interface, in process and over HTTP.

use fake_tiktok_shop::{ControlError, Decision, RefusalError};
use serde_json::{Value, json};

use crate::client::{API_HOST, START, TOKEN_HOST, World, parameter, send};

#[tokio::test]
async fn the_description_names_every_operation_and_switch() {
    let world = World::new();
    // Some operations in this test act on webhook 1, so this webhook must exist.
    world.control.queue_webhook(&world.app.service_id, 1, None, json!({})).unwrap();
    let description = world.local("GET", "/_control", "").await.json();
    assert_eq!(description["operations"].as_array().unwrap().len(), 33);
    assert_eq!(description["switches"].as_array().unwrap().len(), 40);
    for operation in description["operations"].as_array().unwrap() {
        let (method, path) = operation["call"].as_str().unwrap().split_once(' ').unwrap();
        let path = path.replace("{seller}", "one-shop").replace("{shop}", "7490000000000000001");
        let path = path.replace("{number}", "1");
        let reply = world.local(method, &path, "").await;
        assert!([200, 400].contains(&reply.status), "{method} {path}: {}", reply.status);
    }
}

#[tokio::test]
async fn the_clock_is_read_set_and_advanced() {
    let world = World::new();
    let clock = |now: u64| json!({ "now": now, "ticking": false });
    assert_eq!(world.local("GET", "/_control/clock", "").await.json(), clock(START));
    assert_eq!(world.local("POST", "/_control/clock/advance", r#"{"seconds":60}"#).await.json(), clock(START + 60));
    assert_eq!(world.local("PUT", "/_control/clock", r#"{"now":7}"#).await.json(), clock(7));
    assert_eq!(world.control.now(), 7);
    let end = format!(r#"{{"seconds":{}}}"#, u64::MAX);
    assert_eq!(world.local("POST", "/_control/clock/advance", &end).await.json(), clock(253_402_300_799));
    for body in ["", "{}", r#"{"seconds":-1}"#, r#"{"seconds":1,"minutes":1}"#, "\u{fc}"] {
        let reply = world.local("POST", "/_control/clock/advance", body).await;
        assert_eq!(reply.status, 400, "{body}");
        assert!(reply.json()["error"].is_string());
    }
}

#[tokio::test]
async fn switches_are_read_and_changed() {
    let world = World::new();
    let change = r#"{"refusal_error":"access_denied","replaced_refresh_token":{"honoured-for-seconds":60}}"#;
    let changed = world.local("PATCH", "/_control/switches", change).await.json();
    assert_eq!(changed["refusal_error"], "access_denied");
    assert_eq!(changed["replaced_refresh_token"], json!({ "honoured-for-seconds": 60 }));
    assert_eq!(changed["wrong_secret"], "ok");
    assert_eq!(world.control.switches().refusal_error, RefusalError::AccessDenied);
    assert_eq!(world.local("GET", "/_control/switches", "").await.json(), changed);

    let reply = world.local("PATCH", "/_control/switches", r#"{"refusal_error":"auth_denied","rotate":true}"#).await;
    assert_eq!(reply.status, 400);
    let error = reply.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("unknown field `rotate`") && error.contains("`refresh_token_on_refresh`"), "{error}");
    assert_eq!(world.control.switches().refusal_error, RefusalError::AccessDenied, "a wrong change changes nothing");
}

#[tokio::test]
async fn requests_are_recorded_with_status_and_code() {
    let world = World::new();
    let code = world.code("one-shop");
    let reply = world.exchange(&code).await;
    let access_token = reply.text("access_token");
    world.list_shops(&access_token).await;
    world.list_shops("ROW_unknown").await;

    let requests = world.control.requests();
    let seen: Vec<_> =
        requests.iter().map(|r| (r.number, r.host.as_str(), r.path.as_str(), r.status, r.code)).collect();
    assert_eq!(
        seen,
        [
            (1, TOKEN_HOST, "/api/v2/token/get", 200, Some(0)),
            (2, API_HOST, "/authorization/202309/shops", 200, Some(0)),
            (3, API_HOST, "/authorization/202309/shops", 401, Some(105_001)),
        ]
    );
    assert_eq!(requests[0].method, "GET");
    assert_eq!(requests[0].at, START);
    assert_eq!(requests[0].parameter("auth_code"), Some(code.as_str()));
    assert_eq!(requests[1].header("x-tts-access-token"), Some(access_token.as_str()));
    assert_eq!(requests[1].header("content-type"), Some("application/json"));

    world.control.clear_requests();
    world.list_shops("ROW_unknown").await;
    assert_eq!(world.control.requests()[0].number, 4);
}

#[tokio::test]
async fn secrets_are_masked_outside_the_process() {
    let world = World::new();
    let code = world.code("one-shop");
    let reply = world.exchange(&code).await;
    let (access_token, refresh_token) = (reply.text("access_token"), reply.text("refresh_token"));
    world.refresh(&refresh_token).await;
    world.list_shops(&access_token).await;
    world.local("GET", "/open/authorize?service_id=7480000000000000001&state=the-state", "").await;

    let sign = world.control.requests()[2].parameter("sign").unwrap().to_owned();
    let over_http = world.local("GET", "/_control/requests", "").await.body;
    let start_page = world.local("GET", "/", "").await.body;
    let (_, listed) = start_page.split_once("Last requests").unwrap();
    let debug = format!("{:?}", world.control.requests());
    for text in [over_http.as_str(), listed, &debug] {
        assert!(text.contains("[masked]"), "{text}");
        for secret in [&code, &access_token, &refresh_token, &sign, &world.app.app_secret, "the-state"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    let log_page = world.local("GET", "/_pages/requests", "").await.body;
    assert!(log_page.contains("[masked]"), "{log_page}");
    for page in [&start_page, &log_page] {
        for secret in [&code, &access_token, &refresh_token, &sign, "the-state"] {
            assert!(!page.contains(secret), "{secret} in {page}");
        }
    }
    assert!(!log_page.contains(&world.app.app_secret));
    let first = &serde_json::from_str::<Value>(&over_http).unwrap()[0];
    assert_eq!(first["query"][0], json!(["app_key", "6fakeapp00001"]));
    assert_eq!(first["query"][1], json!(["app_secret", "[masked]"]));

    assert_eq!(world.local("DELETE", "/_control/requests", "").await.json(), json!([]));
    assert_eq!(world.control.requests(), []);
}

#[tokio::test]
async fn a_consent_over_http_has_the_same_callback_as_the_page() {
    let world = World::new();
    let body = json!({ "service_id": world.app.service_id, "seller": "one-shop", "state": "s", "decision": "allow" });
    let callback = world.local("POST", "/_control/consent", &body.to_string()).await.json();
    let query = callback["callback_query"].as_str().unwrap();
    assert_eq!(callback["redirect"], format!("http://{}/callback?{query}", world.address()));
    assert_eq!(parameter(query, "state").as_deref(), Some("s"));
    assert_eq!(world.exchange(&parameter(query, "code").unwrap()).await.verdict(), (200, 0));

    let body = json!({ "app_key": world.app.app_key, "seller": "one-shop", "decision": "allow" });
    let callback = world.local("POST", "/_control/consent", &body.to_string()).await.json();
    let code = parameter(callback["callback_query"].as_str().unwrap(), "code").unwrap();
    assert_eq!(world.exchange(&code).await.verdict(), (200, 0));

    let neither_or_both = "name the app by service_id or by app_key, not by both";
    for (app, status, error) in [
        (json!({ "service_id": "1" }), 404, "no app with the service id \"1\""),
        (json!({ "app_key": "1" }), 404, "no app with the app key \"1\""),
        (json!({}), 400, neither_or_both),
        (json!({ "service_id": "1", "app_key": "1" }), 400, neither_or_both),
    ] {
        let mut body = json!({ "seller": "one-shop", "decision": "refuse" });
        body.as_object_mut().unwrap().extend(app.as_object().unwrap().clone());
        let reply = world.local("POST", "/_control/consent", &body.to_string()).await;
        assert_eq!((reply.status, reply.json()), (status, json!({ "error": error })));
    }
}

#[tokio::test]
async fn a_request_that_another_web_site_causes_is_refused_and_changes_nothing() {
    let world = World::new();
    let own = format!("http://{}", world.address());
    let host = world.address().to_string();
    let json_type = ("content-type", "application/json");
    let (advance, body) = ("/_control/clock/advance", r#"{"seconds":1}"#);
    for headers in [
        &[json_type, ("origin", "https://evil.example")][..],
        &[json_type, ("origin", "http://localhost:1")],
        &[json_type, ("origin", "null")],
        &[json_type, ("origin", own.as_str()), ("origin", "https://evil.example")],
        &[json_type, ("sec-fetch-site", "cross-site")],
        &[json_type, ("sec-fetch-site", "same-site")],
        &[json_type, ("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
    ] {
        for (method, target) in [("POST", advance), ("DELETE", "/_control/requests"), ("GET", "/_control/apps")] {
            let reply = send(world.address(), method, &host, target, headers, body).await;
            assert_eq!(reply.status, 403, "{method} {headers:?}");
            assert!(!reply.body.contains("app_secret") && reply.json()["error"].is_string(), "{}", reply.body);
        }
    }
    // With these media types, or without a media type, a web page can send a request to another origin without a
    // preflight request.
    for content_type in
        [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("multipart/form-data; boundary=b")]
    {
        let headers: Vec<_> = content_type.map(|content_type| ("content-type", content_type)).into_iter().collect();
        for (method, target) in [("POST", advance), ("PUT", "/_control/clock"), ("PATCH", "/_control/switches")] {
            let reply = send(world.address(), method, &host, target, &headers, body).await;
            assert_eq!(reply.status, 415, "{method} {content_type:?}");
            assert!(reply.body.contains("application/json"), "{}", reply.body);
        }
        let revoke = send(world.address(), "POST", &host, "/_control/sellers/one-shop/revoke", &headers, "").await;
        assert_eq!(revoke.status, 415, "an operation without a body, too");
    }
    assert_eq!(world.control.now(), START);

    let charset = ("content-type", "Application/JSON; charset=utf-8");
    for headers in [
        &[json_type][..],
        &[charset],
        &[json_type, ("origin", own.as_str()), ("sec-fetch-site", "same-origin")],
        &[json_type, ("sec-fetch-site", "none")],
    ] {
        let before = world.control.now();
        assert_eq!(send(world.address(), "POST", &host, advance, headers, body).await.status, 200, "{headers:?}");
        assert_eq!(world.control.now(), before + 1);
    }
}

#[tokio::test]
async fn sellers_are_ended_revoked_and_given_shops_over_http() {
    let world = World::new();
    let (_, refresh_token) = world.connect("one-shop").await;
    assert_eq!(world.local("POST", "/_control/sellers/one-shop/end", "").await.status, 200);
    assert_eq!(world.refresh(&refresh_token).await.verdict(), (200, 36_004_001));
    assert_eq!(world.local("POST", "/_control/sellers/one-shop/revoke", "").await.status, 200);
    assert_eq!(world.refresh(&refresh_token).await.verdict(), (200, 36_004_005));
    for operation in ["end", "revoke"] {
        let reply = world.local("POST", &format!("/_control/sellers/nobody/{operation}"), "").await;
        let error = "no seller \"nobody\"; the sellers are one-shop, several-regions, cross-border, global-selling, no-shop, \
                     creator";
        assert_eq!((reply.status, reply.json()), (404, json!({ "error": error })));
    }

    let shops = "/_control/sellers/no-shop/shops";
    let shop = json!({
        "id": "7490000000000000042", "name": "N", "region": "NL", "seller_type": "LOCAL", "code": "NL1", "extra": { "x": 1 },
    });
    let listed = world.local("POST", shops, &shop.to_string()).await.json();
    assert_eq!((&listed[0]["id"], &listed[0]["x"]), (&json!("7490000000000000042"), &json!(1)));
    assert_eq!(world.local("POST", shops, &shop.to_string()).await.status, 409);
    assert_eq!(world.local("DELETE", &format!("{shops}/7490000000000000042"), "").await.json(), json!([]));
    assert_eq!(world.local("DELETE", &format!("{shops}/7490000000000000042"), "").await.status, 404);
}

#[tokio::test]
async fn apps_and_sellers_are_listed() {
    let world = World::new();
    let apps = world.local("GET", "/_control/apps", "").await.json();
    assert_eq!(apps[1]["app_key"], "6fakeapp00002");
    let sellers = world.local("GET", "/_control/sellers", "").await.json();
    let ids: Vec<_> = sellers.as_array().unwrap().iter().map(|seller| &seller["id"]).collect();
    assert_eq!(ids, ["one-shop", "several-regions", "cross-border", "global-selling", "no-shop", "creator"]);
    assert_eq!(sellers[2]["shops"].as_array().unwrap().len(), 5);
    assert!(!sellers.to_string().contains("cipher"), "{sellers}");
}

#[tokio::test]
async fn sellers_of_another_system_are_invented_with_tokens_that_work() {
    let world = World::new();
    let body = json!({ "service_id": world.app.service_id, "sellers": 3 });
    let reply = world.local("POST", "/_control/grants", &body.to_string()).await;
    let lines: Vec<Value> = reply.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((reply.status, lines.len()), (200, 3), "{}", reply.body);
    for line in &lines {
        let seller = line["customer"].as_str().unwrap();
        let issued = world.control.issued(&world.app.service_id, seller).unwrap();
        assert_eq!(line["account"], json!(issued.open_id), "{seller}");
        assert_eq!(line["app"], json!(world.app.app_key));
        let renewed = world.refresh(line["refresh_token"].as_str().unwrap()).await;
        let shops = world.list_shops(&renewed.text("access_token")).await.data();
        assert_eq!(shops["shops"].as_array().unwrap().len(), 1, "{seller}");
    }
    let again = world.local("POST", "/_control/grants", &body.to_string()).await;
    assert!(!again.body.contains(lines[0]["customer"].as_str().unwrap()), "new sellers");
    for (service_id, sellers, status) in
        [("7480000000000000001", 0, 400), ("7480000000000000001", 10_001, 400), ("nobody", 1, 404)]
    {
        let body = json!({ "service_id": service_id, "sellers": sellers }).to_string();
        assert_eq!(world.local("POST", "/_control/grants", &body).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn an_unknown_operation_gets_a_hint_to_the_list() {
    let world = World::new();
    for (method, path, status) in [("GET", "/_control/nothing", 404), ("DELETE", "/_control/clock", 405)] {
        let reply = world.local(method, path, "").await;
        assert_eq!(reply.status, status, "{method} {path}");
        assert!(reply.json()["error"].as_str().unwrap().contains("GET /_control"), "{}", reply.body);
    }
}

#[tokio::test]
async fn an_unknown_name_gets_its_exact_error() {
    let control = World::new().control;
    let (service_id, nobody) = ("7480000000000000001", "nobody".to_owned());
    let sellers = control.sellers().into_iter().map(|seller| seller.id).collect();
    let no_seller = ControlError::UnknownSeller { id: nobody.clone(), sellers };
    let consent = |service_id, seller| control.consent(service_id, seller, None, Decision::Allow).unwrap_err();
    assert_eq!(consent(service_id, "nobody"), no_seller.clone());
    assert_eq!(consent("nobody", "one-shop"), ControlError::UnknownService(nobody.clone()));
    assert_eq!(control.revoke("nobody"), Err(no_seller.clone()));
    assert_eq!(control.end_authorization("nobody"), Err(no_seller.clone()));
    assert_eq!(control.issued("nobody", "one-shop").unwrap_err(), ControlError::UnknownService(nobody.clone()));
    assert_eq!(control.update_app("nobody", |_| ()), Err(ControlError::UnknownService(nobody.clone())));
    assert_eq!(control.remove_shop("one-shop", "nobody").unwrap_err(), ControlError::UnknownShop(nobody));
    let shop = control.sellers()[0].shops[0].clone();
    let exists = ControlError::ShopExists(shop.id.clone());
    assert_eq!(control.add_shop("cross-border", shop), Err(exists));
}
