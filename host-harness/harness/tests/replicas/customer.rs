//! A customer of the platform with one seller account. The customer connects it, uses it, and disconnects it, through
//! whichever replica the proxy takes.

use fake_tiktok_shop::fixtures::{seller_id, shop_id};
use fake_tiktok_shop::{Decision, WebhookDelivery};
use fastrand::Rng;
use serde_json::{Value, json};
use tiktok_shop_host::connection::ConnectionKey;

use crate::http::Answer;
use crate::proxy::{BROKEN, OWN};
use crate::stage::Stage;

/// The maximum number of things that a customer does on one day.
const MAX_ACTIONS: usize = 5;
/// A browser loads an address again this often after a broken connection. Then the platform begins again.
const RELOADS: usize = 5;
/// The number of consents that a customer begins until one is finished.
const MAX_CONSENTS: usize = 50;

pub(crate) struct Customer {
    number: usize,
    rng: Rng,
    pub(crate) state: State,
    pub(crate) seen: Seen,
}

/// What the platform knows about the customer's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// There is none.
    None,
    Works,
    /// The seller has removed the app, and no sweep has noticed it yet.
    Removed,
    /// The connection needs a new consent.
    Ended,
}

/// What the platform and the customer's browser have seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The sessions whose page said that the seller is connected.
    pub(crate) connected: Vec<String>,
    /// The answers that said that a connection was disconnected.
    pub(crate) disconnected: usize,
    /// Calls that TikTok Shop has answered.
    pub(crate) calls: usize,
    /// Things that could not be done before the next night, because a killed replica had left its claim.
    pub(crate) put_off: usize,
    /// Acknowledged webhooks about a removal of the app, true or not.
    pub(crate) removal_notices: usize,
    /// The times at which the seller has removed the app, or a disconnect has asked TikTok Shop to revoke the grant.
    pub(crate) ends: Vec<u64>,
    /// All acknowledged webhooks.
    pub(crate) webhooks: usize,
    /// The ids of acknowledged webhooks about orders. The customer could use the shop.
    pub(crate) notifications: Vec<String>,
    /// Connections that have ended without the seller's doing.
    pub(crate) lost: usize,
}

impl Customer {
    pub(crate) fn new(number: usize, rng: Rng) -> Self {
        Self { number, rng, state: State::None, seen: Seen::default() }
    }

    pub(crate) fn id(&self) -> String {
        format!("customer-{}", self.number)
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/customers/{}/{rest}", self.id())
    }

    /// Does some things, one after another.
    pub(crate) async fn day(&mut self, stage: &Stage) {
        if self.state == State::Removed {
            self.look_for_removal(stage).await;
        }
        for _ in 0..self.rng.usize(1..=MAX_ACTIONS) {
            match self.state {
                State::Removed => return,
                State::None | State::Ended => self.connect(stage).await,
                State::Works => self.use_the_connection(stage).await,
            }
        }
    }

    async fn use_the_connection(&mut self, stage: &Stage) {
        match self.rng.u32(0..12) {
            0..=4 => self.call(stage).await,
            5 => self.refresh(stage).await,
            6 => self.hear_of_an_order(stage).await,
            7 => self.hear_of_an_end(stage).await,
            8 => self.hear_of_no_removal(stage).await,
            9 => self.remove_the_app(stage).await,
            _ => self.disconnect(stage).await,
        }
    }

    /// Consents in a browser. The browser reloads a page whose answer was lost. If that does not help, the platform
    /// begins again.
    async fn connect(&mut self, stage: &Stage) {
        for _ in 0..MAX_CONSENTS {
            let wanted = json!({ "return_to": Stage::return_to() }).to_string();
            let begun = stage.ask("POST", &self.path("connect-sessions"), &wanted).await;
            assert_eq!(begun.status, 201, "{}", begun.text());
            let session = begun.json();
            let id = session["id"].as_str().unwrap();
            let page = self.consent(stage, session["address"].as_str().unwrap()).await;
            if let Some(page) = page.filter(|page| page.text().contains("<h1>Connected</h1>")) {
                assert!(page.text().contains(&format!("outcome=connected&amp;session={id}")), "{}", page.text());
                let state = stage.get(&self.path(&format!("connect-sessions/{id}"))).await;
                assert_eq!(state["state"], "connected");
                self.seen.connected.push(id.to_owned());
                let connection = self.connection(stage).await.expect("a connection");
                assert_ne!(connection["status"], "reauthorization-required", "{connection}");
            } else if self.connection(stage).await.is_none_or(|found| found["status"] == "reauthorization-required") {
                continue;
            }
            self.state = State::Works;
            return;
        }
        panic!("{} could not be connected", self.id());
    }

