//! What `bindgen!` makes of the world `contract`. Generated records print secrets with `Debug`, so they are named in
//! `convert.rs`, `imports.rs` and `host.rs` only, and the macro's own tracing stays off.

mod generated {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "contract",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "wasi": wasmtime_wasi::p2::bindings },
    });
}

pub(crate) use generated::ContractPre;
pub(crate) use generated::exports::tiktok_shop::connector::connector as export;
pub(crate) use generated::tiktok_shop::connector::{
    app_credentials, connection_storage, storage_types, token_storage, types,
};
