//! The bindings that `wit-bindgen` generates from world `contract`. Only this file and the allocator have unsafe code.
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
    path: "../wit",
    world: "contract",
    generate_all,
    pub_export_macro: false,
});

// The exports exist only for wasm, because a native linker does not accept the names of a component's exports in its
// version script.
#[cfg(target_arch = "wasm32")]
export!(Connector with_types_in self);
#[cfg(target_arch = "wasm32")]
use super::Connector;
