//! The host around guests that misbehave. They are made from the WIT package by the test itself, so that the tests need no
//! built connector; what a well-behaved connector does is tested end to end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test may panic, and reads of a module only what it needs"
)]

mod boundary;
mod build;
mod calls;
mod guest;
mod logs;
