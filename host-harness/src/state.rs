//! What a wasm store holds during one call, and what the guest may link against.

use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::p2::bindings::{clocks, io, random};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::bindings::{app_credentials, connection_storage, storage_types, token_storage, types};
use crate::egress::Egress;
use crate::imports::Imports;
use crate::limits::Growth;
use crate::randomness::GuestRandomness;

/// The state of one call. Dropped with its instance; nothing of it reaches another call.
pub(crate) struct CallState {
    pub(crate) table: ResourceTable,
    /// Only its clocks are linked.
    pub(crate) wasi: WasiCtx,
    pub(crate) http: WasiHttpCtx,
    pub(crate) egress: Egress,
    pub(crate) randomness: GuestRandomness,
    pub(crate) imports: Imports,
    pub(crate) growth: Growth,
    /// Ticks of the epoch that the guest may still compute through.
    pub(crate) ticks_left: u64,
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.egress, table: &mut self.table, ctx: &mut self.http }
    }
}

/// `wasi:io` works on the resource table alone.
struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// Everything a guest can reach. No file system, no environment, no sockets, no standard streams.
pub(crate) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    io::error::add_to_linker::<_, Io>(linker, |state| &mut state.table)?;
    io::poll::add_to_linker::<_, Io>(linker, |state| &mut state.table)?;
    io::streams::add_to_linker::<_, Io>(linker, |state| &mut state.table)?;
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, |state| state.clocks())?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, |state| state.clocks())?;
    random::random::add_to_linker::<_, HasSelf<GuestRandomness>>(linker, |state| &mut state.randomness)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;

    types::add_to_linker::<_, HasSelf<Imports>>(linker, |state| &mut state.imports)?;
    storage_types::add_to_linker::<_, HasSelf<Imports>>(linker, |state| &mut state.imports)?;
    app_credentials::add_to_linker::<_, HasSelf<Imports>>(linker, |state| &mut state.imports)?;
    token_storage::add_to_linker::<_, HasSelf<Imports>>(linker, |state| &mut state.imports)?;
    connection_storage::add_to_linker::<_, HasSelf<Imports>>(linker, |state| &mut state.imports)
}
