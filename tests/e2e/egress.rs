//! Tests of the egress: the part of the connector host through which the guest reaches the network. A guest reaches
//! only TikTok Shop's two network hosts, and only at public addresses.

mod deadlines;
mod hostile;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use fake_tiktok_shop::Decision;
use tiktok_shop_host::connection::ShopPolicy;
use tiktok_shop_host::egress::{EgressPolicy, Resolver};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_host::storage::Environment;
use tiktok_shop_tests::{Stage, customer_id, grant, refusal, tenant};

/// A resolver that resolves every name to the same address and records the names.
struct OneAddress {
    address: IpAddr,
    asked: Mutex<Vec<String>>,
}

impl OneAddress {
    fn new(address: IpAddr) -> Arc<Self> {
        Arc::new(Self { address, asked: Mutex::default() })
    }

    /// Returns the names that were resolved since the last call of this function.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[async_trait::async_trait]
impl Resolver for OneAddress {
    async fn resolve(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        Ok(vec![self.address])
    }
}

#[tokio::test]
async fn a_production_name_that_resolves_to_an_internal_address_is_denied() {
    for address in [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        "::1".parse().unwrap(),
        "::ffff:127.0.0.1".parse().unwrap(),
    ] {
        let stage = Stage::new();
        let resolver = OneAddress::new(address);
        let policy = EgressPolicy::production().resolver(Arc::clone(&resolver) as Arc<_>);
        let host = stage.host_builder().egress(policy).build().unwrap();
        let query = stage.callback("one-shop", Decision::Allow);
        let outcome = host.connect(&tenant(0), &customer_id("alice"), None, grant(&query), ShopPolicy::All).await;
        assert_eq!(refusal(outcome), ("misconfigured", "egress-denied".to_owned()), "{address}");
        assert_eq!(resolver.asked(), ["auth.tiktok-shops.com"]);
        assert_eq!(stage.fake.requests(), []);
    }
}

#[tokio::test]
async fn a_host_with_a_stand_in_sends_nothing_if_its_storage_belongs_to_tiktok_shop() {
    let stage = Stage::new();
    assert_eq!(stage.storage.belongs_to(Environment::TikTokShop).await, Ok(true));
    let outcome = stage.connect("alice", "one-shop").await;
    assert_eq!(refusal(outcome), ("misconfigured", "credentials-refused".to_owned()));
    assert_eq!(stage.fake.requests(), []);
}

#[tokio::test]
async fn a_host_without_a_stand_in_sends_nothing_if_its_storage_belongs_to_a_fake() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    let resolver = OneAddress::new(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let policy = EgressPolicy::production().resolver(Arc::clone(&resolver) as Arc<_>);
    let host = stage.host_builder().egress(policy).build().unwrap();
    let outcome = host.refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::Forced).await;
    assert_eq!(refusal(outcome), ("misconfigured", "credentials-refused".to_owned()));
    assert_eq!(resolver.asked(), [""; 0]);
    stage.refresh("alice", RefreshMode::Forced).await.unwrap();
}

#[tokio::test]
async fn the_shipped_component_requests_only_two_authorities() {
    let stage = Stage::new();
    stage.connect("alice", "cross-border").await.unwrap();
    stage.refresh("alice", RefreshMode::Forced).await.unwrap();
    let hosts: std::collections::BTreeSet<_> = stage.fake.requests().into_iter().map(|request| request.host).collect();
    assert_eq!(hosts, ["auth.tiktok-shops.com", "open-api.tiktokglobalshop.com"].map(str::to_owned).into());
}

#[tokio::test]
async fn each_host_gets_only_the_secrets_that_it_needs() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    stage.refresh("alice", RefreshMode::Forced).await.unwrap();
    for request in stage.fake.requests() {
        let names: Vec<_> = request.query.iter().map(|(name, _)| name.as_str()).collect();
        if request.host == "open-api.tiktokglobalshop.com" {
            assert_eq!(names, ["app_key", "timestamp", "sign"]);
            assert!(request.header("x-tts-access-token").is_some());
        } else {
            assert!(names.contains(&"app_secret"));
            assert_eq!(request.header("x-tts-access-token"), None);
        }
    }
}
