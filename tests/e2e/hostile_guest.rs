//! A guest that breaks the rules, in the real host. `tests/hostile-guest` says which orders it takes.

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

/// Small, so that a test that uses them up is quick; many instances, so that no test waits for one.
pub(crate) const LIMITS: Limits = Limits {
    concurrent_calls: 64,
    component_bytes: 4 << 20,
    memory_bytes: 16 << 20,
    table_elements: 20_000,
    hostcall_bytes: 1 << 20,
    handles: 100,
    random_bytes: 4 << 10,
    header_bytes: 16 << 10,
    response_bytes: 64 << 10,
};

/// A resolver that never answers: no request leaves the machine, and none comes to an end by itself.
pub(crate) struct Silent;

#[async_trait::async_trait]
impl Resolver for Silent {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

/// A host of the guest, with a storage of its own. Compiled once per process; [`LIMITS`] hold.
pub(crate) fn builder() -> ConnectorHostBuilder {
    static FIRST: OnceLock<ConnectorHost> = OnceLock::new();
    let first = FIRST.get_or_init(|| alone(LIMITS).build().unwrap());
    parts().component(Component::SharedWith(first.clone()))
}

/// A host of the guest with its own engine, under these limits.
pub(crate) fn alone(limits: Limits) -> ConnectorHostBuilder {
    parts().component(Component::File(xtask::hostile_guest().unwrap())).limits(limits)
}

fn parts() -> ConnectorHostBuilder {
    ConnectorHost::builder()
        .storage(Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO)))))
        .keys(Arc::new(HostKeys::draw().unwrap()))
        .credentials(Arc::new(StaticCredentials::new()))
        .egress(EgressPolicy::production().resolver(Arc::new(Silent)))
}

/// What comes of an order.
pub(crate) async fn obey(host: &ConnectorHost, order: &str) -> Result<String, CallError> {
    host.authorization_url(&tenant(0), order.into()).await
}

/// Which limit ended the call.
pub(crate) fn used_up<T>(outcome: Result<T, CallError>) -> Resource {
    match outcome {
        Err(CallError::Exhausted { resource, .. }) => resource,
        Err(other) => panic!("ended by something else: {other}"),
        Ok(_) => panic!("not ended"),
    }
}
