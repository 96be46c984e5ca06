//! Tests of the exports `list-shops` and `list-connections`, which read only the storage.

use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_tests::{Stage, customer_id, tenant};

#[tokio::test]
async fn lists_need_no_network_and_no_credentials() {
    let stage = Stage::new();
    let connected = stage.connect("alice", "cross-border").await.unwrap();
    stage.clear_requests();
    let host = stage.host_with(StaticCredentials::new());
    assert_eq!(
        host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap(),
        std::slice::from_ref(&connected)
    );
    assert_eq!(host.list_shops(&tenant(0), &customer_id("alice")).await.unwrap(), connected.shops);
    assert_eq!(stage.fake.requests(), []);
}

#[tokio::test]
async fn a_customer_without_connections_has_empty_lists() {
    let stage = Stage::new();
    assert_eq!(stage.connections("nobody").await, []);
    assert_eq!(stage.host.list_shops(&tenant(0), &customer_id("nobody")).await.unwrap(), []);
}

#[tokio::test]
async fn each_listed_shop_names_its_account() {
    let stage = Stage::new();
    let one = stage.connect("alice", "one-shop").await.unwrap();
    let several = stage.connect("alice", "several-regions").await.unwrap();
    let shops = stage.host.list_shops(&tenant(0), &customer_id("alice")).await.unwrap();
    let shops_of = |account: &_| shops.iter().filter(|shop| &shop.account == account).count();
    assert_eq!((shops_of(&one.key.account), shops_of(&several.key.account)), (1, 3));
    let listed = stage.connections("alice").await;
    assert!(listed.is_sorted_by_key(|connection| connection.key.account.clone()), "ordered by account, in byte order");
}
