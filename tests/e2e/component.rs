//! Tests of the shipped component itself: its imports and its size.

use std::collections::BTreeSet;

use crate::hostile_guest::{self, obey};

#[test]
fn the_component_imports_exactly_the_imports_of_its_world() {
    let component = std::fs::read(tiktok_shop_tests::component()).unwrap();
    let imports: BTreeSet<_> = xtask::check_imports(&component).unwrap().iter().map(xtask::Extern::id).collect();
    assert_eq!(imports, xtask::plugin_imports().unwrap());
}

/// The standard library of another target would import more. So an import that the list does not have would come with
/// code that nobody has written on purpose.
#[tokio::test]
async fn a_guest_with_a_panic_and_a_hash_map_has_the_same_imports() {
    let host = hostile_guest::builder().build().unwrap();
    assert_eq!(obey(&host, "count words\na b a").await.unwrap(), "2");
    assert_eq!(obey(&host, "count words").await.unwrap_err().code(), "trapped");

    let guest = std::fs::read(xtask::hostile_guest().unwrap()).unwrap();
    let imports: BTreeSet<_> = xtask::check_imports(&guest).unwrap().iter().map(xtask::Extern::id).collect();
    assert_eq!(imports, xtask::plugin_imports().unwrap());
}

#[test]
fn the_component_has_at_most_360_000_bytes() {
    let size = std::fs::metadata(tiktok_shop_tests::component()).unwrap().len();
    assert!(size <= 360_000, "{size} bytes");
}
