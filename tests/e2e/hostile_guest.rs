//! Runs the hostile guest in the real host. `tests/hostile-guest` lists the orders that the guest follows.

use std::io;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_host::egress::{EgressPolicy, Resolver};
use tiktok_shop_host::error::Resource;
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::seal::HostKeys;
use tiktok_shop_host::storage::MemoryStorage;
use tiktok_shop_host::{CallError, Component, ConnectorHost, ConnectorHostBuilder};
use tiktok_shop_tests::tenant;

/// The limits of the hosts. They are small, so that a test reaches them quickly. Only the number of calls at the same
/// time is large, also for one tenant, so that no test waits for a free instance.
pub(crate) const LIMITS: Limits = Limits {
    concurrent_calls: 64,
    concurrent_webhooks: 8,
    tenant_percent: 100,
    webhook_body_bytes: 64 << 10,
    component_bytes: 4 << 20,
    memory_bytes: 16 << 20,
    table_elements: 20_000,
    hostcall_bytes: 1 << 20,
    handles: 100,
    random_bytes: 4 << 10,
    header_bytes: 16 << 10,
    response_bytes: 64 << 10,
};

/// A resolver that never answers. So no request leaves the machine, and no request ends by itself.
pub(crate) struct NoResolver;

#[async_trait::async_trait]
impl Resolver for NoResolver {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

/// Returns the builder of a host with the hostile guest, a separate storage, and [`LIMITS`]. The guest is compiled once
/// per process.
pub(crate) fn builder() -> ConnectorHostBuilder {
    static FIRST: OnceLock<ConnectorHost> = OnceLock::new();
    let first = FIRST.get_or_init(|| with_own_engine(LIMITS).build().unwrap());
    parts().component(Component::SharedWith(first.clone()))
}

/// Returns the builder of a host with the hostile guest, a separate engine, and these limits.
pub(crate) fn with_own_engine(limits: Limits) -> ConnectorHostBuilder {
    parts().component(Component::File(xtask::hostile_guest().unwrap())).limits(limits)
}

fn parts() -> ConnectorHostBuilder {
    ConnectorHost::builder()
        .storage(Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO)))))
        .keys(Arc::new(HostKeys::draw().unwrap()))
        .credentials(Arc::new(StaticCredentials::new()))
        .egress(EgressPolicy::production().resolver(Arc::new(NoResolver)))
}

/// Gives the guest an order and returns its answer. The order is passed as the argument of `authorization_url`, and the
/// guest answers in place of the URL.
pub(crate) async fn obey(host: &ConnectorHost, order: &str) -> Result<String, CallError> {
    host.authorization_url(&tenant(0), None, order.into()).await.map(|answer| answer.expose().to_owned())
}

/// Returns the limit that ended the call. Panics if no limit ended it.
pub(crate) fn exhausted<T>(outcome: Result<T, CallError>) -> Resource {
    match outcome {
        Err(CallError::Exhausted { resource, .. }) => resource,
        Err(other) => panic!("the call ended otherwise: {other}"),
        Ok(_) => panic!("no limit ended the call"),
    }
}
