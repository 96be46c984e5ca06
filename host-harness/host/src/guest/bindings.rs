//! The bindings that `bindgen!` generates from the world `contract`. `Debug` of a generated record prints secrets, so
//! only this folder uses these types, and the macro's option `tracing` stays off.

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "contract",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "wasi": wasmtime_wasi::p2::bindings },
    });
}

pub(super) use generated::ContractPre;
pub(crate) use generated::exports::tiktok_shop::connector::connector as export;
pub(super) use generated::tiktok_shop::connector::{
    app_credentials, connection_storage, storage_types, token_storage, types,
};
