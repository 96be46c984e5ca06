//! Tests of the shipped component itself: its imports and its size.

use std::collections::BTreeSet;

#[test]
fn the_component_imports_exactly_the_imports_of_its_world() {
    let component = std::fs::read(tiktok_shop_tests::component()).unwrap();
    let imports: BTreeSet<_> = xtask::check_imports(&component).unwrap().iter().map(xtask::Extern::id).collect();
    assert_eq!(imports, xtask::plugin_imports().unwrap());
}

#[test]
fn the_component_has_at_most_360_000_bytes() {
    let size = std::fs::metadata(tiktok_shop_tests::component()).unwrap().len();
    assert!(size <= 360_000, "{size} bytes");
}
