//! Random histories of one connection. Calls on many machines interleave at every effect. They crash, pause for longer
//! than their claims live, and lose requests and answers. Storage does not always say whether it wrote.
//!
//! One seed is one run and always gives the same history.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "only tests use this package, and a broken expectation is a failed test"
)]

mod host;
mod provider;
mod run;
mod strategy;
mod world;
pub mod years;

pub use self::provider::Policy;
pub use self::run::{Broken, Seen, run};
pub use self::strategy::Strategy;
