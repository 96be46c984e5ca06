//! Clients that try to break something.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use fake_tiktok_shop::Decision;
use serde_json::json;
use tiktok_shop_host::storage::{Access, HostStorage, Interceptor, Passage};
use tiktok_shop_server::delivery::MemoryDeliveries;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::{Request, raw};
use crate::receiver::Receiver;
use crate::stage::{DAY, SHOP, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn only_the_browser_that_opened_the_address_can_finish_the_consent() {
    let stage = Stage::new().await;
    let (_, path) = stage.session("customer-7").await;
    let (_, other_path) = stage.session("customer-8").await;
    let (state, cookie) = stage.open(&path).await;
    let (other_state, other_cookie) = stage.open(&other_path).await;
    let callback = stage.decide(&state, "one-shop", Decision::Allow);
    stage.fake.clear_requests();

    let (name, value) = cookie.split_once('=').unwrap();
    let other_value = other_cookie.split_once('=').unwrap().1;
    let mut changed = value.to_owned();
    changed.pop();
    for hostile in [
        String::new(),
        other_cookie.clone(),
        format!("{name}={other_value}"),
        format!("{name}="),
        format!("{name}={changed}"),
        format!("{cookie}; {cookie}"),
        format!("{name}=e30"),
    ] {
        let answer = stage.callback(&callback, &hostile).await;
        assert_eq!(answer.status, 400, "{hostile}");
        assert!(answer.text().contains("This browser did not begin the connection"), "{}", answer.text());
        assert!(!answer.text().contains("href"), "a stranger is led nowhere");
    }
    // The state of another consent does not fit this cookie either.
    let mixed = callback.replace(&state, &other_state);
    assert_eq!(stage.callback(&mixed, &cookie).await.status, 400);
    for query in ["/callback", "/callback?code=c&code=d", "/callback?state=", "/callback?state=a&state=b"] {
        assert_eq!(stage.callback(query, &cookie).await.status, 400, "{query}");
    }
    assert_eq!(stage.fake.requests(), [], "no code was sent to TikTok Shop");
    assert_eq!(stage.callback(&callback, &cookie).await.status, 200);
}

/// Counts how often the events are read.
#[derive(Default)]
struct EventReads(AtomicUsize);

#[async_trait::async_trait]
impl Interceptor for EventReads {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        self.0.fetch_add(usize::from(access.method() == "events"), Ordering::SeqCst);
        Passage::Forward
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_of_a_stranger_lets_no_endpoint_ask_the_database() {
    let reads = Arc::new(EventReads::default());
    let stage = Stage::with(|_| {}, Some(reads.clone())).await;
    let (storage, mut receiver) = (Arc::new(MemoryDeliveries::new(stage.clock())), Receiver::accepting().await);
    let endpoints = vec![receiver.endpoint("main")];
    let service = stage.serve_another(storage, endpoints, |it| it.delivery_poll = Duration::from_secs(DAY)).await;
    // The first turn finds the last event with two reads, and looks for later ones with a third. Only a wake begins
    // another turn.
    while reads.0.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    let (_, path) = stage.session("customer-7").await;
    let (_, other_path) = stage.session("customer-8").await;
    let (state, cookie) = stage.open(&path).await;
    let (_, other_cookie) = stage.open(&other_path).await;
    let callback = stage.decide(&state, "one-shop", Decision::Allow);
    let load =
        async |cookie: &str| Request::new(service.address, "GET", &callback).header("cookie", cookie).send().await;
    let (name, _) = cookie.split_once('=').unwrap();
    let (_, other_value) = other_cookie.split_once('=').unwrap();
    // This cookie names the tenant of the endpoint, and it does not belong to the consent.
    let stranger = format!("{name}={other_value}");
    for _ in 0..3 {
        assert_eq!(load(&stranger).await.status, 400);
        assert_eq!(service.get("/healthz").await.status, 200);
    }
    assert_eq!(reads.0.load(Ordering::SeqCst), 3);
    assert_eq!(load(&cookie).await.status, 200);
    assert_eq!(receiver.next().await.json()["type"], "connection.connected");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_works_once_and_previews_do_not_use_it_up() {
    let stage = Stage::new().await;
    let (_, path) = stage.session("customer-7").await;
    let preview = Request::new(stage.address, "HEAD", &path).send().await;
    assert_eq!((preview.status, preview.header("allow")), (405, Some("GET,POST")));
    let unknown = format!("{}A", path.strip_suffix(|_: char| true).unwrap());
    for address in [unknown.as_str(), "/connect/e30", "/connect/x"] {
        // The last digit may have been the same.
        if address != path {
            assert_eq!(Request::new(stage.address, "GET", address).send().await.status, 410, "{address}");
        }
    }
    stage.open(&path).await;
    let again = Request::new(stage.address, "GET", &path).send().await;
    assert_eq!((again.status, again.header("location")), (410, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_with_a_name_is_used_up_only_by_the_button_of_its_page() {
    let stage = Stage::new().await;
    let wanted = json!({ "customer_name": "<b>Alpine</b> Teapots" });
    let session = stage.post("/v1/customers/customer-7/connect-sessions", &wanted).await.json();
    let address = session["address"].as_str().unwrap();
    let path = address.strip_prefix(&format!("http://{}", stage.address)).unwrap();
    stage.keep("address", path.strip_prefix("/connect/").unwrap());
    let shown = format!("/v1/customers/customer-7/connect-sessions/{}", session["id"].as_str().unwrap());
    // Any number of programs may load the page.
    for _ in 0..2 {
        let page = Request::new(stage.address, "GET", path).send().await;
        assert_eq!((page.status, page.header("set-cookie")), (200, None), "{}", page.text());
        let title = "<h1>Connect a TikTok shop to &lt;b&gt;Alpine&lt;/b&gt; Teapots</h1>";
        assert!(page.text().contains(title), "{}", page.text());
        assert!(page.text().contains("<form method=\"post\">"), "{}", page.text());
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("form-action 'self'"), "{policy}");
    }
    // A form on a page of another site only leads to the page.
    for site in ["cross-site", "same-site", "none"] {
        let sent = Request::new(stage.address, "POST", path).header("sec-fetch-site", site).send().await;
        assert_eq!((sent.status, sent.header("location")), (200, None), "{site}");
    }
    assert_eq!(stage.get(&shown).await.json()["state"], "waiting");

    let pressed = Request::new(stage.address, "POST", path).header("sec-fetch-site", "same-origin");
    let pressed = pressed.body("application/x-www-form-urlencoded", "").send().await;
    assert_eq!(pressed.status, 303, "{}", pressed.text());
    let state = pressed.header("location").unwrap().split_once("&state=").unwrap().1;
    let cookie = pressed.header("set-cookie").unwrap().split(';').next().unwrap();
    stage.keep("state", state);
    stage.keep("cookie", cookie.split_once('=').unwrap().1);
    assert_eq!(stage.get(&shown).await.json()["state"], "opened");
    for method in ["GET", "POST"] {
        assert_eq!(Request::new(stage.address, method, path).send().await.status, 410, "{method}");
    }
    let answer = stage.callback(&stage.decide(state, "one-shop", Decision::Allow), cookie).await;
    assert!(answer.text().contains("<h1>Connected</h1>"), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_address_must_be_in_the_list() {
    let stage = Stage::new().await;
    for address in [
        "https://evil.example/",
        "https://app.example.evil.example/connected",
        "https://app.example/connected/../other",
        "http://app.example/connected",
        "javascript:alert(1)",
        "",
    ] {
        let answer = stage.post("/v1/customers/c/connect-sessions", &json!({ "return_to": address })).await;
        assert_eq!(answer.problem(), (422, "return-address".to_owned()), "{address}");
    }
    let long = format!("https://app.example/connected?{}", "a".repeat(1024));
    let answer = stage.post("/v1/customers/c/connect-sessions", &json!({ "return_to": long })).await;
    assert_eq!(answer.problem(), (422, "return-address".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_an_unknown_app_is_refused_before_it_begins() {
    let stage = Stage::new().await;
    let answer = stage.post("/v1/customers/c/connect-sessions", &json!({ "app": "6fakeapp00009" })).await;
    assert_eq!(answer.problem(), (422, "app-unknown".to_owned()));
    let import = json!({ "refresh_token": "r", "app": "6fakeapp00009" });
    let answer = stage.post("/v1/customers/c/imports", &import).await;
    assert_eq!(answer.problem(), (422, "app-unknown".to_owned()));
    let install =
        json!({ "query": "code=c", "browser_session": "the session of this browser", "app": "6fakeapp00009" });
    let answer = stage.post("/v1/customers/c/installs", &install).await;
    assert_eq!(answer.problem(), (422, "app-unknown".to_owned()));
    let own = stage.fake.apps().remove(0).app_key;
    assert!(answer.text().contains(&own), "{}", answer.text());
    let answer = stage.post("/v1/customers/c/connect-sessions", &json!({ "app": own })).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_several_apps_must_name_one() {
    let stage = Stage::new().await;
    let [_, second, third] = <[_; 3]>::try_from(stage.fake.apps()).unwrap().map(|app| app.app_key);
    let ask = async |method: &str, target: &str, body: serde_json::Value| {
        Request::new(stage.address, method, target).key(&stage.several_key).json(&body).send().await
    };
    let listed = ask("GET", "/v1/apps", json!({})).await.json();
    assert_eq!(listed, json!({ "apps": [{ "key": second }, { "key": third }] }));
    let sessions = "/v1/customers/c/connect-sessions";
    let answer = ask("POST", sessions, json!({})).await;
    assert_eq!(answer.problem(), (422, "app-required".to_owned()));
    let detail = answer.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains(&second) && detail.contains(&third), "{detail}");
    assert_eq!(ask("POST", sessions, json!({ "app": third })).await.status, 201);
    let install = json!({ "query": "code=c", "browser_session": "the session of this browser" });
    let answer = ask("POST", "/v1/customers/c/installs", install).await;
    assert_eq!(answer.problem(), (422, "app-required".to_owned()), "{}", answer.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_trick_with_the_path_leaves_tiktok_shops_api() {
    let stage = Stage::new().await;
    let account = stage.connect("customer-7", "one-shop").await;
    stage.fake.clear_requests();
    for path in [
        "..",
        "../../../auth",
        "a/../b",
        "a/./b",
        "a//b",
        "/a",
        "a/",
        "%2e%2e/a",
        "a%2f..%2fb",
        "a%2Fb",
        "a%5cb",
        "a%00b",
        "a%0d%0ahost:evil.example",
        "http:%2f%2fevil.example",
        "http://evil.example/",
        "@evil.example",
        "a;b",
        "a%20b",
        "a%c3%a9",
    ] {
        for scope in [format!("shops/{SHOP}"), format!("accounts/{account}")] {
            let answer = stage.get(&format!("/v1/customers/customer-7/{scope}/tiktok/{path}")).await;
            assert_eq!(answer.problem(), (422, "call-malformed".to_owned()), "{scope} {path}");
        }
    }
    let shop = format!("/v1/customers/customer-7/shops/{SHOP}/tiktok/order/202309/orders");
    for query in ["sign=x", "app_key=x", "access_token=x", "shop_cipher=x", "timestamp=1", "a=1&a=2", "a=", "=a"] {
        assert_eq!(
            stage.get(&format!("{shop}?{query}")).await.problem(),
            (422, "call-malformed".to_owned()),
            "{query}"
        );
    }
    let with_body = stage.request("GET", &shop).json(&json!({})).send().await;
    assert_eq!(with_body.problem(), (422, "call-malformed".to_owned()));
    for method in ["PATCH", "OPTIONS", "HEAD", "TRACE", "BREW"] {
        assert_eq!(stage.request(method, &shop).send().await.status, 405, "{method}");
    }
    for path in
        ["", "order", "//evil.example/a", "/../a", "/%2e%2e/a", "https://evil.example/", "/a?b=c", "/a#b", "/a b"]
    {
        let call = json!({ "shop": SHOP, "method": "GET", "path": path });
        let answer = stage.post("/v1/customers/customer-7/calls", &call).await;
        assert_eq!(answer.problem(), (422, "call-malformed".to_owned()), "{path}");
    }
    assert_eq!(
        stage.get("/v1/customers/customer-7/shops/abc/tiktok/order").await.problem(),
        (400, "invalid-parameter".to_owned())
    );
    assert_eq!(stage.get("/v1/customers/customer-7/shops/1/tiktok/").await.problem().0, 404);
    assert_eq!(stage.fake.requests(), [], "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_problems() {
    let stage = Stage::new().await;
    let sessions = "/v1/customers/c/connect-sessions";
    for (body, expected) in [
        ("", (400, "malformed-body")),
        ("{", (400, "malformed-body")),
        ("[]", (400, "malformed-body")),
        ("null", (400, "malformed-body")),
        (r#"{"unknown":1}"#, (400, "malformed-body")),
        (r#"{"shop_policy":"CANARY"}"#, (400, "malformed-body")),
        (r#"{"app":""}"#, (400, "malformed-body")),
        (r#"{"return_to":7}"#, (400, "malformed-body")),
        ("{}\u{0}", (400, "malformed-body")),
    ] {
        let answer = stage.request("POST", sessions).body("application/json", body).send().await;
        assert_eq!(answer.problem(), (expected.0, expected.1.to_owned()), "{body}");
        assert!(!answer.text().contains("CANARY"), "a value is not repeated");
    }
    for (body, detail) in [
        (r#"{"shop_policy":"CANARY"}"#, "shop_policy: must be one of all, exactly-one"),
        (r#"{"return_to":7}"#, "return_to: must be a text"),
        (r#"{"app":""}"#, "app: app key: 1 to 64 bytes"),
        (r#"{"CANARY":1}"#, "there is no such member; the members are app, shop_policy, return_to, customer_name"),
        (
            r#"{"customer_name":""}"#,
            "customer_name: a name has 1 to 100 characters; control characters, and those that change the direction of the text, are refused",
        ),
        (
            r#"{"customer_name":"CANARY\n"}"#,
            "customer_name: a name has 1 to 100 characters; control characters, and those that change the direction of the text, are refused",
        ),
    ] {
        let answer = stage.request("POST", sessions).body("application/json", body).send().await;
        assert_eq!(answer.json()["detail"], detail, "{body}");
    }
    let large = format!("{{\"return_to\":\"{}\"}}", "a".repeat(64 << 10));
    let answer = stage.request("POST", sessions).body("application/json", large).send().await;
    assert_eq!(answer.problem(), (413, "body-too-large".to_owned()));
    for content_type in ["text/plain", "application/jsonx", "multipart/form-data"] {
        let answer = stage.request("POST", sessions).body(content_type, "{}").send().await;
        assert_eq!(answer.problem(), (415, "unsupported-media-type".to_owned()), "{content_type}");
    }
    let long = "c".repeat(257);
    for (method, target, expected) in [
        ("GET", "/", (404, "unknown-route")),
        ("GET", "/v1", (404, "unknown-route")),
        ("GET", "/v1/customers//connections", (400, "invalid-parameter")),
        ("GET", "/v2/events", (404, "unknown-route")),
        ("DELETE", "/v1/events", (405, "method-not-allowed")),
        ("GET", "/v1/customers/c/disconnect", (405, "method-not-allowed")),
        ("GET", "/v1/customers/%ff/connections", (400, "invalid-parameter")),
        ("GET", &format!("/v1/customers/{long}/connections"), (400, "invalid-parameter")),
        // Many clients remove dot segments. The second address would then be the list of the whole tenant.
        ("GET", "/v1/customers/./connections", (400, "invalid-parameter")),
        ("GET", "/v1/customers/../connections", (400, "invalid-parameter")),
        ("GET", "/v1/customers/%2E%2e/connections", (400, "invalid-parameter")),
        ("GET", "/v1/customers/c/connections/..", (400, "invalid-parameter")),
        ("GET", "/v1/customers/c/connections/%2e", (400, "invalid-parameter")),
        ("GET", "/v1/customers/../shops/1/tiktok/order", (400, "invalid-parameter")),
        ("GET", "/v1/customers/.../connections/a", (404, "not-connected")),
        ("GET", "/v1/events?limit=0", (400, "invalid-parameter")),
        ("GET", "/v1/events?limit=201", (400, "invalid-parameter")),
        ("GET", "/v1/events?limit=x", (400, "invalid-parameter")),
        ("GET", "/v1/events?cursor=x", (422, "invalid-cursor")),
        ("GET", "/v1/events?cursor=-1", (422, "invalid-cursor")),
        ("GET", "/v1/events?unknown=1", (400, "invalid-parameter")),
        ("GET", "/v1/events?limit=1&limit=2", (400, "invalid-parameter")),
        ("GET", "/v1/connections?status=dead", (400, "invalid-parameter")),
        ("GET", "/v1/connections?shop=x", (400, "invalid-parameter")),
        ("GET", "/v1/connections?cursor=e30", (422, "invalid-cursor")),
    ] {
        let answer = stage.request(method, target).send().await;
        assert_eq!(answer.problem(), (expected.0, expected.1.to_owned()), "{method} {target}");
    }
    let both = json!({ "account": "a", "shop": "1", "tiktok_access": "keep" });
    assert_eq!(stage.post("/v1/customers/c/disconnect", &both).await.problem(), (422, "one-target".to_owned()));
    let huge = stage.get(&format!("/v1/events?cursor={}", u64::MAX)).await.json();
    assert_eq!(huge["events"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_a_head_and_broken_http_end_only_their_own_connection() {
    let stage = Stage::new().await;
    for bytes in [
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"\0\0\0\0\r\n\r\n".to_vec(),
        b"GET /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n".to_vec(),
        format!("GET /healthz HTTP/1.1\r\nhost: a\r\nbig: {}\r\n\r\n", "a".repeat(100 << 10)).into_bytes(),
        format!("GET /healthz HTTP/1.1\r\nhost: a\r\n{}\r\n", "a: b\r\n".repeat(200)).into_bytes(),
    ] {
        let answer = raw(stage.address, &bytes).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(stage.get("/healthz").await.json(), json!({ "status": "ok" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_loses_its_connection() {
    let stage = Stage::with(
        |settings| {
            settings.head_deadline = Duration::from_millis(50);
            settings.body_deadline = Duration::from_millis(50);
        },
        None,
    )
    .await;
    // The first client never finishes the head of its request.
    let mut stream = TcpStream::connect(stage.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    // The second one never finishes the body.
    let head = format!(
        "POST /v1/customers/c/disconnect HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: 10\r\nauthorization: Bearer {}\r\n\r\n{{",
        stage.key
    );
    let answer = raw(stage.address, head.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_can_be_stored_run_or_framed() {
    let stage = Stage::new().await;
    let (_, path) = stage.session("customer-7").await;
    for target in ["/healthz", "/v1/events", "/unknown", "/callback", &path] {
        let answer = stage.get(target).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{target}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{target}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{target}");
        let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
        assert_eq!(answer.header("content-security-policy"), Some(policy), "{target}");
        assert_eq!(answer.header("x-request-id").unwrap().len(), 32, "{target}");
    }
}
