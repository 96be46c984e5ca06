//! The host in front of the shipped component: nothing but TikTok Shop's two hosts, and not even those where the policy
//! does not lead there.

mod deadlines;
mod hostile;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use fake_tiktok_shop::Decision;
use tiktok_shop_host::connection::ShopPolicy;
use tiktok_shop_host::egress::{EgressPolicy, Resolver};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_tests::{Stage, customer_id, grant, refusal, tenant};

/// Resolves every name to the same addresses and notes which it was asked for.
#[derive(Default)]
struct Leads {
    to: Vec<IpAddr>,
    asked: Mutex<Vec<String>>,
}

impl Leads {
    fn to(address: IpAddr) -> Arc<Self> {
        Arc::new(Self { to: vec![address], asked: Mutex::default() })
    }

    /// The names since the last time.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

#[async_trait::async_trait]
impl Resolver for Leads {
    async fn resolve(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        Ok(self.to.clone())
    }
}

#[tokio::test]
async fn production_names_that_resolve_to_this_machine_or_its_neighbours_are_denied() {
    for to in [
        IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)),
        "::1".parse().unwrap(),
        "::ffff:127.0.0.1".parse().unwrap(),
    ] {
        let stage = Stage::new();
        let resolver = Leads::to(to);
        let policy = EgressPolicy::production().resolver(Arc::clone(&resolver) as Arc<_>);
        let host = stage.host_builder().egress(policy).build().unwrap();
        let query = stage.callback("one-shop", Decision::Allow);
        let outcome = host.connect(&tenant(0), &customer_id("alice"), grant(&query), ShopPolicy::All).await;
        assert_eq!(refusal(outcome), ("misconfigured", "egress-denied".to_owned()), "{to}");
        assert_eq!(resolver.asked(), ["auth.tiktok-shops.com"]);
        assert_eq!(stage.fake.requests(), []);
    }
}

#[tokio::test]
async fn the_shipped_component_asks_for_two_authorities_and_no_other() {
    let stage = Stage::new();
    stage.connect("alice", "cross-border").await.unwrap();
    stage.refresh("alice", RefreshMode::Forced).await.unwrap();
    let hosts: std::collections::BTreeSet<_> = stage.fake.requests().into_iter().map(|request| request.host).collect();
    assert_eq!(hosts, ["auth.tiktok-shops.com", "open-api.tiktokglobalshop.com"].map(str::to_owned).into());
}

#[tokio::test]
async fn each_secret_goes_only_where_it_belongs() {
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
