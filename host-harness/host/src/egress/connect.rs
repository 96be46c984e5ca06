//! Layer 2: resolves, drops what is not public, connects to what is left, and shakes hands.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tower_service::Service;
use wasmtime_wasi_http::Error;

use super::address::is_public;
use super::allow::Authority;

/// Finds the addresses of a host name.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// The addresses of this name, best first.
    ///
    /// # Errors
    /// The name has none, or cannot be resolved now.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, HTTPS_PORT)).await?.map(|address| address.ip()).collect())
    }
}

const HTTPS_PORT: u16 = 443;

/// Why there is no connection. In each of these cases no byte of the request was sent.
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
}

impl From<ConnectFailure> for Error {
    fn from(failure: ConnectFailure) -> Self {
        match failure {
            ConnectFailure::ResolveTimeout => Self::DnsTimeout,
            ConnectFailure::Resolve => Self::DnsError { rcode: None, info_code: None },
            ConnectFailure::NoPublicAddress => Self::DestinationIpProhibited,
            ConnectFailure::Timeout | ConnectFailure::TlsTimeout => Self::ConnectionTimeout,
            ConnectFailure::Refused => Self::ConnectionRefused,
            // `TlsProtocolError` could also come later, and would not say that nothing was sent.
            ConnectFailure::Unreachable | ConnectFailure::Tls => Self::DestinationUnavailable,
            ConnectFailure::Certificate => Self::TlsCertificateError,
        }
    }
}

/// The certificate authorities that Mozilla trusts, as compiled in: nothing of this machine adds one.
pub(super) fn production_roots() -> RootCertStore {
    RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned())
}

type Stream = TokioIo<TcpStream>;
type Connecting<S> = Pin<Box<dyn Future<Output = Result<S, ConnectFailure>> + Send>>;

/// Connects the shared client: to a stand-in where there is one, else through TLS.
#[derive(Clone)]
pub(super) struct Connector {
    stand_ins: BTreeMap<Authority, SocketAddr>,
    connect: Duration,
    tls: Duration,
    https: HttpsConnector<Dialer>,
}

impl Connector {
    /// # Errors
    /// The cryptography that is compiled in offers no TLS version.
    pub(super) fn new(
        resolver: Arc<dyn Resolver>,
        stand_ins: BTreeMap<Authority, SocketAddr>,
        connect: Duration,
        tls: Duration,
    ) -> Result<Self, rustls::Error> {
        let dialer = Dialer { resolver, limit: connect, admits: is_public, port: HTTPS_PORT };
        Self::over(dialer, production_roots(), stand_ins, connect, tls)
    }

    /// With roots of trust, port and address check of a test. Nothing else about TLS can be chosen, not even here, and none
    /// of it outside this module: no embedder can switch verification off.
    pub(super) fn over(
        dialer: Dialer,
        roots: RootCertStore,
        stand_ins: BTreeMap<Authority, SocketAddr>,
        connect: Duration,
        tls: Duration,
    ) -> Result<Self, rustls::Error> {
        let verified = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(verified)
            .https_only()
            .enable_all_versions()
            .wrap_connector(dialer);
        Ok(Self { stand_ins, connect, tls, https })
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<Stream>;
    type Error = ConnectFailure;
    type Future = Connecting<Self::Response>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let stand_in = uri.host().and_then(Authority::of).and_then(|authority| self.stand_ins.get(&authority));
        if let Some(&address) = stand_in {
            let end = Instant::now() + self.connect;
            return Box::pin(async move { dial(&[address], end).await.map(MaybeHttpsStream::Http) });
        }
        // The dialer bounds its own part, so that what is late here is the handshake.
        let limit = self.connect + self.tls;
        let connecting = self.https.call(uri);
        Box::pin(async move {
            match timeout(limit, connecting).await {
                Ok(connected) => connected.map_err(|error| failure(&*error)),
                Err(_late) => Err(ConnectFailure::TlsTimeout),
            }
        })
    }
}

/// Opens TCP connections to checked addresses.
#[derive(Clone)]
pub(super) struct Dialer {
    pub(super) resolver: Arc<dyn Resolver>,
    /// For resolving and connecting together.
    pub(super) limit: Duration,
    pub(super) admits: fn(IpAddr) -> bool,
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
        let Self { resolver, limit, admits, port } = self.clone();
        Box::pin(async move {
            let end = Instant::now() + limit;
            let host = uri.host().unwrap_or_default();
            let resolved = timeout_at(end, resolver.resolve(host))
                .await
                .map_err(|_late| ConnectFailure::ResolveTimeout)?
                .map_err(|_| ConnectFailure::Resolve)?;
            let addresses: Vec<_> =
                resolved.into_iter().filter(|ip| admits(*ip)).map(|ip| SocketAddr::new(ip, port)).collect();
            dial(&addresses, end).await
        })
    }
}

/// Connects to the first address that answers. Each gets an equal share of the time left, so that one which swallows
/// packets does not cost the others theirs.
async fn dial(addresses: &[SocketAddr], end: Instant) -> Result<Stream, ConnectFailure> {
    let mut failure = ConnectFailure::NoPublicAddress;
    for (address, untried) in addresses.iter().zip((1..=addresses.len()).rev()) {
        let left = end.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(untried).unwrap_or(u32::MAX);
        failure = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are small and answered one by one; a failure here only costs time.
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

/// What went wrong below `hyper-rustls`, which wraps the handshake's errors in I/O errors.
fn failure(error: &(dyn std::error::Error + 'static)) -> ConnectFailure {
    if let Some(failure) = error.downcast_ref::<ConnectFailure>() {
        return *failure;
    }
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref::<rustls::Error>() {
        return ConnectFailure::Certificate;
    }
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => failure(inner),
        None => ConnectFailure::Tls,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// An address that swallows packets: what is listened to there is not accepted, and no more fits the queue.
    async fn black_hole() -> (SocketAddr, (TcpListener, Vec<TcpStream>)) {
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
    async fn an_address_that_swallows_packets_costs_the_deadline_and_no_more() {
        let (address, _held) = black_hole().await;
        let started = Instant::now();
        let outcome = dial(&[address], started + Duration::from_secs(5)).await;
        assert_eq!(outcome.err(), Some(ConnectFailure::Timeout));
        assert_eq!(started.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_swallows_packets_leaves_the_next_ones_their_share() {
        let (address, _held) = black_hole().await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let started = Instant::now();
        let both = [address, listener.local_addr().unwrap()];
        let stream = dial(&both, started + Duration::from_secs(5)).await.unwrap();
        assert_eq!(stream.inner().peer_addr().unwrap(), both[1]);
        assert_eq!(started.elapsed().as_millis(), 2_500);
    }

    #[test]
    fn every_failure_to_connect_is_an_error_that_says_nothing_was_sent() {
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
    fn a_certificate_that_is_not_accepted_is_told_from_a_handshake_that_fails() {
        let certificate = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        assert_eq!(failure(&io::Error::other(io::Error::other(certificate))), ConnectFailure::Certificate);
        assert_eq!(failure(&io::Error::other(rustls::Error::HandshakeNotComplete)), ConnectFailure::Tls);
        assert_eq!(failure(&io::Error::from(io::ErrorKind::ConnectionReset)), ConnectFailure::Tls);
        assert_eq!(failure(&io::Error::other(ConnectFailure::Refused)), ConnectFailure::Refused);
    }
}
