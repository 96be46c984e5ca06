//! Tests of the fake over real HTTP. The HTTP client of these tests shares no code with the fake.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "an unexpected value must fail the test at once"
)]

mod business_calls;
mod client;
mod consent;
mod control;
mod deauthorization;
mod faults;
mod gate;
mod hosts;
mod listening;
mod openapi;
mod pages;
mod probe_report;
mod program;
mod refresh_policies;
mod sellers_file;
mod shops;
mod switches;
mod tokens;
mod webhook_switches;
mod webhooks;
