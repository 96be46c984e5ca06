//! Converts wasmtime's error of a trapped guest into a [`Trap`].

use crate::error::Trap;

/// Reads from wasmtime's error where and why the guest trapped. As the reason, copies only wasmtime's fixed texts,
/// because any other text may contain values that the guest passed to the host.
pub(super) fn trap(error: &wasmtime::Error) -> Trap {
    let reason = error
        .downcast_ref::<wasmtime::Trap>()
        .map_or_else(|| "wasm trap: stopped at the boundary to the host".to_owned(), ToString::to_string);
    let functions = error.downcast_ref::<wasmtime::WasmBacktrace>().map_or_else(Vec::new, |backtrace| {
        backtrace.frames().iter().filter_map(|frame| frame.func_name().map(str::to_owned)).collect()
    });
    Trap::new(reason, functions)
}
