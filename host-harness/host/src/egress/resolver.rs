//! Resolves host names.

use std::io;
use std::net::IpAddr;

use async_trait::async_trait;

use super::allow::HTTPS_PORT;

/// Resolves host names to addresses.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// Returns the addresses of this name. The host tries the addresses in the returned order.
    ///
    /// # Errors
    /// The name has no address, or can't be resolved now.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(tokio::net::lookup_host((host, HTTPS_PORT)).await?.map(|address| address.ip()).collect())
    }
}
