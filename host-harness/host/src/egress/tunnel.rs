//! Opens a tunnel to TikTok Shop through a forward proxy, with HTTP `CONNECT`.
//!
//! The host asks the proxy only for tunnels to port 443 of TikTok Shop's two names. The proxy resolves these names, so
//! the host can't check the addresses. TLS with TikTok Shop runs inside the tunnel. As without a proxy, the certificate
//! must prove the name.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderValue, Method, Request};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_rustls::MaybeHttpsStream;
use rustls::RootCertStore;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::allow::{Authority, HTTPS_PORT};
use super::dial::{ConnectFailure, Dialer, RouteStream, start_tls};
use super::proxy::{Proxy, Transport};
use super::proxy_error::{Credentials, ProxyFailure};
use super::resolver::Resolver;
use super::tls::{production_roots, verified};
use crate::deadlines::Deadlines;
use crate::secret::Secret;

/// The maximum size of the head of the proxy's answer: 16 KiB.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// Opens tunnels through one proxy.
#[derive(Clone)]
pub(super) struct Tunnel {
    proxy: Arc<Proxy>,
    /// Connects to the proxy. The address of the proxy may be private, because only the embedder can choose the proxy.
    /// A guest can't.
    dialer: Dialer,
    deadlines: Deadlines,
    /// TLS to the proxy. `None` if the address of the proxy begins with `http://`.
    tls: Option<TlsConnector>,
}

impl Tunnel {
    /// Uses `resolver` for the name of the proxy.
    ///
    /// # Errors
    /// The cryptography that is compiled in offers no TLS version.
    pub(super) fn new(proxy: Proxy, resolver: Arc<dyn Resolver>, deadlines: Deadlines) -> Result<Self, rustls::Error> {
        let tls = match proxy.transport {
            Transport::Plain => None,
            Transport::Tls => Some(connector(proxy.roots.clone().unwrap_or_else(production_roots))?),
        };
        let dialer = Dialer { resolver, timeout: deadlines.connect, is_allowed: |_| true, port: proxy.port };
        Ok(Self { proxy: Arc::new(proxy), dialer, deadlines, tls })
    }

    /// Returns the address of the proxy, without credentials.
    pub(super) fn proxy_name(&self) -> Arc<str> {
        self.proxy.to_string().into()
    }

    /// Connects to the proxy, and lets it open a tunnel to this server.
    pub(super) async fn open(&self, authority: Authority) -> Result<RouteStream, ProxyFailure> {
        let stream = self.dialer.dial(&self.proxy.host).await.map_err(not_reached)?;
        let stream = match &self.tls {
            None => MaybeHttpsStream::Http(stream),
            Some(tls) => start_tls(tls, &self.proxy.host, stream, self.deadlines.tls).await.map_err(not_reached)?,
        };
        let answer = connect(stream, authority, self.proxy.authorization.as_ref());
        timeout(self.deadlines.connect, answer).await.map_err(|_late| ProxyFailure::AnswerTimeout)?
    }
}

/// Converts a failure on the way to the proxy itself.
fn not_reached(failure: ConnectFailure) -> ProxyFailure {
    match failure {
        ConnectFailure::ResolveTimeout | ConnectFailure::Resolve | ConnectFailure::NoPublicAddress => {
            ProxyFailure::NotResolved
        }
        ConnectFailure::Timeout => ProxyFailure::ConnectTimeout,
        ConnectFailure::Refused => ProxyFailure::Refused,
        ConnectFailure::Unreachable => ProxyFailure::Unreachable,
        ConnectFailure::TlsTimeout => ProxyFailure::AnswerTimeout,
        ConnectFailure::Certificate => ProxyFailure::Certificate,
        ConnectFailure::Tls => ProxyFailure::Tls,
        ConnectFailure::Proxy(failure) => failure,
    }
}

fn connector(roots: RootCertStore) -> Result<TlsConnector, rustls::Error> {
    Ok(TlsConnector::from(Arc::new(verified(roots)?)))
}

/// Asks the proxy for a tunnel, and returns the stream on which the tunnel runs.
async fn connect(
    stream: RouteStream,
    authority: Authority,
    authorization: Option<&Secret>,
) -> Result<RouteStream, ProxyFailure> {
    let target = format!("{}:{HTTPS_PORT}", authority.host());
    let host = HeaderValue::try_from(&target).map_err(|_| ProxyFailure::NotHttp)?;
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = target.parse().map_err(|_| ProxyFailure::NotHttp)?;
    request.headers_mut().insert(HOST, host);
    if let Some(secret) = authorization {
        let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| ProxyFailure::NotHttp)?;
        value.set_sensitive(true);
        request.headers_mut().insert(PROXY_AUTHORIZATION, value);
    }
    let credentials = if authorization.is_some() { Credentials::Sent } else { Credentials::None };

    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(stream).await.map_err(|error| failure(&error))?;
    let asking = async {
        let response = sender.send_request(request).await.map_err(|error| failure(&error))?;
        let status = response.status();
        if !status.is_success() {
            return Err(ProxyFailure::of_status(status.as_u16(), credentials));
        }
        hyper::upgrade::on(response).await.map_err(|error| failure(&error))
    };
    // This future runs the HTTP connection to the proxy. Its result is ignored, because `asking` reports every error.
    let moving = async {
        let _ = connection.with_upgrades().await;
        pending::<Infallible>().await
    };
    let upgraded = tokio::select! {
        biased;
        outcome = asking => outcome?,
        never = moving => match never {},
    };
    let parts = upgraded.downcast::<RouteStream>().map_err(|_| ProxyFailure::NotHttp)?;
    // A TLS server sends nothing before the client does. So bytes that have already arrived do not come from a TLS
    // server.
    if parts.read_buf.is_empty() { Ok(parts.io) } else { Err(ProxyFailure::NotHttp) }
}

/// Classifies a failure of the exchange with the proxy. Its text is dropped, because it may quote the answer.
fn failure(error: &hyper::Error) -> ProxyFailure {
    if error.is_parse_too_large() {
        return ProxyFailure::HeadTooLarge;
    }
    if error.is_parse() {
        return ProxyFailure::NotHttp;
    }
    let is_late = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
    };
    if std::error::Error::source(error).is_some_and(is_late) {
        ProxyFailure::AnswerTimeout
    } else {
        ProxyFailure::Closed
    }
}
