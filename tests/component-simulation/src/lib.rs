//! Plays the histories of the simulation (`tests/simulation`) with the shipped component in place of the native core.
//!
//! Each call has a fresh instance. Its imports are the effects of the simulated host, so a call may pause or crash at
//! the same points as a call of the native core, and the same seed must give the same history. There is no real time,
//! no real randomness and no network.
//!
//! While the component plays a history, a transcript of each call may be made: everything that crosses the boundary
//! between the component and its host. The README of this package describes the transcripts.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "only tests use this package, and a broken expectation is a failed test"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "the component uses few of the many kinds of values")]

mod compared;
mod component;
mod exports;
mod http;
mod imports;
mod transcript;
mod values;

pub use compared::compare;
pub use component::Component;
pub use transcript::Transcript;
