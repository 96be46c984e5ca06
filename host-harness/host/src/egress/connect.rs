//! Opens network connections: resolves the name, ignores addresses that are not public, tries the public addresses
//! until one accepts, and starts TLS. With a proxy, opens a tunnel instead, and starts TLS inside it.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tower_service::Service;
use wasmtime_wasi_http::Error;

use super::address::is_public;
use super::allow::{Authority, HTTPS_PORT};
use super::policy::EgressPolicy;
use super::proxy_error::ProxyFailure;
use super::resolver::Resolver;
use super::tunnel::Tunnel;
use crate::deadlines::Deadlines;

/// The reason why there is no connection. After each of these failures, it is certain that no byte of the request was
/// sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum ConnectFailure {
    #[error("the name was not resolved in time")]
    ResolveTimeout,
    #[error("the name was not resolved")]
    Resolve,
    #[error("the name resolves to no public address")]
    NoPublicAddress,
    #[error("not connected in time")]
    Timeout,
    #[error("connection refused")]
    Refused,
    #[error("not reachable")]
    Unreachable,
    #[error("no TLS handshake in time")]
    TlsTimeout,
    #[error("the certificate was not accepted")]
    Certificate,
    #[error("TLS handshake failed")]
    Tls,
    #[error("the proxy {0}")]
    Proxy(ProxyFailure),
}

impl From<ConnectFailure> for Error {
    fn from(failure: ConnectFailure) -> Self {
        match failure {
            ConnectFailure::ResolveTimeout => Self::DnsTimeout,
            ConnectFailure::Resolve => Self::DnsError { rcode: None, info_code: None },
            ConnectFailure::NoPublicAddress => Self::DestinationIpProhibited,
            ConnectFailure::Timeout | ConnectFailure::TlsTimeout => Self::ConnectionTimeout,
            ConnectFailure::Refused => Self::ConnectionRefused,
            // `TlsProtocolError` would be wrong here. It can also occur after a request was sent, so it does not say
            // that nothing was sent.
            ConnectFailure::Unreachable | ConnectFailure::Tls => Self::DestinationUnavailable,
            ConnectFailure::Certificate => Self::TlsCertificateError,
            ConnectFailure::Proxy(failure) => failure.into(),
        }
    }
}

/// Returns Mozilla's certificate authorities, which are compiled in. The machine's own list of authorities is not read.
pub(super) fn production_roots() -> RootCertStore {
    RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
}

/// A TCP connection.
pub(super) type Stream = TokioIo<TcpStream>;
/// The bytes below TLS with TikTok Shop: a TCP connection, or the tunnel of a proxy. With an `https` proxy, the tunnel
/// runs inside TLS with the proxy.
pub(super) type RouteStream = MaybeHttpsStream<Stream>;
type Connecting<S> = Pin<Box<dyn Future<Output = Result<S, ConnectFailure>> + Send>>;

/// Opens the connections of the shared client. If an authority has a stand-in, connects to the stand-in. Otherwise
/// connects to the authority through TLS.
#[derive(Clone)]
pub(super) struct Connector {
    stand_ins: BTreeMap<Authority, SocketAddr>,
    deadlines: Deadlines,
    /// The address of the proxy, without credentials.
    proxy: Option<Arc<str>>,
    /// The longest time until `https` has a connection, TLS included.
    limit: Duration,
    https: HttpsConnector<Route>,
}

impl Connector {
    /// # Errors
    /// The cryptography that is compiled in offers no TLS version.
    pub(super) fn new(policy: EgressPolicy, deadlines: Deadlines) -> Result<Self, rustls::Error> {
        let EgressPolicy { resolver, stand_ins, proxy } = policy;
        let timeout = deadlines.connect;
        let route = match proxy {
            Some(proxy) => Route::Proxy(Tunnel::new(proxy, resolver, deadlines)?),
            None => Route::Direct(Dialer { resolver, timeout, is_allowed: is_public, port: HTTPS_PORT }),
        };
        Self::with_roots(route, production_roots(), stand_ins, deadlines)
    }

