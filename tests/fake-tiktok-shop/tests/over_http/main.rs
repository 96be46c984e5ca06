//! The fake, spoken to over real HTTP by a client that shares no code with it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected is to fail on the spot"
)]

mod business_calls;
mod client;
mod consent;
mod control;
mod deauthorization;
mod faults;
mod gate;
mod hosts;
mod program;
mod refresh_policies;
mod shops;
mod switches;
mod tokens;
mod webhook_switches;
mod webhooks;
