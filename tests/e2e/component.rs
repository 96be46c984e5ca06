//! The shipped artifact itself: what it imports, how large it is, that it is what the repository builds.

use std::collections::BTreeSet;

/// R-SEC-16. `types` and `storage-types` hold types only.
const IMPORTS: [&str; 13] = [
    "tiktok-shop:connector/app-credentials@0.1.0",
    "tiktok-shop:connector/connection-storage@0.1.0",
    "tiktok-shop:connector/storage-types@0.1.0",
    "tiktok-shop:connector/token-storage@0.1.0",
    "tiktok-shop:connector/types@0.1.0",
    "wasi:clocks/monotonic-clock@0.2.2",
    "wasi:clocks/wall-clock@0.2.2",
    "wasi:http/outgoing-handler@0.2.2",
    "wasi:http/types@0.2.2",
    "wasi:io/error@0.2.2",
    "wasi:io/poll@0.2.2",
    "wasi:io/streams@0.2.2",
    "wasi:random/random@0.2.2",
];

#[test]
fn the_component_imports_exactly_this() {
    let component = std::fs::read(tiktok_shop_tests::component()).unwrap();
    let decoded = wit_component::decode(&component).unwrap();
    let wit_component::DecodedWasm::Component(resolve, world) = decoded else { panic!("a component") };
    let names: BTreeSet<_> = resolve.worlds[world].imports.keys().map(|key| resolve.name_world_key(key)).collect();
    assert_eq!(names, IMPORTS.map(str::to_owned).into());
}

#[test]
fn the_component_is_small() {
    let size = std::fs::metadata(tiktok_shop_tests::component()).unwrap().len();
    assert!(size <= 260_000, "{size} bytes");
}