    /// Opens the address of a session, allows, and loads the callback. Returns the last page. `None`: the browser could
    /// not be led to TikTok Shop.
    async fn consent(&self, stage: &Stage, address: &str) -> Option<Answer> {
        let path = path_of(address);
        stage.keep("address", path.strip_prefix("/connect/").unwrap());
        let opened = load(stage, path, &[]).await;
        let link = opened.header("location")?;
        let cookie = opened.header("set-cookie").unwrap().split(';').next().unwrap();
        let state = link.split_once("&state=").unwrap().1;
        stage.keep("state", state);
        stage.keep("cookie", cookie.split_once('=').unwrap().1);
        let seller = seller_id(self.number);
        let query = stage.fake.consent(&stage.app.service_id, &seller, Some(state), Decision::Allow).unwrap();
        Some(load(stage, &format!("/callback?{query}"), &[("cookie", cookie)]).await)
    }

    /// Searches for orders with a signed call.
    pub(crate) async fn call(&mut self, stage: &Stage) {
        let shop = shop_id(self.number);
        let target = self.path(&format!("shops/{shop}/tiktok/order/202309/orders/search?page_size=1"));
        let reached = self.try_to(stage, &target, "{}", |answer| {
            assert_eq!(answer.header("x-answered-by"), Some("tiktok-shop"), "{}", answer.text());
            assert_eq!(answer.json()["code"], 0, "{}", answer.text());
        });
        if reached.await {
            self.seen.calls += 1;
        }
    }

