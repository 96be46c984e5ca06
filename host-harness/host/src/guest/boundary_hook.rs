//! Calls the hook of a crash test at every boundary event: when the guest calls the host, and when the host returns to
//! the guest. The hook decides whether the call continues.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use wasmtime::{CallHook, Store};

use super::call_state::CallState;
use crate::boundary::{BoundaryEvent, Direction};

/// The hook that is called at every boundary event. If the hook returns `Break`, the call ends at this event.
pub(crate) type OnBoundary = Arc<dyn Fn(BoundaryEvent) -> ControlFlow<()> + Send + Sync>;

/// The error that ends a call at a boundary event.
#[derive(Debug)]
pub(super) struct EndedAtBoundary;

impl fmt::Display for EndedAtBoundary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ended at the boundary between guest and host")
    }
}

impl std::error::Error for EndedAtBoundary {}

/// Installs `on_boundary` for everything that runs in this wasm store.
///
/// While a hook is installed, the host does not interrupt the guest while the guest computes. Each interruption would
/// be one more boundary event, and the numbers of the later events would depend on the speed of the machine.
pub(super) fn install(wasm_store: &mut Store<CallState>, on_boundary: OnBoundary) {
    // This deadline is longer than any call. wasmtime adds the current epoch to it, so `u64::MAX` would overflow.
    wasm_store.set_epoch_deadline(u64::MAX / 2);
    let (mut number, mut ended) = (0, false);
    wasm_store.call_hook(move |_, hook| {
        let direction = match hook {
            CallHook::CallingHost => Direction::ToHost,
            CallHook::ReturningFromHost => Direction::ToGuest,
            CallHook::CallingWasm | CallHook::ReturningFromWasm => return Ok(()),
        };
        // A call that ends crosses the boundary again while it unwinds. `on_boundary` is not called for these later
        // events.
        if !ended {
            number += 1;
            ended = on_boundary(BoundaryEvent { number, direction }).is_break();
        }
        if ended { Err(EndedAtBoundary.into()) } else { Ok(()) }
    });
}
