//! Lets an embedder choose the resolver of host names, a forward proxy, and stand-ins for TikTok Shop's servers in
//! tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::allow::Authority;
use super::proxy::Proxy;
use super::resolver::{Resolver, SystemResolver};
use crate::storage::Environment;

/// Decides to which servers the guest's requests go, whether they go through a forward proxy, and how host names are
/// resolved.
#[derive(Clone)]
pub struct EgressPolicy {
    pub(super) resolver: Arc<dyn Resolver>,
    pub(super) stand_ins: BTreeMap<Authority, SocketAddr>,
    pub(super) proxy: Option<Proxy>,
}

/// The error for a stand-in whose address is not a loopback address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a loopback address")]
pub struct NotLoopback(pub SocketAddr);

impl EgressPolicy {
    /// Allows TikTok Shop's two production servers over https. The operating system resolves their names. No proxy is
    /// used, whatever the environment variables say.
    #[must_use]
    pub fn production() -> Self {
        Self { resolver: Arc::new(SystemResolver), stand_ins: BTreeMap::new(), proxy: None }
    }

    /// Resolves names with this resolver. The host checks the addresses that the resolver returns, as usual.
    #[must_use]
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Sends all requests to TikTok Shop through this forward proxy. The proxy is asked for tunnels to TikTok Shop's
    /// two names at port 443, and for nothing else. TLS with TikTok Shop runs inside the tunnel, and the server's
    /// certificate must prove TikTok Shop's name. So the proxy sees neither requests nor answers.
    ///
    /// The proxy resolves TikTok Shop's names, and the host does not. So the check that a name has a public address is
    /// left to the proxy. The resolver of this policy resolves only the proxy's own name, which may have a private
    /// address.
    ///
    /// A connection through the proxy may take longer. [`Deadlines::connect`](crate::deadlines::Deadlines::connect)
    /// applies twice: first to the connection to the proxy, and then until the proxy has opened the tunnel.
    /// [`Deadlines::tls`](crate::deadlines::Deadlines::tls) applies to each TLS handshake. If the proxy gives no
    /// tunnel, nothing was sent to TikTok Shop. The error names the proxy and the reason:
    /// [`ConnectorError::proxy_error`](crate::error::ConnectorError::proxy_error). Requests to a stand-in do not go
    /// through the proxy.
    ///
    /// The host closes a tunnel that is idle for 20 seconds. Configure the proxy to keep idle tunnels for longer, for
    /// example for one minute. Otherwise the proxy may close a tunnel while a request is on its way.
    #[must_use]
    pub fn proxy(mut self, proxy: Proxy) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Sends requests for this authority to a stand-in on this machine, over plain HTTP/1.1 and with an unchanged
    /// `Host` header. Use this function for tests and demonstrations. The guest can't notice the stand-in. Only
    /// requests to a stand-in bypass the address check.
    ///
    /// A stand-in gets what TikTok Shop would get: app secrets, codes and tokens. So give a host with a stand-in its
    /// own provider of credentials and its own storage. If the storage
    /// [belongs](crate::storage::TokenStorage::belongs_to) to TikTok Shop, the host refuses every call that would send
    /// a request.
    ///
    /// # Errors
    /// [`NotLoopback`] if the address is not a loopback address, because secrets would leave the machine unencrypted.
    pub fn stand_in(mut self, authority: Authority, address: SocketAddr) -> Result<Self, NotLoopback> {
        if !address.ip().is_loopback() {
            return Err(NotLoopback(address));
        }
        self.stand_ins.insert(authority, address);
        Ok(self)
    }

    /// Returns the environment to which the storage of a host with this policy must belong.
    pub(crate) fn environment(&self) -> Environment {
        if self.stand_ins.is_empty() { Environment::TikTokShop } else { Environment::Fake }
    }
}

impl Default for EgressPolicy {
    fn default() -> Self {
        Self::production()
    }
}

impl std::fmt::Debug for EgressPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EgressPolicy")
            .field("stand_ins", &self.stand_ins)
            .field("proxy", &self.proxy)
            .finish_non_exhaustive()
    }
}
