//! Sends requests to the key service with TLS and deadlines, and repeats a request if that is safe.

use std::error::Error;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tiktok_shop_host::Secret;
use tiktok_shop_host::certificates::CertificateAuthorities;
use tokio::time::{sleep, timeout};
use zeroize::Zeroizing;

use crate::address::Address;
use crate::error::{ServiceError, SetupError};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Agents and proxies of the service refuse requests without this header. An attacker can't make a browser send this
/// header.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
/// The maximum size of an answer: 1 MiB.
const MAX_ANSWER_BYTES: usize = 1 << 20;
/// The maximum number of characters that an error quotes from a text of the service.
const MAX_WHY: usize = 200;
/// The maximum number of attempts of a request.
const MAX_ATTEMPTS: u32 = 3;
/// The longest pause before the second attempt. The pause doubles with each further attempt, and its length is random,
/// so that the hosts of a fleet do not repeat their requests at the same moment.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The error text for an answer with status 404 that does not say that a key is missing.
const NOT_FOUND: &str = "HTTP 404, but not as for a missing key";

/// Whether a request may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The request may be repeated after every transient failure, because sending it twice has the same effect as
    /// sending it once.
    Always,
    /// The request may be repeated only if it was not sent. A login is such a request, because the service may limit
    /// the number of logins.
    IfUnsent,
}

/// A request to the API of the service.
pub(crate) struct ApiRequest<'a> {
    pub(crate) method: Method,
    /// The path after `/v1/`.
    pub(crate) path: &'a str,
    pub(crate) token: Option<&'a Secret>,
    pub(crate) body: Option<&'a Value>,
    pub(crate) repeat: Repeat,
    /// The credentials that the host uses, for error texts.
    pub(crate) asker: &'static str,
}

/// Sends requests to one service.
pub(crate) struct Client {
    http: hyper_util::client::legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    address: Address,
    namespace: Option<HeaderValue>,
    attempt_timeout: Duration,
}

/// Why an attempt failed, and whether the request may have reached the service.
struct Failed {
    error: ServiceError,
    was_sent: bool,
}

impl Client {
    pub(crate) fn new(
        address: Address,
        namespace: Option<&str>,
        ca_file: Option<&Path>,
        attempt_timeout: Duration,
    ) -> Result<Self, SetupError> {
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| SetupError::Tls(error.to_string()))?
            .with_root_certificates(roots(ca_file)?)
            .with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        // A connection that is not there after this time was certainly not used, so even a login may be repeated.
        tcp.set_connect_timeout(Some(attempt_timeout / 2));
        let https =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build(https);
        let namespace = namespace.map(HeaderValue::from_str).transpose().map_err(|_| SetupError::Namespace)?;
        Ok(Self { http, address, namespace, attempt_timeout })
    }

    /// Returns the host and the port of the service, for error texts.
    pub(crate) fn authority(&self) -> &str {
        self.address.authority()
    }

    /// Sends a request, and repeats it after a transient failure if the request allows it. Returns the JSON of the
    /// answer, which is null if the answer has no body.
    pub(crate) async fn send(&self, request: &ApiRequest<'_>) -> Result<Value, ServiceError> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let Failed { error, was_sent } = match timeout(self.attempt_timeout, self.attempt(request)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failed)) => failed,
                Err(_late) => Failed { error: ServiceError::Late, was_sent: true },
            };
            let may_repeat = request.repeat == Repeat::Always || !was_sent;
            if attempt >= MAX_ATTEMPTS || !may_repeat || !error.is_transient() {
                return Err(error);
            }
            sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            pause *= 2;
        }
        Err(ServiceError::Late)
    }

    async fn attempt(&self, request: &ApiRequest<'_>) -> Result<Value, Failed> {
        let not_sent = |error| Failed { error, was_sent: false };
        let built = self.build(request).map_err(not_sent)?;
        let answer = self
            .http
            .request(built)
            .await
            .map_err(|error| Failed { was_sent: !error.is_connect(), error: ServiceError::Away(deepest(&error)) })?;
        let sent = |error| Failed { error, was_sent: true };
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
        let body = body.map_err(|error| sent(ServiceError::Away(deepest(&*error))))?.to_bytes();
        // The copy that hyper has of the body is not zeroed, because hyper offers no way to do so.
        let body = Zeroizing::new(body.to_vec());
        if status.is_success() {
            let no_json = |_| sent(ServiceError::Malformed("it is not JSON"));
            return if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&body).map_err(no_json) };
        }
        Err(sent(refusal(status, &body, request)))
    }

    fn build(&self, request: &ApiRequest<'_>) -> Result<Request<Full<Bytes>>, ServiceError> {
        let malformed = |_| {
            let why = "its mount, or the token, has a character that HTTP does not allow; correct it in the settings";
            ServiceError::Unsendable(why)
        };
        let uri = self.address.of(request.path).map_err(malformed)?;
        let mut built = Request::builder().method(&request.method).uri(uri).header(REQUEST, "true");
        if let Some(token) = request.token {
            let mut value = HeaderValue::from_str(token.expose()).map_err(|error| malformed(error.into()))?;
            value.set_sensitive(true);
            built = built.header(TOKEN, value);
        }
        if let Some(namespace) = &self.namespace {
            built = built.header(NAMESPACE, namespace);
        }
        let body = match request.body {
            Some(body) => {
                built = built.header(CONTENT_TYPE, "application/json");
                let text = serde_json::to_vec(body).map_err(|_| ServiceError::Unsendable("the request is not JSON"))?;
                // The bytes are zeroed when they are dropped, after the request was sent.
                Bytes::from_owner(Zeroizing::new(text))
            }
            None => Bytes::new(),
        };
        built.body(Full::new(body)).map_err(malformed)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.authority()).finish_non_exhaustive()
    }
}

