//! The shipped artifact itself: what it imports, how large it is, that it is what the repository builds.

use std::collections::BTreeSet;

#[test]
fn the_component_imports_exactly_what_its_world_allows() {
    let component = std::fs::read(tiktok_shop_tests::component()).unwrap();
    let imports: BTreeSet<_> = xtask::check_imports(&component).unwrap().iter().map(xtask::Extern::id).collect();
    assert_eq!(imports, xtask::plugin_imports().unwrap());
}

#[test]
fn the_component_is_small() {
    let size = std::fs::metadata(tiktok_shop_tests::component()).unwrap().len();
    assert!(size <= 340_000, "{size} bytes");
}
