//! The life of a connection over the API.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use fake_tiktok_shop::Decision;
use serde_json::json;
use tiktok_shop_host::connection::ConnectionKey;
use tiktok_shop_host::storage::{Access, HostStorage, Interceptor, Next, Passage, StorageError, Swapped, TokenWrite};
use tokio::sync::Notify;

use crate::http::Request;
use crate::stage::{BEGIN, DAY, RETURN, SHOP, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_connects_and_the_platform_uses_refreshes_and_ends_the_connection() {
    let stage = Stage::new().await;
    let (id, path) = stage.session("customer-7").await;
    let session = format!("/v1/customers/customer-7/connect-sessions/{id}");
    assert_eq!(stage.get(&session).await.json(), json!({ "id": id, "state": "waiting" }));

    let (state, cookie) = stage.open(&path).await;
    assert_eq!(stage.get(&session).await.json()["state"], "opened");
    let answer = stage.callback(&stage.decide(&state, "one-shop", Decision::Allow), &cookie).await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("<h1>Connected</h1>"), "{}", answer.text());
    let back = format!("<a href=\"{RETURN}?outcome=connected&amp;session={id}\">");
    assert!(answer.text().contains(&back), "{}", answer.text());
    // The browser can load the page again, but only for a minute.
    let kept = answer.header("set-cookie").unwrap();
    assert!(kept.starts_with(&format!("{cookie};")) && kept.ends_with("; Max-Age=60"), "{kept}");
    assert_eq!(stage.get(&session).await.json()["state"], "connected");

    let listed = stage.get("/v1/customers/customer-7/connections").await.json();
    let connection = &listed["connections"][0];
    let account = connection["account"].as_str().unwrap().to_owned();
    assert_eq!(
        (&connection["status"], &connection["seller_name"], &connection["connected_at"]),
        (&json!("active"), &json!("Teapot Corner"), &json!(BEGIN))
    );
    let one = stage.get(&format!("/v1/customers/customer-7/connections/{account}")).await.json();
    assert_eq!(one, *connection);
    let shops = stage.get("/v1/customers/customer-7/shops").await.json();
    let shop = &shops["shops"][0];
    assert_eq!((&shop["id"], &shop["usable"], &shop["standing"]), (&json!(SHOP), &json!(true), &json!("granted")));

    // A signed call, for the shop and for the account.
    let search = format!("/v1/customers/customer-7/shops/{SHOP}/tiktok/order/202309/orders/search?page_size=1");
    let answer = stage.post(&search, &json!({})).await;
    assert_eq!((answer.status, answer.header("x-answered-by")), (200, Some("tiktok-shop")), "{}", answer.text());
    assert_eq!((answer.header("x-tiktok-code"), &answer.json()["code"]), (Some("0"), &json!(0)));
    let account_path = format!("/v1/customers/customer-7/accounts/{account}/tiktok/authorization/202309/shops");
    assert_eq!(stage.get(&account_path).await.json()["data"]["shops"][0]["id"], SHOP);

    let call = json!({ "shop": SHOP, "method": "POST", "path": "/order/202309/orders/search",
                       "query": { "page_size": "1" }, "json": {} });
    let answer = stage.post("/v1/customers/customer-7/calls", &call).await.json();
    assert_eq!((&answer["status"], &answer["code"], &answer["json"]["code"]), (&json!(200), &json!("0"), &json!(0)));
    let call = json!({ "account": account, "method": "GET", "path": "/authorization/202309/shops" });
    let answer = stage.post("/v1/customers/customer-7/calls", &call).await.json();
    assert_eq!(answer["json"]["data"]["shops"][0]["id"], SHOP);
    for target in [json!({}), json!({ "shop": SHOP, "account": account })] {
        let mut call = target;
        call["method"] = json!("GET");
        call["path"] = json!("/authorization/202309/shops");
        let answer = stage.post("/v1/customers/customer-7/calls", &call).await;
        assert_eq!(answer.problem(), (422, "one-target".to_owned()));
    }

    // Eight days later, the access token has ended.
    stage.pass(8 * DAY);
    let refresh = format!("/v1/customers/customer-7/connections/{account}/refresh");
    let refreshed = stage.post(&refresh, &json!({})).await.json();
    assert_eq!((&refreshed["effect"], &refreshed["nothing_sent"]), (&json!("renewed"), &json!(null)));
    let refreshed = stage.post(&refresh, &json!({ "mode": "when-due" })).await.json();
    assert_eq!(refreshed["effect"], "shops-read");
    let token = format!("/v1/customers/customer-7/connections/{account}/access-token");
    let shown = stage.post(&token, &json!({ "min_validity_seconds": 600 })).await.json();
    let issued = stage.fake.issued(&stage.fake.apps()[0].service_id, "one-shop").unwrap();
    assert!(issued.honours_access_token(shown["token"].as_str().unwrap()));

    let linked = format!("/v1/customers/customer-7/connections/{account}/linked-shops");
    let unlinked = stage.request("PUT", &linked).json(&json!({ "shops": [] })).send().await.json();
    assert_eq!(unlinked["shops"][0]["linked"], false);
    assert_eq!(stage.get("/v1/customers/customer-7/shops").await.json(), json!({ "shops": [] }));
    let refused = stage.post(&search, &json!({})).await;
    assert_eq!((refused.problem(), refused.header("x-answered-by")), ((422, "shop-not-linked".to_owned()), None));
    stage.request("PUT", &linked).json(&json!({ "shops": [SHOP] })).send().await;

    let disconnect = "/v1/customers/customer-7/disconnect";
    let ended = stage.post(disconnect, &json!({ "tiktok_access": "revoke" })).await.json();
    assert_eq!(ended["found"], json!([{ "customer": "customer-7", "account": account }]));
    assert_eq!(ended["revoked"], json!([{ "account": account, "shop": SHOP }]));
    let again = stage.post(disconnect, &json!({ "tiktok_access": "keep" })).await.json();
    assert_eq!(again["found"], json!([]), "repeating is safe");
    let gone = stage.get(&format!("/v1/customers/customer-7/connections/{account}")).await;
    assert_eq!(gone.problem(), (404, "not-connected".to_owned()));

    // The events say which key did what, and a page continues behind its cursor.
    let first = stage.get("/v1/events?limit=2").await.json();
    let events = first["events"].as_array().unwrap();
    assert_eq!(
        events.iter().map(|event| event["event"].as_str().unwrap()).collect::<Vec<_>>(),
        ["connected", "shops-linked"]
    );
    assert_eq!((&events[0]["actor"], &events[0]["cause"]), (&json!("everything"), &json!("connect")));
    assert_eq!(events[0]["stated_reason"], format!("connect session {id}"));
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = stage.get(&format!("/v1/events?cursor={cursor}")).await.json();
    let kinds: Vec<_> = rest["events"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
    assert_eq!(kinds, ["token-shown", "shops-unlinked", "shops-linked", "disconnected"]);
    let end = rest["next_cursor"].as_str().unwrap();
    let empty = stage.get(&format!("/v1/events?cursor={end}")).await.json();
    assert_eq!(empty, json!({ "events": [], "next_cursor": end }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_who_refuses_is_led_back_and_nothing_is_connected() {
    let stage = Stage::new().await;
    let (id, path) = stage.session("customer-7").await;
    let (state, cookie) = stage.open(&path).await;
    let callback = stage.decide(&state, "one-shop", Decision::Refuse);
    let answer = stage.callback(&callback, &cookie).await;
    assert!(answer.text().contains(&format!("{RETURN}?outcome=refused&amp;session={id}")), "{}", answer.text());
    let session = stage.get(&format!("/v1/customers/customer-7/connect-sessions/{id}")).await.json();
    let expected = json!({ "id": id, "state": "refused", "action": "reauthorize", "code": "consent-refused" });
    assert_eq!(session, expected);
    assert_eq!(stage.get("/v1/customers/customer-7/connections").await.json(), json!({ "connections": [] }));
    let repeated = stage.callback(&callback, &cookie).await;
    assert_eq!((repeated.status, repeated.text()), (200, answer.text()));
}

/// The connector finds the unreadable tokens only after it has spent the code, so the same callback can never succeed.
#[tokio::test(flavor = "multi_thread")]
async fn a_consent_to_an_account_whose_stored_tokens_are_unreadable_fails_and_is_not_tried_again() {
    let stage = Stage::new().await;
    let account = stage.connect("customer-8", "one-shop").await;
    let (tenant, revision) = ("acme".parse().unwrap(), "unreadable".parse().unwrap());
    let key = ConnectionKey { customer: "customer-7".parse().unwrap(), account: account.parse().unwrap() };
    let value = stage.keyring().seal_token(&tenant, &key, &revision, b"no token record").await.unwrap();
    let unreadable = Next { revision, value: TokenWrite { value, refresh_due_at: None } };
    let stored = stage.storage().swap_token(&tenant, &key, None, Some(&unreadable)).await;
    assert_eq!(stored, Ok(Swapped::Done));

    let (id, path) = stage.session("customer-7").await;
    let (state, cookie) = stage.open(&path).await;
    let callback = stage.decide(&state, "one-shop", Decision::Allow);
    stage.fake.clear_requests();
    let answer = stage.callback(&callback, &cookie).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = "<h1>Not connected</h1><p>The connection could not be made, and would probably fail again. Go back and ask \
                for help there.</p>";
    let back = format!("<a href=\"{RETURN}?outcome=failed&amp;session={id}\">");
    assert!(answer.text().contains(text) && answer.text().contains(&back), "{}", answer.text());
    let session = stage.get(&format!("/v1/customers/customer-7/connect-sessions/{id}")).await.json();
    let code = "token-record-unreadable";
    assert_eq!(session, json!({ "id": id, "state": "failed", "action": "storage-failed", "code": code }));
    let metrics = stage.get("/metrics").await.text();
    let counted = "tiktok_shop_consents_total{step=\"finish\",outcome=\"token-record-unreadable\"} 1";
    assert!(metrics.lines().any(|line| line == counted), "{metrics}");

    let repeated = stage.callback(&callback, &cookie).await;
    assert_eq!((repeated.status, repeated.text()), (200, answer.text()));
    assert_eq!(stage.fake.requests().len(), 1, "the code was sent once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_that_fails_tells_the_platform_and_the_seller_why() {
    let stage = Stage::new().await;
    let begin_again = "The connection could not be made. Go back and begin again.";
    let other_account = "This TikTok account does not belong to a seller, so nothing was connected. Go back, begin again, \
                         and sign in to TikTok Shop with the account of the seller.";
    for (seller, passed, action, code, text) in [
        ("creator", 0, "invalid-request", "not-a-seller", other_account),
        ("one-shop", 601, "reauthorize", "state-expired", begin_again),
    ] {
        let (id, path) = stage.session("customer-7").await;
        let (state, cookie) = stage.open(&path).await;
        let callback = stage.decide(&state, seller, Decision::Allow);
        stage.pass(passed);
        let answer = stage.callback(&callback, &cookie).await;
        assert_eq!(answer.status, 200, "{code}: {}", answer.text());
        assert!(answer.text().contains(&format!("<h1>Not connected</h1><p>{text}</p>")), "{}", answer.text());
        let session = stage.get(&format!("/v1/customers/customer-7/connect-sessions/{id}")).await.json();
        assert_eq!(session, json!({ "id": id, "state": "failed", "action": action, "code": code }));
        // The page is the same if the browser loads it again.
        assert_eq!(stage.callback(&callback, &cookie).await.text(), answer.text(), "{code}");
    }
}

/// Fails one read of a consent. The number says which: 1 is the next read. With 0, no read fails.
#[derive(Default)]
struct FailsARead(AtomicU32);

#[async_trait::async_trait]
impl Interceptor for FailsARead {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        let less = |left: u32| left.checked_sub(1);
        if access.method() == "load_state" && self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) == Ok(1) {
            Passage::Fail(StorageError::Unavailable("down".to_owned()))
        } else {
            Passage::Forward
        }
    }
}

/// The first read of a callback finds its consent. If the state is used, the second read looks for the outcome.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_whose_consent_or_outcome_could_not_be_read_can_be_loaded_again() {
    let fails = Arc::new(FailsARead::default());
    let stage = Stage::with(|_| {}, Some(fails.clone())).await;
    let (id, path) = stage.session("customer-7").await;
    let (state, cookie) = stage.open(&path).await;
    let callback = stage.decide(&state, "one-shop", Decision::Allow);
    for (read, recorded) in [(1, "opened"), (2, "connected")] {
        fails.0.store(read, Ordering::SeqCst);
        let failed = stage.callback(&callback, &cookie).await;
        assert_eq!((failed.status, failed.header("set-cookie")), (503, None), "{read}: {}", failed.text());
        let text = "<h1>The connection is not finished yet</h1><p>Load this page again in a minute.</p></main>";
        assert!(failed.text().contains(text), "{read}: {}", failed.text());
        let session = stage.get(&format!("/v1/customers/customer-7/connect-sessions/{id}")).await.json();
        assert_eq!(session["state"], recorded, "{read}");
        let again = stage.callback(&callback, &cookie).await;
        assert_eq!(again.status, 200, "{read}: {}", again.text());
        assert!(again.text().contains("<h1>Connected</h1>"), "{read}: {}", again.text());
    }
}

/// Holds the first record of a consent after it is switched on. The first one after a callback is the outcome.
#[derive(Default)]
struct HoldsTheOutcome {
    on: AtomicBool,
    reached: Notify,
    released: Notify,
}

#[async_trait::async_trait]
impl Interceptor for HoldsTheOutcome {
    async fn passage(&self, access: Access<'_>, _: &dyn HostStorage) -> Passage {
        if access.method() == "put_state" && self.on.swap(false, Ordering::SeqCst) {
            self.reached.notify_one();
            self.released.notified().await;
        }
        Passage::Forward
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_is_loaded_twice_shows_the_same_outcome() {
    let holds = Arc::new(HoldsTheOutcome::default());
    let stage = Stage::with(|_| {}, Some(holds.clone())).await;
    let (id, path) = stage.session("customer-7").await;
    let (state, cookie) = stage.open(&path).await;
    let callback = stage.decide(&state, "one-shop", Decision::Allow);
    holds.on.store(true, Ordering::SeqCst);
    let load = || Request::new(stage.address, "GET", &callback).header("cookie", &cookie).send();
    let first = tokio::spawn(load());
    holds.reached.notified().await;
    // The first callback still runs, and the cookie stays.
    let early = load().await;
    assert_eq!((early.status, early.header("set-cookie")), (202, None), "{}", early.text());
    assert!(early.text().contains("Load this page again in a moment"), "{}", early.text());
    holds.released.notify_one();
    let first = first.await.unwrap();
    assert!(first.text().contains("<h1>Connected</h1>"), "{}", first.text());
    let again = load().await;
    assert_eq!((again.status, again.text(), again.header("set-cookie")), (200, first.text(), None));
    assert!(again.text().contains(&format!("{RETURN}?outcome=connected&amp;session={id}")), "{}", again.text());
    // Without the cookie, the address shows nothing.
    let stranger = Request::new(stage.address, "GET", &callback).send().await;
    assert_eq!((stranger.status, stranger.text().contains("outcome=")), (400, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tenants_connections_come_in_pages_and_can_be_filtered() {
    let stage = Stage::new().await;
    for customer in ["customer-1", "customer-2", "customer%2F3"] {
        stage.connect(customer, "one-shop").await;
    }
    let mut found = Vec::new();
    let mut target = "/v1/connections?limit=2".to_owned();
    loop {
        let page = stage.get(&target).await.json();
        let connections = page["connections"].as_array().unwrap();
        found.extend(connections.iter().map(|connection| connection["customer"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        target = format!("/v1/connections?limit=2&cursor={cursor}");
    }
    assert_eq!(found, ["customer-1", "customer-2", "customer/3"]);
    let count = async |query: &str| {
        let page = stage.get(&format!("/v1/connections?{query}")).await.json();
        page["connections"].as_array().unwrap().len()
    };
    assert_eq!(count(&format!("shop={SHOP}&status=active")).await, 3);
    assert_eq!(count("status=reauthorization-required").await, 0);
    assert_eq!(count("seller_name=Teapot+Corner").await, 3);
    assert_eq!(count("seller_name=Teapot").await, 0);
    let shared = "/v1/customers/customer-1/shared-connections";
    let shared = stage.post(shared, &json!({ "shop": SHOP })).await.json();
    assert_eq!(shared["connections"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_another_system_are_imported_once() {
    let stage = Stage::new().await;
    let lines = stage.fake.connect_in_another_system(&stage.fake.apps()[0].service_id, 1).unwrap();
    let line: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let import = json!({ "refresh_token": line["refresh_token"], "account": line["account"] });
    let answer = stage.post("/v1/customers/customer-7/imports", &import).await;
    assert_eq!((answer.status, &answer.json()["status"]), (201, &json!("active")), "{}", answer.text());
    let again = stage.post("/v1/customers/customer-7/imports", &import).await;
    assert_eq!(again.problem(), (422, "already-connected".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exported_connection_is_imported_for_another_customer_and_recorded() {
    let stage = Stage::new().await;
    let account = stage.connect("customer-7", "one-shop").await;
    let apps = stage.get("/v1/apps").await.json();
    assert_eq!(apps, json!({ "apps": [{ "key": stage.fake.apps()[0].app_key }] }));
    let path = format!("/v1/customers/customer-7/connections/{account}/export");
    let exported = stage.request("POST", &path).send().await.json();
    let issued = stage.fake.issued(&stage.fake.apps()[0].service_id, "one-shop").unwrap();
    assert!(issued.honours_access_token(exported["access_token"].as_str().unwrap()));
    assert_eq!(exported["account"], account);
    // Every member of the answer is a member of an import.
    stage.post("/v1/customers/customer-7/disconnect", &json!({ "tiktok_access": "keep" })).await;
    let imported = stage.post("/v1/customers/customer-8/imports", &exported).await;
    assert_eq!((imported.status, &imported.json()["account"]), (201, &json!(account)), "{}", imported.text());
    let events = stage.get("/v1/events?limit=3").await.json();
    let event = &events["events"][2];
    assert_eq!((&event["event"], &event["actor"]), (&json!("grant-exported"), &json!("everything")));
    let unknown = stage.request("POST", "/v1/customers/customer-9/connections/a/export").send().await;
    assert_eq!(unknown.problem(), (404, "not-connected".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_webhook_is_accepted_once_and_a_forged_one_costs_nothing() {
    let stage = Stage::new().await;
    stage.connect("customer-7", "one-shop").await;
    let service = stage.fake.apps().remove(0).service_id;
    stage.fake.queue_webhook(&service, 1, Some(SHOP), json!({ "order_id": "5760000000000010001" })).unwrap();
    let delivery = stage.fake.webhooks_due().remove(0);
    let signature = delivery.header("authorization").unwrap().to_owned();
    let send = async |tenant: &str, signature: Option<&str>, body: Vec<u8>| {
        let mut request = Request::new(stage.address, "POST", &format!("/webhooks/{tenant}"));
        if let Some(signature) = signature {
            request = request.header("authorization", signature);
        }
        request.body("application/json", body).send().await.status
    };
    let body = delivery.body.clone().into_bytes();
    assert_eq!(send("acme", None, body.clone()).await, 401);
    assert_eq!(send("acme", Some("00"), body.clone()).await, 401);
    assert_eq!(send("other", Some(&signature), body.clone()).await, 401);
    assert_eq!(send("acme", Some(&signature), vec![b' '; 256 * 1024 + 1]).await, 413);
    assert_eq!(send("acme", Some(&signature), body.clone()).await, 200);
    assert_eq!(send("acme", Some(&signature), body).await, 200);
    let metrics = stage.get("/metrics").await.text();
    for line in [
        "tiktok_shop_webhooks_total{type=\"1\",result=\"handled\"} 1",
        "tiktok_shop_webhooks_total{type=\"1\",result=\"repeated\"} 1",
        "tiktok_shop_webhooks_total{type=\"none\",result=\"forged\"} 3",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}\n{metrics}");
    }
}
