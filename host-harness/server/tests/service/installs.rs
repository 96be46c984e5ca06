//! Installs from TikTok's App Store, whose callback has no state.

use fake_tiktok_shop::Decision;
use serde_json::{Value, json};

use crate::http::{Answer, Request};
use crate::stage::{INSTALL, SHOP, Stage};

const SESSION: &str = "session of customer-7 at the platform";
const INSTALLS: &str = "/v1/customers/customer-7/installs";

impl Stage {
    /// Installs the app as this seller. Returns the query with which the browser comes to the platform.
    async fn install(&self, seller: &str) -> String {
        let service = self.fake.apps().remove(0).service_id;
        let query = self.fake.consent(&service, seller, None, Decision::Allow).unwrap();
        let answer = Request::new(self.address, "GET", &format!("/callback?{query}")).send().await;
        assert_eq!((answer.status, answer.header("set-cookie")), (303, None), "{}", answer.text());
        let location = answer.header("location").unwrap();
        let query = location.strip_prefix(&format!("{INSTALL}?")).unwrap().to_owned();
        self.keep("code", code_of(&query));
        query
    }

    async fn begin_install(&self, customer: &str, session: &str, query: &str) -> Answer {
        let path = format!("/v1/customers/{customer}/installs");
        self.post(&path, &json!({ "query": query, "browser_session": session })).await
    }

    async fn confirm(&self, customer: &str, session: &str, id: &str) -> Answer {
        let path = format!("/v1/customers/{customer}/installs/{id}/confirm");
        self.post(&path, &json!({ "browser_session": session })).await
    }

    async fn connections(&self, customer: &str) -> usize {
        let listed = self.get(&format!("/v1/customers/{customer}/connections")).await.json();
        listed["connections"].as_array().unwrap().len()
    }
}

fn code_of(query: &str) -> &str {
    query.split('&').find_map(|pair| pair.strip_prefix("code=")).unwrap()
}

