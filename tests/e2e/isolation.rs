//! Two customers and two tenants never see each other's data, whatever their names look like.

use fake_tiktok_shop::Decision;
use tiktok_shop_host_harness::{Rotation, ShopPolicy};
use tiktok_shop_tests::{STATE, Stage, customer_id, grant, refusal, tenant};

#[tokio::test]
async fn customers_with_look_alike_names_are_strangers() {
    let stage = Stage::new();
    stage.connect("alice", "one-shop").await.unwrap();
    for stranger in ["Alice", "alice ", " alice", "alice\0", "alice/", "alic", "alicе", "alice:one-shop", "bob"] {
        let id = customer_id(stranger);
        assert_eq!(stage.host.list_connections(&tenant(0), &id).await.unwrap(), [], "{stranger:?}");
        assert_eq!(stage.host.list_shops(&tenant(0), &id).await.unwrap(), [], "{stranger:?}");
        let outcome = stage.host.refresh(&tenant(0), &id, None, Rotation::Forced).await;
        assert_eq!(refusal(outcome), ("invalid-request", "not-connected".to_owned()), "{stranger:?}");
    }
}

#[tokio::test]
async fn two_customers_of_one_seller_hold_a_pair_each() {
    let stage = Stage::new();
    let alice = stage.connect("alice", "one-shop").await.unwrap();
    let bob = stage.connect("bob", "one-shop").await.unwrap();
    assert_eq!(alice.key.account, bob.key.account);
    for customer in ["alice", "bob"] {
        stage.refresh(customer, Rotation::Forced).await.unwrap();
        let listed = stage.host.list_connections(&tenant(0), &customer_id(customer)).await.unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0].key.customer, customer_id(customer));
    }
    let spent: Vec<_> = stage
        .fake
        .requests()
        .iter()
        .filter_map(|request| request.parameter("refresh_token").map(str::to_owned))
        .collect();
    assert_eq!(spent.len(), 2);
    assert_ne!(spent[0], spent[1]);
}

#[tokio::test]
async fn tenants_with_the_same_customer_are_strangers() {
    let stage = Stage::new();
    let query = stage.callback_of(1, "several-regions", Some(STATE), Decision::Allow);
    stage.connect("alice", "one-shop").await.unwrap();
    let other = stage.host.connect(&tenant(1), &customer_id("alice"), grant(&query), ShopPolicy::All).await.unwrap();
    let first = stage.host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap();
    let second = stage.host.list_connections(&tenant(1), &customer_id("alice")).await.unwrap();
    assert_eq!((first.len(), first[0].seller_name.as_str()), (1, "Teapot Corner"));
    assert_eq!(second, [other]);
    let requests = stage.fake.requests();
    let keys: std::collections::BTreeSet<_> =
        requests.iter().filter_map(|request| request.parameter("app_key")).collect();
    assert_eq!(keys.len(), 2, "each tenant with its own app");
}

#[tokio::test]
async fn the_code_of_one_tenants_app_is_worth_nothing_to_the_other() {
    let stage = Stage::new();
    let query = stage.callback_of(1, "one-shop", Some(STATE), Decision::Allow);
    let outcome = stage.host.connect(&tenant(0), &customer_id("mallory"), grant(&query), ShopPolicy::All).await;
    assert_eq!(refusal(outcome), ("reauthorize", "authorization-code-spent".to_owned()));
    assert_eq!(stage.host.list_connections(&tenant(0), &customer_id("mallory")).await.unwrap(), []);
}
