//! Gives benchmarks the client that all instances share, so that they can send the same requests without a guest.
//! Exists only with the feature `measurements`.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use async_trait::async_trait;
use http::{Request, Response};
use rustls::RootCertStore;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use super::allow::admit;
use super::connect::{Connector, Route};
use super::dial::Dialer;
use super::exchange::Client;
use super::resolver::Resolver;
use crate::deadlines::Deadlines;
use crate::host::ConnectorHost;
use crate::limits::Limits;

/// The client that sends the requests of all instances. A clone uses the same connections.
#[derive(Clone)]
pub struct PooledClient(Client);

impl PooledClient {
    /// Creates a client for a server at this port of this machine. The server plays both of TikTok Shop's servers over
    /// TLS, and proves their names with certificates of `roots`. All other checks of production stay.
    ///
    /// # Errors
    /// The cryptography that is compiled in offers no TLS version.
    pub fn to_loopback(port: u16, roots: RootCertStore) -> Result<Self, rustls::Error> {
        let deadlines = Deadlines::default();
        let dialer = Dialer {
            resolver: Arc::new(Loopback),
            timeout: deadlines.connect,
            is_allowed: |address| address.is_loopback(),
            port,
        };
        let connector = Connector::with_roots(Route::Direct(dialer), roots, BTreeMap::new(), deadlines)?;
        Ok(Self(Client::with_connector(connector, deadlines, Limits::default().response_bytes)))
    }

    /// Sends a request to TikTok Shop, after the same checks as the request of a guest.
    ///
    /// # Errors
    /// The error that a guest would get.
    pub async fn send(&self, mut request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
        let authority = admit(&mut request)?;
        self.0.send(authority, request, RequestOptions::default()).await.map_err(|error| error.code)
    }
}

impl ConnectorHost {
    /// Returns the client of this host. It uses the same connections as the host's instances.
    #[must_use]
    pub fn pooled_client(&self) -> PooledClient {
        PooledClient(self.sandbox.client.clone())
    }
}

/// Resolves every name to this machine.
struct Loopback;

#[async_trait]
impl Resolver for Loopback {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        Ok(vec![Ipv4Addr::LOCALHOST.into()])
    }
}
