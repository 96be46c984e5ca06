//! Opens network connections: resolves the name, ignores addresses that are not public, tries the public addresses
//! until one accepts, and starts TLS. With a proxy, opens a tunnel instead, and starts TLS inside the tunnel.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper_rustls::MaybeHttpsStream;
use rustls::RootCertStore;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::address::is_public;
use super::allow::{Authority, HTTPS_PORT};
use super::connection::Stream;
use super::dial::{ConnectFailure, Dialer, dial, start_tls};
use super::policy::EgressPolicy;
use super::tls::{production_roots, verified};
use super::tunnel::Tunnel;
use crate::deadlines::Deadlines;

/// Opens the connections of the shared client. If an authority has a stand-in, connects to the stand-in. Otherwise
/// connects to the authority through TLS.
#[derive(Clone)]
pub(super) struct Connector {
    stand_ins: BTreeMap<Authority, SocketAddr>,
    deadlines: Deadlines,
    route: Route,
    /// TLS with TikTok Shop.
    tls: TlsConnector,
}

/// The way to TikTok Shop: a direct connection, or a tunnel through a proxy.
#[derive(Clone)]
pub(super) enum Route {
    Direct(Dialer),
    Proxy(Tunnel),
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
    /// `route`. Production always uses the same roots, port and address check. Only tests and benchmarks use others.
    /// They can't change anything else about TLS. Code outside `egress` can't call this function, so no embedder can
    /// switch verification off.
    pub(super) fn with_roots(
        route: Route,
        roots: RootCertStore,
        stand_ins: BTreeMap<Authority, SocketAddr>,
        deadlines: Deadlines,
    ) -> Result<Self, rustls::Error> {
        let mut config = verified(roots)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { stand_ins, deadlines, route, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Returns the address of the proxy, without credentials.
    pub(super) fn proxy(&self) -> Option<Arc<str>> {
        match &self.route {
            Route::Direct(_) => None,
            Route::Proxy(tunnel) => Some(tunnel.proxy_name()),
        }
    }

    /// Connects to a server of TikTok Shop. Every step on the way has a deadline of its own: to connect to the server
    /// or the proxy, TLS with the proxy, to open the tunnel, and TLS with TikTok Shop.
    pub(super) async fn connect(&self, authority: Authority) -> Result<Stream, ConnectFailure> {
        let Deadlines { connect, tls, .. } = self.deadlines;
        if let Some(&address) = self.stand_ins.get(&authority) {
            let stream = dial(&[address], Instant::now() + connect).await?;
            return Ok(MaybeHttpsStream::Http(MaybeHttpsStream::Http(stream)));
        }
        let host = authority.host();
        match &self.route {
            Route::Direct(dialer) => {
                let stream = MaybeHttpsStream::Http(dialer.dial(host).await?);
                start_tls(&self.tls, host, stream, tls).await
            }
            Route::Proxy(tunnel) => {
                let stream = tunnel.open(authority).await.map_err(ConnectFailure::Proxy)?;
                start_tls(&self.tls, host, stream, tls).await.map_err(ConnectFailure::in_tunnel)
            }
        }
    }
}
