//! Where a call crosses between guest and host, and how a test ends it there.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;

use wasmtime::{CallHook, Store};

use crate::state::CallState;

/// One step of a call over the border between guest and host: the guest calls a function of the host's, or that function
/// returns to it. Most are imports, WASI's among them; some serve the guest's memory or handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crossing {
    /// Counts from 1 within a call, its instantiation included. The same call under the same circumstances is numbered
    /// the same way.
    pub number: u32,
    /// Which way.
    pub direction: Direction,
}

/// Which way a call crosses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The guest calls; the function has not run yet.
    ToHost,
    /// The function has run; the guest does not know yet what it gave.
    ToGuest,
}

/// Asked at every crossing; `Break` ends the call there.
pub(crate) type OnCrossing = Arc<dyn Fn(Crossing) -> ControlFlow<()> + Send + Sync>;

/// Why a call ended at a crossing: it was told to.
#[derive(Debug)]
pub(crate) struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ended at a crossing between guest and host")
    }
}

impl std::error::Error for Ended {}

/// Puts the question to `on_crossing` for everything that runs in this wasm store.
///
/// The guest is not interrupted any more: an interruption is a crossing too, and would number the others by the speed of
/// the machine.
pub(crate) fn ask(wasm_store: &mut Store<CallState>, on_crossing: OnCrossing) {
    // Far enough for any call, and no overflow where wasmtime adds the present epoch.
    wasm_store.set_epoch_deadline(u64::MAX / 2);
    let (mut number, mut ended) = (0, false);
    wasm_store.call_hook(move |_, hook| {
        let direction = match hook {
            CallHook::CallingHost => Direction::ToHost,
            CallHook::ReturningFromHost => Direction::ToGuest,
            CallHook::CallingWasm | CallHook::ReturningFromWasm => return Ok(()),
        };
        // What unwinds crosses as well, and is not asked about.
        if !ended {
            number += 1;
            ended = on_crossing(Crossing { number, direction }).is_break();
        }
        if ended { Err(Ended.into()) } else { Ok(()) }
    });
}
