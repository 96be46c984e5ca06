//! Tests of the checks that TikTok's reviewers make with a connector app: one test for each check. Two further tests
//! show the two use cases of TikTok's page on connecting shops
//! (partner.tiktokshop.com/docv2/page/enterprise-resource-planning-erp, …/connecting-shops).

use std::convert::Infallible;

use fake_tiktok_shop::Decision;
use tiktok_shop_host::connection::{Connection, ConnectionStatus, Shop, ShopPolicy};
use tiktok_shop_host::disconnect::{DisconnectTarget, RemoteGrant};
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_tests::{DAY, Stage, browser, customer_id, order_search, state_of, tenant};

const CUSTOMER: &str = "alice";

/// Begins a consent for the customer, lets the seller allow it, and finishes it.
async fn connect(stage: &Stage, seller: &str, policy: ShopPolicy) -> Connection {
    let browser = browser(CUSTOMER);
    let consent = stage.host.begin_consent(&tenant(0), &customer_id(CUSTOMER), None, &browser, policy).await.unwrap();
    let query = stage.callback_of(0, seller, Some(state_of(&consent)), Decision::Allow);
    stage.host.finish_consent(&tenant(0), &browser, query.into()).await.unwrap()
}

async fn disconnect(stage: &Stage, target: DisconnectTarget) {
    let ended = stage.host.disconnect(&tenant(0), &customer_id(CUSTOMER), target, RemoteGrant::Revoke).await.unwrap();
    assert_eq!(ended.not_revoked, []);
}

async fn shops(stage: &Stage) -> Vec<Shop> {
    stage.host.list_shops(&tenant(0), &customer_id(CUSTOMER)).await.unwrap()
}

async fn regions(stage: &Stage) -> Vec<String> {
    shops(stage).await.into_iter().map(|shop| shop.region).collect()
}

/// Returns whether a search for the shop's orders succeeds.
async fn can_search_orders(stage: &Stage, shop: &Shop) -> bool {
    let outcome = stage.host.call(&tenant(0), &customer_id(CUSTOMER), order_search(&shop.id)).await;
    outcome.is_ok_and(|response| response.is_success())
}

#[tokio::test]
async fn shop_conn_single_a_customer_connects_one_shop() {
    let stage = Stage::new();
    connect(&stage, "one-shop", ShopPolicy::ExactlyOne).await;
    let [shop] = &shops(&stage).await[..] else { panic!("one shop") };
    assert_eq!(shop.name, "Teapot Corner");
    assert!(can_search_orders(&stage, shop).await);
}

#[tokio::test]
async fn shop_discon_single_a_customer_disconnects_the_shop() {
    let stage = Stage::new();
    connect(&stage, "one-shop", ShopPolicy::ExactlyOne).await;
    let shop = shops(&stage).await.remove(0);
    disconnect(&stage, DisconnectTarget::Shop(shop.id.clone())).await;
    assert_eq!(regions(&stage).await, [""; 0]);
    assert_eq!(stage.connections(CUSTOMER).await, []);
    assert!(!can_search_orders(&stage, &shop).await);
}

#[tokio::test]
async fn shop_man_multi_a_customer_adds_and_removes_connections() {
    let stage = Stage::new();
    connect(&stage, "one-shop", ShopPolicy::All).await;
    let second = connect(&stage, "cross-border", ShopPolicy::All).await;
    let mut both = regions(&stage).await;
    both.sort();
    assert_eq!(both, ["GB", "GB", "MY", "TH", "US", "VN"]);
    disconnect(&stage, DisconnectTarget::All(Some(second.key.account))).await;
    assert_eq!(regions(&stage).await, ["GB"]);
    connect(&stage, "cross-border", ShopPolicy::All).await;
    assert_eq!(regions(&stage).await.len(), 6);
    disconnect(&stage, DisconnectTarget::All(None)).await;
    assert_eq!(regions(&stage).await, [""; 0]);
}

#[tokio::test]
async fn shop_man_whook_a_webhook_announces_the_end_of_the_authorization_and_a_consent_renews_it() {
    let stage = Stage::new();
    connect(&stage, "several-regions", ShopPolicy::All).await;
    stage.advance(335 * DAY + 60);
    let deliveries = stage.fake.webhooks_due();
    assert!(!deliveries.is_empty());
    for delivery in deliveries {
        let signature = delivery.header("authorization").unwrap();
        let handle = async |_| Ok::<_, Infallible>(());
        let body = delivery.body.clone().into_bytes();
        let reply = stage.host.accept_webhook(&tenant(0), None, signature, body, handle).await;
        assert_eq!(reply.status(), 200);
        stage.fake.webhook_answered(delivery.number, Some(reply.status())).unwrap();
    }
    let connection = stage.connection(CUSTOMER).await;
    let ConnectionStatus::AuthorizationEnding(ends) = connection.status else { panic!("{connection:?}") };
    assert!(ends.0 > stage.fake.now() && ends.0 <= stage.fake.now() + 30 * DAY);

    let renewed = connect(&stage, "several-regions", ShopPolicy::All).await;
    assert_eq!(renewed.status, ConnectionStatus::Active);
    let events = stage.storage.events(&tenant(0), None, 10).await.unwrap();
    let kinds: Vec<_> = events.into_iter().map(|event| event.event.kind).collect();
    let shops = renewed.shops.iter().map(|shop| shop.id.clone()).collect();
    let expected = [
        EventKind::Connected,
        EventKind::ShopsLinked { shops },
        EventKind::AuthorizationEnding { ends },
        EventKind::ConsentRenewed,
        EventKind::Recovered,
    ];
    assert_eq!(kinds, expected);
}

#[tokio::test]
async fn shop_conn_multi_a_customer_connects_several_shops_at_once() {
    let stage = Stage::new();
    connect(&stage, "cross-border", ShopPolicy::All).await;
    assert_eq!(regions(&stage).await, ["GB", "US", "MY", "TH", "VN"]);
    for shop in shops(&stage).await {
        assert!(can_search_orders(&stage, &shop).await, "{}", shop.region);
    }
}

/// A local seller has one shop. The customer refreshes the shop's data.
#[tokio::test]
async fn use_case_a_seller_with_one_shop() {
    let stage = Stage::new();
    connect(&stage, "one-shop", ShopPolicy::ExactlyOne).await;
    stage.fake.update_seller("one-shop", |seller| seller.shops[0].name = "Teapot & Co".to_owned()).unwrap();
    stage.refresh(CUSTOMER, RefreshMode::WhenDue).await.unwrap();
    assert_eq!(shops(&stage).await[0].name, "Teapot & Co");
}

/// A seller has several shops. The customer chooses two of these shops, and later disconnects one of the two.
#[tokio::test]
async fn use_case_a_seller_with_several_shops() {
    let stage = Stage::new();
    let connection = connect(&stage, "several-regions", ShopPolicy::ExactlyOne).await;
    assert_eq!(regions(&stage).await, [""; 0], "no shop is linked before the customer chooses");
    let ids: Vec<_> = connection.shops.iter().map(|shop| shop.id.clone()).collect();
    stage.host.link_shops(&tenant(0), &customer_id(CUSTOMER), None, &ids[..2]).await.unwrap();
    assert_eq!(regions(&stage).await, ["DE", "FR"]);
    disconnect(&stage, DisconnectTarget::Shop(ids[0].clone())).await;
    assert_eq!(regions(&stage).await, ["FR"]);
}
