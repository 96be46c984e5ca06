//! Sends one delivery to its endpoint.
//!
//! The client follows no redirect, reads no more of an answer than it needs to use the connection again, and ends at
//! the deadline. It connects to every address that the operator has configured, also to one in a private network. It
//! trusts Mozilla's certificate authorities and those that the operator has configured. It uses no proxy.
//!
//! It speaks only HTTP/1.1, so each attempt has a connection of its own while it runs. With HTTP/2, all attempts to one
//! origin would share one connection, even those of different tenants. If it failed, all of them would fail.

use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::{ClientConfig, RootCertStore};
use tiktok_shop_host::certificates::CertificateAuthorities;
use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::retry::{Outcome, retry_after};
use super::storage::{AttemptFailure, Delivery};

/// How much of an answer is read, so that its connection can be used again: 64 KiB.
const MAX_ANSWER_BYTES: usize = 64 << 10;
/// How long the rest of an answer is read.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(1);
/// How long an idle connection stays open.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
const MAX_IDLE_PER_HOST: usize = 8;
/// The maximum size of the head of an answer: 64 KiB.
const MAX_HEAD_BYTES: usize = 64 << 10;
const AGENT: &str = concat!("tiktok-shop-connector/", env!("CARGO_PKG_VERSION"));

type Http = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Sends deliveries. Idle connections are used again, by any endpoint with the same origin.
pub(crate) struct Client {
    /// `None` if the cryptography that is compiled in offers no TLS version, which never happens.
    http: Option<Http>,
    deadline: Duration,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) status: Option<u16>,
    pub(crate) failure: Option<AttemptFailure>,
    pub(crate) outcome: Outcome,
}

impl Sent {
    const fn failed(failure: AttemptFailure) -> Self {
        Self { status: None, failure: Some(failure), outcome: Outcome::Failed { retry_after: None } }
    }

    fn answered(answer: &Response<Incoming>) -> Self {
        let status = answer.status();
        let outcome = match status {
            _ if status.is_success() => Outcome::Accepted,
            StatusCode::GONE => Outcome::Gone,
            _ => Outcome::Failed { retry_after: retry_after(answer.headers().get(RETRY_AFTER)) },
        };
        let failure = (outcome != Outcome::Accepted).then_some(AttemptFailure::Status);
        Self { status: Some(status.as_u16()), failure, outcome }
    }
}

impl Client {
    /// Creates a client that trusts Mozilla's certificate authorities and these `authorities`. An attempt ends after
    /// `deadline`.
    pub(crate) fn new(deadline: Duration, authorities: Option<&CertificateAuthorities>) -> Self {
        Self { http: http(deadline, roots(authorities)).ok(), deadline }
    }

    /// Sends a delivery. `timestamp` is the time of this attempt, in seconds since 1970.
    pub(crate) async fn send(&self, endpoint: &Endpoint, delivery: &Delivery, timestamp: u64) -> Sent {
        let Some(request) = request(endpoint, delivery, timestamp) else {
            return Sent::failed(AttemptFailure::Broken);
        };
        let Some(http) = &self.http else { return Sent::failed(AttemptFailure::NoConnection) };
        match timeout(self.deadline, http.request(request)).await {
            Err(_late) => Sent::failed(AttemptFailure::Timeout),
            Ok(Err(error)) if error.is_connect() => Sent::failed(connect_failure(&error)),
            Ok(Err(_)) => Sent::failed(AttemptFailure::Broken),
            Ok(Ok(answer)) => {
                let sent = Sent::answered(&answer);
                // The status has decided. What the rest contains, and whether it comes, does not matter.
                let rest = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect();
                let _read = timeout(ANSWER_DEADLINE.min(self.deadline), rest).await;
                sent
            }
        }
    }
}

/// Returns why there is no connection. `rustls` wraps its errors in I/O errors, whose source is not the wrapped error but
/// the source of that error.
fn connect_failure(error: &(dyn Error + 'static)) -> AttemptFailure {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref::<rustls::Error>() {
        return AttemptFailure::Certificate;
    }
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => connect_failure(inner),
        None => error.source().map_or(AttemptFailure::NoConnection, connect_failure),
    }
}

/// Returns Mozilla's certificate authorities and the configured ones.
fn roots(authorities: Option<&CertificateAuthorities>) -> RootCertStore {
    let mut roots = RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    if let Some(authorities) = authorities {
        roots.extend(authorities.roots().roots.iter().cloned());
    }
    roots
}

fn http(deadline: Duration, roots: RootCertStore) -> Result<Http, rustls::Error> {
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(deadline));
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
    Ok(legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
        .http1_max_buf_size(MAX_HEAD_BYTES)
        .build(https.wrap_connector(tcp)))
}

/// Returns the request of an attempt. `None` if the delivery has no body, which never happens before it is delivered.
fn request(endpoint: &Endpoint, delivery: &Delivery, timestamp: u64) -> Option<Request<Full<Bytes>>> {
    let (id, body) = (delivery.id.as_str(), delivery.body.as_ref()?);
    let secrets = [Some(&endpoint.secret), endpoint.previous_secret.as_ref()];
    let signatures: Vec<_> = secrets.into_iter().flatten().map(|secret| secret.sign(id, timestamp, body)).collect();
    let request = Request::builder()
        .method(Method::POST)
        .uri(endpoint.address.uri())
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, AGENT)
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signatures.join(" "));
    request.body(Full::new(Bytes::from(body.clone()))).ok()
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn the_configured_authorities_are_trusted_in_addition_to_mozillas() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let coded = STANDARD.encode(made.cert.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{coded}\n-----END CERTIFICATE-----\n");
        let authorities = CertificateAuthorities::from_pem(pem.as_bytes()).unwrap();
        let mozilla = roots(None).roots;
        assert_eq!(mozilla, webpki_roots::TLS_SERVER_ROOTS);
        assert_eq!(roots(Some(&authorities)).roots, [mozilla, authorities.roots().roots.clone()].concat());
    }
}