    /// Creates a connector with these roots of trust for TikTok Shop, and with the port and the address check of
    /// `route`. Production always uses the same values. Only tests use other values. A test can't change anything else
    /// about TLS. Code outside `egress` can't call this function, so no embedder can switch verification off.
    pub(super) fn with_roots(
        route: Route,
        roots: RootCertStore,
        stand_ins: BTreeMap<Authority, SocketAddr>,
        deadlines: Deadlines,
    ) -> Result<Self, rustls::Error> {
        let (proxy, before_tls) = match &route {
            Route::Direct(dialer) => (None, dialer.timeout),
            Route::Proxy(tunnel) => (Some(tunnel.proxy_name()), tunnel.longest()),
        };
        let limit = before_tls + deadlines.tls;
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(verified(roots)?)
            .https_only()
            .enable_all_versions()
            .wrap_connector(route);
        Ok(Self { stand_ins, deadlines, proxy, limit, https })
    }

    /// Returns the address of the proxy, without credentials.
    pub(super) fn proxy(&self) -> Option<Arc<str>> {
        self.proxy.clone()
    }
}

/// Returns a configuration of TLS that accepts only certificates of these authorities.
pub(super) fn verified(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    Ok(ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<RouteStream>;
    type Error = ConnectFailure;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let stand_in = uri.host().and_then(Authority::parse).and_then(|authority| self.stand_ins.get(&authority));
        if let Some(&address) = stand_in {
            let end = Instant::now() + self.deadlines.connect;
            return Box::pin(async move {
                let stream = dial(&[address], end).await?;
                Ok(MaybeHttpsStream::Http(MaybeHttpsStream::Http(stream)))
            });
        }
        // The route has timeouts of its own, so a timeout here means that the TLS handshake was too slow.
        let limit = self.limit;
        let is_tunnel = self.proxy.is_some();
        let connecting = self.https.call(uri);
        Box::pin(async move {
            let connected = match timeout(limit, connecting).await {
                Ok(connected) => connected.map_err(|error| connect_failure(&*error)),
                Err(_late) => Err(ConnectFailure::TlsTimeout),
            };
            connected.map_err(|failure| if is_tunnel { failure.in_tunnel() } else { failure })
        })
    }
}

impl ConnectFailure {
    /// Converts a failure of TLS inside a tunnel into a failure of the proxy that opened the tunnel.
    fn in_tunnel(self) -> Self {
        match self {
            Self::Certificate => Self::Proxy(ProxyFailure::TunnelNotTikTokShop),
            Self::Tls | Self::TlsTimeout => Self::Proxy(ProxyFailure::TunnelBroken),
            other @ (Self::ResolveTimeout
            | Self::Resolve
            | Self::NoPublicAddress
            | Self::Timeout
            | Self::Refused
            | Self::Unreachable
            | Self::Proxy(_)) => other,
        }
    }
}

/// The way to TikTok Shop on which TLS then runs.
#[derive(Clone)]
pub(super) enum Route {
    Direct(Dialer),
    Proxy(Tunnel),
}

impl Service<Uri> for Route {
    type Response = RouteStream;
    type Error = ConnectFailure;
    type Future = Connecting<RouteStream>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        match self {
            Self::Direct(dialer) => {
                let dialing = dialer.call(uri);
                Box::pin(async move { dialing.await.map(MaybeHttpsStream::Http) })
            }
            Self::Proxy(tunnel) => {
                let tunnel = tunnel.clone();
                Box::pin(async move {
                    // The first check has admitted the request, so the host is one of the two.
                    let authority = uri.host().and_then(Authority::parse).ok_or(ConnectFailure::Unreachable)?;
                    tunnel.open(authority).await.map_err(ConnectFailure::Proxy)
                })
            }
        }
    }
}

/// Opens TCP connections, only to addresses that the address check allows.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) resolver: Arc<dyn Resolver>,
    /// The maximum time for resolving and connecting together.
    pub(super) timeout: Duration,
    pub(super) is_allowed: fn(IpAddr) -> bool,
    pub(super) port: u16,
}

impl Service<Uri> for Dialer {
    type Response = Stream;
    type Error = ConnectFailure;
    type Future = Connecting<Stream>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { resolver, timeout, is_allowed, port } = self.clone();
        Box::pin(async move {
            let end = Instant::now() + timeout;
            let host = uri.host().unwrap_or_default();
            let resolved = timeout_at(end, resolver.resolve(host))
                .await
                .map_err(|_late| ConnectFailure::ResolveTimeout)?
                .map_err(|_| ConnectFailure::Resolve)?;
            let addresses: Vec<_> =
                resolved.into_iter().filter(|ip| is_allowed(*ip)).map(|ip| SocketAddr::new(ip, port)).collect();
            dial(&addresses, end).await
        })
    }
}