    /// Asks for new tokens. The caller need not wait for the answer.
    pub(crate) async fn refresh(&mut self, stage: &Stage) {
        let target = self.path(&format!("connections/{}/refresh", self.key(stage).await.account));
        self.try_to(stage, &target, r#"{"mode":"forced"}"#, |answer| {
            assert_ne!(answer.json()["effect"], Value::Null, "{}", answer.text());
        })
        .await;
    }

    /// Sends a request that needs the connection, and checks its answer. Returns whether the request had its effect.
    async fn try_to(&mut self, stage: &Stage, target: &str, body: &str, check: impl Fn(&Answer)) -> bool {
        let answer = stage.ask("POST", target, body).await;
        match answer.status.as_u16() {
            200 => {
                check(&answer);
                true
            }
            // The service asks for a new consent.
            409 => {
                self.assert_tiktok_has_ended_it(stage).await;
                self.state = State::Ended;
                self.seen.lost += 1;
                false
            }
            // Another request has a claim, and the access token has ended.
            503 if answer.json()["action"] == "retry-after" => {
                self.seen.put_off += 1;
                false
            }
            _ => panic!("{target}: {} {}", answer.status, answer.text()),
        }
    }

    /// Disconnects. The request is repeated until it is answered.
    async fn disconnect(&mut self, stage: &Stage) {
        let access = if self.rng.bool() { "keep" } else { "revoke" };
        if access == "revoke" {
            self.seen.ends.push(stage.fake.now());
        }
        let wanted = json!({ "tiktok_access": access }).to_string();
        let answer = loop {
            let answer = stage.ask("POST", &self.path("disconnect"), &wanted).await;
            match answer.status.as_u16() {
                200 => break answer.json(),
                503 => {}
                _ => panic!("{} {}", answer.status, answer.text()),
            }
        };
        let found = answer["found"] != json!([]);
        self.seen.disconnected += usize::from(found);
        // For a dead connection, nothing is sent to TikTok Shop, which may still honour tokens that a killed replica lost.
        if answer["revoked"] != json!([]) && answer["not_revoked"] == json!([]) {
            let issued = stage.fake.issued(&stage.app.service_id, &seller_id(self.number)).unwrap();
            assert!(issued.refresh_tokens.iter().all(|token| !token.honoured), "{}: {answer}", self.id());
        }
        assert_eq!(self.connection(stage).await, None, "{} was disconnected", self.id());
        self.state = State::None;
    }

    /// TikTok Shop reports a changed order, sometimes twice.
    async fn hear_of_an_order(&mut self, stage: &Stage) {
        let order = json!({ "order_id": "5760000000000010001", "order_status": "AWAITING_SHIPMENT" });
        let id = self.queue(stage, 1, order);
        let number = self.deliver_all(stage).await;
        // The event of a grant that has ended is not passed on.
        if self.is_alive(stage).await {
            self.seen.notifications.push(id);
        }
        if self.rng.bool() {
            stage.fake.repeat_webhook(number).unwrap();
            self.deliver_all(stage).await;
        }
    }

    /// TikTok Shop announces that the authorization ends. The connection shows it as soon as the webhook is
    /// acknowledged.
    async fn hear_of_an_end(&mut self, stage: &Stage) {
        // A later webhook announces a later end. If it were earlier, the connection would keep the later one.
        let ends = stage.fake.now() + 25 * 86_400;
        self.queue(stage, 7, json!({ "message": "…", "expiration_time": ends.to_string() }));
        self.deliver_all(stage).await;
        // A grant that has ended is not announced.
        if self.is_alive(stage).await {
            let connection = self.connection(stage).await.expect("a connection");
            assert_eq!(connection["authorization_ends_at"], ends, "{connection}");
        }
    }

    /// TikTok Shop reports a removal that has not happened. The next sweep finds that out.
    async fn hear_of_no_removal(&mut self, stage: &Stage) {
        self.queue(stage, 6, json!({ "message": "…" }));
        self.deliver_all(stage).await;
        self.seen.removal_notices += 1;
    }

    /// The seller removes the app in Seller Center, and TikTok Shop reports it.
    async fn remove_the_app(&mut self, stage: &Stage) {
        // If an earlier refresh has cost the grant, there is nothing to remove.
        if stage.fake.deauthorize(&stage.app.service_id, &seller_id(self.number)).is_err() {
            return;
        }
        self.seen.ends.push(stage.fake.now());
        self.deliver_all(stage).await;
        self.seen.removal_notices += 1;
        self.state = State::Removed;
    }

    /// A sweep should have found out that the seller has removed the app. A claim of a killed replica can delay it until
    /// the next night.
    async fn look_for_removal(&mut self, stage: &Stage) {
        let connection = self.connection(stage).await.expect("a removed app leaves the connection, so that it is seen");
        if connection["status"] == "reauthorization-required" {
            self.state = State::Ended;
        } else {
            self.seen.put_off += 1;
        }
    }

    /// Lets TikTok Shop send a webhook about the customer's shop. Returns its id.
    fn queue(&self, stage: &Stage, kind: u32, data: Value) -> String {
        let shop = shop_id(self.number);
        stage.fake.queue_webhook(&stage.app.service_id, kind, Some(&shop), data).unwrap()
    }

    /// Returns whether the record of the connection says that the grant has not ended.
    async fn is_alive(&self, stage: &Stage) -> bool {
        stage.record(&self.key(stage).await).await.is_some_and(|record| record.dead().is_none())
    }

    /// Delivers the webhooks about the customer's shop. Returns the number of the last one.
    async fn deliver_all(&mut self, stage: &Stage) -> u64 {
        let shop = shop_id(self.number);
        let of_shop = |due: &WebhookDelivery| due.body.contains(&shop);
        let due: Vec<_> = stage.fake.webhooks_due().into_iter().filter(of_shop).map(|due| due.number).collect();
        for number in &due {
            stage.deliver(*number).await;
            self.seen.webhooks += 1;
        }
        *due.last().unwrap()
    }

    /// Returns the customer's only connection, as the service shows it.
    pub(crate) async fn connection(&self, stage: &Stage) -> Option<Value> {
        let mut listed = stage.get(&self.path("connections")).await;
        let connections = listed["connections"].as_array_mut().unwrap();
        assert!(connections.len() <= 1, "{connections:?}");
        connections.pop()
    }

    pub(crate) async fn key(&self, stage: &Stage) -> ConnectionKey {
        let account = stage.fake.issued(&stage.app.service_id, &seller_id(self.number)).unwrap().open_id.unwrap();
        ConnectionKey { customer: self.id().parse().unwrap(), account: account.parse().unwrap() }
    }

    /// Asserts that TikTok Shop accepts no token of a connection that the service calls ended.
    pub(crate) async fn assert_tiktok_has_ended_it(&self, stage: &Stage) {
        let key = self.key(stage).await;
        let record = stage.record(&key).await.expect("a connection that needs a consent keeps its record");
        let current = record.current().refresh.iter();
        for token in current.chain(record.fallbacks()).chain(record.rejected()) {
            assert!(!stage.fake.honours(token.expose()), "{} was given up, but TikTok Shop accepts a token", self.id());
        }
    }
}

/// Loads an address in a browser, and again after a broken connection.
async fn load(stage: &Stage, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut answer = stage.once("GET", target, headers, "").await;
    for _ in 0..RELOADS {
        // A page with the status 503 asks the seller to load it again.
        if answer.header(OWN) != Some(BROKEN) && answer.status != 503 {
            break;
        }
        answer = stage.once("GET", target, headers, "").await;
    }
    answer
}

/// Returns the path of an address of the service.
fn path_of(address: &str) -> &str {
    let rest = address.strip_prefix("http://").unwrap();
    &rest[rest.find('/').unwrap()..]
}
