//! Outbound HTTP of the guest: two production hosts, and nothing else.
//!
//! A request passes two layers. The first looks at its text: https and one of two exact authorities. The second looks at
//! the addresses that the name resolves to: only public ones are connected to. Then one client, shared by all instances,
//! sends it under deadlines of its own. Redirects are returned, never followed. URLs hold secrets: no log line and no
//! error carries a query.

mod address;
mod allow;
mod connect;
mod exchange;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use tokio::time::Instant;
use tracing::Instrument as _;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

pub use self::allow::Authority;
use self::allow::admit;
pub use self::connect::{Resolver, SystemResolver};
pub(crate) use self::exchange::Client;

/// Where the guest's requests go.
#[derive(Clone)]
pub struct EgressPolicy {
    resolver: Arc<dyn Resolver>,
    stand_ins: BTreeMap<Authority, SocketAddr>,
}

/// The address given for a local stand-in is not a loopback address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a loopback address")]
pub struct NotLoopback(pub SocketAddr);

impl EgressPolicy {
    /// The two production hosts over https, resolved by the operating system.
    #[must_use]
    pub fn production() -> Self {
        Self { resolver: Arc::new(SystemResolver), stand_ins: BTreeMap::new() }
    }

    /// Resolves with something else. The addresses it gives are checked all the same.
    #[must_use]
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Sends what is meant for this authority to a stand-in on this machine, over plain HTTP/1.1, with the `Host` header
    /// unchanged: for tests and demonstrations. The guest cannot tell. No other way leads past the address check.
    ///
    /// # Errors
    /// [`NotLoopback`]: secrets would leave the machine unencrypted.
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

/// How `wasi:http` hands over the guest's requests.
pub(crate) struct Egress {
    pub(crate) client: Client,
    pub(crate) call_started: Instant,
    /// How far into the call. Later, the call may end before what the token host answers is saved.
    pub(crate) last_token_request: Duration,
}

impl Egress {
    /// Layer 1, and that tokens are not asked for too late. Both errors say that nothing was sent.
    fn admit(&self, request: &mut Request<WasiBody>) -> Result<Authority, Error> {
        let authority =
            admit(request).inspect_err(|refusal| tracing::warn!("request denied by the egress policy: {refusal}"))?;
        if authority == Authority::Auth && self.call_started.elapsed() > self.last_token_request {
            tracing::warn!(host = authority.host(), "not sent: too little of the call is left to save the answer");
            return Err(Error::ConnectionTimeout);
        }
        Ok(authority)
    }
}

/// Boxed as [`WasiHttpHooks`] wants it. The second value of the result would report errors after the response.
type Sending = Box<
    dyn Future<Output = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>> + Send,
>;

impl WasiHttpHooks for Egress {
    /// Every scheme passes here, and all but https are denied with the other reasons: an unsupported one would reach the
    /// guest as a protocol error, which does not say that nothing was sent.
    fn is_supported_scheme(&mut self, _: &http::uri::Scheme) -> bool {
        true
    }

    /// The client sets it, from the authority that was checked.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _after_response: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Sending {
        let admitted = self.admit(&mut request);
        let client = self.client.clone();
        let sending = async move {
            let response = client.send(admitted?, request, options.unwrap_or_default()).await?;
            let done: Box<dyn Future<Output = _> + Send> = Box::new(std::future::ready(Ok(())));
            Ok((response, done))
        };
        // Run on a task of its own: its log lines are still the call's.
        Box::new(sending.in_current_span())
    }
}

#[cfg(test)]
mod tests;
