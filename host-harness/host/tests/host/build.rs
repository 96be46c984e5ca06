//! Tests which components and settings are accepted when a host is built.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tiktok_shop_host::clock::ManualClock;
use tiktok_shop_host::credentials::StaticCredentials;
use tiktok_shop_host::deadlines::{Deadlines, DeadlinesError};
use tiktok_shop_host::limits::Limits;
use tiktok_shop_host::seal::HostKeys;
use tiktok_shop_host::storage::MemoryStorage;
use tiktok_shop_host::{
    BuildError, Component, ComponentDigest, ConnectorHost, ConnectorHostBuilder, InvalidComponentDigest,
};

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
    let error = refusal(builder(missing));
    assert_eq!(error.to_string(), "component no/such/component.wasm: there is no such file");

    let limits = Limits { component_bytes: 64, ..Limits::default() };
    let manifest = Component::File(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml").into());
    for component in [manifest, Component::Bytes(vec![0; 65])] {
        let error = refusal(builder(component).limits(limits));
        assert!(matches!(error, BuildError::TooLarge { limit: 64 }), "{error:?}");
    }
}

#[test]
fn a_component_that_is_not_the_pinned_one_is_refused_however_it_is_given() {
    let bytes = guest::component("plugin", Body::Trap);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("component.wasm");
    std::fs::write(&path, &bytes).unwrap();
    let (right, wrong) = (ComponentDigest::of(&bytes), ComponentDigest::of(b"another component"));
    let host = builder(Component::Bytes(bytes.clone())).component_sha256(right).build().unwrap();
    for component in [Component::Bytes(bytes), Component::File(path), Component::SharedWith(host)] {
        builder(component.clone()).component_sha256(right).build().unwrap();
        let error = refusal(builder(component).component_sha256(wrong));
        let expected = format!(
            "not the pinned component: its SHA-256 is {right}, and the pinned SHA-256 is {wrong}; give the host the \
             pinned component, or pin this one"
        );
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_digest_is_64_hexadecimal_digits() {
    let digest = ComponentDigest::of(b"");
    let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(digest.to_string(), text);
    assert_eq!(text.parse(), Ok(digest));
    assert_eq!(text.to_uppercase().parse(), Ok(digest));
    for malformed in ["", &text[1..], &format!("{text}0"), &text.replace('e', "g"), &format!(" {text}")] {
        assert_eq!(malformed.parse::<ComponentDigest>(), Err(InvalidComponentDigest), "{malformed}");
    }
}

/// A user who can change the component can get the credentials and tokens of every tenant.
#[test]
fn a_file_that_other_users_can_change_or_replace_is_refused_unless_its_digest_is_pinned() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("component.wasm");
    let bytes = guest::component("plugin", Body::Trap);
    std::fs::write(&path, &bytes).unwrap();
    let chmod = |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    for (folder_mode, file_mode) in [(0o777, 0o644), (0o755, 0o646)] {
        chmod(folder.path(), folder_mode);
        chmod(&path, file_mode);
        let error = refusal(builder(Component::File(path.clone())));
        assert!(matches!(&error, BuildError::Unreadable(_)), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(": other users can ") && text.contains("take this right away with chmod go-w"), "{text}");
        builder(Component::File(path.clone())).component_sha256(ComponentDigest::of(&bytes)).build().unwrap();
    }
    chmod(&path, 0o644);
    builder(Component::File(path)).build().unwrap();
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
