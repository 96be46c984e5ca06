//! Opens network connections: resolves the name, ignores addresses that are not public, tries the public addresses
//! until one accepts, and starts TLS. With a proxy, opens a tunnel instead, and starts TLS inside the tunnel.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use rustls::RootCertStore;
use tokio::time::{Instant, timeout, timeout_at};
use tower_service::Service;

use super::address::is_public;
use super::allow::{Authority, HTTPS_PORT};
use super::dial::{ConnectFailure, RouteStream, Stream, connect_failure, dial};
use super::policy::EgressPolicy;
use super::resolver::Resolver;
use super::tls::{production_roots, verified};
use super::tunnel::Tunnel;
use crate::deadlines::Deadlines;

type Connecting<S> = Pin<Box<dyn Future<Output = Result<S, ConnectFailure>> + Send>>;

/// Opens the connections of the shared client. If an authority has a stand-in, connects to the stand-in. Otherwise
/// connects to the authority through TLS.
#[derive(Clone)]
pub(super) struct Connector {
    stand_ins: BTreeMap<Authority, SocketAddr>,
    deadlines: Deadlines,
    /// The address of the proxy, without credentials.
    proxy: Option<Arc<str>>,
    /// The maximum time until `https` has a connection, including its TLS handshake.
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
    /// `route`. Production always uses the same roots, port and address check. Only tests use others. A test can't
    /// change anything else about TLS. Code outside `egress` can't call this function, so no embedder can switch
    /// verification off.
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

/// Opens the stream on which TLS with TikTok Shop runs: a direct connection, or a tunnel through a proxy.
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
                    // The first check has admitted the request, so the host is one of TikTok Shop's two servers.
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
