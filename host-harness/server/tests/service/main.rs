//! Runs the service with the shipped component against a fake TikTok Shop, and talks to it over real HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod delivery_storage;
mod faulty_deliveries;
mod hostile;
mod http;
mod idempotency;
mod installs;
mod keys;
mod left_out;
mod life;
mod log;
mod metrics;
mod operations;
mod outgoing;
mod outgoing_api;
mod outgoing_failures;
mod outgoing_replicas;
mod receiver;
mod shutdown;
mod stage;
mod transport;
