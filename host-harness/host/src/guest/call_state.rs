//! The state that the host keeps for one call in the call's wasmtime store, and the imports that a guest may use.

use std::sync::Arc;

use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::p2::bindings::{clocks, io, random};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::bindings::{app_credentials, guest_storage, types};
use super::clocks::{Clocks, GuestClocks};
use super::exchanges::Exchanges;
use super::http::GuestHttp;
use super::imports::Imports;
use super::inline_http;
use super::random::GuestRandomness;
use super::request_body::BytesLeft;
use super::resources::Growth;
use crate::clock::Clock;

/// The state of one call. The state is dropped with the call's instance, so no other call can see it.
pub(crate) struct CallState {
    pub(super) table: ResourceTable,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) http: WasiHttpCtx,
    pub(super) egress: GuestHttp,
    /// The requests that the guest has begun.
    pub(super) exchanges: Exchanges,
    pub(super) body_bytes_left: BytesLeft,
    pub(super) randomness: GuestRandomness,
    pub(super) imports: Imports,
    pub(super) growth: Growth,
    /// The number of epoch ticks for which the guest may still compute.
    pub(super) ticks_left: u64,
}

impl CallState {
    fn clocks(&mut self) -> GuestClocks<'_> {
        GuestClocks { clock: &*self.clock, table: &mut self.table }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.egress, table: &mut self.table, ctx: &mut self.http }
    }
}

/// Tells the linker which data the functions of `wasi:io` get: only the resource table.
struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// Links everything that a guest may import. A guest can't reach a file system, an environment, sockets or standard
/// streams.
pub(super) fn link(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    io::error::add_to_linker::<_, Io>(linker, |state| &mut state.table)?;
    io::poll::add_to_linker::<_, Io>(linker, |state| &mut state.table)?;
    io::streams::add_to_linker::<_, Io>(linker, |state| &mut state.table)?;
    clocks::wall_clock::add_to_linker::<_, Clocks>(linker, CallState::clocks)?;
    clocks::monotonic_clock::add_to_linker::<_, Clocks>(linker, CallState::clocks)?;
    random::random::add_to_linker::<_, HasSelf<GuestRandomness>>(linker, |state| &mut state.randomness)?;
    inline_http::link(linker)?;

    types::add_to_linker::<_, HasSelf<Imports>>(linker, |state| &mut state.imports)?;
    app_credentials::add_to_linker::<_, HasSelf<Imports>>(linker, |state| &mut state.imports)?;
    guest_storage::add_to_linker::<_, HasSelf<Imports>>(linker, |state| &mut state.imports)
}
