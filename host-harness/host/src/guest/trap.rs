//! Reads a trap from a runtime error.

use crate::error::Trap;

/// Reads where and why the guest trapped. Only wasmtime's fixed texts are quoted. Any other text may contain values
/// that the guest passed to the host.
pub(super) fn trap(error: &wasmtime::Error) -> Trap {
    let reason = error
        .downcast_ref::<wasmtime::Trap>()
        .map_or_else(|| "wasm trap: stopped at the boundary to the host".to_owned(), ToString::to_string);
    let functions = error.downcast_ref::<wasmtime::WasmBacktrace>().map_or_else(Vec::new, |backtrace| {
        backtrace.frames().iter().filter_map(|frame| frame.func_name().map(str::to_owned)).collect()
    });
    Trap::new(reason, functions)
}
