//! Runs the guest on wasmtime: compiles the component, runs each call in a fresh instance, and carries out what the
//! guest asks the host to do.

mod begun_body;
mod bindings;
mod boundary_hook;
mod call_log;
mod call_state;
mod clocks;
mod convert;
mod engine;
mod exchanges;
mod exports;
mod fetched_credentials;
mod found;
pub(crate) mod http;
mod imports;
mod inline_http;
#[cfg(feature = "measurements")]
mod measured;
mod program;
mod random;
mod request_body;
mod resources;
mod row_events;
mod sandbox;
mod scope;
mod secrets;
mod trap;
mod turns;

pub(crate) use self::boundary_hook::OnBoundary;
pub(crate) use self::call_log::{CallLog, Operation};
pub(crate) use self::call_state::CallState;
pub(crate) use self::convert::{read_all, refreshed};
pub(crate) use self::engine::GuestMemories;
pub(crate) use self::exports::{Answer, Exports};
pub(crate) use self::found::{Found, FoundConnection};
pub(crate) use self::program::Program;
pub(crate) use self::sandbox::{Prepared, Sandbox};
pub(crate) use self::scope::Scope;
pub(crate) use self::secrets::{ClearTexts, Secrets};
