//! The bindings that `bindgen!` generates from the world `contract`. The generated implementations of `Debug` print
//! secrets. So only the folder `guest` uses the generated types, and the macro's option `tracing` stays off.

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
pub(super) use generated::tiktok_shop::connector::{app_credentials, storage as guest_storage, types};
