//! Runs components and hosts of different releases together. Within a minor version, every host runs every component:
//!
//! | | present host | first host of this minor version |
//! | --- | --- | --- |
//! | **present component** | the end-to-end tests | [`the_present_component_runs_on_the_first_host`] |
//! | **kept components** | [`each_kept_component_runs_on_the_present_host`] | [`each_kept_component_runs_on_the_first_host`] |
//!
//! `cargo xtask keep-release` keeps the component and the WIT package of a release in this folder. An earlier host can't be
//! built from this source tree. In its place, these tests use a small host, whose bindings are generated from the first
//! kept WIT package of this minor version.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests: a broken expectation is a failed test"
)]

mod first_host;

use std::path::PathBuf;

use fake_tiktok_shop::Decision;
use tiktok_shop_host::connection::{ConnectionStatus, ShopPolicy};
use tiktok_shop_host::disconnect::{DisconnectTarget, RemoteGrant};
use tiktok_shop_host::refresh::{RefreshEffect, RefreshMode};
use tiktok_shop_host::{Component, ConnectorHost};
use tiktok_shop_tests::{STATE, Stage, component, customer_id, grant, order_search, tenant};

use self::first_host::FirstHost;

/// The components of the kept releases of this minor version.
fn kept_components() -> Vec<PathBuf> {
    let kept = xtask::compare_with_kept_releases().unwrap();
    assert!(!kept.is_empty(), "no release of this minor version is kept: run cargo xtask keep-release");
    kept.into_iter().map(|(release, _)| release.component()).collect()
}

/// The life of a connection: it is made, renewed, listed, used and ended.
async fn live(stage: &Stage, host: &ConnectorHost) {
    let (tenant, customer) = (tenant(0), customer_id("alice"));
    let query = stage.callback("one-shop", Decision::Allow);
    let connection = host.connect(&tenant, &customer, None, grant(&query), ShopPolicy::All).await.unwrap();
    assert_eq!(connection.status, ConnectionStatus::Active);
    let refreshed = host.refresh(&tenant, &customer, None, RefreshMode::Forced).await.unwrap();
    assert_eq!(refreshed.effect, RefreshEffect::Renewed);
    let shops = host.list_shops(&tenant, &customer).await.unwrap();
    assert_eq!(shops.iter().map(|shop| shop.name.as_str()).collect::<Vec<_>>(), ["Teapot Corner"]);
    assert_eq!(host.list_connections(&tenant, &customer).await.unwrap(), [refreshed.connection]);
    let answer = host.call(&tenant, &customer, order_search(&shops[0].id)).await.unwrap();
    assert_eq!((answer.http_status, answer.code.as_deref()), (200, Some("0")));
    let ended = host.disconnect(&tenant, &customer, DisconnectTarget::All(None), RemoteGrant::Revoke).await.unwrap();
    assert_eq!((ended.remaining, ended.not_revoked), (Vec::new(), Vec::new()));
    assert_eq!(host.list_connections(&tenant, &customer).await.unwrap(), []);
}

#[tokio::test]
async fn each_kept_component_runs_on_the_present_host() {
    for component in kept_components() {
        let stage = Stage::new();
        let host = stage.host_builder().component(Component::File(component)).build().unwrap();
        live(&stage, &host).await;
    }
}

#[tokio::test]
async fn the_present_component_runs_on_the_first_host() {
    let stage = Stage::in_memory();
    let host = FirstHost::new(&component(), &stage.fake);
    host.live(&stage.callback("one-shop", Decision::Allow), STATE).await;
}

#[tokio::test]
async fn each_kept_component_runs_on_the_first_host() {
    for component in kept_components() {
        let stage = Stage::in_memory();
        let host = FirstHost::new(&component, &stage.fake);
        host.live(&stage.callback("one-shop", Decision::Allow), STATE).await;
    }
}

/// A row and a token record that one component has written are read by the other one, because the components of a fleet
/// are not replaced at the same moment.
#[tokio::test]
async fn two_components_work_with_the_same_connection() {
    for kept in kept_components() {
        let stage = Stage::new();
        let earlier = stage.host_builder().component(Component::File(kept)).build().unwrap();
        let (tenant, customer) = (tenant(0), customer_id("alice"));
        stage.connect("alice", "several-regions").await.unwrap();
        for host in [&earlier, &stage.host, &earlier, &stage.host] {
            let before = host.list_connections(&tenant, &customer).await.unwrap();
            let refreshed = host.refresh(&tenant, &customer, None, RefreshMode::Forced).await.unwrap();
            assert_eq!(refreshed.effect, RefreshEffect::Renewed);
            let shops = |shops: &[tiktok_shop_host::connection::Shop]| {
                shops.iter().map(|shop| (shop.id.clone(), shop.linked, shop.standing)).collect::<Vec<_>>()
            };
            assert_eq!(shops(&refreshed.connection.shops), shops(&before[0].shops));
            let answer = host.call(&tenant, &customer, order_search(&before[0].shops[0].id)).await.unwrap();
            assert_eq!((answer.http_status, answer.code.as_deref()), (200, Some("0")));
        }
    }
}
