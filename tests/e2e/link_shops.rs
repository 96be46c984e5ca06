//! Tests of the export `link-shops`, on platforms with one shop per customer and on platforms with several shops per
//! customer.

use fake_tiktok_shop::Decision;
use tiktok_shop_host::ShopId;
use tiktok_shop_host::connection::{Connection, ShopPolicy};
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_tests::{Stage, customer_id, order_search, refusal, tenant};

/// Returns the regions of the linked shops.
fn linked(connection: &Connection) -> Vec<&str> {
    connection.shops.iter().filter(|shop| shop.linked).map(|shop| shop.region.as_str()).collect()
}

async fn connect(stage: &Stage, seller: &str, policy: ShopPolicy) -> Connection {
    stage.connect_with("alice", &stage.callback(seller, Decision::Allow), policy).await.unwrap()
}

async fn link(stage: &Stage, shops: &[ShopId]) -> Connection {
    stage.host.link_shops(&tenant(0), &customer_id("alice"), None, shops).await.unwrap()
}

/// Searches the orders of a shop. Returns `answered` and TikTok's code, or the code of the connector's error.
async fn search(stage: &Stage, shop: &ShopId) -> String {
    match stage.host.call(&tenant(0), &customer_id("alice"), order_search(shop)).await {
        Ok(response) => format!("answered {}", response.code.unwrap_or_default()),
        error => refusal(error).1,
    }
}

#[tokio::test]
async fn on_a_platform_for_one_shop_the_customer_chooses_one_of_several() {
    let stage = Stage::new();
    let connection = connect(&stage, "several-regions", ShopPolicy::ExactlyOne).await;
    assert_eq!(linked(&connection), [""; 0], "no shop is linked before the customer chooses one");
    let [german, french, _] = &connection.shops[..] else { panic!("three shops") };
    assert_eq!(search(&stage, &german.id).await, "shop-not-linked");

    stage.clear_requests();
    let chosen = link(&stage, std::slice::from_ref(&german.id)).await;
    assert_eq!(linked(&chosen), ["DE"]);
    assert_eq!(stage.fake.requests(), [], "no request is sent");
    assert_eq!(search(&stage, &german.id).await, "answered 0");
    assert_eq!(search(&stage, &french.id).await, "shop-not-linked");

    assert_eq!(linked(&link(&stage, std::slice::from_ref(&french.id)).await), ["FR"]);
    let shops = stage.host.list_shops(&tenant(0), &customer_id("alice")).await.unwrap();
    assert_eq!(shops.iter().map(|shop| shop.region.as_str()).collect::<Vec<_>>(), ["FR"]);
}

#[tokio::test]
async fn on_a_platform_for_one_shop_the_only_shop_is_linked_without_a_choice() {
    let stage = Stage::new();
    assert_eq!(linked(&connect(&stage, "one-shop", ShopPolicy::ExactlyOne).await), ["GB"]);
}

#[tokio::test]
async fn on_a_platform_for_several_shops_every_shop_can_be_called() {
    let stage = Stage::new();
    let connection = connect(&stage, "cross-border", ShopPolicy::All).await;
    assert_eq!(linked(&connection), ["GB", "US", "MY", "TH", "VN"]);
    for shop in &connection.shops {
        assert_eq!(search(&stage, &shop.id).await, "answered 0", "{}", shop.region);
    }
}

#[tokio::test]
async fn the_choice_of_shops_survives_refreshes_and_holds_on_every_host() {
    let stage = Stage::new();
    let connection = connect(&stage, "cross-border", ShopPolicy::All).await;
    link(&stage, &[connection.shops[1].id.clone(), connection.shops[4].id.clone()]).await;
    let other = stage.another_host();
    let refreshed = other.refresh(&tenant(0), &customer_id("alice"), None, RefreshMode::Forced).await.unwrap();
    assert_eq!(linked(&refreshed.connection), ["US", "VN"]);
    assert_eq!(linked(&link(&stage, &[]).await), [""; 0], "the customer may link no shop");
    assert_eq!(
        linked(&stage.refresh("alice", RefreshMode::Forced).await.unwrap()),
        [""; 0],
        "a connection without linked shops keeps its tokens"
    );
}

#[tokio::test]
async fn a_shop_of_another_customer_cannot_be_linked() {
    let stage = Stage::new();
    let theirs = stage.connect("bob", "cross-border").await.unwrap().shops.remove(0).id;
    connect(&stage, "one-shop", ShopPolicy::All).await;
    let outcome = stage.host.link_shops(&tenant(0), &customer_id("alice"), None, &[theirs]).await;
    assert_eq!(refusal(outcome), ("invalid-request", "unknown-shop".to_owned()));
    assert_eq!(linked(&stage.connection("alice").await), ["GB"]);
    let outcome = stage.host.link_shops(&tenant(0), &customer_id("carol"), None, &[]).await;
    assert_eq!(refusal(outcome), ("invalid-request", "not-connected".to_owned()));
}
