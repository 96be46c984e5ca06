//! Outbound HTTP of the guest, to TikTok Shop's two production hosts only.
//!
//! Each request passes two checks. The first check reads the text of the request: the scheme must be https, and the
//! authority must be one of two exact names. The second check reads the addresses to which the name resolves, and
//! allows only public addresses. One client, which all instances share, then sends the request under deadlines of its
//! own. It returns redirects and never follows them. URLs contain secrets, so no log line and no error contains a
//! query.
//!
//! This folder uses wasi:http's types for bodies and errors, because these errors tell the guest whether a request was
//! sent.

mod address;
mod allow;
mod connect;
mod exchange;
mod policy;
mod resolver;

pub use self::allow::Authority;
pub(crate) use self::allow::admit;
pub(crate) use self::exchange::Client;
pub use self::policy::{EgressPolicy, NotLoopback};
pub use self::resolver::{Resolver, SystemResolver};

#[cfg(test)]
mod tests;
