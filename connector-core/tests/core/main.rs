//! Tests of the core from outside: vectors, golden files, properties, the rules as tables, and every operation over
//! scripted effects.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; clippy.toml allows it in test functions only, not in what they call"
)]

mod compile_fail;
mod decoders;
mod free_text;
mod golden;
mod operations;
mod rotation;
mod samples;
mod scripted_host;
mod signing;
mod stored_fields;
