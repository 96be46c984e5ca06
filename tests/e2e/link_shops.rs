//! `link-shops`, and the two shapes of a platform: one shop per customer, or several.

use tiktok_shop_host::ShopId;
use tiktok_shop_host::call::{CallRequest, CallScope, HttpMethod};
use tiktok_shop_host::connection::{Connection, ShopPolicy};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_tests::{Stage, customer_id, grant, refusal, tenant};

const ORDERS: &str = "/order/202309/orders/search";

fn linked(connection: &Connection) -> Vec<&str> {
    connection.shops.iter().filter(|shop| shop.linked).map(|shop| shop.region.as_str()).collect()
}

async fn connect(stage: &Stage, seller: &str, policy: ShopPolicy) -> Connection {
    let query = stage.callback(seller, fake_tiktok_shop::Decision::Allow);
    stage.host.connect(&tenant(0), &customer_id("alice"), grant(&query), policy).await.unwrap()
}

async fn link(stage: &Stage, shops: &[ShopId]) -> Connection {
    stage.host.link_shops(&tenant(0), &customer_id("alice"), None, shops).await.unwrap()
}

/// How TikTok and the connector take a search in the name of a shop.
async fn searched(stage: &Stage, shop: &ShopId) -> String {
    let request = CallRequest::new(CallScope::Shop(shop.clone()), HttpMethod::Post, ORDERS).query("page_size", "2");
    match stage.host.call(&tenant(0), &customer_id("alice"), request.json("{}")).await {
        Ok(response) => format!("answered {}", response.code.unwrap_or_default()),
        error => refusal(error).1,
    }
}

#[tokio::test]
async fn a_platform_for_one_shop_lets_the_customer_choose_it() {
    let stage = Stage::new();
    let connection = connect(&stage, "several-regions", ShopPolicy::ExactlyOne).await;
    assert_eq!(linked(&connection), [""; 0], "several: none is used before one is chosen");
    let [german, french, _] = &connection.shops[..] else { panic!("three shops") };
    assert_eq!(searched(&stage, &german.id).await, "shop-not-linked");

    stage.clear_requests();
    let chosen = link(&stage, std::slice::from_ref(&german.id)).await;
    assert_eq!(linked(&chosen), ["DE"]);
    assert_eq!(stage.fake.requests(), [], "no network");
    assert_eq!(searched(&stage, &german.id).await, "answered 0");
    assert_eq!(searched(&stage, &french.id).await, "shop-not-linked");

    assert_eq!(linked(&link(&stage, std::slice::from_ref(&french.id)).await), ["FR"]);
    let shops = stage.host.list_shops(&tenant(0), &customer_id("alice")).await.unwrap();
    assert_eq!(shops.iter().map(|shop| shop.region.as_str()).collect::<Vec<_>>(), ["FR"]);
}

#[tokio::test]
async fn a_platform_for_one_shop_needs_no_choice_where_there_is_one() {
    let stage = Stage::new();
    assert_eq!(linked(&connect(&stage, "one-shop", ShopPolicy::ExactlyOne).await), ["GB"]);
}

#[tokio::test]
async fn a_platform_for_several_shops_uses_all_of_them_each_with_its_cipher() {
    let stage = Stage::new();
    let connection = connect(&stage, "cross-border", ShopPolicy::All).await;
    assert_eq!(linked(&connection), ["GB", "US", "MY", "TH", "VN"]);
    for shop in &connection.shops {
        assert_eq!(searched(&stage, &shop.id).await, "answered 0", "{}", shop.region);
    }
}

#[tokio::test]
async fn the_choice_outlives_refreshes_and_is_the_same_on_every_host() {
    let stage = Stage::new();
    let connection = connect(&stage, "cross-border", ShopPolicy::All).await;
    link(&stage, &[connection.shops[1].id.clone(), connection.shops[4].id.clone()]).await;
    let other = stage.host_builder().build().unwrap();
    let refreshed = other.refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::Forced).await.unwrap();
    assert_eq!(linked(&refreshed), ["US", "VN"]);
    assert_eq!(linked(&link(&stage, &[]).await), [""; 0], "none is allowed");
    assert_eq!(linked(&stage.refresh("alice", RefreshMode::Forced).await.unwrap()), [""; 0], "and keeps the tokens");
}

#[tokio::test]
async fn a_shop_of_somebody_else_cannot_be_linked() {
    let stage = Stage::new();
    let theirs = stage.connect("bob", "cross-border").await.unwrap().shops.remove(0).id;
    connect(&stage, "one-shop", ShopPolicy::All).await;
    let outcome = stage.host.link_shops(&tenant(0), &customer_id("alice"), None, &[theirs]).await;
    assert_eq!(refusal(outcome), ("invalid-request", "unknown-shop".to_owned()));
    let row = stage.host.list_connections(&tenant(0), &customer_id("alice")).await.unwrap().remove(0);
    assert_eq!(linked(&row), ["GB"]);
    let outcome = stage.host.link_shops(&tenant(0), &customer_id("carol"), None, &[]).await;
    assert_eq!(refusal(outcome), ("invalid-request", "not-connected".to_owned()));
}
