//! Tests of the host with guests that misbehave. The tests build these guests from the WIT package, so they need no
//! compiled connector. The end-to-end tests use the real connector.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic, and the tests read only some sections of a module"
)]

mod boundary;
mod build;
mod calls;
mod fairness;
mod guest;
mod logs;
mod sweep;
