//! Sends requests to TikTok Shop's two servers, or to a fake, and reads the whole answer.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_TYPE, DATE, HOST, HeaderMap, HeaderValue, RETRY_AFTER};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Map, Value};
use tiktok_shop_connector_core::http::{self as core, Method};
use tiktok_shop_connector_core::time::http_date;
use tokio::time::timeout;

/// The longest time for one request.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read: 1 MiB.
const MAX_BYTES: usize = 1 << 20;

/// Where the requests go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To TikTok Shop, over TLS. The certificate must prove the name, so another server gets no byte of a request. For
    /// this reason, the client does not check whether an address is public, as the host library does.
    TikTokShop,
    /// To a fake at this address, without TLS.
    Fake(SocketAddr),
}

/// There is no answer. The text says why, without the address of the request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Away(pub(crate) String);

/// Sends requests.
pub(crate) struct Client {
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    route: Route,
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The members of the body, if it is a JSON object.
    pub(crate) members: Option<Map<String, Value>>,
}

impl Client {
    pub(crate) fn new(route: Route) -> Result<Self, Away> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Away(error.to_string()))?
            .with_root_certificates(RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()))
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let https =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            // A request that was repeated unnoticed would be a replay.
            .retry_canceled_requests(false)
            // A server may close an idle connection at the moment at which a request is sent on it.
            .pool_max_idle_per_host(if matches!(route, Route::Fake(_)) { 1 } else { 0 })
            .build(https);
        Ok(Self { http, route })
    }

    /// Sends a request. Follows no redirect, because the address contains secrets.
    pub(crate) async fn send(&self, request: &core::Request<'_>) -> Result<Answer, Away> {
        match timeout(TIMEOUT, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_late) => Err(Away(format!("no answer within {} s", TIMEOUT.as_secs()))),
        }
    }

    async fn exchange(&self, request: &core::Request<'_>) -> Result<Answer, Away> {
        let host = request.authority.host();
        let target = request.path_and_query.expose();
        let address = match self.route {
            Route::TikTokShop => format!("https://{host}{target}"),
            Route::Fake(address) => format!("http://{address}{target}"),
        };
        let method = match request.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
            Method::Put => http::Method::PUT,
            Method::Delete => http::Method::DELETE,
        };
        let mut built = http::Request::builder()
            .method(method)
            .uri(address)
            .header(HOST, host)
            .header(ACCEPT_ENCODING, core::ACCEPT_ENCODING);
        if let Some(content_type) = request.content_type {
            built = built.header(CONTENT_TYPE, content_type);
        }
        let malformed = |_| Away("the request can't be written as HTTP".to_owned());
        if let Some(token) = &request.access_token {
            let mut value = HeaderValue::from_str(token.expose()).map_err(|error| malformed(error.into()))?;
            value.set_sensitive(true);
            built = built.header("x-tts-access-token", value);
        }
        let built = built.body(Full::new(Bytes::copy_from_slice(request.body))).map_err(malformed)?;
        let answer = self.http.request(built).await.map_err(|error| Away(deepest(&error)))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_BYTES).collect().await.map_err(|error| Away(deepest(&*error)))?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, members: serde_json::from_slice(&body).ok() })
    }
}

/// Returns the text of the error's deepest cause. The texts above it are general, and this one names no address.
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

impl Answer {
    fn member(&self, name: &str) -> Option<&Value> {
        self.members.as_ref()?.get(name)
    }

    /// Returns the code of the envelope. `None` if the body is no envelope.
    pub(crate) fn code(&self) -> Option<i64> {
        self.member("code")?.as_i64()
    }

    pub(crate) fn message(&self) -> &str {
        self.member("message").and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns the member `data`. `None` if it is missing.
    pub(crate) fn data(&self) -> Option<&Value> {
        self.member("data")
    }

    /// Returns a text in `data`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.data()?.get(name)?.as_str()
    }

    /// Returns a whole number in `data`.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.data()?.get(name)?.as_u64()
    }

    pub(crate) fn is_success(&self) -> bool {
        self.status == 200 && self.code() == Some(0)
    }

    /// Returns the HTTP status and the code, which tell two answers apart.
    pub(crate) fn verdict(&self) -> (u16, Option<i64>) {
        (self.status, self.code())
    }

    /// Returns status and code for people: `HTTP 200, code 0`.
    pub(crate) fn in_words(&self) -> String {
        match self.code() {
            Some(code) => format!("HTTP {}, code {code}", self.status),
            None => format!("HTTP {}, no envelope", self.status),
        }
    }

    /// Returns the time in the header `date`, in seconds since 1970.
    pub(crate) fn date(&self) -> Option<u64> {
        Some(http_date(self.headers.get(DATE)?.to_str().ok()?)?.seconds())
    }

    /// Returns how long to wait if TikTok Shop limits the requests: the time in `Retry-After`, or 2 s if there is none,
    /// but at least 1 s and at most 60 s. Otherwise returns `None`.
    pub(crate) fn pause(&self) -> Option<Duration> {
        let is_limited = self.status == 429 || self.code() == Some(36_009_002);
        let seconds = self.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        is_limited.then(|| Duration::from_secs(seconds.unwrap_or(2).clamp(1, 60)))
    }
}
