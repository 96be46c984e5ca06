//! Tests of the core through its public API: test vectors, golden files, properties, tables of the rules for a token
//! renewal, and every operation with a scripted host, which plays storage and TikTok.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking; clippy.toml allows that in test functions only, not in their helpers"
)]

mod compile_fail;
mod connection_document;
mod decoders;
mod free_text;
mod golden;
mod operations;
mod rotation;
mod samples;
mod scripted_host;
mod signing;
mod stored_fields;
