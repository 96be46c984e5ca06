//! Outbound HTTP of the guest, to TikTok Shop's two production hosts only.
//!
//! Each request passes two checks. The first one reads its text: the scheme must be https, and the authority one of two
//! exact names. The second one reads the addresses to which the name resolves, and allows only public addresses. One
//! client, which all instances share, then sends the request under deadlines of its own. It returns redirects and never
//! follows them. URLs contain secrets, so no log line and no error contains a query.
//!
//! This folder names wasi:http's types for bodies and errors, because its errors tell the guest whether a request was
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