/// Reads the certificate authorities from the file. Without a file, returns Mozilla's certificate authorities.
fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, SetupError> {
    let Some(path) = ca_file else {
        return Ok(RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()));
    };
    match CertificateAuthorities::read(path) {
        Ok(authorities) => Ok(authorities.roots().clone()),
        Err(error) => Err(SetupError::CaFile { path: path.to_owned(), why: error.to_string() }),
    }
}

/// Returns the text of the error's deepest cause, because this text is the most precise.
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

/// Converts an unsuccessful answer into an error.
fn refusal(status: StatusCode, body: &[u8], request: &ApiRequest<'_>) -> ServiceError {
    let why = texts(body);
    let says = |text: &str| why.contains(text);
    match status.as_u16() {
        300..=399 => ServiceError::Standby,
        503 if says("sealed") => ServiceError::Sealed,
        403 => ServiceError::Denied { what: what(request), method: request.asker },
        404 if says("no handler for route") => ServiceError::NoMount(mount(request.path)),
        404 if asks_for_key(request) && has_no_errors(body) => ServiceError::NoKey,
        404 if why.is_empty() => ServiceError::Malformed(NOT_FOUND),
        // The key is already deleted. This is the answer to a deletion that was repeated because its answer was lost.
        400 if says("could not delete key; not found") || says("no existing key named") => ServiceError::NoKey,
        400 | 404 if says("encryption key not found") => ServiceError::NoKey,
        400 if says("message authentication failed") || says("invalid ciphertext") => ServiceError::WrongKey,
        400 if says("disallowed by policy (too old)") => ServiceError::TooOld,
        429 => ServiceError::Busy,
        status => ServiceError::Failed { status, why: shown(&why, request) },
    }
}

/// Returns whether the request reads or deletes a key: `MOUNT/keys/NAME`.
fn asks_for_key(request: &ApiRequest<'_>) -> bool {
    matches!(request.method, Method::GET | Method::DELETE) && request.path.rsplit('/').nth(1) == Some("keys")
}

/// Returns whether the body is `{"errors":[]}`. With this body and status 404, the service says that a key is missing.
/// A load balancer or another server answers 404 with another body.
fn has_no_errors(body: &[u8]) -> bool {
    serde_json::from_slice(body).is_ok_and(|answer: Value| answer == serde_json::json!({ "errors": [] }))
}