fn id_of(install: &Value) -> String {
    install["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_is_shown_first_and_connected_after_the_confirmation() {
    let stage = Stage::new().await;
    let query = stage.install("one-shop").await;
    assert_eq!(stage.connections("customer-7").await, 0);
    let install = stage.begin_install("customer-7", SESSION, &query).await.json();
    assert_eq!((&install["seller_name"], &install["shops"][0]["id"]), (&json!("Teapot Corner"), &json!(SHOP)));
    assert_eq!(stage.connections("customer-7").await, 0, "nothing is attached before the confirmation");
    // The customer loads the page again.
    stage.fake.clear_requests();
    let again = stage.begin_install("customer-7", SESSION, &query).await.json();
    assert_eq!(again, install);
    assert!(stage.fake.requests().iter().all(|request| !request.path.contains("token")), "no code is sent again");

    let id = id_of(&install);
    let connection = stage.confirm("customer-7", SESSION, &id).await.json();
    assert_eq!((&connection["status"], &connection["account"]), (&json!("active"), &install["account"]));
    let repeated = stage.confirm("customer-7", SESSION, &id).await;
    assert_eq!(repeated.problem(), (422, "install-confirmed".to_owned()));
    let events = stage.get("/v1/events").await.json();
    let kinds: Vec<_> = events["events"].as_array().unwrap().iter().map(|event| &event["event"]).collect();
    assert_eq!(kinds, ["install-begun", "connected", "shops-linked"]);
    assert_eq!(events["events"][0]["actor"], "everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_session_another_customer_and_an_old_confirmation_attach_nothing() {
    let stage = Stage::new().await;
    let query = stage.install("one-shop").await;
    let id = id_of(&stage.begin_install("customer-7", SESSION, &query).await.json());
    for (customer, session, expected) in [
        ("customer-7", "another session of the customer", (403, "other-browser")),
        ("customer-8", SESSION, (403, "other-customer")),
        ("customer-8", "the session of an attacker", (403, "other-browser")),
    ] {
        let answer = stage.confirm(customer, session, &id).await;
        assert_eq!(answer.problem(), (expected.0, expected.1.to_owned()), "{customer} {session}");
        let path = format!("/v1/customers/{customer}/installs/{id}/cancel");
        let answer = stage.post(&path, &json!({ "browser_session": session })).await;
        assert_eq!(answer.problem(), (expected.0, expected.1.to_owned()), "{customer} {session}");
    }
    let foreign = Request::new(stage.address, "POST", &format!("{INSTALLS}/{id}/confirm"));
    let foreign = foreign.key(&stage.other_key).json(&json!({ "browser_session": SESSION })).send().await;
    assert_eq!(foreign.problem(), (404, "install-unknown".to_owned()));
    // A stolen query is worth nothing after the customer has begun.
    let stolen = stage.begin_install("customer-8", "the session of an attacker", &query).await;
    assert_eq!(stolen.problem(), (409, "authorization-code-spent".to_owned()));
    stage.pass(31 * 60);
    let late = stage.confirm("customer-7", SESSION, &id).await;
    assert!([(404, "install-unknown".to_owned()), (409, "install-expired".to_owned())].contains(&late.problem()));
    for customer in ["customer-7", "customer-8"] {
        assert_eq!(stage.connections(customer).await, 0, "{customer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_who_does_not_know_the_seller_deletes_the_install() {
    let stage = Stage::new().await;
    let query = stage.install("one-shop").await;
    let id = id_of(&stage.begin_install("customer-7", SESSION, &query).await.json());
    let cancel = format!("{INSTALLS}/{id}/cancel");
    let body = json!({ "browser_session": SESSION });
    assert_eq!(stage.post(&cancel, &body).await.json(), json!({ "cancelled": true }));
    assert_eq!(stage.post(&cancel, &body).await.json(), json!({ "cancelled": false }));
    assert_eq!(stage.confirm("customer-7", SESSION, &id).await.problem(), (404, "install-unknown".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_install_of_a_configured_app_is_led_on_and_only_to_its_address() {
    let stage = Stage::new().await;
    let [known, unknown, _] = <[_; 3]>::try_from(stage.fake.apps()).unwrap().map(|app| app.app_key);
    for query in [
        format!("app_key={unknown}&code=c"),
        format!("app_key={known}"),
        format!("app_key={known}&code=c&state="),
        format!("app_key={known}&code=c&state=s"),
        format!("app_key={known}&app_key={known}&code=c"),
    ] {
        let answer = Request::new(stage.address, "GET", &format!("/callback?{query}")).send().await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{query}");
    }
    // Whatever the query contains, it stays behind the question mark of the configured address.
    let query = format!("app_key={known}&code=c&x=@evil.example/../../%0d%0aset-cookie:a=b");
    let answer = Request::new(stage.address, "GET", &format!("/callback?{query}")).send().await;
    assert_eq!(answer.header("location"), Some(&*format!("{INSTALL}?{query}")));
    assert_eq!((answer.header("set-cookie"), answer.header("referrer-policy")), (None, Some("no-referrer")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_install_is_refused_and_sends_nothing() {
    let stage = Stage::new().await;
    stage.fake.clear_requests();
    for (body, expected) in [
        (json!({ "query": "code=c", "browser_session": "too short" }), (400, "malformed-body")),
        (json!({ "query": "code=c", "browser_session": "s".repeat(4097) }), (400, "malformed-body")),
        (json!({ "query": "code=c" }), (400, "malformed-body")),
        (json!({ "query": "code=c&state=s", "browser_session": SESSION }), (422, "state-mismatch")),
        (json!({ "query": "", "browser_session": SESSION }), (422, "callback-malformed")),
        (json!({ "query": "x".repeat(9000), "browser_session": SESSION }), (422, "callback-malformed")),
    ] {
        let answer = stage.post(INSTALLS, &body).await;
        assert_eq!(answer.problem(), (expected.0, expected.1.to_owned()), "{body}");
    }
    let body = json!({ "browser_session": SESSION });
    for id in ["x", &"0".repeat(63), &"A".repeat(64)] {
        let answer = stage.post(&format!("{INSTALLS}/{id}/confirm"), &body).await;
        assert_eq!(answer.problem(), (400, "invalid-parameter".to_owned()), "{id}");
    }
    let unknown = stage.post(&format!("{INSTALLS}/{}/confirm", "0".repeat(64)), &body).await;
    assert_eq!(unknown.problem(), (404, "install-unknown".to_owned()));
    assert_eq!(stage.fake.requests(), []);
}
