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

use std::fs;
use std::path::PathBuf;

use fake_tiktok_shop::Decision;
use semver::Version;
use tiktok_shop_host::connection::{ConnectionStatus, ShopPolicy};
use tiktok_shop_host::disconnect::{DisconnectTarget, RemoteGrant};
use tiktok_shop_host::refresh::{RefreshEffect, RefreshMode};
use tiktok_shop_host::{Component, ConnectorHost};
use tiktok_shop_tests::{STATE, Stage, component, customer_id, grant, order_search, tenant};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

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

/// Each component reads the rows and the token records that the other one has written. A fleet needs this, because its
/// components are not replaced at the same moment.
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

/// The version of the first kept release of this minor version.
fn first_version() -> Version {
    xtask::compare_with_kept_releases().unwrap().remove(0).0.version
}

/// Builds a component with this version and this change of the first kept WIT package. Its functions do nothing.
fn changed_component(version: &Version, replace: &str, by: &str) -> Vec<u8> {
    let (kept, _) = xtask::compare_with_kept_releases().unwrap().remove(0);
    let text = fs::read_to_string(kept.package()).unwrap();
    assert!(text.contains(replace), "{replace}");
    let name = |version| format!("package tiktok-shop:connector@{version};");
    let text = text.replacen(replace, by, 1).replacen(&name(&kept.version), &name(version), 1);
    let mut resolve = Resolve::default();
    let package = resolve.push_str("connector.wit", &text).unwrap();
    let world = resolve.select_world(&[package], Some("plugin")).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

/// Asserts whether both hosts link this component. If they refuse it, the present host names `missing`.
fn assert_linked(stage: &Stage, component: &[u8], missing: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("component.wasm");
    fs::write(&path, component).unwrap();
    assert_eq!(FirstHost::links(&path, &stage.fake), missing.is_none(), "the first host, {missing:?}");
    let error = stage.host_builder().component(Component::File(path)).build().err().map(|error| error.to_string());
    let is_expected = match (&error, missing) {
        (None, None) => true,
        (Some(error), Some(missing)) => error.contains(missing),
        (None, Some(_)) | (Some(_), None) => false,
    };
    assert!(is_expected, "the present host: {error:?}, expected {missing:?}");
}

/// `cargo xtask wit-compat` allows the first three changes and refuses the last one. The hosts agree with that.
#[tokio::test]
async fn hosts_link_a_component_of_a_later_patch_version_unless_it_imports_more() {
    let stage = Stage::in_memory();
    let mut later = first_version();
    later.patch += 1;
    for (replace, by, missing) in [
        ("interface connector {", "interface connector {", None),
        ("interface connector {", "interface connector { added: func(customer: string) -> bool;", None),
        ("interface types {", "interface types { record added { value: string }", None),
        ("interface storage {", "interface storage { added: func(customer: string) -> bool;", Some("`added`")),
    ] {
        assert_linked(&stage, &changed_component(&later, replace, by), missing);
    }
}

#[tokio::test]
async fn hosts_refuse_a_component_of_the_next_minor_version() {
    let stage = Stage::in_memory();
    let first = first_version();
    let next = Version::new(first.major, first.minor + 1, 0);
    let component = changed_component(&next, "interface connector {", "interface connector {");
    assert_linked(&stage, &component, Some(&format!("@{next}`")));
}
