//! Resolves a name, opens a TCP connection to one of its addresses, and starts TLS on a connection. Direct connections,
//! connections to a proxy and tunnels all use these steps. Each step has a deadline of its own. Also names the reasons
//! why there is no connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::{Read, Write};
use hyper_rustls::MaybeHttpsStream;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::Error;

use super::proxy_error::ProxyFailure;
use super::resolver::Resolver;

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
            ConnectFailure::Refused => Self::ConnectionRefused,
            // `ConnectionTimeout` and `TlsProtocolError` would be wrong here. They can also occur after a request was
            // sent, so they do not say that nothing was sent.
            ConnectFailure::Timeout
            | ConnectFailure::Unreachable
            | ConnectFailure::Tls
            | ConnectFailure::TlsTimeout => Self::DestinationUnavailable,
            ConnectFailure::Certificate => Self::TlsCertificateError,
            ConnectFailure::Proxy(failure) => failure.into(),
        }
    }
}

/// A TCP connection.
pub(super) type Stream = TokioIo<TcpStream>;
/// The stream on which TLS with TikTok Shop runs: a TCP connection, or the tunnel of a proxy. With an `https` proxy,
/// the tunnel runs inside TLS with the proxy.
pub(super) type RouteStream = MaybeHttpsStream<Stream>;

impl ConnectFailure {
    /// Converts a failure of TLS inside a tunnel into a failure of the proxy that opened the tunnel.
    pub(super) fn in_tunnel(self) -> Self {
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

/// Opens TCP connections, only to addresses that the address check allows.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) resolver: Arc<dyn Resolver>,
    /// The maximum time for resolving and connecting together.
    pub(super) timeout: Duration,
    pub(super) is_allowed: fn(IpAddr) -> bool,
    pub(super) port: u16,
}

impl Dialer {
    /// Connects to a host. `host` is a name, or an IP address, which is not resolved.
    pub(super) async fn dial(&self, host: &str) -> Result<Stream, ConnectFailure> {
        let end = Instant::now() + self.timeout;
        let resolved = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => timeout_at(end, self.resolver.resolve(host))
                .await
                .map_err(|_late| ConnectFailure::ResolveTimeout)?
                .map_err(|_| ConnectFailure::Resolve)?,
        };
        let allowed = resolved.into_iter().filter(|ip| (self.is_allowed)(*ip));
        let addresses: Vec<_> = allowed.map(|ip| SocketAddr::new(ip, self.port)).collect();
        dial(&addresses, end).await
    }
}

/// Starts TLS. The certificate of the server must prove the name `host`.
pub(super) async fn start_tls<S: Read + Write + Unpin>(
    connector: &TlsConnector,
    host: &str,
    stream: S,
    limit: Duration,
) -> Result<MaybeHttpsStream<S>, ConnectFailure> {
    let name = ServerName::try_from(host.to_owned()).map_err(|_| ConnectFailure::Certificate)?;
    match timeout(limit, connector.connect(name, TokioIo::new(stream))).await {
        Ok(Ok(stream)) => Ok(MaybeHttpsStream::Https(TokioIo::new(stream))),
        Ok(Err(error)) => Err(handshake_failure(&error)),
        Err(_late) => Err(ConnectFailure::TlsTimeout),
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

/// Classifies an error of a TLS handshake. `rustls` wraps its errors in I/O errors.
fn handshake_failure(error: &(dyn std::error::Error + 'static)) -> ConnectFailure {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref::<rustls::Error>() {
        return ConnectFailure::Certificate;
    }
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => handshake_failure(inner),
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
            (ConnectFailure::Timeout, "DestinationUnavailable"),
            (ConnectFailure::Refused, "ConnectionRefused"),
            (ConnectFailure::Unreachable, "DestinationUnavailable"),
            (ConnectFailure::TlsTimeout, "DestinationUnavailable"),
            (ConnectFailure::Certificate, "TlsCertificateError"),
            (ConnectFailure::Tls, "DestinationUnavailable"),
        ] {
            assert_eq!(format!("{:?}", Error::from(failure)), error);
        }
    }

    #[test]
    fn a_refused_certificate_is_distinguished_from_a_failed_handshake() {
        let certificate = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        assert_eq!(handshake_failure(&io::Error::other(io::Error::other(certificate))), ConnectFailure::Certificate);
        assert_eq!(handshake_failure(&io::Error::other(rustls::Error::HandshakeNotComplete)), ConnectFailure::Tls);
        assert_eq!(handshake_failure(&io::Error::from(io::ErrorKind::ConnectionReset)), ConnectFailure::Tls);
    }
}
