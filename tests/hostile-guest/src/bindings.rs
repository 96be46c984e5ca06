//! What `wit-bindgen` makes of world `plugin`, `wasi:http` included: no library stands between this guest and the host.
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
#![cfg_attr(not(target_arch = "wasm32"), allow(dead_code, reason = "exports exist in a component only"))]

wit_bindgen::generate!({
    path: "../../wit",
    world: "plugin",
    generate_all,
    pub_export_macro: false,
});

// A native linker's version script does not take the names of a component's exports.
#[cfg(target_arch = "wasm32")]
export!(Hostile with_types_in self);
#[cfg(target_arch = "wasm32")]
use super::Hostile;
