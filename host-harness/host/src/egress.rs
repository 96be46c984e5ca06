//! Sends the guest's HTTP requests to TikTok Shop's two production servers, and to no other server.
//!
//! Each request passes two checks. The first check looks at the scheme, which must be https, the method, and the
//! authority, which must be one of two exact names. The second check looks at the addresses to which the name resolves,
//! and allows only public addresses. With a forward proxy, the host can't make the second check, because the proxy
//! resolves the name. Then only the certificate proves the name, in TLS inside the proxy's tunnel. All instances share
//! one client, which then sends the request under the host's deadlines. The client returns a redirect to the guest, and
//! never follows it. URLs contain secrets, so no log line and no error contains a query.
//!
//! This folder uses wasi:http's types for bodies and errors, because these errors tell the guest whether a request was
//! sent.

mod address;
mod allow;
mod coding;
mod connect;
mod connection;
mod dial;
mod exchange;
#[cfg(feature = "measurements")]
mod measured;
mod policy;
mod pool;
mod proxy;
mod proxy_error;
mod resolver;
mod tls;
mod tunnel;

pub use self::allow::Authority;
pub(crate) use self::allow::admit;
pub(crate) use self::exchange::{Client, MAX_REQUEST_BODY_BYTES, SendError};
#[cfg(feature = "measurements")]
pub use self::measured::PooledClient;
pub use self::policy::{EgressPolicy, NotLoopback};
pub use self::proxy::{InvalidProxy, Proxy};
pub(crate) use self::proxy_error::LastProxyError;
pub use self::proxy_error::{ProxyError, ProxyFailure};
pub use self::resolver::{Resolver, SystemResolver};

#[cfg(test)]
mod tests;