/// Returns the texts of the service's errors in one line.
fn texts(body: &[u8]) -> String {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let errors = answer.get("errors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<_> = errors.iter().filter_map(Value::as_str).flat_map(str::split_whitespace).collect();
    texts.join(" ")
}

/// Returns a text of the service in a form that an error may quote: short, without control characters, and without the
/// secrets of the request.
fn shown(why: &str, request: &ApiRequest<'_>) -> String {
    let mut secrets: Vec<&str> = request.token.map(Secret::expose).into_iter().collect();
    let members = request.body.and_then(Value::as_object).into_iter().flat_map(serde_json::Map::values);
    secrets.extend(members.filter_map(Value::as_str).filter(|text| text.len() >= 8));
    if why.is_empty() {
        "without a reason".to_owned()
    } else if secrets.into_iter().any(|secret| why.contains(secret)) {
        "the reason is not shown, because it contains a part of the request".to_owned()
    } else {
        why.chars().filter(|c| !c.is_control()).take(MAX_WHY).collect()
    }
}

/// Describes the request in the terms of a policy: the capability and the path.
fn what(request: &ApiRequest<'_>) -> String {
    let capability = match request.method {
        Method::GET => "read",
        Method::DELETE => "delete",
        _ => "update",
    };
    format!("{capability} on {}", request.path)
}

/// Returns the mount in a path. The mount is everything before the last two parts of the path.
fn mount(path: &str) -> String {
    let mut parts: Vec<_> = path.split('/').collect();
    parts.truncate(parts.len().saturating_sub(2).max(1));
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, text: &str) -> ServiceError {
        let token = Secret::from("s.CANARY-token");
        let body = serde_json::json!({ "plaintext": "CANARY-plaintext" });
        let request = ApiRequest {
            method: Method::POST,
            path: "transit/decrypt/tiktok-shop.acme",
            token: Some(&token),
            body: Some(&body),
            repeat: Repeat::Always,
            asker: "the token",
        };
        let answer = serde_json::json!({ "errors": [text] }).to_string();
        refusal(StatusCode::from_u16(status).unwrap(), answer.as_bytes(), &request)
    }

    #[test]
    fn every_refusal_of_the_service_has_its_own_meaning() {
        let denied =
            ServiceError::Denied { what: "update on transit/decrypt/tiktok-shop.acme".into(), method: "the token" };
        for (status, text, error) in [
            (307, "", ServiceError::Standby),
            (403, "permission denied", denied),
            (404, "encryption key not found", ServiceError::NoKey),
            (404, "page not found", ServiceError::Failed { status: 404, why: "page not found".into() }),
            (
                404,
                "no handler for route \"transit/x\". route entry not found.",
                ServiceError::NoMount("transit".into()),
            ),
            (400, "encryption key not found", ServiceError::NoKey),
            (400, "cipher: message authentication failed", ServiceError::WrongKey),
            (400, "ciphertext or signature version is disallowed by policy (too old)", ServiceError::TooOld),
            (429, "", ServiceError::Busy),
            (503, "Vault is sealed", ServiceError::Sealed),
            (502, "bad gateway\u{1b}[31m", ServiceError::Failed { status: 502, why: "bad gateway[31m".into() }),
            (500, "", ServiceError::Failed { status: 500, why: "without a reason".into() }),
        ] {
            assert_eq!(refused(status, text), error, "{status} {text}");
        }
    }

    #[test]
    fn only_the_service_itself_says_that_a_key_is_missing() {
        let refused = |method: Method, path: &str, answer: &str| {
            let (token, body, repeat) = (None, None, Repeat::Always);
            let request = ApiRequest { method, path, token, body, repeat, asker: "the token" };
            refusal(StatusCode::NOT_FOUND, answer.as_bytes(), &request)
        };
        let (key, missing) = ("transit/keys/tiktok-shop.acme", "{\"errors\":[]}\n");
        assert_eq!(refused(Method::GET, key, missing), ServiceError::NoKey);
        assert_eq!(refused(Method::DELETE, key, missing), ServiceError::NoKey);
        for (method, path, body) in [
            (Method::GET, key, "<html><h1>404 Not Found</h1></html>"),
            (Method::GET, key, ""),
            (Method::GET, key, "{}"),
            (Method::GET, key, "[]"),
            (Method::GET, key, r#"{"errors":null}"#),
            (Method::GET, key, r#"{"errors":[{"code":"NOT_FOUND"}]}"#),
            (Method::GET, key, r#"{"errors":[],"path":"/v1"}"#),
            (Method::DELETE, key, r#"{"message":"no Route matched with those values"}"#),
            (Method::POST, key, missing),
            (Method::POST, "transit/decrypt/tiktok-shop.acme", missing),
            (Method::GET, "auth/token/lookup-self", missing),
        ] {
            let error = refused(method.clone(), path, body);
            assert_eq!(error, ServiceError::Malformed(NOT_FOUND), "{method} {path} {body}");
        }
    }

    #[tokio::test]
    async fn a_token_that_http_does_not_allow_is_the_fault_of_the_settings_and_not_of_an_answer() {
        let address = Address::parse("http://127.0.0.1:9").unwrap();
        let client = Client::new(address, None, None, Duration::from_secs(3)).unwrap();
        let token = Secret::from("s.CANARY\n");
        let request = ApiRequest {
            method: Method::GET,
            path: "auth/token/lookup-self",
            token: Some(&token),
            body: None,
            repeat: Repeat::Always,
            asker: "the token",
        };
        let error = client.send(&request).await.unwrap_err().to_string();
        let expected = "can't be asked: its mount, or the token, has a character that HTTP does not allow; correct it \
                        in the settings";
        assert_eq!(error, expected);
    }

    #[test]
    fn an_error_repeats_no_secret_of_the_request() {
        for text in ["you sent s.CANARY-token", "bad plaintext CANARY-plaintext"] {
            let shown = refused(400, text).to_string();
            assert!(!shown.contains("CANARY"), "{shown}");
            assert!(shown.contains("because it contains a part of the request; "), "{shown}");
        }
    }
}