/// Tries the addresses one after the other, until one address accepts the connection. Each address gets an equal share
/// of the time that is left, so an address that never answers leaves enough time for the next addresses.
pub(super) async fn dial(addresses: &[SocketAddr], end: Instant) -> Result<Stream, ConnectFailure> {
    let mut failure = ConnectFailure::NoPublicAddress;
    for (address, untried) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let left = end.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(untried).unwrap_or(u32::MAX);
        failure = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are small, so they should not wait for more bytes. If this setting fails, requests are only
                // slower.
                let _ = stream.set_nodelay(true);
                return Ok(TokioIo::new(stream));
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => ConnectFailure::Refused,
            Ok(Err(_)) => ConnectFailure::Unreachable,
            Err(_late) => ConnectFailure::Timeout,
        };
    }
    Err(failure)
}

/// Finds the failure in an error of `hyper-rustls`, which wraps errors of the handshake in I/O errors.
pub(super) fn connect_failure(error: &(dyn std::error::Error + 'static)) -> ConnectFailure {
    if let Some(failure) = error.downcast_ref::<ConnectFailure>() {
        return *failure;
    }
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref::<rustls::Error>() {
        return ConnectFailure::Certificate;
    }
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => connect_failure(inner),
        None => ConnectFailure::Tls,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// Returns an address that does not answer, because nobody accepts its connections and its queue of new connections
    /// is full. The returned sockets keep the queue full.
    async fn unanswering_address() -> (SocketAddr, (TcpListener, Vec<TcpStream>)) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(connected) = timeout(Duration::from_secs(1), TcpStream::connect(address)).await {
            queued.push(connected.unwrap());
        }
        (address, (listener, queued))
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_fails_at_the_deadline() {
        let (address, _queue) = unanswering_address().await;
        let started = Instant::now();
        let outcome = dial(&[address], started + Duration::from_secs(5)).await;
        assert_eq!(outcome.err(), Some(ConnectFailure::Timeout));
        assert_eq!(started.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_does_not_answer_leaves_time_for_the_next_address() {
        let (address, _queue) = unanswering_address().await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let started = Instant::now();
        let both = [address, listener.local_addr().unwrap()];
        let stream = dial(&both, started + Duration::from_secs(5)).await.unwrap();
        assert_eq!(stream.inner().peer_addr().unwrap(), both[1]);
        assert_eq!(started.elapsed().as_millis(), 2_500);
    }

    #[test]
    fn every_connect_failure_becomes_an_error_that_says_that_nothing_was_sent() {
        for (failure, error) in [
            (ConnectFailure::ResolveTimeout, "DnsTimeout"),
            (ConnectFailure::Resolve, "DnsError { rcode: None, info_code: None }"),
            (ConnectFailure::NoPublicAddress, "DestinationIpProhibited"),
            (ConnectFailure::Timeout, "ConnectionTimeout"),
            (ConnectFailure::Refused, "ConnectionRefused"),
            (ConnectFailure::Unreachable, "DestinationUnavailable"),
            (ConnectFailure::TlsTimeout, "ConnectionTimeout"),
            (ConnectFailure::Certificate, "TlsCertificateError"),
            (ConnectFailure::Tls, "DestinationUnavailable"),
        ] {
            assert_eq!(format!("{:?}", Error::from(failure)), error);
        }
    }

    #[test]
    fn a_refused_certificate_is_distinguished_from_a_failed_handshake() {
        let certificate = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        assert_eq!(connect_failure(&io::Error::other(io::Error::other(certificate))), ConnectFailure::Certificate);
        assert_eq!(connect_failure(&io::Error::other(rustls::Error::HandshakeNotComplete)), ConnectFailure::Tls);
        assert_eq!(connect_failure(&io::Error::from(io::ErrorKind::ConnectionReset)), ConnectFailure::Tls);
        assert_eq!(connect_failure(&io::Error::other(ConnectFailure::Refused)), ConnectFailure::Refused);
    }
}
