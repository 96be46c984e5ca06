//! Outbound HTTP of the guest, to TikTok Shop's two production hosts only.
//!
//! Each request passes two checks. The first one reads its text: the scheme must be https, and the authority one of two exact
//! names. The second one reads the addresses to which the name resolves, and allows only public addresses. One client, which
//! all instances share, then sends the request under deadlines of its own. It returns redirects and never follows them. URLs
//! contain secrets, so no log line and no error contains a query.
//!
//! This folder names wasi:http's types for bodies and errors, because its errors tell the guest whether a request was sent.

mod address;
mod allow;
mod connect;
mod exchange;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

pub use self::allow::Authority;
pub(crate) use self::allow::admit;
pub use self::connect::{Resolver, SystemResolver};
pub(crate) use self::exchange::Client;

/// The hosts to which the guest's requests go, and how their names are resolved.
#[derive(Clone)]
pub struct EgressPolicy {
    resolver: Arc<dyn Resolver>,
    stand_ins: BTreeMap<Authority, SocketAddr>,
}

/// The error for a stand-in whose address is not a loopback address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a loopback address")]
pub struct NotLoopback(pub SocketAddr);

impl EgressPolicy {
    /// Allows TikTok Shop's two production hosts over https. The operating system resolves their names.
    #[must_use]
    pub fn production() -> Self {
        Self { resolver: Arc::new(SystemResolver), stand_ins: BTreeMap::new() }
    }

    /// Resolves names with this resolver. The addresses that it returns are checked as usual.
    #[must_use]
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Sends requests for this authority to a stand-in on this machine, over plain HTTP/1.1 and with an unchanged `Host` header.
    /// Use it for tests and demonstrations. The guest can't notice it. Nothing else bypasses the address check.
    ///
    /// # Errors
    /// [`NotLoopback`] for any other address, because secrets would leave the machine unencrypted.
    pub fn stand_in(mut self, authority: Authority, address: SocketAddr) -> Result<Self, NotLoopback> {
        if !address.ip().is_loopback() {
            return Err(NotLoopback(address));
        }
        self.stand_ins.insert(authority, address);
        Ok(self)
    }
}

impl Default for EgressPolicy {
    fn default() -> Self {
        Self::production()
    }
}

impl std::fmt::Debug for EgressPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EgressPolicy").field("stand_ins", &self.stand_ins).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
