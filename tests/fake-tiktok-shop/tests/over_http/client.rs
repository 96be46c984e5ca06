//! A small HTTP client with the calls that a connector makes. It has its own signature code, so that the tests notice a
//! mistake in the fake's signature code.

use std::net::SocketAddr;

use fake_tiktok_shop::{App, Clock, Control, Decision, FakeTikTokShop, Options, Switches};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// 2026-01-01T00:00:00Z in Unix seconds, the time at which the clock of every test starts.
pub(crate) const START: u64 = 1_767_225_600;

pub(crate) const TOKEN_HOST: &str = "auth.tiktok-shops.com";
pub(crate) const API_HOST: &str = "open-api.tiktokglobalshop.com";
pub(crate) const SHOPS: &str = "/authorization/202309/shops";

pub(crate) struct Reply {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (n, value) = line.split_once(": ")?;
            n.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Returns the HTTP status and the code of the envelope.
    pub(crate) fn verdict(&self) -> (u16, i64) {
        (self.status, self.json()["code"].as_i64().unwrap())
    }

    pub(crate) fn data(&self) -> Value {
        assert_eq!(self.verdict(), (200, 0), "{}", self.body);
        self.json()["data"].clone()
    }

    pub(crate) fn text(&self, field: &str) -> String {
        self.data()[field].as_str().unwrap_or_else(|| panic!("no {field}: {}", self.body)).to_owned()
    }
}

/// Sends bytes and reads until the server closes the connection.
pub(crate) async fn send_raw(address: SocketAddr, request: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no HTTP answer: {answer}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head: head.to_owned(), body: body.to_owned() }
}

pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    host: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Reply {
    let body = body.as_ref();
    let mut request = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        request.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    send_raw(address, &[request.as_bytes(), body].concat()).await
}

pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name).map(|(_, value)| value.into_owned())
}

fn encode(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// A fake whose clock stands still, and the app that makes the calls. The app is the first app of the fake, or the
/// app after `with_second_app` or `with_us_app`.
pub(crate) struct World {
    fake: FakeTikTokShop,
    pub(crate) control: Control,
    pub(crate) app: App,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Options { clock: Clock::fixed(START), ..Options::default() })
    }

    pub(crate) fn with(options: Options) -> Self {
        let fake = FakeTikTokShop::start(options).unwrap();
        let control = fake.control();
        let app = control.apps()[0].clone();
        Self { fake, control, app }
    }

    pub(crate) fn with_switches(change: impl FnOnce(&mut Switches)) -> Self {
        let world = Self::new();
        world.control.update_switches(change);
        world
    }

    /// Lets the second app of the same fake make all later calls.
    pub(crate) fn with_second_app(self) -> Self {
        self.with_app(1)
    }

    /// Lets the app for the US make all later calls.
    pub(crate) fn with_us_app(self) -> Self {
        self.with_app(2)
    }

    fn with_app(mut self, at: usize) -> Self {
        self.app = self.control.apps()[at].clone();
        self
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.fake.address()
    }

    pub(crate) async fn quiet(&self) {
        self.fake.quiet().await.unwrap();
    }

    /// Sends a request whose `Host` is `localhost`. Declares the body as JSON if the target is the control interface.
    pub(crate) async fn local(&self, method: &str, target: &str, body: &str) -> Reply {
        let json = [("content-type", "application/json")];
        let headers = if target.starts_with("/_control") { &json[..] } else { &[] };
        send(self.address(), method, "localhost", target, headers, body).await
    }

    pub(crate) fn code(&self, seller: &str) -> String {
        let callback = self.control.consent(&self.app.service_id, seller, None, Decision::Allow).unwrap();
        parameter(&callback, "code").unwrap()
    }

    pub(crate) async fn token_call(&self, path: &str, query: &[(&str, &str)]) -> Reply {
        let target = format!("{path}?{}", encode(query));
        send(self.address(), "GET", TOKEN_HOST, &target, &[], "").await
    }

    pub(crate) async fn exchange(&self, code: &str) -> Reply {
        let query = [
            ("app_key", self.app.app_key.as_str()),
            ("app_secret", &self.app.app_secret),
            ("auth_code", code),
            ("grant_type", "authorized_code"),
        ];
        self.token_call("/api/v2/token/get", &query).await
    }

    pub(crate) async fn refresh(&self, refresh_token: &str) -> Reply {
        let query = [
            ("app_key", self.app.app_key.as_str()),
            ("app_secret", &self.app.app_secret),
            ("refresh_token", refresh_token),
            ("grant_type", "refresh_token"),
        ];
        self.token_call("/api/v2/token/refresh", &query).await
    }

    /// Consents as the seller, exchanges the code and returns the access token and the refresh token.
    pub(crate) async fn connect(&self, seller: &str) -> (String, String) {
        let reply = self.exchange(&self.code(seller)).await;
        (reply.text("access_token"), reply.text("refresh_token"))
    }

    pub(crate) async fn list_shops(&self, access_token: &str) -> Reply {
        self.signed(&SignedCall::default(), access_token).await
    }

    pub(crate) async fn signed(&self, call: &SignedCall<'_>, access_token: &str) -> Reply {
        let timestamp = call.timestamp.unwrap_or_else(|| self.control.now()).to_string();
        let mut query = vec![("app_key", call.app_key.unwrap_or(&self.app.app_key)), ("timestamp", &timestamp)];
        query.extend_from_slice(call.query);
        let sign = (call.distort)(sign(call.path, &query, call.signed_body, &self.app.app_secret));
        query.push(("sign", &sign));
        let target = format!("{}?{}", call.path, encode(&query));
        let headers = [&[("x-tts-access-token", access_token)], call.headers].concat();
        send(self.address(), call.method, API_HOST, &target, &headers, call.sent_body).await
    }

    /// Lists the seller's shops and returns the cipher of the first shop.
    pub(crate) async fn cipher(&self, access_token: &str) -> String {
        self.list_shops(access_token).await.data()["shops"][0]["cipher"].as_str().unwrap().to_owned()
    }
}

/// A signed call. A test can make single parts of it wrong.
pub(crate) struct SignedCall<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) app_key: Option<&'a str>,
    pub(crate) timestamp: Option<u64>,
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) signed_body: &'a str,
    pub(crate) sent_body: &'a [u8],
    /// The headers in addition to the access token.
    pub(crate) headers: &'a [(&'a str, &'a str)],
    pub(crate) distort: fn(String) -> String,
}

impl Default for SignedCall<'_> {
    fn default() -> Self {
        Self {
            method: "GET",
            path: SHOPS,
            app_key: None,
            timestamp: None,
            query: &[],
            signed_body: "",
            sent_body: b"",
            headers: &[("content-type", "application/json")],
            distort: |sign| sign,
        }
    }
}

fn sign(path: &str, query: &[(&str, &str)], body: &str, secret: &str) -> String {
    let mut sorted = query.to_vec();
    sorted.sort_unstable();
    let parameters: String = sorted.iter().map(|(name, value)| format!("{name}{value}")).collect();
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{secret}{path}{parameters}{body}{secret}").as_bytes());
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}
