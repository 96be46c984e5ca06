//! End-to-end tests. The shipped component runs in the real host and talks to the fake TikTok Shop over real HTTP.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests: a broken expectation is a failed test"
)]

mod access_token;
mod apps;
mod authorization_url;
mod betrayal;
mod call;
mod clocks;
mod component;
mod connect;
mod consent;
mod crash;
mod disconnect;
mod egress;
mod embedding;
mod events;
mod export;
mod fault_matrix;
mod fleet;
mod guest_memory;
mod hostile_guest;
mod import;
mod install;
mod isolation;
mod keys;
mod kill_points;
mod late_answers;
mod limits;
mod link_shops;
mod lists;
mod refresh;
mod requests;
mod retries;
mod reviewers_checks;
mod scenario;
mod secrets;
mod storage_answers;
mod storage_faults;
mod sweep;
mod weak_storage;
mod webhook_entry;
mod webhooks;
