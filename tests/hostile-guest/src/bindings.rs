//! The bindings that `wit-bindgen` generates from world `plugin`, including `wasi:http`. This guest calls the host
//! directly, without a library in between.
#![allow(unsafe_code, reason = "the canonical ABI is made of raw pointers")]
#![allow(
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    clippy::allow_attributes_without_reason,
    clippy::indexing_slicing,
    clippy::use_self,
    reason = "generated; documented in wit/"
)]
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "only a component has exports"))]

wit_bindgen::generate!({
    path: "../../wit",
    world: "plugin",
    generate_all,
    pub_export_macro: false,
});

// These items exist only for wasm32, because a native linker does not accept the names of a component's exports.
#[cfg(target_arch = "wasm32")]
export!(Hostile with_types_in self);
#[cfg(target_arch = "wasm32")]
use super::Hostile;
