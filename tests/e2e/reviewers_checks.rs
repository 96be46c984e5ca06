//! What TikTok's reviewers try with a connector app, one test each, and the two use cases of TikTok's page on connecting
//! shops (partner.tiktokshop.com/docv2/page/enterprise-resource-planning-erp, …/connecting-shops).

use std::convert::Infallible;

use fake_tiktok_shop::Decision;
use tiktok_shop_host::call::{CallRequest, CallScope, HttpMethod};
use tiktok_shop_host::connection::{Connection, ConnectionStatus, Shop, ShopPolicy};
use tiktok_shop_host::consent::BrowserSession;
use tiktok_shop_host::disconnect::{DisconnectTarget, RemoteGrant};
use tiktok_shop_host::events::EventKind;
use tiktok_shop_host::refresh::RefreshMode;
use tiktok_shop_tests::{DAY, Stage, customer_id, tenant};

const CUSTOMER: &str = "alice";

/// The customer presses the button, and the seller consents.
async fn connect(stage: &Stage, seller: &str, policy: ShopPolicy) -> Connection {
    let browser = BrowserSession::new("the session cookie of alice".into()).unwrap();
    let consent = stage.host.begin_consent(&tenant(0), &customer_id(CUSTOMER), &browser, policy).await.unwrap();
    let (_, state) = consent.url.expose().split_once("&state=").unwrap();
    let query = stage.callback_of(0, seller, Some(state), Decision::Allow);
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

async fn has_orders(stage: &Stage, shop: &Shop) -> bool {
    let search = CallRequest::new(CallScope::Shop(shop.id.clone()), HttpMethod::Post, "/order/202309/orders/search");
    let request = search.query("page_size", "2").json("{}");
    stage.host.call(&tenant(0), &customer_id(CUSTOMER), request).await.is_ok_and(|answer| answer.is_success())
}

#[tokio::test]
async fn shop_conn_single_a_customer_connects_one_shop() {
    let stage = Stage::new();
    connect(&stage, "one-shop", ShopPolicy::ExactlyOne).await;
    let [shop] = &shops(&stage).await[..] else { panic!("one shop") };
    assert_eq!(shop.name, "Teapot Corner");
    assert!(has_orders(&stage, shop).await);
}

#[tokio::test]
async fn shop_discon_single_a_customer_disconnects_it() {
    let stage = Stage::new();
    connect(&stage, "one-shop", ShopPolicy::ExactlyOne).await;
    let shop = shops(&stage).await.remove(0);
    disconnect(&stage, DisconnectTarget::Shop(shop.id.clone())).await;
    assert_eq!(regions(&stage).await, [""; 0]);
    assert_eq!(stage.host.list_connections(&tenant(0), &customer_id(CUSTOMER)).await.unwrap(), []);
    assert!(!has_orders(&stage, &shop).await);
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
async fn shop_man_whook_a_seller_is_told_before_the_authorization_ends_and_renews_it() {
    let stage = Stage::new();
    connect(&stage, "several-regions", ShopPolicy::All).await;
    stage.advance(335 * DAY + 60);
    let deliveries = stage.fake.webhooks_due();
    assert!(!deliveries.is_empty());
    for delivery in deliveries {
        let (_, authorization) = delivery.headers.iter().find(|(name, _)| name == "authorization").unwrap();
        let told = async |_| Ok::<_, Infallible>(());
        let reply = stage.host.accept_webhook(&tenant(0), authorization, delivery.body.into_bytes(), told).await;
        assert_eq!(reply.status(), 200);
        stage.fake.webhook_answered(delivery.number, Some(reply.status())).unwrap();
    }
    let connections = stage.host.list_connections(&tenant(0), &customer_id(CUSTOMER)).await.unwrap();
    let ConnectionStatus::AuthorizationEnding(ends) = connections[0].status else { panic!("{:?}", connections[0]) };
    assert!(ends.0 > stage.fake.now() && ends.0 <= stage.fake.now() + 30 * DAY);

    let renewed = connect(&stage, "several-regions", ShopPolicy::All).await;
    assert_eq!(renewed.status, ConnectionStatus::Active);
    let events = stage.storage.events(&tenant(0), None, 10).await.unwrap();
    let kinds: Vec<_> = events.into_iter().map(|event| event.event.kind).collect();
    assert_eq!(kinds, [EventKind::Connected, EventKind::AuthorizationEnding { ends }, EventKind::Recovered]);
}

#[tokio::test]
async fn shop_conn_multi_a_customer_connects_several_shops_at_once() {
    let stage = Stage::new();
    connect(&stage, "cross-border", ShopPolicy::All).await;
    assert_eq!(regions(&stage).await, ["GB", "US", "MY", "TH", "VN"]);
    for shop in shops(&stage).await {
        assert!(has_orders(&stage, &shop).await, "{}", shop.region);
    }
}

/// A local seller with one shop: the customer refreshes the shop's data on their own.
#[tokio::test]
async fn use_case_of_a_single_shop() {
    let stage = Stage::new();
    connect(&stage, "one-shop", ShopPolicy::ExactlyOne).await;
    stage.fake.update_seller("one-shop", |seller| seller.shops[0].name = "Teapot & Co".to_owned()).unwrap();
    stage.refresh(CUSTOMER, RefreshMode::WhenDue).await.unwrap();
    assert_eq!(shops(&stage).await[0].name, "Teapot & Co");
}

/// A seller with several shops: the customer picks some, and a shop that is opened later joins by choice.
#[tokio::test]
async fn use_case_of_several_shops() {
    let stage = Stage::new();
    let connection = connect(&stage, "several-regions", ShopPolicy::ExactlyOne).await;
    assert_eq!(regions(&stage).await, [""; 0], "to be chosen");
    let ids: Vec<_> = connection.shops.iter().map(|shop| shop.id.clone()).collect();
    stage.host.link_shops(&tenant(0), &customer_id(CUSTOMER), None, &ids[..2]).await.unwrap();
    assert_eq!(regions(&stage).await, ["DE", "FR"]);
    disconnect(&stage, DisconnectTarget::Shop(ids[0].clone())).await;
    assert_eq!(regions(&stage).await, ["FR"]);
}
