//! Components and settings that are accepted or refused when a host is built.

use std::sync::Arc;
use std::time::Duration;

use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_host::deadlines::{Deadlines, DeadlinesError};
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::seal::HostKeys;
use tiktok_shop_host::storage::MemoryStorage;
use tiktok_shop_host::{BuildError, Component, ConnectorHost, ConnectorHostBuilder};

use crate::guest::{self, Body};

fn builder(component: Component) -> ConnectorHostBuilder {
    ConnectorHost::builder()
        .component(component)
        .storage(Arc::new(MemoryStorage::new(Arc::new(ManualClock::at(Duration::ZERO)))))
        .keys(Arc::new(HostKeys::draw().unwrap()))
        .credentials(Arc::new(StaticCredentials::new()))
        .limits(Limits { concurrent_calls: 1, ..Limits::default() })
}

fn refusal(builder: ConnectorHostBuilder) -> BuildError {
    builder.build().unwrap_err()
}

#[test]
fn a_connector_is_accepted_and_gets_its_name_from_its_export() {
    let host = builder(Component::Bytes(guest::component("plugin", Body::Trap))).build().unwrap();
    assert_eq!(host.plugin().to_string(), "tiktok-shop:connector@0.1.0");
}

#[test]
fn a_connector_that_does_not_import_http_is_accepted() {
    let host = builder(Component::Bytes(guest::component("contract", Body::Trap))).build().unwrap();
    assert_eq!(host.plugin().to_string(), "tiktok-shop:connector@0.1.0");
}

#[test]
fn bytes_that_are_no_component_are_refused() {
    for bytes in [b"".as_slice(), b"not wasm at all", b"\0asm\x01\0\0\0", b"\0asm\x0d\0\x01\0truncated"] {
        let error = refusal(builder(Component::Bytes(bytes.to_vec())));
        assert!(matches!(error, BuildError::NotAComponent(_)), "{error:?}");
    }
}

#[test]
fn an_import_that_the_host_does_not_offer_is_refused_by_name() {
    for (world, import) in [
        ("wasi:filesystem/imports@0.2.2", "wasi:filesystem/"),
        ("wasi:sockets/imports@0.2.2", "wasi:sockets/"),
        ("wasi:cli/imports@0.2.2", "wasi:cli/"),
    ] {
        let error = refusal(builder(Component::Bytes(guest::component(world, Body::Trap))));
        assert!(matches!(&error, BuildError::ImportNotOffered(text) if text.contains(import)), "{error:?}");
    }
}

#[test]
fn a_component_without_the_connectors_exports_is_refused() {
    let error = refusal(builder(Component::Bytes(guest::component("wasi:random/imports@0.2.2", Body::Trap))));
    assert!(matches!(error, BuildError::ImportNotOffered(_)), "{error:?}");
    let empty = b"\0asm\x0d\0\x01\0".to_vec();
    let error = refusal(builder(Component::Bytes(empty)));
    assert!(matches!(error, BuildError::NotAConnector(_)), "{error:?}");
}

#[test]
fn a_file_that_is_missing_or_too_large_is_refused() {
    let missing = Component::File("no/such/component.wasm".into());
    assert!(
        matches!(refusal(builder(missing)), BuildError::Unreadable(error) if error.kind() == std::io::ErrorKind::NotFound)
    );

    let limits = Limits { component_bytes: 64, ..Limits::default() };
    let manifest = Component::File(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into());
    for component in [manifest, Component::Bytes(vec![0; 65])] {
        let error = refusal(builder(component).limits(limits));
        assert!(matches!(error, BuildError::TooLarge { limit: 64 }), "{error:?}");
    }
}

#[test]
fn invalid_deadlines_and_limits_are_refused() {
    let any = || builder(Component::Bytes(Vec::new()));
    let deadlines = Deadlines { call: Duration::from_secs(60), ..Deadlines::default() };
    let error = refusal(any().deadlines(deadlines));
    let least = Duration::from_secs(105);
    assert!(
        matches!(error, BuildError::Deadlines(DeadlinesError::CallTooShort { least: given }) if given == least),
        "{error:?}"
    );

    let error = refusal(any().limits(Limits { handles: 0, ..Limits::default() }));
    assert!(matches!(error, BuildError::ZeroLimit("handles")), "{error:?}");
}

#[test]
fn a_missing_part_without_a_default_is_named() {
    let error = refusal(ConnectorHost::builder());
    assert!(matches!(error, BuildError::Missing("component")), "{error:?}");
    let error = refusal(ConnectorHost::builder().component(Component::Bytes(Vec::new())));
    assert!(matches!(error, BuildError::Missing("storage")), "{error:?}");
}
